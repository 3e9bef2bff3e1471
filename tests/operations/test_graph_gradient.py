# SPDX-License-Identifier: MIT
"""Coordinates of graphs: the C runtime compiled in double precision against plain differences of an independent forward
pass, and against torch's derivatives."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import random_graph
from plans import random_rows

from ttzo.device_runtime.contract import Activation, Cell, Difference, Estimator, Loss, NodeOperation, Number
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.costs.graph_memory import graph_numbers
from ttzo.exporter.plan import graph_section
from ttzo.exporter.plan.builder import Builder
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE
from ttzo.host_tools.reference.operations.graph import graph_bounded

sys.path.insert(0, str(Path(__file__).parents[1] / "cores"))
from test_sample_cache_in_double import HARNESS, IN_DOUBLE, SOURCES

GRAPH_HARNESS = (
    HARNESS
    + """
#include "operations/graph.h"
int graph_in_double(const uint8_t *section, size_t size, const uint32_t *info, uint32_t difference, float mu, float scale,
                    float offset, float *theta, float *area, uint8_t *rows, float *gradient, float *perturbed, float *last);
int graph_in_double(const uint8_t *section, size_t size, const uint32_t *info, uint32_t difference, float mu, float scale,
                    float offset, float *theta, float *area, uint8_t *rows, float *gradient, float *perturbed, float *last)
{
    uint32_t numbers[64] = { 0 }, evaluations;
    struct ttzo_model model = { .info = { .n_parameters = info[0], .batch = info[1], .in_features = (uint16_t)info[2],
                                          .out_features = (uint16_t)info[3], .input_number = (uint8_t)info[4],
                                          .input_scale = scale, .input_offset = offset } };
    struct ttzo_trainer trainer = { .model = &model, .theta = theta, .gradient = gradient, .perturbed = perturbed,
                                    .cache_area = area, .batch_rows = numbers, .row_bytes = info[5],
                                    .moments = last, .state = { .step = info[8] } };
    const struct ttzo_phase phase = { .estimator = (uint8_t)info[6], .difference = (uint8_t)difference,
                                      .perturb_radius = mu, .n_coordinates = info[7], .stale_decay = 0.75f };
    struct ttzo_rows all = { .bytes = rows };
    struct ttzo_row_estimate estimate;
    enum ttzo_error error = TTZO_ERROR_OK;
    float loss;
    if (ttzo_read_graph(section, size, &model.graph) != size)
        return -1;
    model.training.n_phases = 1;
    model.phases[0] = phase;
    for (uint32_t j = 0; j < model.info.batch; j++)
        numbers[j] = j;
    ttzo_row_estimate_begin(&estimate, &trainer, &all, &phase);
    while (!error && !ttzo_row_estimate_is_complete(&estimate))
        error = ttzo_row_estimate_next(&estimate);
    return (int)(error ? error : ttzo_row_estimate_end(&estimate, &loss, &evaluations));
}
"""
)


@pytest.fixture(scope="module")
def in_double(c_library):
    return c_library(*SOURCES, extra=GRAPH_HARNESS, flags=IN_DOUBLE)


def gradient(
    library: ctypes.CDLL, plan: Plan, phase: Phase, rows: np.ndarray, step: int = 0, last: np.ndarray | None = None
) -> np.ndarray:
    """The library's estimate in double precision; of cocd after `step` steps, where `last` is its last estimate."""
    theta, area = plan.parameters.astype(np.float64), np.zeros(graph_numbers(plan))
    made, perturbed = np.zeros_like(theta), np.zeros_like(theta)
    section = np.frombuffer(graph_section.write(plan), np.uint8).copy()
    info = np.array(
        [plan.n_parameters, plan.batch, plan.in_features, plan.out_features, plan.input_number, rows.shape[1]]
        + [phase.estimator, phase.n_coordinates, step],
        np.uint32,
    )
    last = np.zeros_like(theta) if last is None else last
    arrays = (section, info, theta, area, rows, made, perturbed, last)
    place = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    numbers = [
        ctypes.c_double(float(np.float32(x))) for x in (phase.perturb_radius, plan.input_scale, plan.input_offset)
    ]
    error = library.graph_in_double(
        place[0], ctypes.c_size_t(section.size), place[1], int(phase.difference), *numbers, *place[2:]
    )
    assert error == 0
    return made


def losses_in_double(plan, theta, x, classes):
    """Each row's cross-entropy by the exact formulas."""
    outputs = graph_bounded(plan, theta, x.T).exact
    largest = outputs.max(axis=0)
    return np.log(np.exp(outputs - largest).sum(axis=0)) + largest - outputs[classes, np.arange(len(classes))]


def plain_differences(plan, phase, x, classes, wanted=None):
    """Of all parameters, or of those that are wanted; the others are 0."""
    theta, mu = plan.parameters.astype(np.float64), float(np.float32(phase.perturb_radius))
    made = np.zeros_like(theta)
    for i in range(len(theta)) if wanted is None else wanted:
        plus, minus = theta.copy(), theta.copy()
        plus[i] += mu
        minus[i] -= mu if phase.difference == Difference.antithetic else 0
        sides = 2 if phase.difference == Difference.antithetic else 1
        change = losses_in_double(plan, plus, x, classes) - losses_in_double(plan, minus, x, classes)
        made[i] = change.mean() / (sides * mu)
    return made


def inputs_and_classes(plan, rows):
    """Network inputs in double, and classes, of packed rows."""
    kind = NUMBER_DTYPE[plan.input_number]
    width = plan.in_features * kind.itemsize
    raw = np.ascontiguousarray(rows[:, :width]).view(kind)
    scale, offset = float(np.float32(plan.input_scale)), float(np.float32(plan.input_offset))
    return raw.astype(np.float64) * scale + offset, rows[:, width:].copy().view("<u2")[:, 0].astype(int)


def smooth_graph(rng, phase, **settings):
    return random_graph(rng, Training((phase,)), smooth=True, frozen=0.0, loss=Loss.cross_entropy, nodes=6, **settings)


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize("seed", range(40))
def test_coordinates_in_double_equal_plain_differences_of_whole_losses(in_double, seed, difference):
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator.cge, difference=difference, perturb_radius=2.0**-10)
    plan = smooth_graph(rng, phase)
    rows = random_rows(rng, plan, plan.batch)
    expected = plain_differences(plan, phase, *inputs_and_classes(plan, rows))
    found = gradient(in_double, plan, phase, rows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("seed", range(40, 60))
def test_cocd_in_double_equals_them_in_its_window_and_decays_elsewhere(in_double, seed):
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator.cocd, n_coordinates=7, perturb_radius=2.0**-10, stale_decay=0.75)
    plan = smooth_graph(rng, phase)
    rows, last, step = random_rows(rng, plan, plan.batch), rng.normal(0, 1, plan.n_parameters), int(rng.integers(100))
    expected = 0.75 * last
    n = min(7, plan.n_parameters)
    window = (step * n + np.arange(n)) % plan.n_parameters
    expected[window] = plain_differences(plan, phase, *inputs_and_classes(plan, rows), window)[window]
    found = gradient(in_double, plan, phase, rows, step, last)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("difference", "mu"), [(Difference.one_sided, 2.0**-16), (Difference.antithetic, 2.0**-10)])
@pytest.mark.parametrize("seed", range(60, 90))
def test_units_in_double_are_within_a_thousandth_of_coordinates(in_double, seed, difference, mu):
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator.node_cge, difference=difference, perturb_radius=mu)
    plan = smooth_graph(rng, phase)
    rows = random_rows(rng, plan, plan.batch)
    expected = plain_differences(plan, phase, *inputs_and_classes(plan, rows))
    found = gradient(in_double, plan, phase, rows)
    assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)


def tied(rng, phase):
    """One layer twice on a path and once beside it, one in two of a sum, and a recurrent cell."""
    build = Builder((4, 6))

    def numbers(*shape):
        return rng.normal(0, 0.5, shape).astype(np.float32)

    weights = numbers(6, 6), numbers(6)
    first = build.linear("first", build.input, *weights)
    again = build.linear("again", build.activation("act", first, Activation.tanh), *weights, shares="first")
    side = build.linear("side", build.input, *weights, shares="first")
    cell = build.recurrent("cell", again, Cell.gru, numbers(15, 6), numbers(15, 5), numbers(15), numbers(15))
    both = build.concat("both", [cell, side], 1)
    last = build.linear("last", build.reshaped(both, (-1,)), numbers(3, 44), numbers(3))
    return build.plan(last, loss=Loss.cross_entropy, training=Training((phase,)), batch=3, input_number=Number.float32)


@pytest.mark.parametrize("estimator", [Estimator.cge, Estimator.node_cge])
def test_a_parameter_that_several_nodes_share_gets_all_of_its_derivative(in_double, estimator):
    rng = np.random.default_rng(3)
    phase = Phase(estimator, difference=Difference.antithetic, perturb_radius=2.0**-10)
    plan = tied(rng, phase)
    assert sum(node.shared for node in plan.graph.nodes) == 2
    rows = random_rows(rng, plan, plan.batch)
    expected = plain_differences(plan, phase, *inputs_and_classes(plan, rows))
    found = gradient(in_double, plan, phase, rows)
    tolerance = 1e-10 if estimator == Estimator.cge else 1e-3
    assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)


def test_the_price_of_a_step_counts_what_a_parameter_reaches():
    plan = random_graph(np.random.default_rng(4), Training((Phase(Estimator.cge),)), nodes=10)
    phase = plan.training.phases[0]
    assert macs_a_step(plan, phase) < plan.batch * (1 + plan.n_parameters) * plan.macs
    assert {node.operation.CODE for node in plan.graph.nodes} - {NodeOperation.affine}
