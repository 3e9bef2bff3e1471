# SPDX-License-Identifier: MIT
"""Training from a program's own numbers: rows, on-line steps, saved runs and inference agree with the NumPy twin."""

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from firmware import plan_for_firmware, write_bundle

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime.contract import Region
from ttzo.exporter.plan.parts import parts_of
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.firmware.build import sources_of
from ttzo.host_tools.reference.train.trainer import Trainer

PLAN = plan_for_firmware()
RNG = np.random.default_rng(9)
RAW = RNG.integers(0, 256, (PLAN.batch, PLAN.in_features)).astype(np.uint8)
LABELS = RNG.integers(0, PLAN.n_classes, PLAN.batch)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the program prints, as words by the first of each line."""
    folder = write_bundle(tmp_path_factory.mktemp("sensor"), PLAN)
    x = RAW * np.float32(PLAN.input_scale) + np.float32(PLAN.input_offset)
    rows = ",\n".join("{" + ", ".join(f"{float(value)!r}f" for value in row) + "}" for row in x)
    text = f"static const float samples[][{PLAN.in_features}] = {{ {rows} }};\n"
    text += f"static const uint32_t labels[] = {{ {', '.join(map(str, LABELS))} }};\n"
    (folder / "rows.h").write_text(text)
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-DTTZO_PARTS={sum(parts_of(PLAN)):#x}u"]
    files = [*sources_of(parts_of(PLAN)), folder / "model.c", Path(__file__).parent / "own_sensor.c"]
    command = ["cc", *flags, f"-I{RUNTIME}", f"-I{folder}", *map(str, files), "-o", str(folder / "sensor")]
    subprocess.run(command, check=True)
    ran = subprocess.run([folder / "sensor"], check=True, capture_output=True, text=True)
    return {line.split()[0]: line.split()[1:] for line in ran.stdout.splitlines()}


@pytest.fixture(scope="module")
def twin():
    """The NumPy trainer's parameters after 0, 1, 2 and 3 steps on the same batch, and its outputs for row 1 then."""
    trainer, found = Trainer(PLAN), []
    rows = pack_rows(RAW, LABELS).tobytes()
    trainer.write(Region.batch, 0, rows)
    trainer.commit(Region.batch, len(rows), zlib.crc32(rows))
    for _ in range(3):
        trainer.step(Region.batch)
        found.append(f"{zlib.crc32(trainer.read(Region.parameters, 0, 4 * PLAN.n_parameters)):08x}")
    return found, f"{zlib.crc32(trainer.predict(1).astype('<f4').tobytes()):08x}"


def test_samples_one_at_a_time_train_like_a_batch(said, twin):
    assert said["two"] == [twin[0][1]]


def test_a_run_goes_on_after_a_loss_of_power_in_the_same_bits(said, twin):
    assert said["three"] == [twin[0][2], "3"]


def test_damaged_and_foreign_runs_are_refused_and_change_nothing(said):
    names = {name: said[name] for name in ("flipped", "magic", "model", "unread", "full", "kept")}
    assert names == {
        "flipped": ["bad_checksum"],
        "magic": ["bad_saved_run"],
        "model": ["other_model"],
        "unread": ["not_stored"],
        "full": ["not_stored"],
        "kept": ["1"],
    }


def test_inference_without_a_trainer_gives_the_trainer_s_bits(said, twin):
    assert said["infer"] == [twin[1]]
    assert said["small"] == ["out_of_memory"]  # TTZO_MODEL_INFER_BYTES is exact


def test_wrong_samples_have_errors_of_their_own(said):
    names = {name: said[name] for name in ("input", "count", "label", "kind")}
    assert names == {"input": ["bad_input"], "count": ["out_of_range"], "label": ["bad_label"], "kind": ["bad_request"]}
