# SPDX-License-Identifier: MIT
"""Systems, mixed and third derivatives, normal derivatives and periodic conditions: the same bits in C and NumPy, and the
residuals of an exact solution are zero."""

import dataclasses
import math
import zlib

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Activation,
    DeviceError,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Region,
    Sampler,
    Update,
)
from ttzo.exporter import pde
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.pde import section
from ttzo.exporter.pde.differentiate import Calculus
from ttzo.exporter.pde.expression import leaf
from ttzo.exporter.pde.program import Network, compile_expression
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.equations import coordinate_columns
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.programs import program as reference_program
from ttzo.host_tools.reference.train.trainer import Trainer

GN = {
    "last_layer_gn": Phase(estimator=Estimator.last_layer_gn, n_queries=3, perturb_radius=1e-2, update=Update.sgd),
    "subspace_gn": Phase(estimator=Estimator.subspace_gn, n_queries=5, perturb_radius=1e-2, update=Update.sgd),
    "rge": Phase(n_queries=2, perturb_radius=1e-2, direction=Direction.gaussian, learning_rate=1e-3),
    "coordinate_gn": train_defaults.default_phases("coordinate_gn")[0],
}


def system(timed: bool = True) -> pde.Problem:
    """Two fields, every new kind of row and derivative."""

    def residual(p):
        third = p.d(p.v, 0, 0, 0) + p.d(p.u, 0, 1, 1) - p.d(p.v, 1, 0, 0)
        along_time = p.d(p.u, "t", 0) * p.v_t if timed else p.d(p.u, 1, 0)
        return [p.lap + p.v * p.d(p.u, 0, 1) - third, p.laplacian(p.u * p.v) + pde.sum(p.gradient(p.v)) + along_time]

    conditions = [
        pde.on_faces(lambda p: [p.u_n + 2.0 * p.u, p.v_n], weight=3.0, rows=4),
        pde.on_faces(lambda p: p.v - p.u_n, rows=2, axis=1, side="high"),
        pde.periodic(lambda p: [p.u, p.d(p.v, 0)], rows=3, axis=0, weight=2.0),
    ]
    return pde.Problem(
        space=[(-1.0, 0.5), (0.25, 2.0)],
        time=(0.0, 1.0) if timed else None,
        fields=["u", "v"],
        residual=residual,
        solution=lambda n, x, t: (n[0] + x[0], n[1] * n[0] - t),
        exact=lambda x, t: (pde.sin(x[0] - t), pde.cos(x[1])),
        conditions=conditions + ([pde.at_start(lambda p: [p.u, p.v_t], rows=2)] if timed else []),
        rows=5,
    )


def plan_of(problem: pde.Problem, phase: Phase, kind=Activation.tanh, widths=(9, 7), **options) -> Plan:
    made, rng = pde.trace(problem, **options), np.random.default_rng(len(widths))
    layers, offset = [], 0
    sizes = [made.n_inputs, *widths, made.n_outputs]
    for number, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        is_last = number + 2 == len(sizes)
        activation = Activation.identity if is_last else kind
        layers.append(Layer(f"l{number}", LayerKind.dense, n_in, n_out, offset, activation=activation))
        offset += layers[-1].n_parameters
    return Plan.of_layers(
        layers,
        np.append(rng.normal(0, 0.5, offset), np.zeros(len(made.units))).astype(np.float32),
        loss=Loss.residual,
        training=Training((phase,), seed=7, steps=20),
        batch=made.batch,
        input_number=Number.float32,
        input_scale=0.75,
        input_offset=-0.5,
        pde=made,
    )


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.mark.parametrize("phase", GN)
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("kind", [Activation.tanh, Activation.sine])
def test_a_system_trains_to_the_same_bits_in_c_and_numpy(core, phase, timed, kind):
    plan = plan_of(system(timed), GN[phase], kind, (9,) if phase == "last_layer_gn" else (6, 5))
    device, twin = Runtime(core, plan), Trainer(plan)
    for _ in range(3):
        a, b = (trainer.step(Region.collocation) for trainer in (device, twin))
        assert (a.loss, a.gradient_norm, a.evaluations) == (b.loss, b.gradient_norm, b.evaluations)
        assert device.theta.tobytes() == twin.theta.tobytes()
    assert device.solution_error(Region.collocation, 3, 40) == twin.solution_error(Region.collocation, 3, 40)
    rows = np.random.default_rng(0).uniform(0, 1, (3, plan.row_bytes // 4)).astype("<f4")
    for trainer in (device, twin):
        trainer.write(Region.batch, 0, rows.tobytes())
        trainer.commit(Region.batch, rows.nbytes, zlib.crc32(rows.tobytes()))
    told = [trainer.predict(2)[: plan.out_features] for trainer in (device, twin)]
    np.testing.assert_array_equal(*told)
    squares = [trainer.solution_error(Region.batch, 0, 3) for trainer in (device, twin)]
    assert squares[0] == squares[1]


@pytest.mark.parametrize("derivative", ["finite_difference", "sparse_grid", "monte_carlo", "compensated_jet"])
def test_a_system_without_mixed_derivatives_takes_every_other_way_to_them(core, derivative):
    problem = dataclasses.replace(system(), residual=lambda p: [p.lap + p.v, p.laplacian(p.v) + p.u_t * p.grad[1]])
    problem = dataclasses.replace(problem, conditions=[pde.periodic(lambda p: [p.u, p.v_t], rows=3, axis=1)])
    plan = plan_of(problem, GN["rge"], derivative=derivative, level=2, n_pairs=3)
    device, twin = Runtime(core, plan), Trainer(plan)
    for _ in range(2):
        assert device.step(Region.collocation).loss == twin.step(Region.collocation).loss
        assert device.theta.tobytes() == twin.theta.tobytes()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (system(), "systems of equations"),
        (pde.Problem(space=[(0, 1)] * 2, residual=lambda p: p.lap + p.d(p.u, 0, 1)), "mixed and third"),
        (pde.Problem(space=[(0, 1)], residual=lambda p: p.lap, conditions=[pde.periodic(lambda p: p.u)]), "periodic"),
    ],
)
def test_coordinate_gn_refuses_what_it_has_no_columns_of(problem, words):
    with pytest.raises(PlanError, match=f"{words}.* for a network of more than 4,096 parameters: choose subspace_gn"):
        plan_of(problem, GN["coordinate_gn"], widths=(40, 100))


@pytest.mark.parametrize("timed", [True, False])
def test_columns_of_a_system_are_differences_of_whole_residuals(timed):
    """Of every parameter, against central differences of float32 residuals: off by their rounding over h, and by mu times
    the ratio of second to first derivatives."""
    plan, h, mu = plan_of(system(timed), GN["coordinate_gn"], widths=(4, 3)), np.float32(0.01), np.float32(1e-3)
    theta, points = plan.parameters, reference_pde.training_points(plan, 7, 0)
    base, columns = coordinate_columns.residuals_and_columns(plan, theta, points, 7, 0, mu)
    np.testing.assert_allclose(base, reference_pde.residuals(plan, theta, points, 7, 0), rtol=1e-4, atol=1e-5)
    n_last = plan.layers[-1].n_parameters
    columns = np.vstack([columns[n_last:], columns[:n_last]])
    for place, column in enumerate(columns):
        up, down = theta.copy(), theta.copy()
        up[place] += h
        down[place] -= h
        found = [reference_pde.residuals(plan, each, points, 7, 0) for each in (up, down)]
        wanted = (found[0] - found[1]) / (up[place] - down[place])
        assert np.abs(column - wanted).max() < 1e-2 * np.abs(wanted).max() + 1e-3


def test_mixed_derivatives_ask_for_jets():
    with pytest.raises(pde.PdeError, match="--derivative jet, not finite_difference"):
        pde.trace(system(), "finite_difference")


def test_a_bundle_and_a_section_give_a_system_back():
    plan = plan_of(system(), GN["rge"])
    again = to_bundle.read(to_bundle.write(plan))
    assert again.pde == plan.pde and to_bundle.write(again) == to_bundle.write(plan)
    assert len(plan.pde.directions) > 2 and section.read(section.write(plan.pde), 2)[0] == plan.pde


# ---- what is computed ------------------------------------------------------------------------------------------------


def in_torch(plan: Plan, theta: np.ndarray, points: np.ndarray):
    """The fields u and v of `system` at points [inputs, n], and a function that differentiates, in double precision."""
    import torch

    inputs = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in points.astype(float)]
    state = torch.stack(inputs) * plan.input_scale + plan.input_offset
    for layer in plan.layers:
        w = torch.tensor(theta[layer.parameter_offset :][: layer.n_parameters].astype(float))
        n = layer.in_features * layer.out_features
        state = w[:n].reshape(layer.out_features, -1) @ state + w[n:, None]
        activations = {Activation.tanh: torch.tanh, Activation.sine: torch.sin}
        state = activations.get(layer.activation, lambda z: z)(state)

    def d(value, *along):
        for i in along:
            (value,) = torch.autograd.grad(value.sum(), inputs[i], create_graph=True)
        return value

    t = inputs[2] if len(inputs) > 2 else torch.zeros_like(inputs[0])
    return state[0] + inputs[0], state[1] * state[0] - t, d


@pytest.mark.parametrize("kind", [Activation.tanh, Activation.sine])
def test_residuals_of_a_system_are_those_of_automatic_differentiation(kind):
    pytest.importorskip("torch")
    plan = plan_of(system(), GN["rge"], kind)
    points = reference_pde.training_points(plan, 7, 0)
    found = reference_pde.residuals(plan, plan.parameters, points, 7, 0)
    u, v, d = in_torch(plan, plan.parameters, points)
    third = d(v, 0, 0, 0) + d(u, 0, 1, 1) - d(v, 1, 0, 0)
    laplacian = d(u * v, 0, 0) + d(u * v, 1, 1)
    at_low, at_high = points[:2] == np.array([[-1.0], [0.25]]), points[:2] == np.array([[0.5], [2.0]])
    normal = [np.float64(high) - low for low, high in zip(at_low, at_high, strict=True)]
    u_n, v_n = (sum(_tensor(n) * d(field, i) for i, n in enumerate(normal)) for field in (u, v))
    opposite = reference_pde.opposite_points(plan, points, 7, 0)
    u_there, v_there, d_there = in_torch(plan, plan.parameters, opposite)
    wanted = [
        (d(u, 0, 0) + d(u, 1, 1) + v * d(u, 0, 1) - third, 5),
        (laplacian + d(v, 0) + d(v, 1) + d(u, 2, 0) * d(v, 2), 5),
        (math.sqrt(3) * (u_n + 2 * u), 4),
        (math.sqrt(3) * v_n, 4),
        (v - d(u, 1), 2),
        (math.sqrt(2) * (u - u_there), 3),
        (math.sqrt(2) * (d(v, 0) - d_there(v_there, 0)), 3),
        (u, 2),
        (d(v, 2), 2),
    ]
    at = 0
    for value, count in wanted:
        exact = value.detach().numpy()[at : at + count]
        # float32 through three layers, and derivatives along directions that are subtracted
        np.testing.assert_allclose(found[at : at + count], exact, rtol=2e-5, atol=2e-5 * np.abs(exact).max())
        at += count
    assert at == plan.batch


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(array)


@pytest.mark.parametrize("timed", [True, False])
def test_onnxruntime_computes_the_residuals_of_a_system(timed):
    pytest.importorskip("onnxruntime")
    from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

    plan = plan_of(system(timed), GN["rge"])
    for step in range(2):
        points = reference_pde.training_points(plan, 7, step)
        mine = reference_pde.residuals(plan, plan.parameters, points, 7, step)
        theirs = OnnxNetwork(plan).residuals(plan.parameters, points, 7, step)
        np.testing.assert_allclose(theirs.ravel(), mine, rtol=1e-4, atol=1e-5)


def test_rows_of_conditions_lie_on_their_faces():
    plan = plan_of(system(), GN["rge"])
    points = reference_pde.training_points(plan, 1, 0)
    opposite = reference_pde.opposite_points(plan, points, 1, 0)
    of = {group.sampler: own for group, own in reference_pde.groups_with_rows(plan)}
    names = [(group, own) for group, own in reference_pde.groups_with_rows(plan)]
    high = next(own for group, own in names if group.first_face == 3)
    assert (points[1, high] == 2.0).all()
    periodic = of[Sampler.opposite]
    assert set(points[0, periodic]) <= {-1.0, 0.5} and (points[0, periodic] + opposite[0, periodic] == -0.5).all()
    np.testing.assert_array_equal(points[1:, periodic], opposite[1:, periodic])


def test_derivatives_of_any_expression_are_those_of_a_known_function():
    """n = exp(x_0 + 2 x_1) sin(3 t): every derivative in closed form."""
    size = 2
    n, x, t = leaf("n", size), leaf("x", size), leaf("t", size)
    calculus, network = Calculus(size), Network(1)
    point = pde.Point({"u": x[0] * n + t * t}, x, t, calculus)
    rng = np.random.default_rng(0)
    at, time = rng.uniform(0, 0.5, (2, 6)), rng.uniform(0, 0.5, 6)
    grow, s, c = np.exp(at[0] + 2 * at[1]), np.sin(3 * time), np.cos(3 * time)
    wanted = {
        (0, 1): (2 + 2 * at[0]) * grow * s,
        (1, 0): (2 + 2 * at[0]) * grow * s,
        (0, "t"): (1 + at[0]) * grow * 3 * c,
        ("t", "t"): 2 - 9 * at[0] * grow * s,
        (0, 0, 0): (3 + at[0]) * grow * s,
        (0, 0, 1): 2 * (2 + at[0]) * grow * s,
        (1, 1, 0): 4 * (1 + at[0]) * grow * s,
        (0, "t", "t"): -9 * (1 + at[0]) * grow * s,
        ("t", "t", "t"): -27 * at[0] * grow * c,
    }
    factors = (np.array([1.0, 2.0]), grow)
    for along, exact in wanted.items():
        made = compile_expression(point.d(point.u, *along), network)
        along_values = _along(network, factors, s, c)
        outputs = [{2: grow * s, 3: np.outer([1, 2], grow * s), 4: grow * 3 * c, 5: 5 * grow * s, 6: np.outer([1, 4], grow * s), 7: -9 * grow * s}]  # fmt: skip
        outputs = [{code: np.float32(value) for code, value in outputs[0].items()}]
        reads = reference_program.Reads(outputs, np.float32(along_values))
        inputs = [np.float32(at), np.float32(time), *outputs[0].values()]
        found = reference_program.run(made, size, inputs, reads)
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


def _along(network: Network, factors, s, c) -> np.ndarray:
    """Derivatives of n along the network's directions, [directions, orders, 1, points]."""
    (powers, grow), made = factors, []
    for direction in network.directions:
        v = np.zeros(3)
        v[direction.second] = direction.factor
        v[direction.first] = 1.0
        a, b = powers @ v[:2], 3 * v[2]  # n along v: exp(a r) sin(.. + b r)
        orders = [
            grow * (a * s + b * c),
            grow * ((a * a - b * b) * s + 2 * a * b * c),
            grow * ((a**3 - 3 * a * b * b) * s + (3 * a * a * b - b**3) * c),
        ]
        made.append([[each] for each in orders])
    return np.array(made) if made else np.zeros((0, 3, 1, len(s)))


@pytest.mark.parametrize("wrong", [{"first": 9}, {"second": 3}, {"order": 4}, {"factor": math.inf}, {"order": 2}])
def test_directions_that_are_out_of_place_are_refused_by_the_device(core, wrong):
    plan = plan_of(system(), GN["rge"])
    third = next(k for k, direction in enumerate(plan.pde.directions) if direction.order == 3)
    directions = list(plan.pde.directions)
    directions[third] = dataclasses.replace(directions[third], **wrong)
    changed = dataclasses.replace(plan, pde=dataclasses.replace(plan.pde, directions=tuple(directions)))
    with pytest.raises(DeviceError) as refused:
        Runtime(core, changed)
    assert refused.value.name == "bad_model"
