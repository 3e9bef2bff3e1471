# SPDX-License-Identifier: MIT
"""Contractions: what a cut costs, and which one is chosen."""

import dataclasses
import itertools

import numpy as np
import pytest
from plans import random_plan

from ttzo.device_runtime.contract import Estimator, LayerKind
from ttzo.exporter.choose import contraction
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.training import Phase, Training

RANDOM_DIRECTIONS = Training((Phase(Estimator.rge),))


def mnist_layer(rank: int, cut: int) -> Layer:
    """784 -> 1024 of the paper's MNIST network, ranks 6, `rank`, 6."""
    return Layer("first", LayerKind.tt_matrix, 784, 1024, 0, in_modes=(7, 4, 4, 7), out_modes=(8, 4, 4, 8),
                 ranks=(1, 6, rank, 6, 1), contraction=cut)  # fmt: skip


def test_the_middle_cut_of_the_mnist_layer_costs_what_its_products_cost():
    # T[28, r m_right] = x[28, 28] R, z[32, 32] = L[32, 28 r] T; the halves: [56, 6] [6, 16 r] and [16 r, 6] [6, 56]
    for rank in (1, 6):
        layer = mnist_layer(rank, 2)
        assert layer.macs == 28 * 28 * 32 * rank + 32 * 28 * rank * 32
        assert layer.prepare_macs == 2 * 56 * 6 * 16 * rank
    # core by core from the right: repeats x rows x inner x columns
    assert mnist_layer(6, 0).macs == 112 * 48 * 7 * 1 + 28 * 24 * 24 * 8 + 7 * 24 * 24 * 32 + 1 * 8 * 42 * 128


def all_contractions(plan):
    can_cut = [each.kind == LayerKind.tt_matrix and not each.gather for each in plan.layers]
    choices = [range(len(each.in_modes) + 1) if can else (0,) for each, can in zip(plan.layers, can_cut, strict=True)]
    for cuts in itertools.product(*choices):
        layers = (dataclasses.replace(each, contraction=c) for each, c in zip(plan.layers, cuts, strict=True))
        yield plan.with_layers(layers)


def total(plan) -> float:
    return sum(contraction.cost(layer, plan.batch) for layer in plan.layers)


@pytest.mark.parametrize("seed", range(10))
def test_without_a_board_the_cheapest_contraction_is_chosen(seed):
    plan = random_plan(np.random.default_rng(seed), RANDOM_DIRECTIONS, batch=1 + 5 * seed)
    assert total(contraction.chosen(plan)) == min(map(total, all_contractions(plan)))


@pytest.mark.parametrize("seed", range(10))
def test_a_board_that_holds_the_plan_core_by_core_holds_what_is_chosen_for_it(seed):
    plan = random_plan(np.random.default_rng(seed), RANDOM_DIRECTIONS)
    plan = plan.with_layers([dataclasses.replace(each, contraction=0) for each in plan.layers])
    for spare in (0, 400, 4000):
        room = Room("board", 1 << 20, memory.work_bytes(plan) + spare)
        made = contraction.chosen(plan, room)
        assert memory.work_bytes(made) <= room.ram_bytes
        assert total(made) <= total(plan)


def test_an_estimator_that_walks_the_cores_leaves_them_one_by_one():
    plan = random_plan(np.random.default_rng(3), Training((Phase(Estimator.cge),)))
    assert [layer.contraction for layer in contraction.chosen(plan).layers] == [0] * len(plan.layers)


def test_a_cut_outside_the_train_is_refused():
    for cut in (5, 6, -1):
        with pytest.raises(PlanError, match="split"):
            mnist_layer(6, cut)


def test_contractions_can_be_chosen_layer_by_layer_and_wrong_ones_are_refused():
    cut = plan_of("digits", estimator="rge", contractions="0:1")
    assert [layer.contraction for layer in cut.layers] == [0, 1]
    assert [layer.contraction for layer in plan_of("digits", estimator="rge", contractions="1").layers] == [1, 1]
    for wrong in ("middle", "0:1:0", "-1", "3", "0:7"):
        with pytest.raises(PlanError) as caught:
            plan_of("digits", contractions=wrong)
        assert caught.value.hint


def test_a_small_layer_of_high_ranks_is_multiplied_out_and_its_products_counted():
    layer = Layer("small", LayerKind.tt_matrix, 64, 32, 0, in_modes=(8, 8), out_modes=(8, 4), ranks=(1, 24, 1))
    cheapest = min((dataclasses.replace(layer, contraction=c) for c in range(3)), key=lambda e: contraction.cost(e, 64))
    assert (cheapest.contraction, cheapest.macs) == (2, 64 * 32)
    assert cheapest.prepare_macs == 8 * 8 * 24 * 8 * 4  # [8 8, 24] [24, 4 8]
    assert layer.macs == 8 * 96 * 8 + 8 * 192 * 4  # core by core
