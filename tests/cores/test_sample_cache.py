# SPDX-License-Identifier: MIT
"""Environments that a core's entries share give the same estimates as whole loss evaluations."""

import dataclasses
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from plans import layer_in_double, random_inputs, random_plan, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Activation,
    BundleHeader,
    Cache,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    ModelInfo,
    Number,
    Region,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.core_memory import Assembled, assembled_by
from ttzo.exporter.costs.cost import evaluations_a_step, macs_a_step
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import BY_UNITS, Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.cores import sample_cache
from ttzo.host_tools.reference.cores.coordinate_window import refreshed
from ttzo.host_tools.reference.cores.core_gradient import CoreEstimate
from ttzo.host_tools.reference.network import loss, network
from ttzo.host_tools.reference.number.random import direction
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer

DOUBLE = SimpleNamespace(
    exp=np.exp,
    expm1=np.expm1,
    log=np.log,
    log1p=np.log1p,
    tanh=np.tanh,
    sin=np.sin,
    cos=np.cos,
    sqrt=np.sqrt,
    SMALL_SQUARES=0.0,
)
REUSING = (Estimator.cge, Estimator.node_cge, Estimator.chain_differences, Estimator.block_rge, Estimator.cocd)
BATCH = 3


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.fixture
def in_double(monkeypatch):
    """The twin computes in double precision, with NumPy's elementary functions."""
    for module in (network, loss, sample_cache):
        monkeypatch.setattr(module, "real", DOUBLE)


def data(rng: np.random.Generator, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    x = random_inputs(rng, plan, plan.batch).astype(np.float64)
    x = x if plan.n_tokens else x * (rng.random(x.shape) < 0.7)
    if plan.loss == Loss.cross_entropy:
        return x, rng.integers(0, plan.out_features, plan.batch)
    return x, rng.normal(0, 1, (plan.batch, plan.out_features))


def losses(plan: Plan, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Each row's loss in double precision, from dense weights rebuilt from the cores."""
    for layer in plan.layers:
        x = layer_in_double(theta, layer, x)
    if plan.loss == Loss.mse:
        return ((x - targets) ** 2).mean(axis=1)
    return np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), targets]


def difference(plan: Plan, phase: Phase, theta: np.ndarray, v: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """The mean loss difference along v, over mu or 2 mu."""
    mu = float(np.float32(phase.perturb_radius))
    above = losses(plan, theta + mu * v, x, y).mean()
    if phase.difference == Difference.antithetic:
        return (above - losses(plan, theta - mu * v, x, y).mean()) / (2 * mu)
    return (above - losses(plan, theta, x, y).mean()) / mu


def plain_cge(plan: Plan, phase: Phase, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([difference(plan, phase, theta, v, x, y) for v in np.eye(len(theta))])


def random_case(seed: int, gathers: bool = True, **phase) -> tuple[Plan, Phase, np.ndarray, np.ndarray, np.ndarray]:
    """A random network of one to four layers, and a batch; theta in double precision."""
    rng = np.random.default_rng(seed)
    settings = Phase(
        difference=Difference(rng.choice(list(Difference))),
        perturb_radius=2.0**-10,
        n_queries=6,
        n_coordinates=6,
        **phase,
    )
    plan = random_plan(rng, Training((settings,)), BATCH, gathers=gathers)
    return plan, settings, plan.parameters.astype(np.float64), *data(rng, plan)


@pytest.mark.parametrize("seed", range(40))
def test_cge_by_reuse_equals_one_loss_evaluation_for_each_parameter(in_double, seed):
    plan, phase, theta, x, y = random_case(seed, estimator=Estimator.cge)
    estimate = CoreEstimate(plan, phase, 0, 0, theta, x, y).gradient()
    expected = plain_cge(plan, phase, theta, x, y)
    # plain differences of losses near 1 round to 1e-16 / mu = 1e-13; reuse itself loses less
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("seed", range(20))
def test_cge_by_reuse_stays_close_to_double_precision_in_float32(seed):
    plan, phase, theta, x, y = random_case(seed, estimator=Estimator.cge)
    x, y = x.astype(np.float32), y.astype(np.float32) if plan.loss == Loss.mse else y
    estimate = CoreEstimate(plan, phase, 0, 0, plan.parameters, x, y).gradient()
    expected = plain_cge(plan, phase, theta, x.astype(np.float64), y)
    # no loss is ever subtracted from a loss, so that mu does not divide its rounding; left are float32 chains through
    # up to four layers, relative to the largest derivative: 1e-4 is 800 roundings
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-4 * np.abs(expected).max() + 1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_a_radius_of_a_millionth_costs_no_digits_in_float32(seed):
    plan, phase, theta, x, y = random_case(seed, estimator=Estimator.cge)
    x, y = x.astype(np.float32), y.astype(np.float32) if plan.loss == Loss.mse else y
    tiny = dataclasses.replace(phase, perturb_radius=1e-6)
    estimate = CoreEstimate(plan, tiny, 0, 0, plan.parameters, x, y).gradient()
    central = dataclasses.replace(phase, difference=Difference.antithetic, perturb_radius=2.0**-17)
    expected = plain_cge(plan, central, theta, x.astype(np.float64), y)
    # whole float32 losses would differ by 6e-8 / 1e-6 = 0.06 from rounding alone; here 1e-4 holds as at any radius
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-4 * np.abs(expected).max() + 1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_block_rge_equals_loss_evaluations_along_its_directions(in_double, seed):
    plan, phase, theta, x, y = random_case(seed, estimator=Estimator.block_rge, direction=Direction.gaussian)
    estimate = CoreEstimate(plan, phase, 5, 9, theta, x, y).gradient()
    expected = np.zeros_like(theta)
    for block, tensor in enumerate(plan.tensors):
        for query in range(phase.n_queries):
            v = np.zeros_like(theta)
            v[tensor.offset : tensor.offset + tensor.size] = direction(
                tensor.size, Direction.gaussian, 5, 9, block * phase.n_queries + query
            )
            expected += difference(plan, phase, theta, v, x, y) * v / phase.n_queries
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-9 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("estimator", sorted(BY_UNITS))
@pytest.mark.parametrize("seed", range(20))
def test_derivatives_made_of_units_are_the_gradient_but_for_the_radius(in_double, seed, estimator):
    plan, _, theta, x, y = random_case(seed, estimator=estimator)
    smooth = [
        dataclasses.replace(k, activation=Activation.tanh) if k.activation == Activation.relu else k
        for k in plan.layers
    ]
    plan = plan.with_layers(smooth)
    phase = Phase(estimator, difference=Difference.antithetic, perturb_radius=2.0**-14)
    estimate = CoreEstimate(plan, phase, 0, 0, theta, x, y).gradient()
    expected = plain_cge(plan, dataclasses.replace(phase, perturb_radius=2.0**-17), theta, x, y)
    # both err by mu^2 / 6 times a third derivative (2^-28), the plain one by 1e-16 / mu besides
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-6 * max(1, np.abs(expected).max()))


def test_cocd_refreshes_its_window_and_decays_the_rest(in_double):
    plan, phase, theta, x, y = random_case(3, estimator=Estimator.cocd, stale_decay=0.75)
    buffer = np.random.default_rng(0).normal(size=theta.size)
    age = theta.size // phase.n_coordinates  # a window that goes round the end
    estimate = CoreEstimate(plan, phase, 0, 0, theta, x, y, age, buffer).gradient()
    window = (age * phase.n_coordinates + np.arange(phase.n_coordinates)) % theta.size
    expected = 0.75 * buffer
    expected[window] = plain_cge(plan, phase, theta, x, y)[window]
    assert refreshed(theta.size, phase.n_coordinates, age).sum() == phase.n_coordinates
    np.testing.assert_allclose(estimate, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


# ---- on the device --------------------------------------------------------------------------------------------------


def put(trainer, rows: np.ndarray) -> None:
    trainer.write(Region.batch, 0, rows.tobytes())
    trainer.commit(Region.batch, rows.size, zlib.crc32(rows.tobytes()))


@pytest.mark.parametrize("cache", Cache)
@pytest.mark.parametrize("estimator", REUSING)
@pytest.mark.parametrize("seed", range(100, 110))
def test_c_and_numpy_estimate_the_same_bits(core, estimator, seed, cache):
    rng = np.random.default_rng(seed)
    phase = Phase(
        estimator,
        n_queries=5,
        n_coordinates=5,
        stale_decay=0.75,
        update=Update.adam,
        learning_rate=0.05,
        perturb_radius=0.01,
    )
    plan = random_plan(rng, Training((phase,)), BATCH, gathers=cache == Cache.float32)
    plan = dataclasses.replace(plan, cache=cache)
    rows = random_rows(rng, plan, BATCH)
    device, reference = Runtime(core, plan), Trainer(plan)
    for trainer in (device, reference):
        put(trainer, rows)
        for _ in range(3):
            trainer.step(Region.batch)
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert device.moments.tobytes() == reference.moments.tobytes()
    assert device.state == reference.state


@pytest.mark.parametrize("cache", Cache)
@pytest.mark.parametrize("estimator", [e for e in REUSING if e != Estimator.cocd])
@pytest.mark.parametrize("seed", range(200, 210))
def test_the_forecast_of_multiply_adds_is_exact_where_nothing_is_zero(core, estimator, seed, cache):
    rng = np.random.default_rng(seed)
    plan = random_plan(
        rng, Training((Phase(estimator, n_queries=6, perturb_radius=0.01),)), BATCH, loss=Loss.mse, gathers=False
    )
    linear = tuple(dataclasses.replace(layer, activation=Activation.identity) for layer in plan.layers)
    inputs = {"input_number": Number.float32, "input_scale": 1.0, "input_offset": 0.0}
    theta = plan.parameters + np.copysign(np.float32(0.25), plan.parameters)  # no weight rounds to 0 in 16 bits
    plan = plan.with_layers(linear, parameters=theta, cache=cache, **inputs)
    device = Runtime(core, plan)
    put(device, random_rows(rng, plan, BATCH))
    device.step(Region.batch)
    assert device.macs == macs_a_step(plan, plan.training.phases[0])


@pytest.mark.parametrize("cache", [Cache.int16, Cache.int16_least])
@pytest.mark.parametrize("seed", range(10))
def test_caches_of_16_bits_leave_a_gradient_within_a_few_percent(seed, cache):
    plan, phase, _, x, y = random_case(seed, gathers=False, estimator=Estimator.cge)
    x, y = x.astype(np.float32), y.astype(np.float32) if plan.loss == Loss.mse else y
    wide, narrow = (
        CoreEstimate(dataclasses.replace(plan, cache=cache), phase, 0, 0, plan.parameters, x, y).gradient()
        for cache in (Cache.float32, cache)
    )
    # arrays of numbers near 1 err by 2^-12 each; relu units that change sides and four layers make more of it
    assert np.linalg.norm(wide - narrow) <= 0.02 * np.linalg.norm(wide)


def test_numbers_of_16_bits_are_rounded_to_even_and_saturated():
    unit = 2.0**-11
    numbers = np.array([0.5, 1.5, -0.5, -1.5, 2.25, 40000, -40000], np.float32) * np.float32(unit)
    expected = np.array([0, 2, 0, -2, 2, 32767, -32768]) * unit
    np.testing.assert_array_equal(network.narrowed(numbers), expected.astype(np.float32))


class OnlyLosses:
    """A network that gives losses and nothing else, as onnxruntime does."""

    def __init__(self, plan: Plan):
        self.losses = NumpyNetwork(plan).losses


RATE = 2.0**-6  # so small that the second step takes differences where the first did, nearly


@pytest.mark.parametrize("estimator", [e for e in REUSING if e not in BY_UNITS])
@pytest.mark.parametrize("seed", range(300, 306))
def test_where_only_losses_can_be_had_the_same_differences_are_taken_whole(estimator, seed):
    rng = np.random.default_rng(seed)
    phase = Phase(
        estimator,
        n_queries=4,
        n_coordinates=4,
        update=Update.sgd,
        learning_rate=RATE,
        perturb_radius=2.0**-6,
        stale_decay=0.5,
    )
    plan = random_plan(rng, Training((phase,)), BATCH)
    rows = random_rows(rng, plan, BATCH)
    trainers = Trainer(plan), Trainer(plan, network=OnlyLosses(plan))
    for trainer in trainers:
        put(trainer, rows)
        results = [trainer.step(Region.batch) for _ in range(2)]
    gradients = [(plan.parameters - trainer.theta) / np.float32(RATE) for trainer in trainers]
    assert results[0].evaluations == evaluations_a_step(plan, phase)
    # whole losses near 4 round to 2e-7, over mu = 1/64 and a few queries; relative to the largest derivative above 1
    np.testing.assert_allclose(*gradients, rtol=0, atol=3e-4 * max(1, np.abs(gradients[0]).max()))


def wide_plan(*layers: tuple, batch: int = 2) -> Plan:
    """TT-matrix layers wider than a matrix that is kept (max_matrix)."""
    made, at = [], 0
    for number, (n_in, n_out, in_modes, out_modes, ranks, activation) in enumerate(layers):
        layer = Layer(
            f"layer{number}", LayerKind.tt_matrix, n_in, n_out, at, True, activation, in_modes, out_modes, ranks
        )
        made.append(layer)
        at += layer.n_parameters
    theta = np.random.default_rng(0).normal(0, 0.4, at).astype(np.float32)
    training = Training((Phase(Estimator.cge, update=Update.sgd, learning_rate=0.5),))
    return Plan.of_layers(tuple(made), theta, Loss.mse, training, batch, input_number=Number.float32)


def test_chain_differences_of_a_layer_too_large_for_a_matrix_is_refused_on_both_sides(core):
    plan = wide_plan(
        (6, 144, (2, 3), (12, 12), (1, 2, 1), Activation.relu),
        (144, 144, (12, 12), (12, 12), (1, 1, 1), Activation.identity),
    )
    (phase,) = plan.training.phases
    chain = Training((dataclasses.replace(phase, estimator=Estimator.chain_differences),))
    with pytest.raises(PlanError, match="layer1 has more than 16384 weights multiplied out"):
        plan.with_training(chain)
    object.__setattr__(plan, "training", chain)  # past the exporter's check
    with pytest.raises(DeviceError, match="layer 1 of the model is inconsistent"):
        Runtime(core, plan)


def test_chain_differences_of_a_linear_network_is_its_gradient():
    """Two dense layers without activation and antithetic differences of a squared error, where no quotient errs."""
    first = Layer("a", LayerKind.dense, 3, 4, 0, False, Activation.identity)
    last = Layer("b", LayerKind.dense, 4, 2, 12, False, Activation.identity)
    rng = np.random.default_rng(6)
    theta, x, y = rng.normal(size=20), rng.normal(size=(BATCH, 3)), rng.normal(size=(BATCH, 2))
    phase = Phase(Estimator.chain_differences, difference=Difference.antithetic, perturb_radius=0.25)
    plan = Plan.of_layers(
        (first, last), theta.astype(np.float32), Loss.mse, Training((phase,)), BATCH, input_number=Number.float32
    )
    a, b = theta[:12].reshape(4, 3), theta[12:].reshape(2, 4)
    slopes = (x @ a.T @ b.T - y) / BATCH  # of the mean of two squares, times 2 / 2
    expected = np.concatenate([((slopes @ b).T @ x).ravel(), (slopes.T @ (x @ a.T)).ravel()])
    np.testing.assert_allclose(CoreEstimate(plan, phase, 0, 0, theta, x, y).gradient(), expected, rtol=0, atol=1e-13)


def test_a_change_goes_through_a_layer_too_large_for_a_matrix(core):
    plan = wide_plan(
        (6, 144, (2, 3), (12, 12), (1, 2, 1), Activation.relu),
        (144, 144, (12, 12), (12, 12), (1, 1, 1), Activation.tanh),
        (144, 2, (12, 12), (1, 2), (1, 1, 1), Activation.identity),
    )
    rows = random_rows(np.random.default_rng(2), plan, plan.batch)
    device, reference = Runtime(core, plan), Trainer(plan)
    for trainer in (device, reference):
        put(trainer, rows)
    x = np.ascontiguousarray(rows).view("<f4")[:, :6].astype(np.float64)
    y = np.ascontiguousarray(rows).view("<f4")[:, 6:].astype(np.float64)
    phase = plan.training.phases[0]
    expected = plain_cge(plan, phase, plan.parameters.astype(np.float64), x, y)
    for trainer in (device, reference):
        trainer.step(Region.batch)
        # theta's own rounding (6e-8 of numbers near 1, over a rate of 1/2) and float32 chains of 144 terms
        np.testing.assert_allclose(
            (plan.parameters - trainer.theta) / 0.5, expected, rtol=0, atol=1e-4 * np.abs(expected).max()
        )
    assert device.theta.tobytes() == reference.theta.tobytes()


def test_node_cge_takes_slices_where_both_halves_of_a_layer_are_large(core):
    # ml 64 x nl 32 x rank 8 numbers before the cut: more than max_matrix
    layer = (256, 256, (8, 4, 8), (8, 8, 4), (1, 2, 8, 1), Activation.identity)
    plan = wide_plan(layer)
    phase = Phase(Estimator.node_cge, difference=Difference.antithetic, update=Update.sgd, learning_rate=0.5)
    plan = plan.with_training(Training((phase,)))
    assert assembled_by(plan, 0) == Assembled.slices
    rows = random_rows(np.random.default_rng(2), plan, plan.batch)
    device, reference = Runtime(core, plan), Trainer(plan)
    for trainer in (device, reference):
        put(trainer, rows)
        trainer.step(Region.batch)
    assert device.theta.tobytes() == reference.theta.tobytes()
    by_entries = plan.with_training(Training((dataclasses.replace(phase, estimator=Estimator.cge),)))
    expected = Trainer(by_entries)
    put(expected, rows)
    expected.step(Region.batch)
    # a squared error of linear outputs: central differences of units and of entries are both the gradient. Left are
    # float32 chains of up to 512 terms, relative to the largest derivative
    moves = [plan.parameters - trainer.theta for trainer in (device, expected)]
    np.testing.assert_allclose(*moves, rtol=0, atol=1e-4 * np.abs(moves[1]).max())


def test_environments_too_large_to_count_are_refused_by_exporter_and_device(core):
    layer = Layer(
        "wide", LayerKind.tt_matrix, 60000, 60000, 0, False, Activation.identity, (2, 30000), (30000, 2), (1, 5, 1)
    )
    plan = Plan.of_layers((layer,), np.zeros(layer.n_parameters, np.float32), Loss.mse, batch=1)
    bundle = bytearray(to_bundle.write(plan))
    bundle[BundleHeader.SIZE + ModelInfo.SIZE + TrainingRecord.SIZE] = (
        Estimator.cge
    )  # the first field of the first phase
    bundle[-4:] = zlib.crc32(bundle[:-4]).to_bytes(4, "little")
    with pytest.raises(DeviceError) as refused:  # 30000 * 5 * 30000 numbers of one sweep: more than 32 bits count
        Runtime(core, plan, bundle=bytes(bundle))
    assert refused.value.name == "bad_model"
    with pytest.raises(PlanError):
        memory.work_bytes(plan.with_training(Training((Phase(Estimator.cge),))))


def test_caches_of_16_bits_take_less_memory():
    layer = (784, 1024, (7, 4, 4, 7), (8, 4, 4, 8), (1, 6, 6, 6, 1), Activation.relu)
    plan = wide_plan(layer, (1024, 10, (8, 4, 4, 8), (1, 5, 2, 1), (1, 6, 6, 6, 1), Activation.identity))
    narrow = dataclasses.replace(plan, cache=Cache.int16)
    assert 2 * memory.work_bytes(narrow) < memory.work_bytes(plan)


def test_memory_does_not_grow_with_the_batch_but_for_its_rows():
    small, large = (wide_plan((6, 144, (2, 3), (12, 12), (1, 2, 1), Activation.relu), batch=n) for n in (2, 34))
    rows = 32 * (small.row_bytes + 2 * 4)  # raw rows, a loss and a row number each
    assert memory.work_bytes(large) - memory.work_bytes(small) == rows
