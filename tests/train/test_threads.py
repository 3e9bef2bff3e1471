# SPDX-License-Identifier: MIT
"""Any number of threads of `native:` leaves the bits of one: those that were recorded, and on larger batches."""

import dataclasses
import json
import sys
from pathlib import Path

import devices
import numpy as np
import pytest

from ttzo.device_runtime.contract import MESSAGE, DeviceError, Estimator, Region
from ttzo.exporter.plan.training import Phase
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import threads as threads_of
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.ports import LinkError

sys.path.append(str(Path(__file__).parents[1] / "vectors"))
import zoo_bits

STORED = json.loads(zoo_bits.PATH.read_text(encoding="utf-8"))["cases"]
RECORDED = (
    ({"model": "mnist-mlp", "estimator": "cge"}, 2),
    ({"model": "mnist-mlp", "estimator": "node_cge", "arithmetic": "fused"}, 3),
    ({"model": "mnist-conv", "estimator": "cge"}, 8),
    ({"model": "digits", "estimator": "node_cge"}, 2),
    ({"model": "digits", "estimator": "cge", "cache": "int16"}, 3),
    ({"model": "names", "estimator": "cocd"}, 2),
    ({"model": "digits-rnn", "estimator": "node_cge"}, 3),
    ({"model": "black-scholes", "estimator": "rge"}, 2),
    ({"model": "black-scholes", "estimator": "cge_plain"}, 3),
)


@pytest.mark.parametrize(("case", "threads"), RECORDED, ids=lambda value: str(value) if isinstance(value, int) else "-".join(value.values()))  # fmt: skip
def test_threads_leave_the_recorded_bits(case, threads):
    (stored,) = [each["left"] for each in STORED if each["case"] == case]
    assert "refused" not in stored and zoo_bits.record(case, threads) == stored


@pytest.fixture(scope="module")
def plan():
    return devices.dense_plan(12, 20, 6, 5, batch=24)


@pytest.mark.parametrize("phase", [
    Phase(Estimator.rge, n_queries=5), Phase(Estimator.rge, n_queries=1), Phase(Estimator.cge), Phase(Estimator.node_cge),
    Phase(Estimator.chain_differences), Phase(Estimator.block_rge, n_queries=5), Phase(Estimator.cge_plain),
], ids=lambda phase: f"{phase.estimator.name}-{phase.n_queries}")  # fmt: skip
def test_one_two_three_and_eight_threads_end_alike(plan, phase, tmp_path):
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, phases=(phase,)))
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(plan))
    ends = set()
    for threads in (1, 2, 3, 8):
        with open_device("native:", tmp_path, threads=threads) as device:
            device.write_dataset(np.frombuffer(devices.rows(plan, 24), np.uint8).reshape(24, -1))
            steps = [device.step(Region.dataset) for _ in range(3)]
            ends.add((device.parameters().tobytes(), device.moments().tobytes(), *(step.pack() for step in steps)))
    assert len(ends) == 1


@pytest.mark.parametrize("estimator", [Estimator.cge, Estimator.node_cge])
def test_a_loss_that_is_not_finite_stops_all_threads_and_changes_nothing(plan, estimator, tmp_path):
    phase = Phase(estimator, n_queries=5)
    plan = dataclasses.replace(plan, training=dataclasses.replace(plan.training, phases=(phase,)))
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(plan))
    rows = np.frombuffer(devices.rows(plan, 24), np.uint8).reshape(24, -1)
    with open_device("native:", tmp_path, threads=3) as device:
        before, state = device.parameters(), device.state()
        too_large = np.resize(np.array([-3e37, 3e37], np.float32), plan.n_parameters)
        device.load(too_large, device.moments(), state)
        device.write_dataset(rows)
        with pytest.raises(DeviceError, match="not finite"):
            device.step(Region.dataset)
        device.load(before, device.moments(), state)
        after = device.step(Region.dataset)
    with open_device("native:", tmp_path) as device:
        device.write_dataset(rows)
        assert device.step(Region.dataset) == after


def test_a_cancelled_step_of_threads_changes_nothing(native_executable, tmp_path):
    plan = devices.LONG_STEP
    with devices.native(native_executable, plan, tmp_path, "--threads", "3") as url:
        with devices.connect(url) as link:
            devices.fill(link, Region.batch, devices.rows(plan, plan.batch))
            before = devices.read_parameters(link, plan)
        with devices.Line(url) as line:
            line.send(devices.encode(devices.STEP) + devices.encode(devices.request(10, "cancel")))
            while (frame := line.frame()).code == MESSAGE["progress"]:
                pass
            assert devices.error(frame)[0] == devices.CODE["cancelled"]
        with devices.connect(url) as link:
            assert devices.read_parameters(link, plan) == before


def test_other_devices_take_one_thread(tmp_path):
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(devices.PLAIN))
    with pytest.raises(LinkError, match="numpy: trains with one thread"):
        open_device("numpy:", tmp_path, threads=2)


def test_short_steps_and_other_devices_take_one_thread_unasked(plan, monkeypatch):
    monkeypatch.setattr(threads_of, "processors", lambda: 6)
    assert threads_of.default_threads(plan, "native:") == 1
    assert threads_of.default_threads(devices.LONG_STEP, "native:") == 6
    assert threads_of.default_threads(devices.LONG_STEP, "qemu:netduinoplus2") == 1
