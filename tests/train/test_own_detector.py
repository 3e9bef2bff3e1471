# SPDX-License-Identifier: MIT
"""The life of a detector in a program of one's own: it trains, takes its threshold and watches as the host does."""

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from firmware import write_bundle

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime.contract import Loss, Number, Region, Update
from ttzo.exporter.plan.anomaly import Detection
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import seeded, torch
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.firmware.build import sources_of
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import detector

BATCH, GOOD, TEST = 4, 40, 30
RNG = np.random.default_rng(3)
ROWS = (np.sin(np.arange(6) + RNG.uniform(0, 6, (160, 1))) + RNG.normal(0, 0.1, (160, 6))).astype(np.float32)
ROWS[-TEST // 2 :] = RNG.normal(0, 3, (TEST // 2, 6))  # the last ones are anomalous
TRAIN = ROWS[: -GOOD - TEST]


def make():
    with seeded(1):
        module = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Tanh(), torch.nn.Linear(3, 6))
    training = Training((Phase(n_queries=8, update=Update.sgd, learning_rate=0.05),), seed=5, steps=100)
    return plan_from_module(module, loss=Loss.mse, training=training, batch=BATCH, input_number=Number.float32)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    plan = make()
    folder = write_bundle(tmp_path_factory.mktemp("detector"), plan)
    text = f"#define N_TRAIN {len(TRAIN)}u\n#define N_GOOD {GOOD}u\n#define N_TEST {TEST}u\n"
    for name, rows in (("train", TRAIN), ("good", ROWS[-GOOD - TEST : -TEST]), ("test", ROWS[-TEST:])):
        lines = ",\n".join("{" + ", ".join(f"{float(value)!r}f" for value in row) + "}" for row in rows)
        text += f"static const float {name}[][6] = {{ {lines} }};\n"
    (folder / "rows.h").write_text(text)
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-DTTZO_PARTS={sum(parts_of(plan)):#x}u"]
    files = [*sources_of(parts_of(plan)), folder / "model.c", Path(__file__).parent / "own_detector.c"]
    command = ["cc", *flags, f"-I{RUNTIME}", f"-I{folder}", *map(str, files), "-o", str(folder / "detector")]
    subprocess.run(command, check=True)
    ran = subprocess.run([folder / "detector"], check=True, capture_output=True, text=True)
    return {line.split()[0]: np.array(line.split()[1:], float) for line in ran.stdout.splitlines()}


@pytest.fixture(scope="module")
def errors():
    """Of good and of test rows, by the NumPy twin after the same steps."""
    trainer = Trainer(make())
    for at in range(0, len(TRAIN) // BATCH * BATCH, BATCH):
        rows = pack_rows(TRAIN[at : at + BATCH], TRAIN[at : at + BATCH]).tobytes()
        trainer.write(Region.batch, 0, rows)
        trainer.commit(Region.batch, len(rows), zlib.crc32(rows))
        trainer.step(Region.batch)
    found = detector.errors(trainer.network.outputs(trainer.theta, ROWS), ROWS)
    return found[-GOOD - TEST : -TEST], found[-TEST:]


def test_errors_and_thresholds_are_those_of_the_twin(said, errors):
    good, _ = errors
    assert said["good"] == pytest.approx(good, rel=1e-5)
    assert said["gaussian"][0] == pytest.approx(good.mean() + 2 * good.std(), rel=1e-4)
    assert said["percentile"][0] == pytest.approx(np.sort(good)[-5], rel=1e-5)  # 4 of 40 lie above


def test_an_alarm_takes_two_of_the_last_three_rows(said, errors):
    good, test = errors
    above = test > np.sort(good)[-5]
    votes = [above[max(0, i - 2) : i + 1].sum() for i in range(TEST)]
    assert list(said["alarms"]) == [vote >= 2 for vote in votes]
    assert not said["alarms"][: TEST // 3].all() and said["alarms"][-TEST // 3 :].all()


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        (Detection("percentile", 99.0), 100.0),  # one of the hundred may lie above: 101 - 1
        (Detection("percentile", 99.5), 101.0),
        (Detection("gaussian", 2.0), 51.0 + 2 * np.sqrt((101**2 - 1) / 12)),
    ],
    ids=str,
)
def test_thresholds_of_the_numbers_1_to_101(detection, expected):
    assert detector.threshold(np.arange(101, 0, -1.0), detection) == pytest.approx(expected)


def test_votes_are_counted_from_the_first_row_on():
    found = np.array([2, 0, 2, 2, 0, 0, 2.0])
    expected = [False, False, True, True, True, False, False]
    assert list(detector.alarms(found, 1.0, Detection(votes=2, of=3))) == expected
