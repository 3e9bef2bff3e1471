# SPDX-License-Identifier: MIT
"""A model that carries its normalisation takes a sensor's readings in real MicroPython interpreters, and bytes as rows that
are normalised already."""

import dataclasses

import numpy as np
import pytest
from devices import dense_plan
from interpreters import FORMS, Interpreter

from ttzo.device_runtime.contract import Number
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle

CENTRE, SPREAD = np.array([101_325.25, 20.5, 0.001]), np.array([2.0, 4.0, 0.0005])
N = 8  # rows: two batches


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    return Interpreter(tmp_path_factory.mktemp("readings"), request.param)


def plan_of(number: Number) -> Plan:
    return dataclasses.replace(
        dense_plan(3, 4, 2),
        input_number=number,
        input_scale=1 / 4096 if number == Number.int16 else 1.0,
        normalisation=InputNormalisation.of(CENTRE, SPREAD),
    )


def rows(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Readings float32, and the same normalised by NumPy as docs/data.md says, in the model's number."""
    spread = np.random.default_rng(3).standard_normal((N, 3))
    readings = (CENTRE + SPREAD * spread).astype(np.float32)
    made = plan.normalisation
    x = ((readings - made.centre) - made.rest) * made.factor
    if plan.input_number == Number.int16:
        return readings, np.rint(x * np.float32(4096)).astype("<i2")
    return readings, x


@pytest.mark.parametrize("number", [Number.float32, Number.int16])
def test_readings_train_and_predict_as_normalised_rows_do(board, number):
    plan = plan_of(number)
    readings, packed = rows(plan)
    (board.folder / "model.ttzo").write_bytes(to_bundle.write(plan))
    (board.folder / "readings.bin").write_bytes(readings.tobytes())
    (board.folder / "packed.bin").write_bytes(packed.tobytes())
    code = f"""
import ttzo
from array import array
def learnt(x, width):
    m = ttzo.load("model.ttzo")
    y = bytes(k % 2 for k in range({N}))
    before = bytes(m.predict(x))
    losses = [m.learn(x[width * k : width * (k + 1)], y[k : k + 1]) for k in range({N})]
    m.train(x, y, steps=3)
    return before, losses[-1] is not None, m.loss(x, y), bytes(m.predict(x)), bytes(m.params())
readings = learnt(array("f", open("readings.bin", "rb").read()), 3)
packed = learnt(open("packed.bin", "rb").read(), {packed.itemsize * 3})
print(readings == packed, readings[1], readings[0] != readings[3])
"""
    assert board.run(code).split() == ["True"] * 3


def test_a_reading_that_is_no_number_is_said_and_the_model_stays(board):
    (board.folder / "model.ttzo").write_bytes(to_bundle.write(plan_of(Number.float32)))
    code = """
import ttzo
from array import array
m = ttzo.load("model.ttzo")
before = bytes(m.params())
for x in (array("f", [1.0, float("nan"), 2.0]), array("f", [1.0, 2.0])):
    try:
        m.train(x, b"\\0", steps=1)
    except ValueError:
        print(bytes(m.params()) == before, m.step)
"""
    assert board.run(code).split() == ["True", "0"] * 2
