# SPDX-License-Identifier: MIT
"""PDEs: C and NumPy hold the same bits, derivatives are those of automatic differentiation, rows lie where they should."""

import dataclasses
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from plans import layer_in_double, random_layer
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Activation,
    Derivative,
    DeviceError,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Region,
    Update,
)
from ttzo.exporter import pde
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.pde import section as pde_section
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.train.trainer import Trainer


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


OF_COORDINATES = [each for each in Derivative if each != Derivative.sampled_jet]  # test_sampled.py has that one


def everything(p):
    """A residual that uses every operation and derivative."""
    x = pde.sum(pde.where(p.x < 0.4, pde.sin(p.x), pde.cos(p.x)) * p.grad) + p.u_t * pde.tanh(p.t) - p.lap
    y = pde.log1p(p.x[0] ** 2) * p.second[0] + pde.expm1(-p.t) * p.u_tt + pde.sqrt(1.0 + p.u**2) / pde.exp(p.x[-1])
    y = y + pde.atan(p.u_t) * pde.sum(pde.atan2(p.x, p.grad)) + pde.sinh(0.1 * p.u)
    y = y + pde.sum(pde.shift(p.x, len(p.x) - 1) * p.grad)
    return x + y - abs(pde.log(2.0 + pde.maximum(p.t, pde.minimum(p.x[0], 0.5))))


def random_problem(rng: np.random.Generator) -> pde.Problem:
    size = int(rng.integers(1, 6))
    bounds = [(float(low), float(low + width)) for low, width in rng.uniform(0.1, 2, (size, 2))]
    return pde.Problem(
        space=bounds,
        time=(0.0, 1.5),
        residual=everything,
        solution=lambda n, x, t: (1.5 - t) * n * n + pde.sum(x * x) * t,
        exact=lambda x, t: pde.normal_cdf(x[0]) - t,
        conditions=[
            pde.on_faces(lambda p: p.u - 1.0, weight=5.0, rows=4),
            pde.at_start(lambda p: p.grad[0] - p.x[0], rows=2),
            pde.at_end(lambda p: p.u - pde.sum(p.x), rows=3),
        ],
        rows=3,
    )


def random_pde(rng: np.random.Generator, **options) -> pde.Pde:
    return pde.trace(random_problem(rng), **options)


def crowded(problem: pde.Problem) -> pde.Problem:
    """The same with training points denser towards the low corner and the late times."""

    def points(x, t):
        space = [low + (each - low) ** 2 / (high - low) for each, (low, high) in zip(x, problem.space, strict=True)]
        return space, 1.5 * pde.sqrt(t / 1.5)

    return dataclasses.replace(problem, points=points)


def random_plan(rng: np.random.Generator, made: pde.Pde, phase: Phase | None = None) -> Plan:
    widths = [made.n_inputs, *(int(w) for w in rng.choice([4, 6, 8, 12], rng.integers(1, 4))), 1]
    layers, offset = [], 0
    for number, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        layer = random_layer(rng, number, n_in, n_out, offset, number + 2 == len(widths))
        layers.append(dataclasses.replace(layer, contraction=0))
        if phase and number + 2 == len(widths):
            layers[-1] = Layer("last", LayerKind.dense, n_in, n_out, offset, has_bias=bool(rng.integers(2)))
        offset += layers[-1].n_parameters
    phase = phase or Phase(
        direction=Direction(rng.integers(2)),
        update=Update(rng.integers(5)),
        n_queries=2,
        perturb_radius=1e-2,
        learning_rate=1e-3,
    )
    return Plan.of_layers(
        layers,
        rng.normal(0, 0.5, offset).astype(np.float32),
        loss=Loss.residual,
        training=Training((phase,), seed=int(rng.integers(2**63)), steps=20),
        batch=made.batch,
        input_number=Number.float32,
        input_scale=0.75,
        input_offset=-0.5,
        pde=made,
    )


def outcome(work):
    """What a call gives, or the name of its refusal: a random network may leave float32."""
    try:
        result = work()
        return result if isinstance(result, tuple) else (result.loss, result.gradient_norm, result.evaluations)
    except DeviceError as error:
        return error.name


@pytest.mark.parametrize("derivative", OF_COORDINATES)
@pytest.mark.parametrize("seed", range(8))
def test_c_and_numpy_train_a_pde_to_the_same_bits(core, seed, derivative):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    made = pde.trace(crowded(problem) if seed % 2 else problem, derivative, 0.1, level=2 + seed % 2, n_pairs=3)
    plan = random_plan(rng, made)
    capacity = memory.work_bytes(plan) + 5 * plan.row_bytes
    device, reference = Runtime(core, plan, capacity), Trainer(plan, work_capacity=capacity)
    for _ in range(3):
        results = [outcome(lambda t=trainer: t.step(Region.collocation)) for trainer in (device, reference)]
        assert results[0] == results[1]
        assert device.theta.tobytes() == reference.theta.tobytes()
    results = [outcome(lambda t=t: t.solution_error(Region.collocation, 3, 20)) for t in (device, reference)]
    assert results[0] == results[1]


@pytest.mark.parametrize("estimator", [Estimator.subspace_gn, Estimator.last_layer_gn])
@pytest.mark.parametrize("seed", range(12))
def test_c_and_numpy_take_the_same_gauss_newton_steps(core, seed, estimator):
    rng = np.random.default_rng(seed)
    phase = Phase(estimator, update=Update.sgd, n_queries=int(rng.integers(1, 20)), perturb_radius=1e-3,
                  learning_rate=1.0, ridge=1e-3, trust_radius=float(rng.choice([0.0, 0.3])))  # fmt: skip
    made = random_pde(rng, derivative=Derivative(seed % 3), radius=0.1, level=2)
    plan = random_plan(rng, made, phase)
    device, reference = Runtime(core, plan), Trainer(plan)
    for _ in range(4):
        results = [outcome(lambda t=trainer: t.step(Region.collocation)) for trainer in (device, reference)]
        assert results[0] == results[1]
        assert device.theta.tobytes() == reference.theta.tobytes()
        assert device.moments.tobytes() == reference.moments.tobytes()


def test_a_bundle_gives_the_pde_back(core):
    rng = np.random.default_rng(3)
    for derivative in OF_COORDINATES:
        plan = random_plan(rng, random_pde(rng, derivative=derivative))
        again = to_bundle.read(to_bundle.write(plan))
        assert dataclasses.replace(again.pde) == plan.pde
        assert to_bundle.write(again) == to_bundle.write(plan)


# ---- ONNX and automatic differentiation ------------------------------------------------------------------------------


@pytest.mark.parametrize("derivative", OF_COORDINATES)
@pytest.mark.parametrize("seed", range(3))
def test_onnxruntime_computes_the_same_residuals(seed, derivative):
    pytest.importorskip("onnxruntime")
    from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

    rng = np.random.default_rng(seed)
    plan = random_plan(rng, random_pde(rng, derivative=derivative, radius=0.3, n_pairs=3, level=3))
    points = reference_pde.training_points(plan, 5, 2)
    ours = reference_pde.residuals(plan, plan.parameters, points, 5, 2)
    theirs = OnnxNetwork(plan).residuals(plan.parameters, points, 5, 2)
    # float32 sums in another order; differences divide their rounding by the radius squared
    scale = 1e-5 if derivative == Derivative.jet else 1e-3
    assert np.abs(ours - theirs).max() <= scale * max(1.0, np.abs(ours).max())


def torch_points(plan: Plan, problem: pde.Problem, points: np.ndarray):
    """Residuals of the problem at points [inputs, n] by torch's automatic differentiation in double precision."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(points.astype(np.float64), requires_grad=True)
    n = plan.pde.n_space

    def total_derivative(value):
        return torch.autograd.grad(value.sum(), x, create_graph=True)[0]

    state = (x * float(np.float32(plan.input_scale)) + float(np.float32(plan.input_offset))).T
    for layer in plan.layers:
        tensors = [
            torch.tensor(plan.parameters[t.offset : t.offset + t.size].astype(np.float64)) for t in layer.tensors
        ]
        bias = tensors.pop() if layer.has_bias else 0.0
        weight = torch.tensor(
            layer_in_double(plan.parameters, bare(layer), np.eye(layer.in_features))
        ).T  # W from its unit rows
        z = state @ weight.T + bias
        state = [lambda v: v, torch.relu, torch.tanh, torch.sin][layer.activation](z)
    t = x[n] if plan.pde.has_time else torch.zeros(points.shape[1], dtype=torch.float64)
    u = problem.solution(state[:, 0], x[:n], t)
    first = total_derivative(u)
    second = torch.stack([total_derivative(first[i])[i] for i in range(len(points))])
    fields = {"u": u, "x": x[:n], "t": t, "u_t": first[n] if plan.pde.has_time else 0.0 * u, "grad": first[:n]}
    fields |= {"lap": second[:n].sum(0), "second": second[:n], "u_tt": second[n] if plan.pde.has_time else 0.0 * u}
    return problem.residual(SimpleNamespace(**fields)).detach().numpy()


def bare(layer: Layer) -> Layer:
    """The layer's product alone."""
    return dataclasses.replace(layer, has_bias=False, activation=Activation.identity)


@pytest.mark.parametrize("seed", range(6))
def test_jets_give_what_automatic_differentiation_gives(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    plan = random_plan(rng, pde.trace(problem))
    inside = plan.pde.groups[0].count
    points = reference_pde.training_points(plan, 1, 0)
    ours = reference_pde.residuals(plan, plan.parameters, points, 1, 0)[:inside]
    golden = torch_points(plan, problem, points[:, :inside])
    # float32 rounding through a few layers and a long residual
    assert np.sqrt(((ours - golden) ** 2).mean()) <= 2e-6 * max(1.0, np.sqrt((golden**2).mean()))


# ---- rows, grids and steps -------------------------------------------------------------------------------------------


def test_rows_lie_where_their_kind_says_and_are_new_in_every_step():
    plan = random_plan(np.random.default_rng(5), random_pde(np.random.default_rng(5)))
    made, n = plan.pde, plan.pde.n_space
    low, high = (np.float32(bound)[:, None] for bound in (made.low, made.high))
    seen = [reference_pde.training_points(plan, 3, step) for step in range(50)]
    for points in seen:
        assert ((points >= low) & (points <= high)).all()
        inside, faces, start, end = (points[:, own] for _, own in reference_pde.groups_with_rows(plan))
        assert ((faces[:n] == low[:n]) | (faces[:n] == high[:n])).any(axis=0).all()
        assert (start[n] == low[n]).all() and (end[n] == high[n]).all()
        assert not (inside[n] == low[n]).any()
    assert len({points.tobytes() for points in seen}) == 50
    means = np.array([points[:, :3] for points in seen]).mean(axis=(0, 2))
    centre, width = (low + high)[:, 0] / 2, (high - low)[:, 0]
    # 150 uniform points: the mean is within 5 standard deviations, width / sqrt(12 * 150) each
    assert (np.abs(means - centre) < 5 * width / np.sqrt(12 * 150)).all()


def test_training_points_lie_as_densely_as_the_problem_says():
    """x -> x^3 has the distribution function x^(1/3); conditions keep their side of the domain, validation is uniform."""
    problem = pde.Problem(
        space=[(0.0, 1.0)],
        time=(0.0, 1.0),
        residual=lambda p: p.u_t - p.lap,
        exact=lambda x, t: x[0],
        conditions=[pde.on_faces(lambda p: p.u, rows=10), pde.at_start(lambda p: p.u, rows=1000)],
        rows=1000,
        points=lambda x, t: (x**3, t),
    )
    plan = random_plan(np.random.default_rng(0), pde.trace(problem))
    points = reference_pde.training_points(plan, 0, 0)
    faces = points[:, 1000:1010]
    assert np.isin(faces[0], (0.0, 1.0)).all() and (points[1, 1010:] == 0.0).all()
    for values, cubed in ((points[0, :1000], True), (points[0, 1010:], True), (points[1, :1000], False),
                          (reference_pde.validation_points(plan, 0, 1000)[0], False)):  # fmt: skip
        cumulated = np.sort(values.astype(float)) ** (1 / 3 if cubed else 1)
        distance = np.abs(cumulated - (np.arange(1000) + 0.5) / 1000).max()
        assert distance < 0.062  # Kolmogorov: larger once in a thousand


def test_damage_anywhere_in_the_section_is_refused_or_changes_nothing(core):
    """Every byte of the PDE's section, turned: the reader answers with an error, or the numbers stay in range."""
    plan = random_plan(np.random.default_rng(2), random_pde(np.random.default_rng(2), derivative="sparse_grid"))
    whole = to_bundle.write(plan)
    section = pde_section.write(plan.pde)
    at = whole.index(section)
    rng, refused = np.random.default_rng(0), 0
    for place in rng.choice(len(section), 150, replace=False):
        damaged = bytearray(whole)
        damaged[at + place] ^= 1 << int(rng.integers(8))
        damaged[-4:] = struct.pack("<I", zlib.crc32(bytes(damaged[:-4])))
        try:
            trainer = Runtime(core, plan, bundle=bytes(damaged))
        except DeviceError:
            refused += 1
            continue
        outcome(lambda t=trainer: t.step(Region.collocation))
        outcome(lambda t=trainer: t.solution_error(Region.collocation, 0, 3))
    assert refused > 20


def test_a_pde_has_no_rows_to_step_on(core):
    plan = random_plan(np.random.default_rng(1), random_pde(np.random.default_rng(1)))
    for trainer in (Runtime(core, plan), Trainer(plan)):
        for region in (Region.batch, Region.dataset):
            assert outcome(lambda t=trainer, r=region: t.step(r)) == "bad_request"


def test_a_linear_problem_is_solved_by_the_last_layer_in_a_few_steps(core):
    """-lap u = 2 with u = x (1 - x) on the interval: the features' best fit is found as soon as the ridge lets it."""
    problem = pde.Problem(
        space=[(0.0, 1.0)],
        residual=lambda p: p.lap + 2.0,
        exact=lambda x, t: x[0] * (1.0 - x[0]),
        conditions=[pde.on_faces(lambda p: p.u, weight=10.0, rows=8)],
        rows=40,
    )
    made = pde.trace(problem)
    rng = np.random.default_rng(0)
    layers = (
        Layer("hidden", LayerKind.dense, 1, 16, 0, activation=Activation.tanh),
        Layer("last", LayerKind.dense, 16, 1, 32),
    )
    theta = np.concatenate([rng.normal(0, 3, 16), rng.normal(0, 1, 16), rng.normal(0, 0.1, 17)]).astype(np.float32)
    phase = Phase(Estimator.last_layer_gn, update=Update.sgd, n_queries=1, perturb_radius=1e-2, learning_rate=1.0,
                  ridge=1e-2, trust_radius=0.1)  # fmt: skip
    plan = Plan.of_layers(
        layers, theta, Loss.residual, Training((phase,)), made.batch, input_number=Number.float32, pde=made
    )
    device = Runtime(core, plan)
    for _ in range(5):
        device.step(Region.collocation)
    error, exact = device.solution_error(Region.collocation, 0, 200)
    assert np.sqrt(error / exact) < 0.01


def test_the_last_layer_finds_its_way_on_a_nonlinear_problem(core):
    """Where the last layer's best fit to the linearised equation leads astray, a step that failed gets shorter in its
    unknowns too: with their ridge fixed, not one of these steps is taken and the loss stays where it is."""
    pytest.importorskip("torch")
    from ttzo.exporter.export import plan_of

    device = Runtime(core, plan_of("burgers", batch=200, n_queries=32))
    losses = [device.step(Region.collocation).loss for _ in range(20)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
