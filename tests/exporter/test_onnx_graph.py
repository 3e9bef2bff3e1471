# SPDX-License-Identifier: MIT
"""ONNX files of other programs as plans: PyTorch's two exporters, scikit-learn, Keras; and files that once went wrong."""

import contextlib
import io

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ttzo.device_runtime.contract import Loss, Number, TtzoError
from ttzo.exporter.export import resolve
from ttzo.exporter.readers.from_onnx import OnnxError, plan_from_file
from ttzo.exporter.writers.onnx.to_onnx import forward_graph, loss_graph
from ttzo.host_tools.reference.operations.graph import model_forward

BOUND = 5e-6  # of outputs of size 1 to 10, some dozen roundings of float32 away from onnxruntime's own order of sums
RNG = np.random.default_rng(0)


def numbers(name, *shape):
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32), name)


def whole(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save(path, nodes, constants, row, *, batch="n", opset=17, dtype=TensorProto.FLOAT):
    """The ONNX file of `nodes` from x [batch, *row] to y."""
    x = helper.make_tensor_value_info("x", dtype, [batch, *row])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "outs"])
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    ir = 8 if opset > 8 else 3
    if ir == 3:  # initialisers are inputs there
        graph.input.extend(helper.make_tensor_value_info(c.name, c.data_type, c.dims) for c in constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir), path)
    return path


def node(operator, inputs, out="y", **attributes):
    return helper.make_node(operator, inputs.split(), out.split(), **attributes)


def difference(path, *, rows=5, output=0, finish=lambda z: z, **settings):
    """The largest one between the plan's outputs and onnxruntime's, and the plan."""
    plan = plan_from_file(path, **({"loss": Loss.mse, "input_number": Number.float32} | settings))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [
        size if isinstance(size, int) else rows if axis == 0 else plan.in_features
        for axis, size in enumerate(given.shape)
    ]
    x = np.random.default_rng(5).uniform(-1, 1, shape).astype(np.float32)
    if "int" in given.type:
        x = np.random.default_rng(5).integers(0, 9, shape)
    wanted = session.run(None, {given.name: x})[output]
    if isinstance(wanted, list):  # of a ZipMap
        wanted = np.array([[row[name] for name in sorted(row)] for row in wanted])
    found = finish(model_forward(plan, plan.parameters, x.reshape(shape[0], -1).astype(np.float32)))
    return np.abs(found - np.reshape(wanted, (shape[0], -1))).max(), plan


# ---- operators ------------------------------------------------------------------------------------------------------

W, B = numbers("w", 6, 4), numbers("b", 4)
KERNEL, SHIFTS = numbers("k.weight", 4, 2, 3, 3), numbers("k.bias", 4)
NORM = [
    numbers("gamma", 4),
    numbers("beta", 4),
    numbers("mean", 4),
    numpy_helper.from_array(RNG.uniform(0.5, 2, 4).astype(np.float32), "var"),
]
GRU = [numbers("gw", 1, 15, 3), numbers("gr", 1, 15, 5), numbers("gb", 1, 30)]
LSTM = [numbers("lw", 2, 20, 3), numbers("lr", 2, 20, 5), numbers("lb", 2, 40)]
TAKEN = {  # nodes, constants, a row, opset
    "Conv, BatchNormalization, pooling": (
        [node("Conv", "x k.weight k.bias", "c", pads=[1, 0, 0, 2], strides=[2, 1]), node("BatchNormalization", "c gamma beta mean var", "n"),
         node("Relu", "n", "r"), node("MaxPool", "r", "p", kernel_shape=[2, 2], auto_pad="SAME_UPPER", strides=[2, 2]),
         node("AveragePool", "p", "a", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), node("GlobalAveragePool", "a", "g"), node("Flatten", "g")],
        [KERNEL, SHIFTS, *NORM], (2, 8, 7), 11),
    "channels last, as Keras": (
        [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Pad", "t pads", "p"), node("Conv", "p k.weight", "c"), node("Add", "c shift", "s"),
         node("Clip", "s low high", "l"), node("Transpose", "l", "u", perm=[0, 2, 3, 1]), node("Shape", "u", "n"), node("Slice", "n zero one", "rows"),
         node("Concat", "rows minus", "shape", axis=0), node("Reshape", "u shape", "f"), node("MatMul", "f dense", "m"), node("Add", "m b", "y")],
        [KERNEL, whole("pads", 0, 0, 1, 1, 0, 0, 1, 1), numbers("shift", 1, 4, 1, 1), numpy_helper.from_array(np.float32(0), "low"),
         numpy_helper.from_array(np.float32(6), "high"), whole("zero", 0), whole("one", 1), whole("minus", -1), numbers("dense", 120, 4), B], (6, 5, 2), 13),
    "GRU": (
        [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t gw gr gb", "s h", hidden_size=5, linear_before_reset=1),
         node("Squeeze", "h", "q", axes=[0]), node("MatMul", "q dense", "y")], [*GRU, numbers("dense", 5, 2)], (7, 3), 11),
    "LSTM, both ways": (
        [node("Transpose", "x", "t", perm=[1, 0, 2]), node("LSTM", "t lw lr lb", "s", hidden_size=5, direction="bidirectional"),
         node("Transpose", "s", "u", perm=[2, 0, 1, 3]), node("Reshape", "u shape", "f"), node("ReduceMean", "f", "y", axes=[1], keepdims=0)],
        [*LSTM, whole("shape", 0, 0, -1)], (7, 3), 14),
    "a norm written out": (
        [node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "d"), node("Pow", "d two", "s"), node("ReduceMean", "s", "v", axes=[-1]),
         node("Add", "v tiny", "e"), node("Sqrt", "e", "r"), node("Div", "d r", "n"), node("MatMul", "n w", "y")],
        [W, numpy_helper.from_array(np.float32(2), "two"), numpy_helper.from_array(np.float32(1e-5), "tiny")], (6,), 17),
    "opset 7": ([node("MatMul", "x w", "m"), node("Dropout", "m", "d", ratio=0.5), node("Add", "d b", "y")], [W, B], (6,), 7),
    "an embedding": (
        [node("Gather", "table x", "e"), node("Add", "e place", "p"), node("ReduceMax", "p", "y", axes=[1], keepdims=0)],
        [numbers("table", 9, 4), numbers("place", 1, 5, 4)], (5,), 17),
    # files that once went wrong
    "constants folded: a transposed weight": ([node("Transpose", "v", "t"), node("MatMul", "x t")], [numbers("v", 4, 6)], (6,), 17),
    "alpha and beta of Gemm": ([node("Gemm", "x w b", alpha=2.0, beta=0.5)], [W, B], (6,), 17),
    "a Constant of value_floats": ([node("MatMul", "x w", "h"), node("Constant", "", "c", value_floats=[1.0, 2.0, 3.0, 4.0]), node("Add", "h c")], [W], (6,), 17),
    "Identity of an initialiser": (
        [node("Identity", "b", "c"), node("Gemm", "x w b", "g"), node("Tanh", "g", "t"), node("Gemm", "t v c")], [W, B, numbers("v", 4, 4)], (6,), 17),
    "two layers that could both be layer1": (
        [node("Gemm", "x layer1.weight", "h"), node("Relu", "h", "r"), node("MatMul", "r onnx::MatMul_7")],
        [numbers("layer1.weight", 6, 4), numbers("onnx::MatMul_7", 4, 3)], (6,), 17),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_the_plan_computes_what_onnxruntime_does(tmp_path, case):
    nodes, constants, row, opset = TAKEN[case]
    tokens = case == "an embedding"
    path = save(
        tmp_path / "net.onnx",
        nodes,
        constants,
        row,
        opset=opset,
        dtype=TensorProto.INT64 if tokens else TensorProto.FLOAT,
    )
    found, plan = difference(path, input_number=Number.int16 if tokens else Number.float32)
    assert found < BOUND
    assert len({tensor.name for tensor in plan.tensors}) == len(plan.tensors)
    for graph in (forward_graph(plan), loss_graph(plan)):
        onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("shape", [(2, 6), (2, -1)])
def test_a_fixed_batch_whose_rows_are_only_regrouped_is_taken(tmp_path, shape):
    nodes = [node("Reshape", "x shape", "f"), node("MatMul", "f w", "y")]
    path = save(tmp_path / "net.onnx", nodes, [W, whole("shape", *shape)], (1, 2, 3), batch=2)
    assert difference(path)[0] < BOUND


REFUSED = {  # words, nodes, constants, a row, opset
    "rows that are split": ("does not hold one row", [node("MatMul", "x w", "h"), node("Reshape", "h s")], [W, whole("s", -1, 2)], (6,), 17),
    "Dropout that is switched on": ("has opset 6", [node("MatMul", "x w", "h"), node("Dropout", "h", "y", is_test=0, ratio=0.5)], [W], (6,), 6),
    "Reshape of opset 4": ("has opset 4", [node("Reshape", "x", "r", shape=[-1, 6]), node("MatMul", "r w")], [W], (6,), 4),
    "rows in the place of a bias": ("Gemm is not a plain product", [node("Gemm", "a w x")], [numbers("a", 5, 6), W], (4,), 17),
    "a GRU that resets first": (
        "resets before it multiplies", [node("Transpose", "x", "t", perm=[1, 0, 2]), node("GRU", "t gw gr gb", "s h", hidden_size=5),
                                        node("Squeeze", "h axis", "y")], [*GRU, whole("axis", 0)], (7, 3), 17),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_a_sentence(tmp_path, case):
    words, nodes, constants, row, opset = REFUSED[case]
    batch = 5 if "bias" in case else "n"
    path = save(tmp_path / "net.onnx", nodes, constants, row, opset=opset, batch=batch)
    with pytest.raises(OnnxError, match=words) as caught:
        plan_from_file(path, loss=Loss.mse)
    assert caught.value.hint


def test_axes_of_unknown_length_are_given_by_the_person(tmp_path):
    nodes = [node("Conv", "x k.weight", "c"), node("GlobalMaxPool", "c", "g"), node("Flatten", "g")]
    path = save(tmp_path / "net.onnx", nodes, [KERNEL], (2, "rows", "columns"))
    with pytest.raises(OnnxError, match="axes of unknown length") as caught:
        plan_from_file(path, loss=Loss.mse)
    assert "--input-shape" in caught.value.hint
    assert plan_from_file(path, loss=Loss.mse, input_shape=(2, 5, 6)).in_features == 60


# ---- other programs -------------------------------------------------------------------------------------------------


def probabilities(scores):
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize(("classes", "zipmap"), [(3, True), (3, False), (2, True)])
def test_a_pipeline_of_scikit_learn_ends_in_its_scores(tmp_path, classes, zipmap):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = RNG.normal(3, 2, (60, 5)).astype(np.float32)
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), "tanh", max_iter=5, random_state=0))
    with pytest.warns(Warning):  # it has not converged
        model.fit(x, np.arange(60) % classes)
    path = tmp_path / "net.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options={"zipmap": zipmap}).SerializeToString())
    found, plan = difference(path, output=1, finish=probabilities, loss=Loss.cross_entropy)
    assert found < BOUND
    assert plan.out_features == classes and any("label" in note for note in plan.metadata["notes"])
    assert [tensor.name for tensor in plan.tensors] == ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"]


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["convolution", "encoder", "lstm"])
def test_both_exporters_of_pytorch_are_read(tmp_path, dynamo, kind):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    nn = torch.nn
    torch.manual_seed(0)

    class Last(nn.Module):
        def forward(self, x):
            return x[0][:, -1]

    block = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
    models = {
        "convolution": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), (1, 8, 8)),
        "encoder": (nn.Sequential(block, nn.Flatten(), nn.Linear(40, 2)), (5, 8)),
        "lstm": (nn.Sequential(nn.LSTM(3, 5, batch_first=True), Last(), nn.Linear(5, 2)), (7, 3)),
    }  # fmt: skip
    module, row = models[kind]
    path = tmp_path / "net.onnx"
    rows = (
        {"dynamic_shapes": ({0: torch.export.Dim("n")},)}
        if dynamo
        else {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    )
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(module.eval(), (torch.randn(2, *row),), path, dynamo=dynamo, **rows)
    assert difference(path)[0] < BOUND


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.safetensors"])
def test_a_file_of_weights_shows_how_to_export_it(name):
    with pytest.raises(TtzoError, match="holds weights") as caught:
        resolve(name)
    assert name in caught.value.hint and "def model()" in caught.value.hint
