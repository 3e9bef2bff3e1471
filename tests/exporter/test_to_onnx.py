# SPDX-License-Identifier: MIT
"""The ONNX graphs: clean, of plain operators, and equal to torch in onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest

from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import Sine, TTLinear, torch
from ttzo.exporter.writers.onnx.to_onnx import forward_graph, loss_graph
from ttzo.exporter.writers.to_bundle import model_hash

nn = torch.nn

# onnxruntime may add up in any order, as torch does. Layers here sum at most 784 products of size about 1/28, outputs
# are of size 1: float32 rounding (6e-8) times sqrt(784) for each of three layers, with a factor 3 of reserve.
BOUND = 2e-5


def classifier():
    return nn.Sequential(
        nn.Flatten(), TTLinear(24, 30, (2, 3, 4), (5, 2, 3), (3, 4)), nn.ReLU(), TTLinear(30, 30, (5, 6), (6, 5), 4),
        nn.Tanh(), TTLinear(30, 30, (5, 6), (6, 5), 4), nn.ReLU(), nn.Linear(30, 7),
    )  # fmt: skip


def regressor():
    return nn.Sequential(
        TTLinear(21, 48, (3, 7), (3, 4, 4), 4, "tensor"), Sine(), TTLinear(48, 48, (3, 4, 4), (3, 16), 3, "tensor", bias=False),
        Sine(), nn.Linear(48, 2, bias=False),
    )  # fmt: skip


def mnist():
    return nn.Sequential(
        TTLinear(784, 1024, (7, 4, 4, 7), (8, 4, 4, 8), 6), nn.ReLU(), TTLinear(1024, 10, (8, 4, 4, 8), (1, 5, 2, 1), 6)
    )


CASES = {
    "classifier": (classifier, Loss.cross_entropy),
    "regressor": (regressor, Loss.mse),
    "mnist": (mnist, Loss.cross_entropy),
    "one dense layer": (lambda: nn.Linear(5, 3), Loss.mse),
    "one core": (lambda: TTLinear(5, 3, (5,), (3,), ()), Loss.cross_entropy),
}


@pytest.fixture(params=CASES)
def case(request):
    make, loss = CASES[request.param]
    torch.manual_seed(11)
    module = make()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return module, plan_from_module(module, loss=loss)


def rows(plan, batch, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (batch, plan.in_features)).astype(np.float32)
    if plan.loss == Loss.cross_entropy:
        return x, rng.integers(0, plan.out_features, batch)
    return x, rng.standard_normal((batch, plan.out_features)).astype(np.float32)


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def feed(plan, x, y):
    tensors = {t.name: plan.parameters[t.offset : t.offset + t.size].reshape(t.shape) for t in plan.tensors}
    return tensors | {"x": x, "y": y}


def torch_losses(module, plan, x, y):
    with torch.no_grad():
        out = module(torch.from_numpy(x))
        if plan.loss == Loss.cross_entropy:
            return nn.functional.cross_entropy(out, torch.from_numpy(y), reduction="none").numpy()
        return nn.functional.mse_loss(out, torch.from_numpy(y), reduction="none").mean(1).numpy()


def test_graphs_pass_the_full_checker(case):
    _, plan = case
    for model in (forward_graph(plan), loss_graph(plan)):
        onnx.checker.check_model(model, full_check=True)


def test_graphs_keep_to_plain_operators_and_old_versions(case):
    _, plan = case
    for model in (forward_graph(plan), loss_graph(plan)):
        for function in model.functions:
            assert {node.op_type for node in function.node} <= {"Reshape", "Transpose", "MatMul", "Constant", "Add"}
        # what onnxruntime 1.18 documents as its newest: opset 21, IR 10
        assert model.ir_version <= 10
        assert all(entry.version <= 21 for entry in model.opset_import if entry.domain == "")


@pytest.mark.parametrize("batch", [1, 6])
def test_forward_agrees_with_torch_for_any_batch(case, batch):
    module, plan = case
    x, _ = rows(plan, batch)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    (outputs,) = session(forward_graph(plan)).run(["outputs"], {"x": x})
    np.testing.assert_allclose(outputs, expected, atol=BOUND)


@pytest.mark.parametrize("batch", [1, 6])
def test_losses_agree_with_torch_for_any_batch(case, batch):
    module, plan = case
    x, y = rows(plan, batch)
    losses, loss, outputs = session(loss_graph(plan)).run(["losses", "loss", "outputs"], feed(plan, x, y))
    expected = torch_losses(module, plan, x, y)
    assert losses.shape == (batch,) and loss.shape == () and outputs.shape == (batch, plan.out_features)
    # a loss moves at most twice as far as the outputs (cross-entropy), or by twice the residual, here below 4 (mse)
    np.testing.assert_allclose(losses, expected, atol=8 * BOUND)
    assert loss == pytest.approx(expected.mean(), abs=8 * BOUND)


def test_loss_graph_evaluates_at_the_parameters_it_is_given(case):
    module, plan = case
    x, y = rows(plan, 4)
    moved = plan_from_module(module, loss=plan.loss)
    moved.parameters[:] += 0.05 * np.random.default_rng(1).choice([-1, 1], plan.n_parameters).astype(np.float32)
    graph = session(loss_graph(plan))
    assert {entry.name for entry in graph.get_inputs()} == {t.name for t in plan.tensors} | {"x", "y"}
    here, there = (graph.run(["loss"], feed(p, x, y))[0] for p in (plan, moved))
    assert abs(here - there) > 1e-4


def test_large_logits_give_finite_losses():
    plan = plan_from_module(nn.Linear(2, 3, bias=False))
    plan.parameters[:] = [300, 0, 0, 0, -300, 0]
    x, y = np.array([[1, 0]], np.float32), np.array([2])
    (losses,) = session(loss_graph(plan)).run(["losses"], feed(plan, x, y))
    assert losses[0] == pytest.approx(600)


def test_equal_geometries_share_one_function():
    torch.manual_seed(0)
    model = forward_graph(plan_from_module(classifier()))
    assert [f.name for f in model.functions] == ["TTMatrix_2x3x4_5x2x3_r3x4_bias", "TTMatrix_5x6_6x5_r4_bias"]
    assert [node.op_type for node in model.graph.node].count("TTMatrix_5x6_6x5_r4_bias") == 2


def test_metadata_tell_scaling_and_hash():
    plan = plan_from_module(nn.Linear(2, 2), input_number=Number.uint8, input_scale=1 / 255, input_offset=-0.5)
    told = {entry.key: entry.value for entry in forward_graph(plan).metadata_props}
    assert np.float32(told["input_scale"]) == np.float32(1 / 255) and told["input_offset"] == "-0.5"
    assert told["input_number"] == "uint8" and told["model_hash"] == model_hash(plan).hex()


def test_equal_plans_give_equal_bytes(case):
    module, plan = case
    again = plan_from_module(module, loss=plan.loss)
    assert loss_graph(plan).SerializeToString() == loss_graph(again).SerializeToString()
