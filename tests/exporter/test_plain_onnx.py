# SPDX-License-Identifier: MIT
"""model.onnx for C code generators: the same numbers, in a form that they read."""

import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import random_graph

from ttzo.exporter.export import plan_of
from ttzo.exporter.writers.onnx.plain import plain
from ttzo.exporter.writers.onnx.to_onnx import forward_graph


def outputs(model, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["outputs"], {"x": x})[0]


PLANS = [lambda name=name: plan_of(name) for name in ("digits", "digits-conv", "names")]
PLANS += [lambda seed=seed: random_graph(np.random.default_rng(seed), int8=bool(seed % 2)) for seed in range(12)]


@pytest.mark.parametrize("number", range(len(PLANS)))
def test_a_plain_model_gives_the_same_bits_for_one_row_and_holds_no_function_nor_constant_node(number):
    plan = PLANS[number]()
    model = forward_graph(plan)
    made = plain(model)
    x = np.random.default_rng(number).integers(0, max(2, plan.n_tokens), (1, plan.in_features)).astype(np.float32)
    assert np.array_equal(outputs(made, x), outputs(model, x), equal_nan=True)
    assert not made.functions and {each.domain for each in made.opset_import} == {""}
    assert "Constant" not in {node.op_type for node in made.graph.node}
    shapes = [*made.graph.input, *made.graph.output, *made.graph.value_info]
    assert all(axis.dim_value > 0 for value in shapes for axis in value.type.tensor_type.shape.dim)
    onnx.checker.check_model(made, full_check=True)


def test_a_code_generator_makes_c_of_a_tensor_train_and_its_c_computes_the_same(tmp_path):
    pytest.importorskip("emx_onnx_cgen", reason="needs emx-onnx-cgen, which is a package of the tests")
    path = tmp_path / "model.onnx"
    path.write_bytes(plain(forward_graph(plan_of("digits"))).SerializeToString())
    tool = Path(sysconfig.get_path("scripts")) / "emx-onnx-cgen"  # a virtual environment need not be on the PATH
    done = subprocess.run([tool, "verify", path], capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
