# SPDX-License-Identifier: MIT
"""Keras's Embedding, LayerNormalization, RMSNormalization and MultiHeadAttention in the nodes that tf2onnx 1.17 writes for them."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.operations.learnt_array import LearntArray
from ttzo.exporter.readers.from_onnx import OnnxError, plan_from_file
from ttzo.host_tools.reference.operations.graph import model_forward

BOUND = 5e-6  # of outputs of size 1 to 10, some dozen roundings of float32 away from onnxruntime's own order of sums
ROWS = 5


def floats(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def node(operator, inputs, out, **attributes):
    return helper.make_node(operator, inputs.split(), [out], name=f"net/{out}", **attributes)


def save(path, nodes, constants, row, dtype=TensorProto.FLOAT):
    """The file of `nodes` from x [rows, *row] to y, with constants by name."""
    x, y = (helper.make_tensor_value_info("x", dtype, ["n", *row]), helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"]))  # fmt: skip
    arrays = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def expected(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def computed(plan, x, parameters=None):
    rows = x.reshape(len(x), -1).astype(np.float32)
    return model_forward(plan, plan.parameters if parameters is None else parameters, rows)


def part(plan, name, parameters=None):
    """The numbers of a tensor in theta."""
    tensor = next(tensor for tensor in plan.tensors if tensor.name == name)
    return (plan.parameters if parameters is None else parameters)[tensor.offset : tensor.offset + tensor.size]


# ---- embeddings -----------------------------------------------------------------------------------------------------

TABLE = floats(9, 4)
HEAD = [
    node("Gather", "table codes", "e"),
    node("Reshape", "e flat", "f"),
    node("MatMul", "f head", "y"),
]
EMBEDDING = {
    "table": TABLE,
    "known": np.int32(9),
    "zero": np.float32(0),
    "flat": np.array([-1, 12], np.int64),
    "head": floats(12, 2),
}


def counted_from_the_end(codes):
    """Codes below zero count from the table's end, as tf2onnx writes tf.where(x < 0, x + known, x)."""
    whole = TensorProto.INT32
    return [
        node("Add", f"{codes} known", "from_end"),
        node("Cast", codes, "number", to=TensorProto.FLOAT),
        node("Less", "number zero", "below"),
        node("Cast", "below", "is_below", to=whole),
        node("Mul", "is_below from_end", "a"),
        node("Not", "below", "above"),
        node("Cast", "above", "is_above", to=whole),
        node("Mul", f"{codes} is_above", "b"),
        node("Add", "a b", "codes"),
    ]


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.FLOAT])
def test_codes_that_an_embedding_only_checks_are_looked_up_as_they_are_and_its_table_is_trained(tmp_path, dtype):
    is_whole = dtype == TensorProto.INT32
    checks = counted_from_the_end("x")
    if not is_whole:
        checks = [node("Cast", "x", "whole", to=TensorProto.INT32), *counted_from_the_end("whole")]
    path = save(tmp_path / "net.onnx", [*checks, *HEAD], EMBEDDING, (3,), dtype)
    plan = plan_from_file(path, loss=Loss.mse, input_number=Number.int16)
    x = np.random.default_rng(0).integers(0, 9, (ROWS, 3)).astype(np.int32 if is_whole else np.float32)
    assert np.abs(computed(plan, x) - expected(path, x)).max() < BOUND
    assert [tensor.name for tensor in plan.tensors] == ["layer0.weight", "layer1.weight"]
    assert sorted(part(plan, "layer0.weight")) == sorted(TABLE.reshape(-1))


@pytest.mark.parametrize("changes", [[node("Add", "x one", "codes")], [node("Mul", "x x", "codes")]])
def test_codes_that_are_changed_before_they_are_looked_up_are_refused(tmp_path, changes):
    path = save(tmp_path / "net.onnx", [*changes, *HEAD], EMBEDDING | {"one": np.int32(1)}, (3,), TensorProto.INT32)
    with pytest.raises(OnnxError, match="numbers of tokens that are not the network's input"):
        plan_from_file(path, loss=Loss.mse, input_number=Number.int16)


def test_a_mask_of_the_codes_is_refused_with_a_next_step(tmp_path):
    mask = [node("Equal", "x none", "hidden"), node("Cast", "hidden", "m", to=TensorProto.FLOAT), node("MatMul", "m head", "y")]  # fmt: skip
    path = save(tmp_path / "net.onnx", mask, {"none": np.int32(0), "head": floats(3, 2)}, (3,), TensorProto.INT32)
    with pytest.raises(OnnxError, match="Equal compares numbers that the input decides") as caught:
        plan_from_file(path, loss=Loss.mse, input_number=Number.int16)
    assert "mask_zero" in caught.value.hint


def test_an_operator_that_onnx_does_not_have_is_refused_with_a_next_step(tmp_path):
    """tf2onnx writes TensorFlow's Erfc as it is, of which Keras's exact gelu is made."""
    path = save(tmp_path / "net.onnx", [node("Erfc", "x", "y")], {}, (3,))
    with pytest.raises(OnnxError, match="No Op registered for Erfc") as caught:
        plan_from_file(path, loss=Loss.mse)
    assert "approximate=True" in caught.value.hint


# ---- norms ----------------------------------------------------------------------------------------------------------

EPSILON = np.float32(1e-3)


def layer_norm(x, out, mean, *, scale=True, center=True, **axes):
    """tf.nn.batch_normalization with the moments of a row: x g + (beta - mean g), g = gamma / deviation."""
    nodes = [
        node(mean, x, f"{out}.mean", **axes),
        node("Neg", f"{out}.mean", f"{out}.negative"),
        node("Sub", f"{x} {out}.mean", f"{out}.difference"),
        node("Mul", f"{out}.difference {out}.difference", f"{out}.square"),
        node(mean, f"{out}.square", f"{out}.variance", **axes),
        node("Add", f"{out}.variance epsilon", f"{out}.shifted"),
        node("Sqrt", f"{out}.shifted", f"{out}.root"),
        node("Reciprocal", f"{out}.root", f"{out}.inverse"),
    ]
    g, shift = f"{out}.inverse", f"{out}.shift"
    if scale:
        g = f"{out}.g"
        nodes.append(node("Mul", f"{out}.inverse gamma", g))
    nodes += [node("Mul", f"{x} {g}", f"{out}.product"), node("Mul", f"{out}.negative {g}", shift)]
    if center:
        shift = f"{out}.moved"
        nodes.append(node("Add", f"{out}.shift beta", shift))
    return [*nodes, node("Add", f"{out}.product {shift}", out)]


def rms_norm(x, out):
    return [
        node("Mul", f"{x} {x}", "square"),
        node("GlobalAveragePool", "square", "mean"),
        node("Add", "mean epsilon", "shifted"),
        node("Sqrt", "shifted", "root"),
        node("Reciprocal", "root", "inverse"),
        node("Mul", "inverse gamma", "g"),
        node("Mul", f"{x} g", out),
    ]


def normalised(x, axes, gamma, beta):
    """By numpy in double."""
    x = x.astype(np.float64)
    made = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPSILON)
    return made * (1 if gamma is None else gamma) + (0 if beta is None else beta)


FORMS = {  # a row, axes, how the mean is written
    "one axis": ((6,), (1,), {"mean": "ReduceMean", "axes": [1], "keepdims": 1}),
    "the last of two": ((3, 4), (2,), {"mean": "GlobalAveragePool"}),
    "both of two": ((3, 4), (1, 2), {"mean": "ReduceMean", "axes": [1, 2], "keepdims": 1}),
    "the last of three": ((2, 3, 4), (3,), {"mean": "ReduceMean", "axes": [3], "keepdims": 1}),
}


@pytest.mark.parametrize(("scale", "center"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_norm_is_taken_and_its_parameters_are_trained(tmp_path, form, scale, center):
    row, axes, mean = FORMS[form]
    shape = (1, *(size if axis in axes else 1 for axis, size in enumerate(row, 1)))
    count = int(np.prod(row))
    constants = {"epsilon": EPSILON, "flat": np.array([-1, count], np.int64), "head": floats(count, 2, seed=1)}
    constants |= ({"gamma": floats(*shape, seed=2)} if scale else {}) | ({"beta": floats(*shape, seed=3)} if center else {})  # fmt: skip
    nodes = [*layer_norm("x", "n", scale=scale, center=center, **mean), node("Reshape", "n flat", "f"), node("MatMul", "f head", "y")]  # fmt: skip
    path = save(tmp_path / "net.onnx", nodes, constants, row)
    plan = plan_from_file(path, loss=Loss.mse)
    x = floats(ROWS, *row, seed=4)
    assert np.abs(computed(plan, x) - expected(path, x)).max() < BOUND

    names = ["layer0.weight"] * scale + ["layer0.bias"] * center
    assert [tensor.name for tensor in plan.tensors][: len(names)] == names
    moved = plan.parameters + floats(plan.n_parameters, seed=5)
    gamma = part(plan, "layer0.weight", moved).reshape(shape) if scale else None
    beta = part(plan, "layer0.bias", moved).reshape(shape) if center else None
    head = part(plan, plan.tensors[-1].name, moved).reshape(2, count)
    wanted = normalised(x, axes, gamma, beta).reshape(ROWS, -1) @ head.T.astype(np.float64)
    assert np.abs(computed(plan, x, moved) - wanted).max() < 4 * BOUND


def test_an_rms_norm_is_taken_and_its_scale_is_trained(tmp_path):
    constants = {"epsilon": EPSILON, "gamma": floats(4), "flat": np.array([-1, 12], np.int64), "head": floats(12, 2)}
    nodes = [*rms_norm("x", "n"), node("Reshape", "n flat", "f"), node("MatMul", "f head", "y")]
    path = save(tmp_path / "net.onnx", nodes, constants, (3, 4))
    plan = plan_from_file(path, loss=Loss.mse)
    x = floats(ROWS, 3, 4, seed=4)
    assert np.abs(computed(plan, x) - expected(path, x)).max() < BOUND
    assert (part(plan, "layer0.weight") == constants["gamma"]).all()


def test_norms_that_begin_with_the_same_numbers_train_their_own(tmp_path):
    """tf2onnx keeps equal arrays once, as of two norms that were not trained."""
    mean = {"mean": "ReduceMean", "axes": [1], "keepdims": 1}
    nodes = [*layer_norm("x", "n", **mean), node("Tanh", "n", "t"), *layer_norm("t", "y", **mean)]
    path = save(tmp_path / "net.onnx", nodes, {"epsilon": EPSILON, "gamma": floats(1, 6), "beta": floats(1, 6, seed=1)}, (6,))  # fmt: skip
    plan = plan_from_file(path, loss=Loss.mse)
    x = floats(ROWS, 6)
    assert np.abs(computed(plan, x) - expected(path, x)).max() < BOUND
    assert plan.n_parameters == 24
    assert any("layer0 and layer1 begin with the same numbers" in note for note in plan.metadata["notes"])


@pytest.mark.parametrize(
    ("words", "axes", "gamma"),
    [("other axes than the last", [1], (1, 3, 1)), ("has parameters", [2], (1, 3, 4))],
)
def test_a_norm_along_other_axes_is_refused(tmp_path, words, axes, gamma):
    constants = {"epsilon": EPSILON, "gamma": floats(*gamma), "beta": floats(*gamma, seed=1)}
    path = save(
        tmp_path / "net.onnx",
        [*layer_norm("x", "n", "ReduceMean", axes=axes, keepdims=1), node("Flatten", "n", "y")],
        constants,
        (3, 4),
    )
    with pytest.raises(OnnxError, match=words):
        plan_from_file(path, loss=Loss.mse)


# ---- attention ------------------------------------------------------------------------------------------------------

PLACES, HEADS, SIZE = 5, 2, 4


def einsum(a, b, out):
    """A product of matrices as tf2onnx takes an Einsum apart: each side becomes
    [rows x heads, .., ..] by sizes taken from its shape, and the product gets its axes again."""
    nodes = []
    for side, name in (("a", a), ("b", b)):
        nodes += [node("Shape", name, f"{out}.{side}.shape"), node("Gather", f"{out}.{side}.shape first_two", f"{out}.{side}.two"),
                  node("ReduceProd", f"{out}.{side}.two", f"{out}.{side}.batch", keepdims=1),
                  node("Gather", f"{out}.{side}.shape axis4", f"{out}.{side}.inner"),
                  node("Concat", f"{out}.{side}.batch rest {out}.{side}.inner", f"{out}.{side}.flat", axis=0),
                  node("Reshape", f"{name} {out}.{side}.flat", f"{out}.{side}")]  # fmt: skip
    return [
        *nodes,
        node("Transpose", f"{out}.b", f"{out}.turned", perm=[0, 2, 1]),
        node("MatMul", f"{out}.a {out}.turned", f"{out}.product"),
        node("Max", f"{out}.a.two {out}.b.two", f"{out}.outer"),
        node("Gather", f"{out}.a.shape axis2", f"{out}.rows"),
        node("Gather", f"{out}.b.shape axis3", f"{out}.columns"),
        node("Concat", f"{out}.outer {out}.rows {out}.columns one", f"{out}.sizes", axis=0),
        node("Reshape", f"{out}.product {out}.sizes", f"{out}.long"),
        node("Squeeze", f"{out}.long axis4", out),
    ]


def causal(scores, out):
    """tf.where(mask, scores, -2.4e38), as products and a sum."""
    return [
        node("Cast", "seen", "is_seen", to=TensorProto.FLOAT),
        node("Not", "seen", "hidden"),
        node("Cast", "hidden", "is_hidden", to=TensorProto.FLOAT),
        node("Mul", "never is_hidden", "low"),
        node("Mul", f"is_seen {scores}", "kept"),
        node("Add", "kept low", out),
    ]


def attention(is_causal):
    nodes = []
    for name, unsqueezed, perm in (
        ("value", "axis2", [0, 3, 2, 4, 1]),
        ("query", "axis3", [0, 2, 1, 3, 4]),
        ("key", "one", [0, 3, 1, 2, 4]),
    ):
        nodes += [node("MatMul", f"x {name}.kernel", f"{name}.m"), node("Reshape", f"{name}.m heads", f"{name}.h"),
                  node("Add", f"{name}.h {name}.shift", f"{name}.s"), node("Unsqueeze", f"{name}.s {unsqueezed}", f"{name}.u"),
                  node("Transpose", f"{name}.u", name, perm=perm)]  # fmt: skip
    return [
        *nodes,
        *einsum("query", "key", "scores"),
        node("Mul", "scores half", "scaled"),
        *(causal("scaled", "masked") if is_causal else [node("Identity", "scaled", "masked")]),
        node("Softmax", "masked", "shares"),
        node("Unsqueeze", "shares axis3", "wide"),
        *einsum("wide", "value", "mixed"),
        node("Transpose", "mixed", "by_place", perm=[0, 2, 1, 3]),
        node("Reshape", "by_place places", "joined"),
        node("MatMul", "joined out.kernel", "o"),
        node("Add", "o out.shift", "outs"),
        node("Reshape", "outs flat", "f"),
        node("MatMul", "f head", "y"),
    ]


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_is_taken_and_all_its_parameters_are_trained(tmp_path, is_causal):
    width = HEADS * SIZE
    trained = {f"{name}.kernel": floats(width, width, seed=at) / np.float32(width**0.5) for at, name in enumerate(("value", "query", "key", "out"))}  # fmt: skip
    trained |= {f"{name}.shift": floats(HEADS, SIZE, seed=at) for at, name in enumerate(("value", "query", "key"))}
    trained |= {"out.shift": floats(width), "head": floats(PLACES * width, 3) / 4}
    whole = {"heads": [-1, PLACES, HEADS, SIZE], "places": [-1, PLACES, width], "flat": [-1, PLACES * width], "one": [1], "axis2": [2],
             "axis3": [3], "axis4": [4], "first_two": [0, 1], "rest": [-1]}  # fmt: skip
    constants = trained | {name: np.array(values, np.int64) for name, values in whole.items()}
    constants |= {"half": np.float32(0.5), "never": np.float32(-2.372671e38)}
    constants |= {"seen": np.tril(np.ones((1, 1, PLACES, PLACES), bool))}
    path = save(tmp_path / "net.onnx", attention(is_causal), constants, (PLACES, width))
    plan = plan_from_file(path, loss=Loss.mse)
    x = floats(ROWS, PLACES, width, seed=9)
    assert np.abs(computed(plan, x) - expected(path, x)).max() < BOUND
    assert plan.n_parameters == sum(values.size for values in trained.values())
    assert not any(
        isinstance(node.operation, LearntArray) and node.frozen for node in plan.graph.nodes
    )  # no mask is kept
    assert sorted(plan.parameters) == sorted(np.concatenate([values.reshape(-1) for values in trained.values()]))
