# SPDX-License-Identifier: MIT
"""The test models of the onnx 1.17 wheel: what is taken computes what onnxruntime does, all others are a sentence."""

from collections import Counter

import numpy as np
import onnxruntime
import pytest
from onnx_node_cases import cases, wheel, with_constants

from ttzo.device_runtime.contract import Loss, Number, TtzoError
from ttzo.exporter.readers.from_onnx import plan_from_file
from ttzo.host_tools.reference.operations.graph import model_forward

FEWEST = 110  # models that are taken with one input open: 119 on 28 November 2026


@pytest.fixture(scope="module")
def models():
    found = wheel()
    if found is None:
        pytest.skip("the wheel of onnx 1.17.0 cannot be fetched from a package index")
    return list(cases(found))


def test_with_inputs_but_one_frozen_all_that_is_taken_equals_onnxruntime(models, tmp_path, capsys):
    path, counts, taken, operators = tmp_path / "net.onnx", Counter(), {}, Counter()
    for case in models:
        for kept in range(len(case.inputs)):
            model = with_constants(case, kept)
            if model is None:
                counts["no float32 rows, several outputs, or older than opset 7"] += 1
                continue
            path.write_bytes(model.SerializeToString())
            try:
                plan = plan_from_file(path, loss=Loss.mse, input_number=Number.float32)
            except TtzoError as error:
                assert error.hint, case.name
                counts["refused"] += 1
                continue
            session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
            x = case.inputs[kept]
            wanted = session.run(None, {session.get_inputs()[0].name: x})[0]
            found = model_forward(plan, plan.parameters, x.reshape(len(x), -1))
            # float32 sums in other orders, of numbers up to some tens
            assert np.allclose(found, wanted.reshape(found.shape), rtol=1e-4, atol=1e-4, equal_nan=True), case.name
            counts["taken and equal"] += 1
            taken[case.name] = case.operators
    for names in taken.values():
        operators.update(names)
    kinds = Counter(name.split("/")[0] for name in taken)
    with capsys.disabled():
        print(f"\nonnx 1.17, inputs but one frozen: {dict(counts)}; models taken: {dict(kinds)}")
        print(", ".join(f"{name} {count}" for name, count in operators.most_common()))
    assert len(taken) >= FEWEST


def test_no_model_of_the_wheel_ends_in_a_traceback(models, tmp_path, capsys):
    path, counts = tmp_path / "net.onnx", Counter()
    for case in models:
        path.write_bytes(case.model)
        try:
            plan_from_file(path, loss=Loss.mse, input_number=Number.float32)
            counts["taken"] += 1
        except TtzoError as error:
            assert str(error), case.name
            counts["refused with a sentence"] += 1
    with capsys.disabled():
        print(f"\nonnx 1.17, models as they are: {dict(counts)}")
