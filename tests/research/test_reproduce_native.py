# SPDX-License-Identifier: MIT
"""Cells that the product runs itself, on `native:`, against those in torch."""

import dataclasses
import math

import pytest

torch = pytest.importorskip("torch")

from mnist_rows import rows

from ttzo.host_tools.research.reproduce import cell as cells
from ttzo.host_tools.research.reproduce import mnist_cells, native_cells, pinn_cells, tables
from ttzo.host_tools.research.reproduce.cell import Measurement, Result
from ttzo.host_tools.research.reproduce.tables import Entry


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


def test_an_estimator_that_this_version_has_not_is_said(monkeypatch):
    entry = Entry("hjb-mlp", "coordinate_gn", None)
    assert entry in tables.table("table5").entries
    for there, told in ((True, ""), (False, "no estimator coordinate_gn yet")):
        monkeypatch.setattr(native_cells, "is_there", lambda name, there=there: there)
        assert tables.missing(entry) == told
        assert tables.missing(Entry("hjb-mlp", "sg", 1.62e-1)) == ""


def test_of_two_ways_the_one_that_came_further_is_told(store):
    entry = Entry("hjb-tt-3209", "sg", 1.44e-5)
    ways = pinn_cells.native_identity, pinn_cells.identity
    for way, steps in zip(ways, (5000, 20_000), strict=True):
        key, settings = way("hjb-tt-3209", "zeroth_order", "sg", "full", 0)
        history = [Measurement(steps, 2 * steps, 1, 1.0, steps * 1e-8, 0.1)]
        store.save(Result(key, settings, 20_000, "abc", history=history), None)
    assert tables.known("table5", entry, "full", store)[0].share == 1
