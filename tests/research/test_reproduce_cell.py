# SPDX-License-Identifier: MIT
"""Cells that can be cut anywhere, and their files."""

import json
import math
import signal

import pytest

torch = pytest.importorskip("torch")

from ttzo.host_tools.research.reproduce import cell as cells
from ttzo.host_tools.research.reproduce.cell import Cell, ReproduceError, Store


class Walk:
    """A random walk: work whose state is a position and a generator."""

    def __init__(self, stop_at=None, bad_at=None):
        self.number, self.at, self.rng = 0, 0.0, torch.Generator().manual_seed(4)
        self.stop_at, self.bad_at = stop_at, bad_at

    def step(self):
        if self.number == self.stop_at:
            signal.raise_signal(signal.SIGINT)  # in the middle of a step
        self.number += 1
        self.at += float(torch.randn((), generator=self.rng))
        return math.nan if self.number == self.bad_at else self.at

    def measure(self):
        return self.at

    def spent(self):
        return 2 * self.number, 100 * self.number

    def state(self):
        return {"number": self.number, "at": self.at, "rng": self.rng.get_state()}

    def load(self, state):
        self.number, self.at = state["number"], state["at"]
        self.rng.set_state(state["rng"])


def walk(**options):
    return Cell("walk", {"kind": "walk"}, 20, 5, lambda: Walk(**options))


def test_a_cell_is_measured_at_its_start_and_regularly(store):
    result = cells.run(walk(), store, math.inf)
    assert result.finished and [each.steps for each in result.history] == [0, 5, 10, 15, 20]
    assert result.history[-1].evaluations == 40 and result.share == 1.0


def test_an_interrupted_cell_goes_on_to_the_same_result(store, tmp_path):
    whole = cells.run(walk(), Store(tmp_path / "other"), math.inf)
    with pytest.raises(KeyboardInterrupt):
        cells.run(walk(stop_at=7), store, math.inf)
    kept = store.result(walk())
    assert not kept.finished and kept.history[-1].steps == 8  # the step that was going on is whole
    again = cells.run(walk(), store, math.inf)
    regular = [(m.steps, m.value) for m in again.history if m.steps % 5 == 0]
    assert regular == [(m.steps, m.value) for m in whole.history]


def test_a_finished_cell_is_not_run_again_and_drops_its_state(store):
    cells.run(walk(), store, math.inf)
    assert not (store.folder / "walk.pt").exists()
    assert cells.run(walk(stop_at=0), store, math.inf).finished


def test_a_spent_budget_leaves_an_unfinished_cell(store, monkeypatch):
    ticks = iter(range(10_000))
    monkeypatch.setattr(cells.time, "monotonic", lambda: next(ticks))
    result = cells.run(walk(), store, 12)
    assert not result.finished and 0 < result.share < 1
    assert result.history[-1].steps == Store(store.folder).result(walk()).history[-1].steps


def test_a_loss_that_is_no_number_ends_the_cell_as_diverged(store):
    result = cells.run(walk(bad_at=8), store, math.inf)
    assert result.finished and result.diverged and result.value == math.inf


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": "walk"}', b'{"history": [{}]}', b'{"history": {}}', b"[]"])
def test_a_damaged_result_is_named(store, content):
    (store.folder / "walk.json").write_bytes(content)
    with pytest.raises(ReproduceError, match=r"walk\.json is damaged"):
        cells.run(walk(), store, math.inf)


def test_a_damaged_state_is_named_and_nothing_changes(store):
    with pytest.raises(KeyboardInterrupt):
        cells.run(walk(stop_at=7), store, math.inf)
    (store.folder / "walk.pt").write_bytes(b"not a state")
    before = (store.folder / "walk.json").read_bytes()
    with pytest.raises(ReproduceError, match=r"walk\.pt is damaged"):
        cells.run(walk(), store, math.inf)
    assert (store.folder / "walk.json").read_bytes() == before


def test_a_cell_tells_the_commits_and_devices_it_began_and_ended_under(store, monkeypatch):
    for commit, device, stop_at in (("abc", "cpu", 7), ("abc", "cpu", 9), ("bcd", "H200", 11), ("def", "cpu", None)):
        monkeypatch.setattr(cells, "commit", lambda commit=commit: commit)
        monkeypatch.setattr(cells, "name_of", lambda _, device=device: device)
        if stop_at:
            with pytest.raises(KeyboardInterrupt):
                cells.run(walk(stop_at=stop_at), store, math.inf)
        else:
            cells.run(walk(), store, math.inf)
    found = store.result(walk())
    assert (found.finished, found.commit, found.device) == (True, "abc..def", "cpu + H200")


def test_a_cell_whose_state_is_lost_begins_under_the_present_commit(store, monkeypatch):
    monkeypatch.setattr(cells, "commit", lambda: "abc")
    with pytest.raises(KeyboardInterrupt):
        cells.run(walk(stop_at=7), store, math.inf)
    (store.folder / "walk.pt").unlink()
    monkeypatch.setattr(cells, "commit", lambda: "def")
    assert cells.run(walk(), store, math.inf).commit == "def"


def test_a_result_written_before_devices_were_told_is_read(store):
    cells.run(walk(), store, math.inf)
    path = store.folder / "walk.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["device"]
    path.write_text(json.dumps(found), encoding="utf-8")
    assert store.result(walk()).finished and store.result(walk()).device == ""


def test_processor_time_adds_up_over_calls_and_measures_are_kept_to_six_digits(store, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(cells.time, "process_time", lambda: 3.0 * next(ticks))
    with pytest.raises(KeyboardInterrupt):
        cells.run(walk(stop_at=7), store, math.inf)
    first = store.result(walk()).processor_s
    result = cells.run(walk(), store, math.inf)
    assert first == 3.0 and result.processor_s == 6.0  # one tick from begin to end of each call
    exact = Walk()
    last = [exact.step() for _ in range(20)][-1]
    assert result.history[-1].value == pytest.approx(last, rel=1e-5) and len(repr(result.history[-1].value)) <= 9


def test_a_result_is_read_as_it_was_written_and_keeps_a_column_of_its_history_on_a_line(store):
    result = cells.run(walk(), store, math.inf)
    text = (store.folder / "walk.json").read_text(encoding="utf-8")
    assert json.loads(text)["history"]["steps"] == [0, 5, 10, 15, 20] and len(text.splitlines()) < 25
    result.history[0] = again = store.result(walk()).history[0]  # its loss is no number: unequal to itself
    assert store.result(walk()).history[1:] == result.history[1:] and math.isnan(again.loss)


def test_another_setting_is_refused(store):
    cells.run(walk(), store, math.inf)
    other = Cell("walk", {"kind": "run"}, 20, 5, Walk)
    with pytest.raises(ReproduceError, match="other settings"):
        cells.run(other, store, math.inf)
