# SPDX-License-Identifier: MIT
"""The paper's tables: its numbers beside ours, networks and work by name, and what is written."""

import math

import pytest

torch = pytest.importorskip("torch")

from mnist_rows import rows

from ttzo.host_tools.research.reproduce import mnist_cells, pinn_cells, render, tables
from ttzo.host_tools.research.reproduce.cell import Measurement, ReproduceError, Result
from ttzo.host_tools.research.reproduce.tables import Entry, Outcome

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
    ("table4", "hjb-mlp", "ad", 3.58e-4),
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
    of_errors = Outcome(one.entry, tuple(errors), "MSE")
    assert of_errors.value == of_errors.best == 3e-5, "the median"
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
    assert [[axes.get_title() for axes in figure.axes] for figure in drawn] == [
        ["tt-3962: test accuracy"],
        [f"{table.rows[0]}: test accuracy"],
    ]
    curve, paper = drawn[0].axes[0].get_lines()
    assert curve.get_marker() == "o" and list(paper.get_ydata()) == [88.48, 88.48]  # one point is seen
