# SPDX-License-Identifier: MIT
"""sampled_jet: C, NumPy and onnxruntime agree; estimates have no bias, and are exact where directions suffice."""

import dataclasses

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime
from test_pde import outcome, random_plan

from ttzo.device_runtime.contract import (
    Activation,
    Derivative,
    DeviceError,
    Estimator,
    LayerKind,
    Loss,
    Need,
    Number,
    Region,
    Update,
)
from ttzo.exporter import pde
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.pde.expression import PdeError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.derive import Noise, derive
from ttzo.host_tools.reference.train.trainer import Trainer


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


def everything(p):
    """What can be sampled: the Laplacian of a product, squares of gradients, known numbers times derivatives, coordinates."""
    squares = pde.sum((p.grad - 2.0 * p.x) * (p.grad + p.t * pde.sin(p.x)))
    return p.u_t - p.lap + 0.3 * squares + p.u_tt - p.second[0] * p.grad[-1] + p.laplacian(p.x[0] * p.u**2)


def random_problem(rng: np.random.Generator, size: int = 0, **changes) -> pde.Problem:
    made = pde.Problem(
        space=[(-1.0, 1.0)] * (size or int(rng.integers(1, 9))),
        time=(0.0, 1.0),
        residual=everything,
        solution=lambda n, x, t: (1.5 - t) * pde.sum(pde.cos(x)) * n + pde.sum(x * x) * t,
        exact=lambda x, t: x[0] - t,
        conditions=[
            pde.on_faces(lambda p: p.u_n - 1.0, weight=5.0, rows=4),
            pde.at_start(lambda p: p.u_t, rows=2),
            pde.at_end(lambda p: p.u - pde.sum(p.x), rows=2),
            pde.periodic(lambda p: p.lap, rows=2, axis=0),
        ],
        rows=3,
    )
    return dataclasses.replace(made, **changes)


def sampled(problem: pde.Problem, n_sampled: int) -> pde.Pde:
    return pde.trace(problem, Derivative.sampled_jet, n_sampled=n_sampled)


def agree(core, plan: Plan, steps: int) -> None:
    device, twin = Runtime(core, plan), Trainer(plan)
    for _ in range(steps):
        results = [outcome(lambda t=trainer: t.step(Region.collocation)) for trainer in (device, twin)]
        assert results[0] == results[1]
        assert device.theta.tobytes() == twin.theta.tobytes()
        assert device.moments.tobytes() == twin.moments.tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_c_and_numpy_sample_the_same_directions(core, seed):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, sampled(random_problem(rng), 2**seed))
    if seed == 4:  # two blocks of random bits
        problem = pde.Problem(space=[(0.0, 1.0)] * 130, residual=lambda p: p.lap + p.u, rows=3)
        plan = network(sampled(problem, 16), rng, (4,))
    agree(core, plan, 2)


@pytest.mark.parametrize("estimator", ["subspace_gn", "last_layer_gn", "coordinate_gn"])
@pytest.mark.parametrize("seed", range(2))
def test_gauss_newton_steps_keep_their_bits(core, seed, estimator):
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator[estimator], update=Update.sgd, n_queries=5, perturb_radius=1e-3, learning_rate=1.0,
                  ridge=1e-3, n_coordinates=7)  # fmt: skip
    residual = everything
    changes = {}
    if estimator == "coordinate_gn" and not seed:  # which has directions on dense networks alone
        changes = {"solution": lambda n, x, t: (1.5 - t) * n, "conditions": [pde.at_end(lambda p: p.u, rows=3)]}
        residual = lambda p: p.u_t - p.lap + pde.sum(p.grad * p.grad)  # noqa: E731
    problem = random_problem(rng, residual=residual, **changes)
    plan = random_plan(rng, sampled(problem, 4), phase)
    if seed and estimator == "coordinate_gn":
        plan = network(plan.equation, rng, (5, 4), phase)
    agree(core, plan, 2)


def network(made: pde.Pde, rng: np.random.Generator, hidden: tuple[int, ...], *phases: Phase) -> Plan:
    """Dense layers of tanh units, their weights random."""
    widths, layers, offset = (made.n_inputs, *hidden, 1), [], 0
    for number, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        kind = Activation.tanh if n_out > 1 else Activation.identity
        layers.append(Layer(f"layer{number}", LayerKind.dense, n_in, n_out, offset, activation=kind, has_bias=True))
        offset += layers[-1].n_parameters
    theta = rng.normal(0, 0.5, offset).astype(np.float32)
    return Plan.of_layers(layers, theta, loss=Loss.residual, training=Training(phases or (Phase(),)), batch=made.batch,
                          input_number=Number.float32, pde=made)  # fmt: skip


def convolution(made: pde.Pde, rng: np.random.Generator, **phase) -> Plan:
    """Two convolutions along the inputs, the first with a border, and a dense layer."""
    first = Patches(1, 1, made.n_inputs, (1, 2), (1, 1), (0, 1))
    second = Patches(3, *first.out_image, (1, 1))
    layers = [Layer("first", LayerKind.dense, 2, 3, 0, activation=Activation.tanh, has_bias=True, gather=first)]
    layers.append(Layer("second", LayerKind.dense, 3, 2, 9, activation=Activation.sine, has_bias=False, gather=second))
    layers.append(Layer("last", LayerKind.dense, 2 * second.positions, 1, 15, has_bias=True))
    theta = rng.normal(0, 0.5, 16 + 2 * second.positions).astype(np.float32)
    return Plan.of_layers(layers, theta, loss=Loss.residual, training=Training((Phase(**phase),)), batch=made.batch,
                          input_number=Number.float32, pde=made)  # fmt: skip


@pytest.mark.parametrize("derivative", [Derivative.jet, Derivative.sampled_jet])
@pytest.mark.parametrize("estimator", ["rge", "subspace_gn", "last_layer_gn"])
def test_derivatives_through_convolutions_keep_their_bits(core, estimator, derivative):
    rng = np.random.default_rng(4)
    made = pde.trace(random_problem(rng, 5), derivative, n_sampled=4)
    plan = convolution(made, rng, estimator=Estimator[estimator], update=Update.sgd, n_queries=3, perturb_radius=1e-3,
                       learning_rate=1e-3 if estimator == "rge" else 1.0)  # fmt: skip
    agree(core, plan, 2)


def test_derivatives_through_convolutions_are_those_of_the_same_dense_layers():
    rng = np.random.default_rng(4)
    plan = convolution(pde.trace(random_problem(rng, 5)), rng)
    layers, parameters, at = [], [], 0
    for layer in plan.layers:
        w = plan.parameters[layer.parameter_offset :][: layer.in_features * layer.out_features]
        w = w.reshape(layer.out_features, layer.in_features)
        bias = plan.parameters[layer.parameter_offset + w.size :][: layer.out_features * layer.has_bias]
        if layer.gather:
            table, whole = layer.patches.table, np.zeros((layer.out_features, layer.positions, layer.n_inputs + 1))
            for position, places in enumerate(table):
                whole[:, position, places] = w
            w, bias = whole[..., :-1].reshape(-1, layer.n_inputs), np.repeat(bias, layer.positions)
        layers.append(
            Layer(layer.name, LayerKind.dense, w.shape[1], w.shape[0], at, activation=layer.activation,
                  has_bias=layer.has_bias)
        )  # fmt: skip
        parameters += [w.ravel(), bias]
        at += w.size + bias.size
    theta = np.concatenate(parameters).astype(np.float32)
    dense = Plan.of_layers(layers, theta, loss=Loss.residual, batch=plan.batch, input_number=Number.float32,
                           pde=plan.pde)  # fmt: skip
    points = reference_pde.training_points(plan, 3, 0)
    ours, theirs = (reference_pde.residuals(each, each.parameters, points, 3, 0) for each in (plan, dense))
    assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max()  # zeros change no sum, only its order


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"derivative": "finite_difference"}, "need --derivative jet"),
        ({"estimator": Estimator.coordinate_gn}, "choose subspace_gn"),
    ],
)
def test_what_does_not_go_through_convolutions_is_refused_by_name(options, words):
    rng = np.random.default_rng(0)
    made = pde.trace(pde.Problem(space=[(0, 1)] * 4, residual=lambda p: p.lap), options.pop("derivative", "jet"))
    with pytest.raises(PlanError, match=words):
        convolution(made, rng, update=Update.sgd, **options)


@pytest.mark.parametrize("seed", range(3))
def test_onnxruntime_computes_sampled_residuals(seed):
    pytest.importorskip("onnxruntime")
    from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

    rng = np.random.default_rng(seed)
    made = sampled(random_problem(rng, 5), 4)
    plan = convolution(made, rng) if seed == 2 else random_plan(rng, made)
    points = reference_pde.training_points(plan, 5, 2)
    ours = reference_pde.residuals(plan, plan.parameters, points, 5, 2)
    theirs = OnnxNetwork(plan).residuals(plan.parameters, points, 5, 2)
    assert np.abs(ours - theirs).max() <= 2e-5 * max(1.0, np.abs(ours).max())  # float32 sums in another order


def residuals(problem: pde.Problem, made: pde.Pde, hidden=(6, 5)) -> np.ndarray:
    plan = network(made, np.random.default_rng(1), hidden)
    return reference_pde.residuals(plan, plan.parameters, reference_pde.training_points(plan, 3, 0), 3, 0)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_as_many_directions_as_coordinates_leave_no_noise(size):
    """Rows of a Hadamard matrix are orthogonal: all products of two coordinates cancel."""
    problem = random_problem(np.random.default_rng(0), size)
    exact = residuals(problem, pde.trace(problem))
    ours = residuals(problem, sampled(problem, 8))
    assert np.abs(ours - exact).max() <= 1e-5 * np.abs(exact).max()  # float32 rounding
    if size > 1:
        assert np.abs(residuals(problem, sampled(problem, 1)) - exact).max() > 1e-3


def test_estimates_of_many_rows_average_to_the_exact_ones():
    """At one point, 4096 rows: Laplacian and squared gradient within five standard errors, and a spread worth averaging."""
    n = 4096
    problem = pde.Problem(
        space=[(-1.0, 1.0)] * 6,
        time=(0.0, 1.0),
        residual=lambda p: p.u_t + p.lap + pde.sum(p.grad * p.grad),
    )
    plan = network(sampled(problem, 2), np.random.default_rng(0), (7,))
    points = np.repeat(np.random.default_rng(1).uniform(-1, 1, (7, 1)).astype(np.float32), n, axis=1)
    needs, noise = Need.first | Need.laplacian, Noise(11, 3, np.arange(n))
    ours = derive(plan, plan.parameters, 2, needs, points, noise)
    whole = dataclasses.replace(plan, pde=pde.trace(problem))
    exact = derive(whole, plan.parameters, 2, needs, points[:, :1], Noise(11, 3, np.arange(1)))
    pairs = [
        (ours.laplacian[0], exact.laplacian[0, 0]),
        ((ours.first[:2, 0].astype(np.float64) ** 2).sum(0), (exact.first[:6, 0].astype(np.float64) ** 2).sum()),
    ]
    for many, one in pairs:
        assert abs(many.mean() - one) <= 5 * many.std() / np.sqrt(n)
        assert many.std() > 0.1 * abs(one)
    assert np.abs(ours.first[-1, 0] - exact.first[-1, 0, 0]).max() <= 1e-6  # time is no random direction


def test_two_directions_suffice_for_what_neighbours_do():
    """The Hessian of sum_i sin(x_i + x_{i+1}) has the coordinate and its neighbours in each row."""
    size = 12
    problem = pde.Problem(space=[(-1.0, 1.0)] * size, residual=lambda p: p.lap, rows=20)
    weights = np.eye(size - 1, size) + np.eye(size - 1, size, 1)
    theta = np.concatenate([weights.ravel(), np.ones(size - 1)]).astype(np.float32)
    first = Layer("first", LayerKind.dense, size, size - 1, 0, activation=Activation.sine, has_bias=False)
    last = Layer("last", LayerKind.dense, size - 1, 1, first.n_parameters, has_bias=False)

    def of(made: pde.Pde) -> np.ndarray:
        plan = Plan.of_layers([first, last], theta, loss=Loss.residual, batch=20, input_number=Number.float32, pde=made)
        return reference_pde.residuals(plan, theta, reference_pde.training_points(plan, 1, 0), 1, 0)

    points = reference_pde.training_points(
        Plan.of_layers([first, last], theta, loss=Loss.residual, batch=20, input_number=Number.float32,
                       pde=sampled(problem, 2)), 1, 0).astype(np.float64)  # fmt: skip
    exact = -2 * np.sin(points[:-1] + points[1:]).sum(0)
    assert np.abs(of(sampled(problem, 2)) - exact).max() <= 1e-5 * np.abs(exact).max()  # float32 rounding
    assert np.abs(of(sampled(problem, 1)) - exact).max() > 0.1 * np.abs(exact).max()


def test_neither_passes_nor_derivatives_follow_the_dimension():
    problems = [pde.Problem(space=[(0.0, 1.0)] * size, residual=lambda p: p.lap - p.u) for size in (10, 200)]
    plans = [network(sampled(problem, 4), np.random.default_rng(0), (8, 8)) for problem in problems]
    assert plans[0].passes == plans[1].passes
    exact = [network(pde.trace(problem), np.random.default_rng(0), (8, 8)) for problem in problems]
    assert exact[1].passes > 10 * exact[0].passes
    item = "derivatives and residual program"
    grown, registers = [], len(plans[0].equation.groups[0].condition.instructions)
    for pair in (plans, exact):
        few, many = (memory.work_items(plan)[item] for plan in pair)
        grown.append((many - few) / 4 / 190)
    assert round(grown[0], 1) == 1 + registers  # the point, and vectors of the residual program
    assert round(grown[1] - grown[0], 1) == 1  # a first derivative for each coordinate


def test_a_bundle_gives_the_sampled_equation_back(core):
    rng = np.random.default_rng(3)
    plan = random_plan(rng, sampled(random_problem(rng), 4))
    again = to_bundle.read(to_bundle.write(plan))
    assert again.pde == plan.pde and again.pde.vectors
    assert to_bundle.write(again) == to_bundle.write(plan)


@pytest.mark.parametrize("wrong", [0, 3, 255])
def test_a_device_refuses_a_number_of_directions_that_is_no_power_of_two(core, wrong):
    rng = np.random.default_rng(3)
    plan = random_plan(rng, sampled(random_problem(rng), 4))
    object.__setattr__(plan.pde, "n_sampled", wrong)
    with pytest.raises(DeviceError) as error:
        Runtime(core, plan, 1 << 20)
    assert error.value.name == "bad_model"


@pytest.mark.parametrize(
    ("residual", "words"),
    [
        (lambda p: pde.sum(pde.sin(p.grad)), "`sin` of a vector of derivatives cannot be sampled"),
        (lambda p: pde.sum(p.x * p.second), "weights that differ"),
        (lambda p: pde.sum(p.x * p.grad * p.grad), "weights that differ"),
        (lambda p: p.d(p.u, 0, 1), "mixed or third"),
        (lambda p: pde.sum(p.grad**3), "three or more"),
    ],
)
def test_what_cannot_be_sampled_is_refused_by_name(residual, words):
    problem = pde.Problem(space=[(0.0, 1.0)] * 2, residual=residual)
    with pytest.raises(PdeError, match=words):
        sampled(problem, 4)


@pytest.mark.parametrize("n_sampled", [3, 256])
def test_a_number_of_directions_is_a_power_of_two(n_sampled):
    with pytest.raises(PdeError, match="a power of two up to 128"):
        sampled(random_problem(np.random.default_rng(0)), n_sampled)
