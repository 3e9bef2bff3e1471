# SPDX-License-Identifier: MIT
"""Losses: torch's numbers, changes without cancellation, the same bits in C and NumPy, the ONNX graph within its bound."""

import dataclasses
import zlib

import numpy as np
import pytest
import torch
from graphs import random_graph
from plans import random_inputs, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import Activation, DeviceError, Difference, Estimator, LayerKind, Loss, Number, Region
from ttzo.exporter.operations.layer import Layer, PlanError
from ttzo.exporter.plan.loss_options import NO_CLASS, LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import ExportError, plan_from_module
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.measure.precision import loss_bound, losses64
from ttzo.host_tools.reference.network.loss import loss_change, loss_slopes, row_losses
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork
from ttzo.host_tools.reference.train.trainer import Trainer

N = 40  # rows
CASES = {  # out_features, the loss and its numbers
    "mse": (3, Loss.mse, LossOptions()),
    "huber": (3, Loss.huber, LossOptions(huber_delta=0.75)),
    "classes": (5, Loss.cross_entropy, LossOptions()),
    "weighted": (5, Loss.cross_entropy, LossOptions(class_weights=(0.5, 2.0, 0.0, 1.25, 3.0))),
    "binary": (1, Loss.binary_cross_entropy, LossOptions()),
    "weighted binary": (1, Loss.binary_cross_entropy, LossOptions(class_weights=(0.25, 4.0))),
    "places": (12, Loss.place_cross_entropy, LossOptions(places=4)),
    "weighted places": (12, Loss.place_cross_entropy, LossOptions(places=4, class_weights=(1.5, 0.5, 2.0))),
}


def plan_of(case: str, training: Training | None = None) -> Plan:
    """Two layers, 4 inputs."""
    out, loss, options = CASES[case]
    rng = np.random.default_rng(len(case))
    layers = [
        Layer("a", LayerKind.dense, 4, 6, 0, True, Activation.tanh),
        Layer("b", LayerKind.dense, 6, out, 30, True, Activation.identity),
    ]
    theta = rng.normal(0, 1, 30 + 7 * out).astype(np.float32)
    settings = dict(training=training or Training(), batch=6, input_number=Number.float32, loss_options=options)
    return Plan.of_layers(layers, theta, loss, **settings)


def targets_of(rng: np.random.Generator, plan: Plan, n: int) -> np.ndarray:
    """Of sequences a third is padding, the first row all of it."""
    y = data_set.random_targets(plan, rng, n)
    if plan.has_padding:
        y[rng.random(y.shape) < 0.3] = NO_CLASS
        y[0] = NO_CLASS
    return y if plan.has_classes else y.astype(np.float32)


def by_torch(plan: Plan, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each row's loss in double, by torch's functions."""
    z, wanted, options = torch.from_numpy(outputs.astype(np.float64)), torch.from_numpy(y), plan.loss_options
    weights = torch.tensor(options.class_weights, dtype=torch.float64) if options.class_weights else None
    functions = torch.nn.functional
    match plan.loss:
        case Loss.mse:
            return functions.mse_loss(z, wanted.double(), reduction="none").mean(1).numpy()
        case Loss.huber:
            made = functions.huber_loss(z, wanted.double(), reduction="none", delta=options.huber_delta)
            return made.mean(1).numpy()
        case Loss.cross_entropy:
            return functions.cross_entropy(z, wanted, weights, reduction="none").numpy()
        case Loss.binary_cross_entropy:
            each = weights[wanted] if weights is not None else None
            return functions.binary_cross_entropy_with_logits(z[:, 0], wanted.double(), each, reduction="none").numpy()
    scores = z.reshape(len(z), plan.n_places, -1).transpose(1, 2)
    losses = functions.cross_entropy(scores, wanted, weights, ignore_index=NO_CLASS, reduction="none")
    return (losses.sum(1) / (wanted != NO_CLASS).sum(1).clamp(min=1)).numpy()


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_torch(case):
    plan, rng = plan_of(case), np.random.default_rng(1)
    outputs, y = rng.normal(0, 3, (N, plan.out_features)).astype(np.float32), targets_of(rng, plan_of(case), N)
    expected = by_torch(plan, outputs, y)
    np.testing.assert_allclose(row_losses(plan, outputs, y), expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_losses_in_double_are_those_of_torch(case):
    plan, rng = plan_of(case), np.random.default_rng(2)
    x, y = random_inputs(rng, plan, N), targets_of(rng, plan, N)
    theta = plan.parameters.astype(np.float64)
    hidden = np.tanh(x @ theta[:24].reshape(6, 4).T + theta[24:30])
    size = 6 * plan.out_features
    outputs = hidden @ theta[30 : 30 + size].reshape(-1, 6).T + theta[30 + size :]
    np.testing.assert_allclose(
        losses64(plan, plan.parameters, x, y), by_torch(plan, outputs, y), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_changes_keep_their_digits(case, size):
    """A difference of two float32 losses would have an error of 1e-7 of the loss: at changes of 1e-6, a tenth of them."""
    plan, rng = plan_of(case), np.random.default_rng(3)
    outputs, y = rng.normal(0, 2, (N, plan.out_features)).astype(np.float32), targets_of(rng, plan, N)
    changes = (size * rng.normal(0, 1, (2, plan.out_features, N))).astype(np.float32)
    found = loss_change(plan, loss_slopes(plan, outputs, y), changes, y)
    before = by_torch(plan, outputs, y)
    after = [by_torch(plan, outputs.astype(np.float64) + change.T, y) for change in changes.astype(np.float64)]
    np.testing.assert_allclose(found, np.array(after) - before, rtol=0, atol=4e-6 * size)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_computes_them_within_the_bound(case, seed):
    plan, rng = plan_of(case), np.random.default_rng(seed)
    x, y = random_inputs(rng, plan, N), targets_of(rng, plan, N)
    ours, theirs = (network(plan).losses(plan.parameters, x, y) for network in (NumpyNetwork, OnnxNetwork))
    bound = loss_bound(plan, plan.parameters, x, y)
    assert bound < 5e-4 * max(1, ours.mean())
    assert abs(float(ours.astype(float).mean() - theirs.astype(float).mean())) <= bound
    assert abs(float(ours.astype(float).mean()) - losses64(plan, plan.parameters, x, y).mean()) <= bound


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


def trained_alike(core, plan: Plan, rng: np.random.Generator) -> None:
    device, reference = Runtime(core, plan), Trainer(plan, NumpyNetwork(plan))
    rows = random_rows(rng, plan, plan.batch).tobytes()
    for run in (device, reference):
        run.write(Region.batch, 0, rows)
        run.commit(Region.batch, len(rows), zlib.crc32(rows))
    for _ in range(2):
        ours, theirs = device.step(Region.batch), reference.step(Region.batch)
        assert (ours.loss, ours.gradient_norm) == (theirs.loss, theirs.gradient_norm)
    assert np.array_equal(device.theta, reference.theta)
    assert device.evaluate(Region.batch, 0, plan.batch) == reference.evaluate(Region.batch, 0, plan.batch)


@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.cge, Estimator.node_cge])
@pytest.mark.parametrize("case", CASES)
def test_c_and_numpy_train_with_them_to_the_same_bits(core, case, estimator):
    phase = Phase(estimator, difference=Difference(len(case) % 2), n_queries=3, perturb_radius=1e-2)
    trained_alike(core, plan_of(case, Training((phase,))), np.random.default_rng(4))


@pytest.mark.parametrize("seed", range(12))
def test_graphs_train_with_them_to_the_same_bits(core, seed):
    rng, training = np.random.default_rng(seed), Training((Phase(Estimator.cge, perturb_radius=1e-2),))
    plan = random_graph(rng, training, loss=Loss.mse, nodes=5)
    places = next((p for p in (2, 3) if plan.out_features % p == 0), 1)
    weights = tuple(rng.uniform(0, 2, plan.out_features // places))
    made = [
        (Loss.huber, LossOptions(huber_delta=0.5)),
        (Loss.cross_entropy, LossOptions(class_weights=tuple(rng.uniform(0, 2, plan.out_features)))),
        (Loss.place_cross_entropy, LossOptions(places, weights)),
    ][seed % 3]
    trained_alike(core, dataclasses.replace(plan, loss=made[0], loss_options=made[1]), rng)


def test_a_class_that_is_not_there_is_refused(core):
    for case, wrong in (("binary", 2), ("places", 3), ("classes", NO_CLASS)):
        plan = plan_of(case)
        rows = random_rows(np.random.default_rng(5), plan, plan.batch)
        rows[4, -2:] = np.array([wrong], "<u2").view(np.uint8)
        content = rows.tobytes()
        for run in (Runtime(core, plan), Trainer(plan, NumpyNetwork(plan))):
            run.write(Region.batch, 0, content)
            with pytest.raises(DeviceError) as error:
                run.commit(Region.batch, len(content), zlib.crc32(content))
            assert (error.value.name, error.value.detail) == ("bad_label", 4)


# ---- export ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_keeps_them(case):
    plan = plan_of(case)
    again = to_bundle.read(to_bundle.write(plan))
    assert (again.loss, again.loss_options) == (plan.loss, plan.loss_options)
    assert to_bundle.model_hash(again) == to_bundle.model_hash(plan)


def damaged(data: bytes) -> bytes:
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


@pytest.mark.parametrize("field", [b"\x00\x00\x03\x00", b"\x05\x00\x03\x00", b"\x04\x00\x02\x00"])
def test_a_device_refuses_numbers_that_do_not_fit(core, field):
    """No places, places that do not divide the outputs, one class weight too few."""
    data = to_bundle.write(plan_of("weighted places"))
    at = data.index(b"\x04\x00\x03\x00\x00\x00\x00\x00\x00\x00\xc0\x3f")  # places, weights, delta, the first weight
    with pytest.raises(DeviceError):
        Runtime(core, plan_of("weighted places"), bundle=damaged(data[:at] + field + data[at + 4 :]))


@pytest.mark.parametrize(
    ("out", "loss", "options", "said"),
    [
        (2, Loss.binary_cross_entropy, {}, "takes one output"),
        (6, Loss.place_cross_entropy, {}, r"are \[places, classes\]"),
        (6, Loss.place_cross_entropy, {"places": 4}, "no whole number of classes"),
        (6, Loss.cross_entropy, {"class_weights": (1.0,)}, "1 class weights"),
        (6, Loss.cross_entropy, {"class_weights": (1.0,) * 5 + (-1.0,)}, "at least 0"),
        (6, Loss.huber, {"huber_delta": 0.0}, "above 0"),
    ],
)
def test_numbers_that_do_not_fit_are_said(out, loss, options, said):
    layer = Layer("a", LayerKind.dense, 4, out, 0, True, Activation.identity)
    with pytest.raises(PlanError, match=said):
        Plan.of_layers([layer], np.zeros(5 * out, np.float32), loss, loss_options=LossOptions(**options))


class Sequence(torch.nn.Module):
    """Scores [places, classes] of a cell over 5 steps of 3 numbers."""

    def __init__(self):
        super().__init__()
        self.cell, self.scores = torch.nn.RNN(3, 4, batch_first=True), torch.nn.Linear(4, 7)

    def forward(self, x):
        return torch.softmax(self.scores(self.cell(x)[0]), -1)


def test_a_module_with_scores_for_each_place_is_exported_and_measured(tmp_path):
    torch.manual_seed(0)
    module, rng = Sequence(), np.random.default_rng(6)
    settings = dict(input_number=Number.float32, input_shape=(5, 3), batch=4)
    plan = plan_from_module(module, loss=Loss.place_cross_entropy, **settings)
    assert (plan.n_places, plan.n_classes, plan.row_bytes) == (5, 7, 4 * 15 + 2 * 5)
    x = rng.normal(0, 1, (9, 5, 3)).astype(np.float32)
    y = rng.integers(0, 7, (9, 5))
    y[2, 3:] = NO_CLASS
    scores = module(torch.from_numpy(x)).detach().numpy()
    (tmp_path / "model.ttzo").write_bytes(to_bundle.write(plan))
    with open_device("numpy:", tmp_path) as device:
        found = device.evaluate(data_set.pack_rows(x.reshape(9, -1), y))
    assert found.n_judged == 43
    assert found.n_correct == int((scores.argmax(2) == y).sum())
    expected = -np.log(np.take_along_axis(scores, np.where(y == NO_CLASS, 0, y)[..., None], 2)[..., 0])
    judged = y != NO_CLASS
    assert found.loss == pytest.approx(((expected * judged).sum(1) / judged.sum(1)).mean(), rel=1e-5)
    with pytest.raises(ExportError, match=r"ends in an array \[5, 7\]"):
        plan_from_module(module, loss=Loss.cross_entropy, **settings)


def test_a_sigmoid_at_the_end_belongs_to_the_loss_of_one_logit():
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Sigmoid())
    plan = plan_from_module(module, loss=Loss.binary_cross_entropy, input_number=Number.float32, input_shape=(3,))
    x = np.random.default_rng(7).normal(0, 1, (5, 3)).astype(np.float32)
    expected = module[0](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(NumpyNetwork(plan).outputs(plan.parameters, x), expected, atol=1e-6)


def test_rows_of_places_come_out_of_an_npz_file(tmp_path):
    plan, rng = plan_of("places"), np.random.default_rng(8)
    y = targets_of(rng, plan, 30)
    np.savez(tmp_path / "rows.npz", x_train=rng.normal(0, 1, (30, 4)), y_train=y)
    found = data_set.load(tmp_path / "rows.npz", plan)
    assert found.y_train.shape == (len(found.x_train), 4) and found.train_rows.shape[1] == plan.row_bytes
    together = np.concatenate([found.y_train, found.y_test, found.y_validation])
    assert sorted(map(tuple, together)) == sorted(map(tuple, y))
    y[7, 2] = 3
    np.savez(tmp_path / "rows.npz", x_train=rng.normal(0, 1, (30, 4)), y_train=y)
    with pytest.raises(data_set.DataError, match=r"x_train\[7\] has the class 3, the model knows 0 to 2"):
        data_set.load(tmp_path / "rows.npz", plan)
