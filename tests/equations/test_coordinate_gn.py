# SPDX-License-Identifier: MIT
"""coordinate_gn: its columns are derivatives, C and NumPy take the same steps, whatever number of columns is kept."""

import dataclasses

import numpy as np
import pytest
from firmware import needs_qemu
from runtime import CORE, RUN, Runtime
from test_pde import outcome, random_pde, random_plan

from ttzo.device_runtime.contract import (
    Activation,
    Derivative,
    DeviceError,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Region,
    Schedule,
    Update,
)
from ttzo.exporter import pde
from ttzo.exporter.costs import coordinates, memory
from ttzo.exporter.costs.cost import evaluations_a_step
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.host_tools.reference.equations import coordinate_columns, triangle
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.pde import groups_with_rows
from ttzo.host_tools.reference.train.trainer import Trainer

MU = np.float32(1e-3)


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.fixture(scope="module")
def fused_core(c_library):
    from c_library import FUSED

    return c_library(*CORE, extra=RUN, flags=FUSED)


def phase_of(**changes) -> Phase:
    (phase,) = train_defaults.default_phases("coordinate_gn")
    return dataclasses.replace(phase, **changes)


def dense_plan(
    problem: pde.Problem, widths: tuple[int, ...], rng: np.random.Generator, phase: Phase, **options
) -> Plan:
    """A network of tanh and sine units."""
    layers, offset = [], 0
    for number, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        kind = Activation.identity if number + 2 == len(widths) else (Activation.tanh, Activation.sine)[number % 2]
        layers.append(Layer(f"layer{number}", LayerKind.dense, n_in, n_out, offset, activation=kind))
        offset += layers[-1].n_parameters
    made = pde.trace(problem, **options)
    training = Training((phase,), steps=20, schedule=Schedule.constant)
    theta = rng.normal(0, 0.6, offset).astype(np.float32)
    return Plan.of_layers(layers, theta, Loss.residual, training, made.batch, input_number=Number.float32, pde=made)


# ---- columns ---------------------------------------------------------------------------------------------------------


def wave(rows=(6, 4, 3)):
    """u_t + u u_x - 0.1 lap u - 0.3 u_tt, conditions on faces and at the start."""
    inside, faces, start = rows
    return pde.Problem(
        space=[(-1.0, 1.0), (0.0, 2.0)],
        time=(0.0, 1.0),
        residual=lambda p: p.u_t + p.u * p.grad[0] - 0.1 * p.lap - 0.3 * p.u_tt + pde.sin(p.x[1]),
        conditions=[
            pde.on_faces(lambda p: p.u - p.x[0], weight=4.0, rows=faces),
            pde.at_start(lambda p: p.grad[1] + p.u * p.u, rows=start),
        ],
        rows=inside,
    )


def residuals_in_double(plan: Plan, theta, points) -> np.ndarray:
    """Of `wave`, by automatic differentiation."""
    import torch

    x = torch.tensor(points.T.astype(np.float64), requires_grad=True)
    state, numbers = x, torch.tensor(theta)
    for layer in plan.layers:
        own = numbers[layer.parameter_offset :][: layer.n_parameters]
        n = layer.in_features * layer.out_features
        state = state @ own[:n].reshape(layer.out_features, layer.in_features).T + own[n:]
        state = {Activation.tanh: torch.tanh, Activation.sine: torch.sin}.get(layer.activation, lambda z: z)(state)
    u = state[:, 0]
    (grad,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    second = [torch.autograd.grad(grad[:, k].sum(), x, retain_graph=True)[0][:, k] for k in range(3)]
    inside = grad[:, 2] + u * grad[:, 0] - 0.1 * (second[0] + second[1]) - 0.3 * second[2] + torch.sin(x[:, 1])
    (_, a), (_, b), (_, c) = groups_with_rows(plan)
    return torch.cat([inside[a], 2.0 * (u - x[:, 0])[b], (grad[:, 1] + u * u)[c]]).detach().numpy()


def brute_force_columns(plan: Plan, points) -> np.ndarray:
    """Central differences of whole residuals, in double: [parameters, rows]."""
    theta, h, made = plan.parameters.astype(np.float64), 1e-5, []
    for place in range(len(theta)):
        sides = []
        for side in (h, -h):
            moved = theta.copy()
            moved[place] += side
            sides.append(residuals_in_double(plan, moved, points))
        made.append((sides[0] - sides[1]) / (2 * h))
    return np.array(made)


def in_theta_order(plan: Plan, columns: np.ndarray) -> np.ndarray:
    n_last = plan.layers[-1].n_parameters
    return np.vstack([columns[n_last:], columns[:n_last]])


@pytest.mark.parametrize("widths", [(3, 9, 1), (3, 6, 5, 1), (3, 4, 5, 3, 1)])
def test_columns_are_the_derivatives_of_the_residuals(widths):
    """One-sided differences of mu in a unit's argument and of mu times (1 + size) in what the program reads are off by
    about mu times the ratio of second to first derivatives; float32 adds 1e-7 / mu."""
    pytest.importorskip("torch")
    plan = dense_plan(wave(), widths, np.random.default_rng(len(widths)), phase_of())
    points = reference_pde.training_points(plan, 3, 0)
    base, columns = coordinate_columns.residuals_and_columns(plan, plan.parameters, points, 3, 0, MU)
    np.testing.assert_allclose(base, residuals_in_double(plan, plan.parameters.astype(np.float64), points), atol=1e-5)
    expected = brute_force_columns(plan, points)
    off = np.linalg.norm(in_theta_order(plan, columns) - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert off.max() < 5e-3 and np.median(off) < 2 * MU


def test_columns_of_the_last_layer_and_of_biases_are_the_same_without_the_others():
    """Two implementations: that of all parameters of a dense network, and that of biases behind any layers."""
    plan = dense_plan(wave(), (3, 7, 6, 1), np.random.default_rng(5), phase_of())
    points = reference_pde.training_points(plan, 3, 0)
    _, columns = coordinate_columns.residuals_and_columns(plan, plan.parameters, points, 3, 0, MU)
    for group, own in groups_with_rows(plan):
        noise = reference_pde.Noise(3, 0, np.arange(plan.batch)[own])
        _, slopes = coordinate_columns.linearise(plan, plan.parameters, group, points[:, own], noise, MU)
        few = coordinate_columns._bias_columns(plan, plan.parameters, points[:, own], slopes, MU, noise)
        all_of_them = np.vstack([columns[:7, own], columns[-6:, own]])  # last layer's, biases of the six units
        assert np.abs(few - all_of_them).max() < 1e-3 * np.abs(all_of_them).max()  # 1e-7 / mu, and their scale


def test_columns_behind_tensor_trains_are_differences_of_whole_residuals():
    """The paper's network: some of the last layer's weights, and some biases before it, against whole evaluations of the
    float32 residual on both sides, which are off by its rounding over mu."""
    pytest.importorskip("torch")
    from ttzo.exporter.export import plan_of

    plan = plan_of("hjb20", batch=4, estimator="coordinate_gn")
    points, theta = reference_pde.training_points(plan, 3, 0), plan.parameters
    _, columns = coordinate_columns.residuals_and_columns(plan, theta, points, 3, 0, MU)
    last, h = plan.layers[-1], np.float32(0.02)
    places = {u: last.parameter_offset + u for u in (0, 5, 700, 768)} | {
        769 + j: last.parameter_offset - 768 + j for j in (0, 31, 767)
    }
    for u, place in places.items():
        moved = [theta.copy(), theta.copy()]
        moved[0][place] += h
        moved[1][place] -= h
        up, down = (reference_pde.residuals(plan, each, points, 3, 0) for each in moved)
        assert np.abs(columns[u] - (up - down) / (2 * h)).max() < 2e-3 * max(1.0, np.abs(columns[u]).max())


# ---- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arithmetic_of_parts", ["whole", "parts"])
@pytest.mark.parametrize("seed", range(10))
def test_c_and_numpy_take_the_same_steps_in_unit_directions(core, seed, arithmetic_of_parts):
    rng = np.random.default_rng(seed)
    at_once = 10**6 if arithmetic_of_parts == "whole" else int(rng.integers(1, 12))
    phase = phase_of(
        n_coordinates=at_once, ridge=float(rng.choice([1e-5, 1e-2])), trust_radius=float(rng.choice([0, 1]))
    )
    made = random_pde(rng, derivative=Derivative(seed % 5), radius=0.1, level=2, n_pairs=3)
    plan = (
        random_plan(rng, made, phase)
        if seed % 2
        else dense_plan(
            wave((9, 5, 4)), (3, 5, 4, 1), rng, phase, derivative=Derivative(seed % 5), radius=0.1, n_pairs=3
        )
    )
    device, reference = Runtime(core, plan), Trainer(plan)
    for _ in range(3):
        results = [outcome(lambda t=trainer: t.step(Region.collocation)) for trainer in (device, reference)]
        assert results[0] == results[1]
        assert device.theta.tobytes() == reference.theta.tobytes()
        assert device.moments.tobytes() == reference.moments.tobytes()


@pytest.mark.parametrize("rows", [(9, 5, 4), (60, 20, 20)])
def test_fewer_rows_or_fewer_coordinates_take_the_smaller_triangle(core, rows):
    """49 coordinates: 18 rows are solved by rows x rows, 100 by coordinates x coordinates; to the same bits on both
    sides, and the loss falls."""
    rng = np.random.default_rng(1)
    plan = dense_plan(wave(rows), (3, 5, 4, 1), rng, phase_of())
    assert plan.n_coordinates == 49
    order = min(49, sum(rows))
    assert memory._gauss_newton_numbers(plan, plan.training.phases[0]) > order * (order + 3)
    device, reference = Runtime(core, plan), Trainer(plan)
    losses = []
    for _ in range(6):
        mine, other = device.step(Region.collocation), reference.step(Region.collocation)
        assert (mine.loss, mine.evaluations, mine.macs) == (other.loss, other.evaluations, other.macs)
        losses.append(mine.loss)
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert losses[-1] < 0.5 * losses[0]


def test_columns_made_a_few_at_a_time_give_the_same_step(core):
    """Up to the roundings of another order, which the ridge bounds."""
    made = []
    for at_once in (10**6, 7):
        plan = dense_plan(
            wave((9, 5, 4)), (3, 5, 4, 1), np.random.default_rng(2), phase_of(n_coordinates=at_once, ridge=1e-2)
        )
        device = Runtime(core, plan)
        steps = [device.step(Region.collocation) for _ in range(2)]
        made.append((device.theta.copy(), steps[0].evaluations, memory.work_bytes(plan)))
    (whole, few_evaluations, much), (parts, more_evaluations, little) = made
    assert np.abs(whole - parts).max() < 1e-3  # of steps of length 1
    assert few_evaluations < more_evaluations and little < much


@needs_qemu
def test_an_emulated_board_makes_its_columns_twice_to_the_same_bits(tmp_path):
    pytest.importorskip("torch")
    from ttzo.exporter.export import export
    from ttzo.host_tools.device.device import open_device

    plan = export("burgers", tmp_path, estimator="coordinate_gn", batch=24, n_coordinates=60, ridge=1e-2)
    assert min(plan.n_coordinates, plan.batch) == plan.batch and plan.n_coordinates > 60
    found = []
    for url in ("native:", "qemu:netduinoplus2"):
        with open_device(url, tmp_path) as device:
            steps = [device.step(Region.collocation) for _ in range(2)]
            found.append(([(step.loss, step.evaluations) for step in steps], device.parameters().tobytes()))
    assert found[0] == found[1]
    assert found[0][1] != plan.parameters.tobytes()


def test_fused_arithmetic_takes_steps_too(fused_core):
    plan = dense_plan(wave((9, 5, 4)), (3, 5, 4, 1), np.random.default_rng(2), phase_of())
    from ttzo.device_runtime.contract import Arithmetic

    device = Runtime(fused_core, dataclasses.replace(plan, arithmetic=Arithmetic.fused))
    losses = [device.step(Region.collocation).loss for _ in range(5)]
    assert losses[-1] < 0.5 * losses[0]


def test_evaluations_stay_below_the_bound_and_macs_are_theirs(core):
    plan = dense_plan(wave((9, 5, 4)), (3, 5, 4, 1), np.random.default_rng(2), phase_of(n_coordinates=10))
    phase = plan.training.phases[0]
    step = Runtime(core, plan).step(Region.collocation)
    assert step.evaluations in [coordinates.evaluations(plan, phase, tries) for tries in (1, 2, 3)]
    assert step.evaluations <= evaluations_a_step(plan, phase)
    assert step.macs == step.evaluations * plan.batch * plan.macs * plan.passes


def test_a_network_without_a_dense_last_layer_is_refused():
    plan = dense_plan(wave(), (3, 5, 1), np.random.default_rng(0), phase_of())
    layers = (plan.layers[0], dataclasses.replace(plan.layers[1], activation=Activation.tanh))
    with pytest.raises(PlanError, match="coordinate_gn needs a dense last layer without activation"):
        Plan.of_layers(
            layers, plan.parameters, Loss.residual, plan.training, plan.batch, input_number=Number.float32, pde=plan.pde
        )


def test_the_columns_kept_are_fixed_at_export(core):
    plan = dense_plan(wave(), (3, 5, 1), np.random.default_rng(0), phase_of(n_coordinates=10))
    changed = dataclasses.replace(plan.training, phases=(phase_of(n_coordinates=11),))
    for trainer in (Runtime(core, plan), Trainer(plan)):
        with pytest.raises(DeviceError, match="fixed at export") as refused:
            configure(trainer, changed)
        assert refused.value.detail == 16 + 11


def configure(trainer, training: Training) -> None:
    from ttzo.exporter.writers.to_bundle import training_records

    trainer.configure(*training_records(training))


# ---- the triangle ----------------------------------------------------------------------------------------------------


def test_solving_twice_inverts_the_folded_rows_product():
    rng = np.random.default_rng(0)
    rows, b = rng.normal(0, 1, (40, 9)).astype(np.float32), rng.normal(0, 1, 9).astype(np.float32)
    folded = np.zeros((9, 10), np.float32)
    for first in range(0, 40, 16):
        triangle.fold(folded, np.pad(rows, ((0, 0), (0, 1)))[first : first + 16].copy())
    y = triangle.solve_twice(folded, b)
    exact = np.linalg.solve(rows.T.astype(np.float64) @ rows, -b.astype(np.float64))
    assert np.abs(y - exact).max() < 1e-5 * np.abs(exact).max() * np.linalg.cond(rows) ** 2


def test_estimators_and_updates_that_do_not_go_together_are_refused():
    with pytest.raises(PlanError, match="computes whole steps"):
        train_defaults.default_phases("coordinate_gn", Update.adam)
    assert train_defaults.default_phases("coordinate_gn")[0].estimator == Estimator.coordinate_gn
