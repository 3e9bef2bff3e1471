# SPDX-License-Identifier: MIT
"""The paper's tables: cells that can be cut anywhere, its numbers beside ours, and the command around them."""

import csv
import dataclasses
import json
import math
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from ttzo.host_tools.cli import reproduce as reproduce_command
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.research.reproduce import cell as cells
from ttzo.host_tools.research.reproduce import (
    gpu,
    mnist_cells,
    native_cells,
    pinn_cells,
    render,
    speed,
    stored,
    tables,
)
from ttzo.host_tools.research.reproduce.cell import Cell, Measurement, ReproduceError, Result, Store
from ttzo.host_tools.research.reproduce.tables import Entry, Outcome


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


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cells")


# ---- cells -----------------------------------------------------------------------------------------------------------


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


# ---- the paper's numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tables.names())
def test_every_entry_has_a_cell_with_a_name_of_its_own(name, monkeypatch):
    monkeypatch.setattr(mnist_cells, "load", lambda source: rows(128))
    made = [tables.cell(name, entry, "quick", 0, None).key for entry in tables.table(name).entries]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(("name", "row", "column", "paper"), [
    ("table1", "tt-3962", "hybrid", 96.64),
    ("table2", "tt-8314", "rge", 85.14),
    ("table3", "mlp-800-800", "dfa", 98.30),
    ("table5", "hjb-tt-3209", "sg", 1.44e-5),
    ("table5", "hjb-mlp", "se", math.inf),
    ("table6", "hjb-sp-7603", "first_order", 1.54e-9),
    ("table4", "hjb-mlp", "jet", None),
])  # fmt: skip
def test_the_papers_numbers_stand_in_their_places(name, row, column, paper):
    assert Entry(row, column, paper) in tables.table(name).entries


def test_direct_feedback_alignment_starts_from_zeros_and_tells_its_loss(monkeypatch):
    monkeypatch.setattr(mnist_cells, "load", lambda source: rows(128))
    made = mnist_cells.cell("mlp-800-800", "dfa", "quick", 0, None)
    assert made.settings["loss"] == "logistic"
    assert not made.make().trainer.theta.any()


def test_a_mended_method_does_not_continue_its_old_cells(monkeypatch, store):
    monkeypatch.setattr(mnist_cells, "load", lambda source: rows(128))
    made = mnist_cells.cell("mlp-10", "node_perturbation", "quick", 0, None)
    old = {name: value for name, value in made.settings.items() if name != "revision"}
    store.save(Result(made.key, old, made.n_steps), None)
    with pytest.raises(ReproduceError, match="other settings"):
        store.result(made)


def test_an_unknown_table_is_named():
    with pytest.raises(ReproduceError, match="no 'table9'"):
        tables.table("table9")


@pytest.mark.parametrize("name", ["tt-8314", "tt-3962", "tt-2698"])
def test_networks_have_the_parameters_they_are_called_by(name):
    assert mnist_cells.NETWORKS[name](None, 0).n == int(name[3:])


@pytest.mark.parametrize("name", ["hjb-tt-7745", "hjb-tt-3209", "hjb-sp-7603"])
def test_networks_for_the_equation_have_the_parameters_they_are_called_by(name):
    assert pinn_cells.network(name, 0).n == int(name[7:])


def test_a_network_that_no_device_could_hold_is_trained_here():
    assert mnist_cells.NETWORKS["mlp-800-800"](None, 0).n == 784 * 800 + 800 * 800 + 800 * 10 + 1610


def test_pruned_networks_have_the_parameters_they_are_called_by_and_differ_in_those_that_are_fixed():
    masked, zero = (mnist_cells.NETWORKS[name](rows(64), 0) for name in ("sp-4089", "sp-4089-zero"))
    assert masked.n == zero.n == 4089 and torch.equal(masked.kept, zero.kept)
    assert torch.equal(masked.full(masked.start), mnist_cells.NETWORKS["mlp-1024"](rows(64), 0).start)
    assert zero.full(zero.start).count_nonzero() <= 4089


# ---- work ------------------------------------------------------------------------------------------------------------


def rows(n):
    rng = np.random.default_rng(2)
    y = torch.from_numpy(np.arange(n) % 10)
    x = torch.from_numpy(rng.random((n, 784), np.float32)) * 0.1
    x[torch.arange(n), 70 * y + 5] = 1.0  # what tells the class
    return mnist_cells.Rows(x, y, x, y)


def test_a_step_of_mnist_sees_each_row_once_an_epoch(monkeypatch):
    monkeypatch.setattr(mnist_cells, "load", lambda source: rows(256))
    made = mnist_cells.cell("mlp-10", "first_order", "quick", 3, None)
    assert (made.n_steps, made.check_every) == (3 * 4, 4)
    work, seen = made.make(), []
    monkeypatch.setattr(work.trainer, "step", lambda batch, factor: seen.append(batch.x))
    for number in range(4):
        work.trainer.number = number
        work.step()
    assert len(torch.unique(torch.cat(seen), dim=0)) == 256


def test_the_rate_falls_by_a_tenth_every_ten_epochs(monkeypatch):
    monkeypatch.setattr(mnist_cells, "load", lambda source: rows(128))
    work, factors = mnist_cells.cell("mlp-10", "first_order", "full", 0, None).make(), []
    monkeypatch.setattr(work.trainer, "step", lambda batch, factor: factors.append(factor))
    for epoch in (0, 9, 10, 25, 99):
        work.trainer.number = 2 * epoch
        work.step()
    assert factors == pytest.approx([1, 1, 0.9, 0.9**2, 0.9**9])


@pytest.mark.parametrize("method", ["first_order", "zeroth_order"])
@pytest.mark.parametrize("derivative", ["fd", "jet"])
def test_a_cell_of_the_equation_goes_on_in_the_same_bits(method, derivative):
    made = pinn_cells.torch_cell("hjb-fc3-78", method, derivative, "quick", 1)
    work, again = made.make(), made.make()
    losses = [work.step() for _ in range(3)]
    again.load(work.state())
    assert again.step() == work.step() and all(math.isfinite(loss) for loss in losses)
    assert again.measure() == work.measure() and work.spent()[0] == 4 * (2 if method == "zeroth_order" else 1)


def test_a_cell_of_the_product_goes_on_in_the_same_bits_and_counts_the_time_of_its_process(store):
    made = dataclasses.replace(
        pinn_cells.cell("hjb-fc3-78", "zeroth_order", "jet", "quick", 1), n_steps=40, check_every=20
    )
    work = made.make()
    for _ in range(3):
        work.step()
    again = made.make()
    again.load(work.state())
    assert again.step() == work.step() and again.measure() == work.measure()
    assert again.spent() == work.spent() and work.spent()[0] == 4 * 2
    work.close(), again.close()
    result = cells.run(made, store, math.inf)
    assert result.device == "native:" and result.finished and result.processor_s > 0
    assert result.history[0].value == pytest.approx(  # the start is torch's: points differ, by a few of 1,000
        pinn_cells.torch_cell("hjb-fc3-78", "zeroth_order", "jet", "quick", 1).make().measure(), rel=0.1
    )


def test_a_hybrids_second_stage_on_the_product_goes_where_torch_goes(monkeypatch):
    levels = rows(192)
    x = (levels.x_train * 255).round() / 255
    monkeypatch.setattr(mnist_cells, "load", lambda source: mnist_cells.Rows(x, levels.y_train, x, levels.y_train))
    monkeypatch.setitem(mnist_cells.HYBRID_COARSE, "quick", 1)
    made = mnist_cells.cell("tt-2698", "hybrid", "quick", 1, None)
    ours = made.make()
    theirs = mnist_cells.MnistWork(ours.network, ours.trainer.rival, ours.rows, 1)
    losses = [(ours.step(), theirs.step()) for _ in range(5)]
    assert made.n_steps == 9 and ours.device is not None and theirs.trainer.phase == 1
    # differences of float32 losses over 1e-3, with and without cancellation: a thousandth of the step
    torch.testing.assert_close(*(torch.tensor(each) for each in zip(*losses, strict=True)), rtol=1e-4, atol=1e-5)
    ours.measure()
    moved = (theirs.trainer.theta - ours.network.start).norm()
    assert (ours.trainer.theta - theirs.trainer.theta).norm() < 1e-3 * moved
    again = made.make()
    again.load(ours.state())
    assert again.number == 5 and again.step() == ours.step() and again.spent() == ours.spent()
    assert again.spent()[0] == theirs.spent()[0] + 2699  # three steps of ten directions, then all coordinates
    ours.close(), again.close()


def test_the_products_zeroth_order_step_has_the_settings_of_torchs():
    made = pinn_cells.MODULES["hjb-fc3-78"](2)
    plan = native_cells.sign_rge_plan(made, "jet", 10, 40, 2)
    (phase,) = plan.training.phases
    ours = pinn_cells.ZEROTH_ORDER.phases[0]
    assert (phase.n_queries, phase.perturb_radius, phase.learning_rate) == (1, 1e-2, ours.rate)
    assert plan.batch == 10 and plan.pde.radius == pytest.approx(0.1)


def test_a_start_without_the_outputs_bias_is_the_same_but_for_it():
    whole, without = (pinn_cells.network(name, 3) for name in ("hjb-tt-3209", "hjb-tt-3208"))
    assert torch.equal(whole.start[:-1], without.start) and without.n == 3208
    for name, bare in pinn_cells.WITHOUT_BIAS.items():
        assert pinn_cells.network(bare, 0).n == pinn_cells.network(name, 0).n - 1 == int(bare.rsplit("-")[-1])


def test_what_this_version_has_not_is_said():
    assert tables.missing(Entry("hjb-mlp", "subspace_gn", None)) == ""
    there = {e.column for e in tables.table("table5").entries}
    assert "coordinate_gn" in there and tables.missing(Entry("hjb-mlp", "gn_of_tomorrow", None)) == ""


def test_of_two_ways_the_one_that_came_further_is_told(store):
    entry = Entry("hjb-tt-3209", "sg", 1.44e-5)
    ways = pinn_cells.native_identity, pinn_cells.identity
    for way, steps in zip(ways, (5000, 20_000), strict=True):
        key, settings = way("hjb-tt-3209", "zeroth_order", "sg", "full", 0)
        history = [Measurement(steps, 2 * steps, 1, 1.0, steps * 1e-8, 0.1)]
        store.save(Result(key, settings, 20_000, "abc", history=history), None)
    assert tables.known("table5", entry, "full", store)[0].share == 1


# ---- studies ---------------------------------------------------------------------------------------------------------


def test_a_hybrid_changes_over_after_the_epochs_of_its_name():
    made = tables.cell("hybrid", Entry("digits-r3", "hybrid@1", None), "quick", 0, None)
    work, phases = made.make(), []
    for _ in range(made.check_every + 1):
        phases.append(work.trainer.phase)
        work.step()
    assert phases.index(1) == made.check_every == 1437 // 64


def test_a_rank_of_the_study_is_that_of_all_bonds():
    networks = {rank: mnist_cells.NETWORKS[f"digits-r{rank}"](None, 0) for rank in tables.RANKS}
    assert {layer.ranks[1] for layer in networks[6].layers} == {6}
    assert mnist_cells.NETWORKS["mnist-r6"](None, 0).n == 3962
    assert [networks[rank].n for rank in tables.RANKS] == sorted(networks[rank].n for rank in tables.RANKS)


def test_what_an_accuracy_cost_is_told_where_it_was_reached():
    measures = [Measurement(n, 1000 * n, 10**6 * n, 0.0, value, 0.1) for n, value in ((0, 10.0), (5, 84.9), (10, 88.0))]
    made = Outcome(Entry("digits-r3", "cge", None), (Result("k", {}, 10, "abc", 2.0, finished=True, history=measures),))
    assert render.first_at(made, 85) == (10_000, 10**7) and render.first_at(made, 80) == (5000, 5 * 10**6)
    assert render.first_at(made, 90) is None
    text = render.to_markdown(tables.table("hybrid"), [made], "quick")
    assert (
        "| cell | 50 % | 80 % | 85 % |" in text and "| digits-r3, cge | 5 K (5 M) | 5 K (5 M) | 10 K (10 M) |" in text
    )


def test_the_study_of_ranks_is_drawn_over_the_rank():
    from matplotlib.figure import Figure

    made = [
        Outcome(Entry(row, "adam", None), outcome(value, None).results)
        for row, value in (("digits-r1", 90.0), ("digits-r4", 97.0), ("mnist-r1", 91.0))
    ]
    figure = Figure()
    render._over_ranks(figure, [*made, Outcome(Entry("mnist-r2", "cge", None), ())])
    lines = [[(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()] for axes in figure.axes]
    assert lines == [[([1, 4], [90.0, 97.0])], [([1], [91.0])]]


# ---- what is written -------------------------------------------------------------------------------------------------


def outcome(value, paper, unit_steps=10, done=10, diverged=False):
    history = [Measurement(0, 0, 0, 0.0, 1.0, math.nan), Measurement(done, 1234, 5_000_000, 2.0, value, 0.5)]
    result = Result("k", {}, unit_steps, "abc", 2.0, finished=done == unit_steps, diverged=diverged, history=history)
    return Outcome(Entry("tt-3962", "sign_rge", paper), (result,))


def test_numbers_are_written_as_a_person_reads_them():
    assert render.number(96.6412, "%") == "96.64" and render.number(1.44e-5, "MSE") == "1.44e-05"
    assert render.number(None, "%") == "–" and render.number(math.inf, "MSE") == "diverges"
    assert [render.count(n) for n in (12, 12_300, 4.5e6, 1.1e12)] == ["12", "12.3 K", "4.5 M", "1.10e+12"]


def test_differences_are_points_or_ratios():
    assert render.difference(outcome(89.0, 88.5), "%") == "+0.50"
    assert render.difference(outcome(3e-5, 1.5e-5), "MSE") == "x2"
    assert render.difference(outcome(3e-5, None), "MSE") == "–"


def test_an_unfinished_cell_is_marked():
    table = tables.table("table1")
    text = render.to_markdown(table, [outcome(80.0, 88.48, done=3)], "quick")
    assert "80.00* (88.48)" in text and "30 %, unfinished" in text
    assert "| mlp-1024 | – (" in text and "Not run: mlp-1024, first_order;" in text and "Commits: abc." in text
    assert "80.00 (88.48)" in render.to_markdown(table, [outcome(80.0, 88.48)], "quick")


def test_seeds_are_averaged_and_their_spread_told():
    one, two = outcome(88.0, 88.48), outcome(90.0, 88.48)
    both = Outcome(one.entry, one.results + two.results)
    assert (both.value, both.spread, both.share) == (89.0, 1.0, 1.0)
    three = [Measurement(n, n, n, 0.0, value, 0.1) for n, value in ((0, 10.0), (5, 93.0), (10, 91.0))]
    rising = Result("k", {}, 10, "abc", 2.0, finished=True, history=three)
    assert Outcome(one.entry, (rising, *one.results)).best == (93.0 + 88.0) / 2
    assert Outcome(one.entry, (rising,), "MSE").best == 10.0
    errors = [outcome(value, None).results[0] for value in (1e-5, 1e-2, 3e-5)]
    assert Outcome(one.entry, tuple(errors), "MSE").value == 3e-5
    assert Outcome(one.entry, outcome(1.0, 1.0, diverged=True).results).value == math.inf


def test_a_table_of_few_places_has_no_layout_of_blanks():
    text = render.to_markdown(tables.table("table3"), [outcome(89.0, None)], "quick")
    assert "| network |" not in text and "| tt-3962, sign_rge | 89.00 | 89.00 |" in text


def test_a_picture_has_panels_of_what_was_measured(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    table = tables.table("table1")
    render.draw(table, [outcome(89.0, 88.48), Outcome(Entry("mlp-10", "hybrid", None), ())], tmp_path / "x.png")
    render.draw(table, [], tmp_path / "x.png")
    assert [[axes.get_title() for axes in figure.axes] for figure in drawn] == [["tt-3962"], [table.rows[0]]]
    curve, paper = drawn[0].axes[0].get_lines()
    assert curve.get_marker() == "o" and list(paper.get_ydata()) == [88.48, 88.48]  # one point is seen


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mnist_folder(tmp_path):
    """Four IDX files of 640 and 64 rows."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, n in (("train", 640), ("t10k", 64)):
        made = rows(n)
        images = (made.x_train * 255).round().byte().numpy().tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, n, 28, 28) + images)
        labels = made.y_train.byte().numpy().tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, n) + labels)
    return folder


def reproduce(*words, code=0):
    threads = torch.get_num_threads()
    done = CliRunner().invoke(main, ["reproduce", *map(str, words), "--json"])
    torch.set_num_threads(threads)
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


def test_the_command_writes_a_table_and_does_not_run_it_twice(mnist_folder, tmp_path):
    words = (
        "table1",
        "--data",
        mnist_folder,
        "--out",
        tmp_path / "out",
        "--only",
        "mlp-10, first",
        "--seeds",
        2,
        "--no-gpu",
    )
    answer = reproduce(*words)
    assert [each["share_done"] for each in answer["cells"]] == [1.0]
    assert answer["cells"][0]["evaluations"] == 3 * 10 and answer["cells"][0]["device"] == "cpu"
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert lines[0]["network"] == "mlp-10" and float(lines[0]["paper"]) == 93.69 and lines[0]["seeds"] == "2"
    assert "(93.69)" in (tmp_path / "out" / "table1.quick.md").read_text(encoding="utf-8")
    again = reproduce(*words)
    assert again["cells"] == answer["cells"]


def test_a_table_tells_all_that_its_folder_has(mnist_folder, tmp_path):
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out"
    reproduce(*words, "--only", "mlp-10, first", "--seeds", 2)
    answer = reproduce(*words, "--only", "mlp-10, sign")
    assert [each["column"] for each in answer["cells"]] == ["first_order", "sign_rge"]
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert [line["seeds"] for line in lines] == ["2", "1"]
    for path in (tmp_path / "out" / "cells").glob("mlp-10.momentum.*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"batch": 64', '"batch": 32'), encoding="utf-8")
    answer = reproduce(*words, "--only", "mlp-10, sign")  # what was run with other settings is not this table's
    assert [each["column"] for each in answer["cells"]] == ["sign_rge"]


def test_a_name_is_taken_before_a_part_of_one():
    table = tables.table("table3")
    named = [
        [entry.column for entry in reproduce_command._wanted(table, texts)] for texts in (("fa",), ("800, d",), ())
    ]
    assert named[0] == ["fa"] and named[1] == ["dfa"] and len(named[2]) == len(table.entries)


def test_a_cell_that_is_not_there_is_named_with_those_that_are(mnist_folder, tmp_path):
    words = "table3", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "adma"
    answer = reproduce(*words, code=3)
    assert "no cell 'adma'" in answer["error"] and "lg_fg_a" in answer["next"]


def test_what_is_not_run_asks_for_no_data(tmp_path):
    words = (
        "ranks",
        "--data",
        tmp_path / "none",
        "--out",
        tmp_path / "out",
        "--only",
        "digits-r1, adam",
        "--budget",
        0.1,
    )
    assert [each["network"] for each in reproduce(*words)["cells"]] == ["digits-r1"]


def test_a_damaged_result_of_another_cell_is_named_before_anything_runs(mnist_folder, tmp_path):
    folder = tmp_path / "out" / "cells"
    folder.mkdir(parents=True)
    (folder / "mlp-10.momentum.quick.seed3.json").write_text("{", encoding="utf-8")
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "mlp-10, sign"
    assert "seed3.json is damaged" in reproduce(*words, code=3)["error"]
    assert len(list(folder.iterdir())) == 1


def test_an_interrupted_table_is_written_as_far_as_it_is(mnist_folder, tmp_path, monkeypatch):
    run, runs = cells.run, []

    def interrupted(made, store, budget, show):
        runs.append((made.key, budget))
        if len(runs) == 2:
            raise KeyboardInterrupt
        return run(made, store, budget, show)

    monkeypatch.setattr(cells, "run", interrupted)
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "mlp-10,"
    assert reproduce(*words, code=130)["error"] == "interrupted"
    assert [budget > 0 for _, budget in runs] == [True, True, False]  # nothing is begun after Ctrl-C
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert [line["done"] for line in lines] == ["1.0", "0.0", "0.0"]


def test_a_budget_of_nothing_tells_what_is_there(mnist_folder, tmp_path):
    answer = reproduce("figure1", "--data", mnist_folder, "--out", tmp_path / "out", "--budget", 0)
    assert {each["share_done"] for each in answer["cells"]} == {0.0}


def test_a_missing_folder_of_mnist_is_named(tmp_path):
    answer = reproduce("table2", "--data", tmp_path / "none", "--out", tmp_path / "out", code=3)
    assert "train-images" in answer["error"] and answer["next"]


# ---- what is stored, and where cells may run -------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def test_all_tables_are_told_from_stored_cells_with_those_that_are_shorter(tmp_path):
    store = Store(tmp_path / "cells")
    key, settings = mnist_cells.identity("mlp-10", "first_order", "full", 0)
    half = [Measurement(46_850, 46_850, 10**9, 5.0, 93.0, 0.2)]
    lost = Result(key, settings, 93_700, "abc", 0.0, 7500.0, history=half, taken_from="a page", best=93.5)
    store.save(lost, None)
    answer = reproduce("all", "--full", "--cells", tmp_path / "cells", "--out", tmp_path / "out")
    assert "table1: mlp-10, first_order: 50 % of its steps" in answer["shorter"]
    assert "table5: hjb-tt-3209, sg: not run" in answer["shorter"]
    lines = (tmp_path / "out" / "paper.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("| mlp-10 | first_order")]
    assert "| 93.69 | 93.00 | -0.69 | 93.50 | 0 | 50 % | 46.9 K |" in line
    assert "| 2.1 h |" in line and "abc, figure copied" in line
    assert (tmp_path / "out" / "figure1.png").is_file()


def test_a_folder_without_stored_cells_is_named(tmp_path):
    assert "has no cells of --full" in reproduce("all", "--full", "--cells", tmp_path, code=3)["error"]
    assert "--full" in reproduce("all", code=3)["next"]  # the repository keeps no short ones


def test_the_page_of_results_is_what_the_stored_cells_say():
    found = stored.collect(Store(stored.CELLS), "full")
    written = (ROOT / "docs" / "results" / "paper.md").read_text(encoding="utf-8"), stored.to_markdown(found)
    # an estimator that has come since the page was written is said to be not run, and that is no other figure
    page, now = (text.replace("no estimator coordinate_gn yet", "not run") for text in written)
    assert page == now, "run `ttzo reproduce all --full -o docs/results`"


def test_every_stored_cell_belongs_to_a_table_with_its_settings():
    found = stored.collect(Store(stored.CELLS), "full")
    told = {result.key for _, outcomes in found for o in outcomes for result in o.results}
    assert {path.stem for path in stored.CELLS.glob("*.json")} == told
    assert all(path.stat().st_size < 20_000 for path in stored.CELLS.glob("*.json"))


def test_what_a_gpus_cell_leaves_goes_to_those_behind_it(monkeypatch):
    now = iter((0.0, 0.0, 10.0, *[400.0] * 9))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(now))
    given = [(entry.column, seconds) for _, entry, seconds in gpu.turns(600.0)]
    assert given[:3] == [("sg", 90.0), ("sg", pytest.approx(0.15 * 590)), ("sg", pytest.approx(40.0))]
    assert given[-1] == ("hybrid", 200.0)


def test_the_cells_for_a_gpu_run_where_they_are_asked_to(mnist_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PLAN", (gpu.Turn("table1", "mlp-10", "first_order", 1.0),))
    words = "gpu", "--data", mnist_folder, "--out", tmp_path / "out", "--budget", 0.2
    answer = reproduce(*words, "--no-gpu")
    assert answer["device"] == "cpu" and (tmp_path / "out" / "cells" / "mlp-10.momentum.full.seed0.json").is_file()
    if not torch.cuda.is_available():
        assert "no GPU" in reproduce(*words, code=3)["error"]


def test_speed_is_processor_time_by_step(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "NETWORKS", ("hjb-fc3-78",))
    monkeypatch.setattr(speed, "DERIVATIVES", ("jet",))
    monkeypatch.setattr(speed, "SECONDS", {"quick": 0.3})
    (pace,) = reproduce("speed", "--out", tmp_path)["paces"]
    assert pace["torch_ms"] > 0 and pace["native_ms"] > 0
    assert "| hjb-fc3-78 | jet |" in (tmp_path / "speed.md").read_text(encoding="utf-8")
