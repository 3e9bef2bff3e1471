# SPDX-License-Identifier: MIT
"""`ttzo train` and a device that keeps its run: what it goes on from, what it leaves alone, and how often it asks."""

import shutil

import numpy as np
import pytest
from power_cuts import CHANGES, Cuts, bundle_in, native_power

from ttzo.device_runtime.contract import DeviceError
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.device.emulated_device import EmulatorError
from ttzo.host_tools.firmware.wear import erases_an_hour, period_s
from ttzo.host_tools.training import kept_run, metrics, session


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_in(tmp_path_factory.mktemp("kept") / "bundle")


@pytest.fixture
def train(bundle, tmp_path):
    """`train(steps, folder, url)`: a training; the run, the parameters that it ends with, and what was said."""

    def act(steps: int, folder: str, url: str = f"native:{tmp_path / 'kept'}", **options):
        said: list[str] = []
        with open_device(url, bundle) as device:
            rows = data_set.load(bundle / "rows.npz", device.plan)
            changes = CHANGES | {"steps": steps} | options.pop("changes", {})
            run = session.train(device, rows, tmp_path / folder, changes=changes, say=said.append, **options)
            return run, device.parameters().tobytes() + device.moments().tobytes(), said

    return act


def test_a_run_goes_on_from_what_the_device_kept_when_its_folder_is_gone(train, tmp_path):
    whole = train(12, "whole", "native:")[1]
    with pytest.raises(Lost):
        train(12, "first", checkpoint_steps=1, report=lost_at(7))
    shutil.rmtree(tmp_path / "first")
    run, end, said = train(12, "again")
    assert run.resumed_from == 7 and "has kept step 7 of this run" in said[0] and end == whole
    assert [row["step"] for row in metrics.read(tmp_path / "again" / "metrics.csv")] == [8, 9, 10, 11, 12]


class Lost(Exception):
    """The host ends, without a word to the device."""


def lost_at(step: int):
    """A report that raises `Lost` after so many steps."""

    def report(progress):
        if progress.step == step:
            raise Lost

    return report


def test_other_runs_on_the_device_are_left_alone(train):
    train(4, "first")
    for number, options in enumerate(({"restart": True}, {"changes": {"seed": 5}}, {"changes": {"lr": 0.5}})):
        assert train(4, f"other-{number}", **options)[0].resumed_from == 0


def test_a_checkpoint_of_the_host_comes_first(train):
    train(4, "first")
    train(9, "second", changes={"seed": 3})
    run, _, said = train(6, "first", changes={})
    assert run.resumed_from == 4 and not any("kept" in text for text in said)


def test_a_device_without_a_memory_is_asked_once(train, monkeypatch):
    asked = []
    monkeypatch.setattr("ttzo.host_tools.device.device.Device.keep", lambda *_: asked.append(1))
    train(4, "first", "native:", checkpoint_steps=1)
    assert not asked


def test_the_file_of_a_running_device_is_refused(bundle, tmp_path):
    with open_device(f"native:{tmp_path / 'kept'}", bundle), pytest.raises(EmulatorError, match="another process"):
        open_device(f"native:{tmp_path / 'kept'}", bundle)


class Board:
    """What a session needs of a device that keeps runs, with a clock of its own."""

    board, step_count, erases, failing = "toy", 0, 10_000, False

    def __init__(self):
        self.kept: list[tuple[int, int]] = []

    def restore(self):
        return type("Reply", (), {"generation": 0, "run": 0, "rated_erases": self.erases})

    def keep(self, run):
        if self.failing:
            raise DeviceError("not_stored", 900)
        self.kept.append((self.step_count, run))


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(kept_run.time, "monotonic", lambda: now[0])
    return now


def test_two_slots_bear_a_thousand_hours_of_training():
    """10,000 erases of each of two slots in 1,000 hours: twenty generations an hour, one every 180 s."""
    assert period_s(10_000) == 180 and erases_an_hour(10_000) == 10
    assert period_s(0) == erases_an_hour(0) == 0  # a memory that does not wear


def test_generations_come_at_the_pace_that_the_memory_bears(clock):
    board = Board()
    kept = kept_run.KeptRun(board, print)
    kept.begin(None, np.zeros(3), None, 5, restart=True)
    for board.step_count in range(1, 400):
        clock[0] += 1
        kept.keep(at_once=False)
    assert [step for step, _ in board.kept] == [180, 360]
    kept.keep(at_once=True)
    assert board.kept[-1][0] == 399


def test_a_memory_that_fails_is_reported_once(clock):
    board, said = Board(), []
    board.failing = True
    kept = kept_run.KeptRun(board, said.append)
    for board.step_count in (1, 2, 3):
        kept.keep(at_once=True)
    assert len(said) == 1 and "still holds an older state" in said[0]


def test_runs_of_other_beginnings_or_other_rows_have_other_numbers():
    numbers = {kept_run.run_number(np.full(4, value), rows) for value in (0, 1) for rows in (7, 8)}
    assert len(numbers) == 4


def test_a_device_whose_power_is_cut_at_random_instants_ends_in_the_same_bits(bundle, tmp_path):
    with native_power(bundle, tmp_path / "kept") as power:
        seen = Cuts(power, bundle, tmp_path / "run", steps=60, longest_s=0.2)
        for seed in range(1, 20):
            cuts, starts = seen.cuts, seen.starts
            seen.run(seed, most=cuts + 3)
            if seen.cuts >= 3 and seen.starts:
                break
            if seen.cuts == cuts:  # the run ended before its first cut
                seen.longest_s /= 2
            elif seen.starts == starts:  # nothing was kept before a cut
                seen.longest_s *= 2
    assert seen.cuts >= 3 and seen.held == seen.starts >= 1 and seen.same == seen.runs >= 1
