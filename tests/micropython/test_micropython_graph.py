# SPDX-License-Identifier: MIT
"""Graphs in real MicroPython interpreters: a convolution, pooling, a frozen part as int8, a recurrent cell."""

import re
from pathlib import Path

import numpy as np
import pytest
from interpreters import FORMS, Interpreter

from ttzo.device_runtime.contract import Activation, Cell, Estimator, Loss, Number, Region, Update
from ttzo.exporter.plan.builder import Builder
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.device.device import open_device

PAGE = Path(__file__).parents[2] / "docs/micropython.md"
STEPS, ROWS, CLASSES = 30, 24, 3
PHASE = Phase(Estimator.cge, update=Update.adam, learning_rate=0.03, perturb_radius=1e-3)
RNG = np.random.default_rng(8)
LOAD = """
import ttzo, gc
m = ttzo.load("graph.ttzo")
rows = open("train.rows", "rb").read()
"""


def numbers(*shape):
    return RNG.normal(0, 0.4, shape).astype(np.float32)


def pictures() -> Plan:
    """8 x 8 pixels -> convolution, max pooling, both frozen -> convolution -> mean pooling -> 3 classes."""
    build = Builder((1, 8, 8))
    x = build.convolution("first", build.input, numbers(4, 1, 3, 3), numbers(4), padding=(1, 1, 1, 1), frozen=True)
    x = build.max_pool("largest", build.activation("relu", x, Activation.relu), (2, 2), (2, 2))
    x = build.convolution("second", x, numbers(4, 4, 3, 3), numbers(4), padding=(1, 1, 1, 1))
    x = build.average_pool("mean", build.activation("relu2", x, Activation.relu), (2, 2), (2, 2))
    return _plan(build, build.linear("out", build.reshaped(x, (-1,)), numbers(CLASSES, 16), numbers(CLASSES)))


def sequences() -> Plan:
    """8 places of 8 numbers -> a GRU cell of 5 -> layer norm -> 3 classes."""
    build = Builder((8, 8))
    x = build.recurrent("cell", build.input, Cell.gru, *(numbers(15, n) for n in (8, 5)), *(numbers(15) for _ in "ih"), last=True)  # fmt: skip
    x = build.layer_norm("norm", x, numbers(5), numbers(5), 1e-3)
    return _plan(build, build.linear("out", x, numbers(CLASSES, 5), numbers(CLASSES)))


def _plan(build: Builder, x) -> Plan:
    given = {"loss": Loss.cross_entropy, "batch": 6, "training": Training((PHASE,), steps=STEPS)}
    return build.plan(x, frozen_int8=True, input_number=Number.uint8, input_scale=1 / 128, **given)


PLANS = {"pictures": pictures(), "sequences": sequences()}


def training_rows() -> np.ndarray:
    """Pictures of three classes: the brightest rows of pixels are above, in the middle, or below."""
    rng, y = np.random.default_rng(4), np.arange(ROWS) % CLASSES
    x = rng.integers(0, 60, (ROWS, 8, 8))
    for row, label in enumerate(y):
        x[row, 3 * label : 3 * label + 2] += 150
    return pack_rows(x.reshape(ROWS, 64).astype(np.uint8), y)


@pytest.fixture(params=PLANS)
def plan(request) -> Plan:
    return PLANS[request.param]


@pytest.fixture(scope="module", params=FORMS)
def board(request, tmp_path_factory):
    made = Interpreter(tmp_path_factory.mktemp("board"), request.param)
    (made.folder / "train.rows").write_bytes(training_rows().tobytes())
    return made


def test_a_graph_trains_to_the_bits_of_the_native_runtime_and_is_saved(board, plan):
    (board.folder / "graph.ttzo").write_bytes(to_bundle.write(plan))
    code = """
before = m.loss(rows)
m.train(rows, steps=20)
m.save("saved.ttzo")
n = ttzo.load("saved.ttzo")
n.train(rows)
f = open("params.bin", "wb"); f.write(n.params()); f.close()
print(n.step, n.loss(rows) < 0.5 * before)
"""
    assert board.run(LOAD + code).split() == [str(STEPS), "True"]
    with open_device("native:", board.folder / "graph.ttzo") as device:
        device.write_dataset(training_rows())
        for _ in range(STEPS):
            device.step(Region.dataset)
        assert (board.folder / "params.bin").read_bytes() == device.parameters().tobytes()


def test_answers_are_those_of_the_native_runtime(board, plan):
    (board.folder / "graph.ttzo").write_bytes(to_bundle.write(plan))
    x = np.ascontiguousarray(training_rows()[:, :64])
    (board.folder / "x.bin").write_bytes(x.tobytes())
    board.run(LOAD + 'f = open("out.bin", "wb"); f.write(m.predict(open("x.bin", "rb").read())); f.close()')
    with open_device("native:", board.folder / "graph.ttzo") as device:
        assert (board.folder / "out.bin").read_bytes() == device.predict(x).tobytes()


def test_the_frozen_part_is_not_trained_and_lies_in_the_bundle_as_int8():
    plan = PLANS["pictures"]
    assert plan.n_parameters == 4 * 4 * 9 + 4 + CLASSES * 16 + CLASSES
    assert plan.constants in to_bundle.write(plan)
    assert len(plan.constants) == 4 * 4 + 4 * 9 + 4 * 4  # scales of four rows, 36 integers, four biases


def test_every_line_of_the_table_of_abilities_names_a_test_that_there_is():
    text = PAGE.read_text(encoding="utf-8").partition("## What runs where")[2].partition("\n\nA network")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    named = [re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", line) for line in lines]
    assert len(lines) > 8 and all(named)
    for found in named:
        assert f"def {found[2]}(" in (PAGE.parents[1] / found[1]).read_text(encoding="utf-8"), found[0]
