# SPDX-License-Identifier: MIT
"""A model that trains on a differential equation, at MicroPython's prompt."""

import numpy as np
import pytest
from bundles import residual_wave_plan, wave_plan
from interpreters import FORMS, Interpreter

from ttzo.device_runtime.contract import Region
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import validation
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.training import compare

STEPS = 200
PLAN = wave_plan()
LOAD = 'import ttzo\nfrom array import array\nm = ttzo.load("wave.ttzo")\n'


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    made = Interpreter(tmp_path_factory.mktemp("board"), request.param)
    (made.folder / "wave.ttzo").write_bytes(to_bundle.write(PLAN))
    return made


def test_200_steps_end_in_the_bits_of_the_native_runtime(board):
    board.run(LOAD + f"m.train(steps={STEPS}); f = open('p.bin', 'wb'); f.write(m.params()); f.close()")
    with open_device("native:", board.folder / "wave.ttzo") as device:
        for _ in range(STEPS):
            device.step(Region.collocation)
        assert (board.folder / "p.bin").read_bytes() == device.parameters().tobytes()


def test_a_residual_network_trains_to_the_bits_of_the_native_runtime(board):
    bundle = board.folder / "residual.ttzo"
    bundle.write_bytes(to_bundle.write(residual_wave_plan()))
    board.run(
        "import ttzo\nm = ttzo.load('residual.ttzo')\nm.train(steps=20); f = open('r.bin', 'wb'); f.write(m.params()); f.close()"
    )
    with open_device("native:", bundle) as device:
        for _ in range(20):
            device.step(Region.collocation)
        assert (board.folder / "r.bin").read_bytes() == device.parameters().tobytes()


def test_the_error_of_the_solution_is_the_native_runtimes(board):
    points, exact = validation(PLAN)
    told = float(board.run(LOAD + f"print(m.solution_error(n={len(points)}))"))
    with open_device("native:", board.folder / "wave.ttzo") as device:
        wanted = device.evaluate(data_set.load(None, device.plan).test_rows[: len(points)]).relative
        u = device.predict(points)
    assert told == pytest.approx(wanted, rel=1e-5)  # sums of 1000 squares; MicroPython may add them in float32
    assert told == pytest.approx(np.linalg.norm(u - exact) / np.linalg.norm(exact), rel=1e-4)


def test_given_points_and_values_are_judged_likewise(board):
    points, exact = validation(PLAN)
    (board.folder / "x.bin").write_bytes(points[:100].tobytes())
    (board.folder / "y.bin").write_bytes(exact[:100].tobytes())
    code = "x, y = (array('f', open(n, 'rb').read()) for n in ('x.bin', 'y.bin'))\n"
    told = float(board.run(LOAD + code + "print(m.solution_error(x, y))"))
    u = np.frombuffer(
        board.run(LOAD + code + "f = open('u.bin', 'wb'); f.write(m.predict(x)); f.close()")
        or (board.folder / "u.bin").read_bytes(),
        "<f4",
    )
    assert told == pytest.approx(np.linalg.norm(u - exact[:100, 0]) / np.linalg.norm(exact[:100]), rel=1e-4)


def test_training_lowers_the_error_and_a_saved_run_goes_on(board):
    code = """
before = m.solution_error()
m.train(steps=100)
m.save("saved.ttzo")
n = ttzo.load("saved.ttzo")
m.train(steps=20)
n.train(steps=20)
print(before > m.solution_error(), n.step, bytes(m.params()) == bytes(n.params()))
"""
    assert board.run(LOAD + code).split() == ["True", "120", "True"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("m.train(bytes(8))", "ValueError: the model trains on an equation, not on rows"),
        ("m.evaluate(bytes(8))", "ValueError: the model has an equation: m.solution_error() evaluates it"),
        ("m.solution_error(bytes(8))", "ValueError: the model has an equation: rows are points in x and values in y"),
        ("m.solution_error(array('i', [1, 2]), bytes(4))", "TypeError: x needs numbers of kind 'f' or raw bytes"),
        ("m.predict(array('f', [1.0]))", "ValueError: x has 4 bytes, a row of inputs has 8"),
    ],
)
def test_what_does_not_go_with_an_equation_is_said(board, call, says):
    assert board.error(LOAD + call).startswith(says)


def test_the_laptop_trains_it_over_the_prompt(board):
    bundle = board.folder / "wave.ttzo"
    with board.prompt() as url, open_device("mpy:" + url, bundle) as a, open_device("numpy:", bundle) as b:
        assert compare.compare(a, b, data_set.load(None, a.plan), 5).agree
