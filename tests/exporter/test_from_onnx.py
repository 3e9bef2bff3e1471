# SPDX-License-Identifier: MIT
"""A plan from an ONNX chain: what onnxruntime computes is what the plan computes, and anything else is named."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from plans import random_plan

from ttzo.device_runtime.contract import Activation, LayerKind, Loss, TtzoError
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.training import Training
from ttzo.exporter.readers.from_onnx import OnnxError, plan_from_file
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.onnx.to_onnx import forward_graph
from ttzo.host_tools.reference.network.network import forward

# Sums of at most 12 products of size 1 in two layers, in onnxruntime's own order: 2 * 12 * 2^-24, with a reserve of 3.
BOUND = 5e-6


def constant(name, *shape, seed=0, dtype=np.float32):
    return numpy_helper.from_array(np.random.default_rng(seed).standard_normal(shape).astype(dtype), name)


def save(path, nodes, constants, row=(12,), outs=4):
    """The ONNX file of `nodes` from x [batch, *row] to y [batch, outs]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *row])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outs])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def node(operator, inputs, out, **attributes):
    return helper.make_node(operator, inputs.split(), [out], f"{operator}_{out}", **attributes)


W, WT, W2, B, B2 = (
    constant("fc1.weight", 6, 12),
    constant("first", 12, 6),
    constant("second", 6, 4, seed=1),
    constant("b", 6, seed=2),
    constant("b2", 1, 4, seed=3),
)
SHAPE = numpy_helper.from_array(np.array([-1, 12]), "shape")
CHAINS = {
    "Gemm as torch writes it": (
        [node("Flatten", "x", "f"), node("Gemm", "f fc1.weight b", "g", transB=1), node("Relu", "g", "r"), node("Gemm", "r second", "y")],
        [W, B, W2], (3, 4),
    ),
    "MatMul and Add": (
        [node("MatMul", "x first", "m"), node("Add", "b m", "a"), node("Tanh", "a", "t"), node("MatMul", "t second", "n"),
         node("Identity", "n", "i"), node("Add", "i b2", "y")],
        [WT, B, W2, B2], (12,),
    ),
    "a Reshape by a Constant, and no bias": (
        [node("Constant", "", "s", value=SHAPE), node("Reshape", "x s", "f"), node("MatMul", "f first", "m"), node("Sin", "m", "t"),
         node("Dropout", "t", "d"), node("Gemm", "d second", "y")],
        [WT, W2], (2, 6),
    ),
    "two layers with nothing between": ([node("MatMul", "x first", "m"), node("MatMul", "m second", "y")], [WT, W2], (12,)),
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
def test_the_plan_computes_what_onnxruntime_does(tmp_path, chain):
    nodes, constants, row = CHAINS[chain]
    path = save(tmp_path / "net.onnx", nodes, constants, row)
    plan = plan_from_file(path, loss=Loss.mse)
    x = np.random.default_rng(5).uniform(-1, 1, (7, *row)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
    assert np.abs(forward(plan, plan.parameters, x.reshape(7, -1)) - wanted).max() < BOUND


def test_a_plan_comes_back_from_its_own_graph(tmp_path):
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(40):
        plan = random_plan(rng, Training(), gathers=False)
        onnx.save(forward_graph(plan), tmp_path / "net.onnx")
        read = plan_from_file(tmp_path / "net.onnx", loss=plan.loss)
        assert read.layers == tuple(dataclasses.replace(layer, contraction=0) for layer in plan.layers)
        assert np.array_equal(read.parameters, plan.parameters)
        kinds |= {layer.kind for layer in plan.layers}
    assert kinds == set(LayerKind)


def test_an_exported_model_is_exported_again_from_its_onnx_file(tmp_path):
    plan, path = plan_of("digits", seed=3), tmp_path / "digits.onnx"
    onnx.save(forward_graph(plan), path)
    again = plan_of(str(path), estimator="cge", batch=plan.batch)
    assert to_bundle.model_hash(dataclasses.replace(again, training=plan.training)) == to_bundle.model_hash(plan)
    assert plan_of(str(path), input_scale=0.5).input_scale == 0.5


def test_an_equation_does_not_come_with_its_network(tmp_path):
    onnx.save(forward_graph(plan_of("black-scholes")), tmp_path / "net.onnx")
    assert plan_of(str(tmp_path / "net.onnx"), loss="mse").pde is None


def test_export_takes_an_onnx_file_with_its_options(tmp_path):
    nodes, constants, row = CHAINS["Gemm as torch writes it"]
    path = save(tmp_path / "net.onnx", nodes, constants, row)
    plan = plan_of(str(path), batch=7, lr=0.25, loss="mse")
    assert (plan.batch, plan.loss, plan.training.phases[0].learning_rate) == (7, Loss.mse, 0.25)
    assert [(layer.name, layer.activation) for layer in plan.layers] == [
        ("fc1", Activation.relu),
        ("layer1", Activation.identity),
    ]
    assert plan.metadata["title"] == "net"
    with pytest.raises(TtzoError, match="cannot be changed"):
        plan_of(str(path), ranks=3)


# ---- what is refused -------------------------------------------------------------------------------------------------

DOUBLE, CUBE = constant("first", 12, 6, dtype=np.float64), constant("c", 2, 12, 4)
REFUSED = {
    "node Selu_y: Selu cannot be exported": ([node("MatMul", "x first", "m"), node("Selu", "m", "y")], [WT]),
    "node Erf_y: Erf stands alone": ([node("MatMul", "x first", "m"), node("Erf", "m", "y")], [WT]),
    "Softmax works across the rows": ([node("MatMul", "x first", "m"), node("Softmax", "m", "y", axis=0)], [WT]),
    "ReduceMean works across the rows": ([node("MatMul", "x first", "m"), node("ReduceMean", "m", "y", axes=[0])], [WT]),
    "Gemm is not a plain product": ([node("Gemm", "x first", "y", transA=1)], [WT]),
    "does not hold one row": ([node("MatMul", "x first", "m"), node("Flatten", "m", "y", axis=0)], [WT]),
    "Concat works across the rows": ([node("MatMul", "x first", "m"), node("Concat", "m m", "y", axis=0)], [WT]),
    "Exp cannot be exported": ([node("MatMul", "x first", "m"), node("Exp", "m", "y")], [WT]),
    "no layer leads from": ([node("Identity", "x", "y")], []),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_anything_else_is_named(tmp_path, sentence):
    nodes, constants = REFUSED[sentence]
    with pytest.raises(OnnxError, match=sentence) as caught:
        plan_from_file(save(tmp_path / "net.onnx", nodes, constants, outs="outs"), loss=Loss.mse)
    assert caught.value.hint


def _renamed(model):
    for call in (*model.graph.node, *model.functions):
        if call.domain == "ttzo" and isinstance(call, onnx.NodeProto):
            call.op_type = "Mine_" + call.op_type
        elif call.domain == "ttzo":
            call.name = "Mine_" + call.name


def _other_cores(model):
    call = next(each for each in model.graph.node if each.domain == "ttzo")
    call.input[1], call.input[2] = call.input[2], call.input[1]


@pytest.mark.parametrize("change", [_renamed, _other_cores])
def test_a_function_that_is_no_train_of_ours_is_refused(tmp_path, change):
    model = forward_graph(plan_of("digits"))
    change(model)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(OnnxError, match="is not a tensor-train layer as ttzo writes them"):
        plan_from_file(tmp_path / "net.onnx", loss=Loss.mse)


def test_rows_that_are_not_the_first_axis_are_refused(tmp_path):
    shape = numpy_helper.from_array(np.array([-1, 6]), "shape")
    nodes = [node("Reshape", "x shape", "f"), node("MatMul", "f second", "y")]
    with pytest.raises(OnnxError, match="does not hold one row for each row"):
        plan_from_file(save(tmp_path / "net.onnx", nodes, [shape, W2]), loss=Loss.mse)


def test_double_parameters_are_refused(tmp_path):
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", None]) for name in "xy")
    graph = helper.make_graph([node("MatMul", "x first", "y")], "net", [x], [y], [DOUBLE])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    with pytest.raises(OnnxError, match="float64 parameters"):
        plan_from_file(tmp_path / "net.onnx", loss=Loss.mse)


def test_a_missing_or_damaged_file_is_a_sentence(tmp_path):
    with pytest.raises(OnnxError, match="no file"):
        plan_from_file(tmp_path / "nothing.onnx", loss=Loss.mse)
    nodes, constants, row = CHAINS["MatMul and Add"]
    path = save(tmp_path / "net.onnx", nodes, constants, row)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :])
        try:
            plan_from_file(path, loss=Loss.mse)  # a bit of a parameter or of a name may well be another model
        except (OnnxError, PlanError) as error:
            assert error.hint
    path.write_bytes(content[:-40])
    with pytest.raises(OnnxError, match="not a valid ONNX model"):
        plan_from_file(path, loss=Loss.mse)
