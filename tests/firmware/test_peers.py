# SPDX-License-Identifier: MIT
"""What other ways to train cost: the forty lines are back-propagation, and their instructions are counted."""

import ctypes
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from ttzo.device_runtime.contract import ExitCode
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import known_data
from ttzo.host_tools.firmware.build import for_this_machine
from ttzo.host_tools.measure import peers

RATE = 0.05
ROWS = 432


@pytest.fixture(scope="module")
def data():
    x_train, y_train, x_test, _ = known_data.digits()
    order = np.random.default_rng(3).permutation(len(x_train))[:ROWS]
    return x_train[order] / 16, y_train[order], x_test / 16


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(4)
    return [rng.uniform(-0.2, 0.2, shape) for shape in ((peers.HIDDEN, 64), (peers.CLASSES, peers.HIDDEN))]


def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(w1 @ x + b1, 0)
    return hidden, w2 @ hidden + b2


def trained_in_double(weights, x, y):
    """Stochastic gradient descent on the cross-entropy, by the chain rule."""
    w1, w2 = (each.copy() for each in weights)
    parameters = [w1, np.zeros(len(w1)), w2, np.zeros(len(w2))]
    for row, label in zip(x, y, strict=True):
        hidden, logits = forward(parameters, row)
        share = np.exp(logits - logits.max())
        to_logits = share / share.sum() - np.eye(len(logits))[label]
        to_hidden = parameters[2].T @ to_logits * (hidden > 0)
        steps = np.outer(to_hidden, row), to_hidden, np.outer(to_logits, hidden), to_logits
        for parameter, step in zip(parameters, steps, strict=True):
            parameter -= RATE * step
    return parameters


def test_forty_lines_are_back_propagation(data, weights, tmp_path):
    x, y, x_test = data
    rows = ", ".join(f"{{ {', '.join(f'{value:.9g}' for value in row)} }}" for row in x)
    source = tmp_path / "rows.c"
    source.write_text(
        f'#include "peer.h"\nconst float peer_rows[][PEER_INPUTS] = {{ {rows} }};\n'
        f"const uint8_t peer_classes[] = {{ {', '.join(map(str, y))} }};\n",
        encoding="ascii",
    )
    flags = [*peers.FLAGS, "-shared", "-fPIC"]
    library = ctypes.CDLL(str(for_this_machine("forty.so", [peers.FORTY_LINES, source], [], flags, ["-lm"])))
    library.peer_begin(*(each.astype(np.float32).ctypes.data_as(ctypes.c_void_p) for each in weights))
    order = np.arange(ROWS, dtype=np.uint16)
    library.peer_train(order.ctypes.data_as(ctypes.c_void_p), ROWS)
    answers = [library.peer_answer(row.ctypes.data_as(ctypes.c_void_p)) for row in x_test.astype(np.float32)]
    parameters = trained_in_double(weights, x, y)
    wanted = [int(forward(parameters, row)[1].argmax()) for row in x_test]
    assert np.mean(np.array(answers) == wanted) >= 0.99  # float32 may turn an answer that is as near to another class


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc") or not shutil.which("qemu-system-arm"), reason="needs the Arm cross compiler and QEMU")  # fmt: skip
def test_instructions_of_rows_are_counted_without_what_else_is_done(tmp_path):
    elf = peers._linked(peers._compiled([peers.FORTY_LINES], (), tmp_path), 0, tmp_path)
    (nothing, started), (told, whole) = (peers._run(elf, rows, tmp_path) for rows in (0, 2 * peers.EVERY))
    multiply_adds = 64 * peers.HIDDEN + 3 * peers.HIDDEN * peers.CLASSES  # at least, where no hidden unit is awake
    assert (nothing["rows"], told["rows"]) == (0, 2 * peers.EVERY)
    assert 2 * peers.EVERY * multiply_adds < whole - started < 2 * peers.EVERY * 10 * multiply_adds
    assert started < 1_000_000 and 0 < told["stack"] < 4096
    flash, ram = peers._bytes(elf)
    assert flash < 10_000 and 4 * 2410 < ram < 4 * 2410 + 2000  # the parameters, and little besides


def test_a_folder_without_aifes_is_refused_before_anything_is_counted(tmp_path):
    done = CliRunner().invoke(main, ["bench", "--peers", "--aifes", str(tmp_path)])
    assert done.exit_code == ExitCode.input and "does not hold AIfES" in done.output
