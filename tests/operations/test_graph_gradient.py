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

from ttzo.device_runtime.contract import Difference, Estimator, Loss, NodeOperation
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.costs.graph_memory import graph_numbers
from ttzo.exporter.plan import graph_section
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
                    float offset, float *theta, float *area, uint8_t *rows, float *gradient, float *perturbed);
int graph_in_double(const uint8_t *section, size_t size, const uint32_t *info, uint32_t difference, float mu, float scale,
                    float offset, float *theta, float *area, uint8_t *rows, float *gradient, float *perturbed)
{
    uint32_t numbers[64] = { 0 }, evaluations;
    struct ttzo_model model = { .info = { .n_parameters = info[0], .batch = info[1], .in_features = (uint16_t)info[2],
                                          .out_features = (uint16_t)info[3], .input_number = (uint8_t)info[4],
                                          .input_scale = scale, .input_offset = offset } };
    struct ttzo_trainer trainer = { .model = &model, .theta = theta, .gradient = gradient, .perturbed = perturbed,
                                    .cache_area = area, .batch_rows = numbers, .row_bytes = info[5] };
    const struct ttzo_phase phase = { .estimator = TTZO_ESTIMATOR_CGE, .difference = (uint8_t)difference,
                                      .perturb_radius = mu };
    struct ttzo_rows all = { .bytes = rows };
    float loss;
    if (ttzo_read_graph(section, size, &model.graph) != size)
        return -1;
    model.training.n_phases = 1;
    model.phases[0] = phase;
    for (uint32_t j = 0; j < model.info.batch; j++)
        numbers[j] = j;
    return (int)ttzo_estimate_by_rows(&trainer, &all, &phase, &loss, &evaluations);
}
"""
)


@pytest.fixture(scope="module")
def in_double(c_library):
    return c_library(*SOURCES, extra=GRAPH_HARNESS, flags=IN_DOUBLE)


def gradient(library: ctypes.CDLL, plan: Plan, phase: Phase, rows: np.ndarray) -> np.ndarray:
    """The library's estimate in double precision."""
    theta, area = plan.parameters.astype(np.float64), np.zeros(graph_numbers(plan))
    made, perturbed = np.zeros_like(theta), np.zeros_like(theta)
    section = np.frombuffer(graph_section.write(plan), np.uint8).copy()
    info = np.array(
        [plan.n_parameters, plan.batch, plan.in_features, plan.out_features, plan.input_number, rows.shape[1]],
        np.uint32,
    )
    place = [ctypes.c_void_p(array.ctypes.data) for array in (section, info, theta, area, rows, made, perturbed)]
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


def plain_differences(plan, phase, x, classes):
    theta, mu = plan.parameters.astype(np.float64), float(np.float32(phase.perturb_radius))
    made = np.zeros_like(theta)
    for i in range(len(theta)):
        plus, minus = theta.copy(), theta.copy()
        plus[i] += mu
        minus[i] -= mu if phase.difference == Difference.antithetic else 0
        sides = 2 if phase.difference == Difference.antithetic else 1
        change = losses_in_double(plan, plus, x, classes) - losses_in_double(plan, minus, x, classes)
        made[i] = change.mean() / (sides * mu)
    return made


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize("seed", range(40))
def test_coordinates_in_double_equal_plain_differences_of_whole_losses(in_double, seed, difference):
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator.cge, difference=difference, perturb_radius=2.0**-10)
    plan = random_graph(rng, Training((phase,)), smooth=True, frozen=0.0, loss=Loss.cross_entropy, nodes=6)
    rows = random_rows(rng, plan, plan.batch)
    kind = NUMBER_DTYPE[plan.input_number]
    width = plan.in_features * kind.itemsize
    raw, classes = (
        np.ascontiguousarray(rows[:, :width]).view(kind),
        rows[:, width:].copy().view("<u2")[:, 0].astype(int),
    )
    scale, offset = float(np.float32(plan.input_scale)), float(np.float32(plan.input_offset))
    inputs = raw.astype(np.float64) * scale + offset
    expected = plain_differences(plan, phase, inputs, classes)
    found = gradient(in_double, plan, phase, rows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


def test_the_price_of_a_step_counts_what_a_parameter_reaches():
    plan = random_graph(np.random.default_rng(4), Training((Phase(Estimator.cge),)), nodes=10)
    phase = plan.training.phases[0]
    assert macs_a_step(plan, phase) < plan.batch * (1 + plan.n_parameters) * plan.macs
    assert {node.operation.CODE for node in plan.graph.nodes} - {NodeOperation.affine}
