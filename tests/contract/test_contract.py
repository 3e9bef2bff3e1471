# SPDX-License-Identifier: MIT
"""The contract: C and Python are made from one page, records say no to what they cannot hold, errors speak in words."""

import dataclasses
import re

import pytest

from ttzo.device_runtime.contract import (
    RECORD,
    Arithmetic,
    DeviceError,
    PhaseRecord,
    TrainingRecord,
    TtzoError,
)
from ttzo.device_runtime.contract.generated import written_files
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.reference.train import settings


def test_what_is_generated_is_committed():
    for path, text in written_files().items():
        assert path.read_text() == text, f"{path.name}: run `python -m ttzo.device_runtime.contract`"


def test_every_record_comes_back_from_its_bytes():
    for name, record in RECORD.items():
        data = bytes(range(1, record.SIZE + 1)) if record.SIZE < 255 else bytes(record.SIZE)
        assert record.unpack(data).pack() == data, name
        with pytest.raises(DeviceError):
            record.unpack(data[:-1])


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [
        (0, "steps", 1 << 32),
        (0, "steps", -1),
        (0, "seed", 1 << 64),
        (0, "plateau_patience", 1 << 16),
        (1, "n_queries", 1 << 32),
        (1, "learning_rate", 1e39),  # float32 ends at 3.4e38
    ],
)
def test_a_number_that_its_field_cannot_hold_is_a_sentence(record, field, value):
    made = dataclasses.replace(training_records(Training())[record], **{field: value})
    with pytest.raises(TtzoError, match=re.escape(f"{field} is {value}")) as caught:
        made.pack()
    assert caught.value.hint


def test_a_refused_setting_is_named():
    """Every field out of range, one by one, as the Python twin of settings.c numbers them."""
    training, phase, _ = training_records(Training(phases=(Phase(), Phase())))
    bad = {"steps": 0, "n_phases": 3, "schedule": 9, "plateau_patience": 0, "decay_every": 0, "decay_factor": -1.0}
    bad |= {"plateau_window": 0, "plateau_tolerance": -1.0}
    for field, value in bad.items():
        with pytest.raises(DeviceError, match=f"setting {field} is out of range"):
            settings.check_settings(dataclasses.replace(training, **{field: value}), (phase, phase))
    bad = {"estimator": 9, "direction": 9, "difference": 9, "update": 9, "n_queries": 0, "perturb_radius": 0.0}
    bad |= {"learning_rate": -1.0, "beta1": 1.0, "beta2": 1.0, "epsilon": -1.0, "clip_norm": -1.0}
    for field, value in bad.items():
        with pytest.raises(DeviceError, match=f"setting {field} of phase 1 is out of range"):
            settings.check_settings(training, (phase, dataclasses.replace(phase, **{field: value})))


def test_a_number_that_no_setting_has_stays_a_number():
    for number in (len(TrainingRecord.FIELDS), 16 + len(PhaseRecord.FIELDS)):
        assert f"setting {number} is" in str(DeviceError("bad_setting", number))


def test_the_wrong_arithmetic_is_named():
    assert "arithmetic fused" in str(DeviceError("wrong_arithmetic", Arithmetic.fused))
    assert "arithmetic 7" in str(DeviceError("wrong_arithmetic", 7))
