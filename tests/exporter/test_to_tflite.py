# SPDX-License-Identifier: MIT
"""The TFLite writer, run by an independent interpreter and held against dense weights rebuilt in float64."""

import importlib
import math
from functools import reduce

import numpy as np
import pytest
import tflite
from graphs import random_graph
from plans import random_inputs

from ttzo.device_runtime.contract import Activation, Cell, LayerKind, Loss
from ttzo.exporter.operations.layer import LAYER_ACTIVATIONS, Layer, PlanError
from ttzo.exporter.plan.builder import Builder
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.to_tflite import tflite_bytes
from ttzo.host_tools.reference.operations.graph import graph_bounded

ROUNDING = 2.0**-24  # of one float32 operation
ACTIVATION_ERROR = ROUNDING  # LiteRT's tanh and sine are a few units off at most, eight of these
ACTIVATIONS = {
    Activation.identity: lambda z: z,
    Activation.relu: lambda z: np.maximum(z, 0),
    Activation.tanh: np.tanh,
    Activation.sine: np.sin,
}
ALLOWED = {"FULLY_CONNECTED", "RESHAPE", "TRANSPOSE", "ADD", "RELU", "TANH", "SIN"}
OPERATOR_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}


@pytest.fixture(scope="session", params=["AUTO", "BUILTIN_REF"])
def interpret(request):
    """`interpret(model, x)`: the outputs of a .tflite file, by LiteRT's fast kernels and by its plain reference kernels,
    which TFLite Micro shares. The runtime is ai-edge-litert, or tflite-runtime where numpy is older than 2."""
    names = ["ai_edge_litert"] + ["tflite_runtime"] * (np.lib.NumpyVersion(np.__version__) < "2.0.0")
    found = [name for name in names if importlib.util.find_spec(name)]
    assert found, f"none of {names} is installed: pip install ai-edge-litert"
    runtime = importlib.import_module(f"{found[0]}.interpreter")
    kernels = getattr(runtime.OpResolverType, request.param)

    def run(model: bytes, x: np.ndarray) -> np.ndarray:
        interpreter = runtime.Interpreter(model_content=model, experimental_op_resolver_type=kernels)
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        assert (source["name"], sink["name"], source["dtype"]) == ("x", "outputs", np.float32)
        assert list(source["shape"]) == [1, x.shape[1]]
        assert list(source["shape_signature"]) == [-1, x.shape[1]]
        if len(x) != 1:
            interpreter.resize_tensor_input(source["index"], x.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(sink["index"])

    return run


# ---- plans ----------------------------------------------------------------------------------------------------------


def factors(rng, product, count):
    """`count` modes that multiply to `product`, ones among them."""
    modes = [1] * count
    for prime in (2, 3, 5, 7):
        while product % prime == 0:
            product //= prime
            modes[rng.integers(count)] *= prime
    return tuple(modes)


def layer_of(rng, name, kind, activation, n_in, n_out, offset):
    modes = {}
    if kind == LayerKind.tt_matrix:
        count = int(rng.integers(1, 5))
        modes = {"in_modes": factors(rng, n_in, count), "out_modes": factors(rng, n_out, count)}
        n_cores = count
    if kind == LayerKind.tt_tensor:
        counts = rng.integers(1, 4, 2)
        modes = {"in_modes": factors(rng, n_in, counts[0]), "out_modes": factors(rng, n_out, counts[1])}
        n_cores = int(counts.sum())
    if modes:
        modes["ranks"] = (1, *(int(r) for r in rng.integers(1, 6, n_cores - 1)), 1)
    return Layer(name, kind, n_in, n_out, offset, bool(rng.integers(4)), activation, **modes)


def parameters_of(rng, layers):
    """Random numbers that keep the size of a signal: entries of the dense W have a variance of about 1 / in_features."""
    parts = []
    for layer in layers:
        scale = (layer.in_features * math.prod(layer.ranks)) ** (-0.5 / len(layer.core_shapes))
        deviations = [scale] * len(layer.core_shapes) + [0.5] * layer.has_bias
        parts += [rng.normal(0, s, tensor.size) for s, tensor in zip(deviations, layer.tensors, strict=True)]
    return np.concatenate(parts).astype(np.float32)


def plan_of(rng, kinds, activations):
    """A random plan with these layers."""
    widths = rng.choice([1, 6, 12, 30, 35, 64], len(kinds) + 1)
    layers, at = [], 0
    for k, (kind, activation) in enumerate(zip(kinds, activations, strict=True)):
        layers.append(layer_of(rng, f"layer{k}", kind, activation, int(widths[k]), int(widths[k + 1]), at))
        at += layers[-1].n_parameters
    return Plan.of_layers(tuple(layers), parameters_of(rng, layers), Loss.mse)


def plans_of_all_kinds():
    rng = np.random.default_rng(7)
    return [plan_of(rng, list(LayerKind), list(map(Activation, codes))) for codes in ([0, 1, 2], [3, 0, 1], [2, 3, 0])]


def dense_weight(layer, arrays):
    """W [out, in] in the type of `arrays`, by joining the cores at their ranks."""
    if layer.kind == LayerKind.dense:
        return arrays[0]
    n_cores = len(layer.core_shapes)
    joined = reduce(lambda a, b: np.tensordot(a, b, axes=1), arrays[:n_cores])[0, ..., 0]
    if layer.kind == LayerKind.tt_tensor:
        return joined.reshape(layer.in_features, layer.out_features).T
    axes = [*range(0, 2 * n_cores, 2), *range(1, 2 * n_cores, 2)]  # m_1 n_1 m_2 n_2 ... -> m_1 m_2 ... n_1 n_2 ...
    return joined.transpose(axes).reshape(layer.out_features, layer.in_features)


def expected(plan, x):
    """The outputs in float64, and how far float32 may be from them.

    Weights and inputs have random signs, so n roundings of a layer's chain of sums walk at random: their deviation is
    half a unit times sqrt(n) times the root of the sum of its squared terms (of cores squared, for a tensor train). The
    next layer's weights and the activations, which stretch nothing, carry it on. Eight deviations are allowed.
    """
    value, variance = x.astype(np.float64), np.zeros(x.shape)
    for layer in plan.layers:
        arrays = [plan.parameters[t.offset : t.offset + t.size].reshape(t.shape).astype(float) for t in layer.tensors]
        weight, squares = dense_weight(layer, arrays), dense_weight(layer, [a**2 for a in arrays])
        bias = arrays[-1] if layer.has_bias else np.zeros(layer.out_features)
        n_roundings = sum(inner for _, _, inner, _ in layer.contractions) + 1
        variance = variance @ (weight**2).T + ROUNDING**2 * n_roundings * (value**2 @ squares.T + bias**2)
        value = ACTIVATIONS[layer.activation](value @ weight.T + bias)
        variance = variance + (layer.activation in (Activation.tanh, Activation.sine)) * ACTIVATION_ERROR**2
    return value, 8 * np.sqrt(variance)


def check(interpret, plan, rng):
    model = tflite_bytes(plan)
    for batch in (1, 5):
        x = rng.normal(size=(batch, plan.in_features)).astype(np.float32)
        outputs = interpret(model, x)
        value, bound = expected(plan, x)
        assert outputs.shape == value.shape
        assert (abs(outputs - value) <= bound).all()
        assert (bound <= 1e-4).all(), "a bound so wide says nothing of outputs of size 1"


# ---- what is computed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", LAYER_ACTIVATIONS, ids=lambda activation: activation.name)
@pytest.mark.parametrize("kind", LayerKind, ids=lambda kind: kind.name)
def test_every_kind_of_layer_with_every_activation_computes_the_dense_layer(interpret, kind, activation):
    rng = np.random.default_rng([kind, activation])
    for _ in range(4):
        check(interpret, plan_of(rng, [kind], [activation]), rng)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_compute_what_their_dense_weights_do(interpret, seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    kinds, activations = rng.choice(list(LayerKind), count), rng.choice(LAYER_ACTIVATIONS, count)
    check(interpret, plan_of(rng, list(map(LayerKind, kinds)), list(map(Activation, activations))), rng)


@pytest.fixture(scope="module")
def mnist_plan():
    """784-1024-10 with the paper's folds, rank 6: 3962 parameters."""
    kind, ranks = LayerKind.tt_matrix, (1, 6, 6, 6, 1)
    first = Layer("fc1", kind, 784, 1024, 0, True, Activation.relu, (7, 4, 4, 7), (8, 4, 4, 8), ranks)
    second = Layer(
        "fc2", kind, 1024, 10, first.n_parameters, True, Activation.identity, (8, 4, 4, 8), (1, 5, 2, 1), ranks
    )
    return Plan.of_layers((first, second), parameters_of(np.random.default_rng(0), (first, second)), Loss.cross_entropy)


def test_the_papers_mnist_network_runs(interpret, mnist_plan):
    assert mnist_plan.n_parameters == 3962
    check(interpret, mnist_plan, np.random.default_rng(1))


def test_tflite_micro_runs_it_where_installed(mnist_plan):
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime", reason="tflite-micro is not installed")
    for seed, plan in enumerate([mnist_plan, *plans_of_all_kinds()]):
        x = np.random.default_rng(seed).normal(size=(1, plan.in_features)).astype(np.float32)
        interpreter = runtime.Interpreter.from_bytes(tflite_bytes(plan), arena_size=400_000)
        interpreter.set_input(x, 0)
        interpreter.invoke()
        value, bound = expected(plan, x)
        assert (abs(interpreter.get_output(0) - value) <= bound).all()


# ---- graphs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_a_random_graph_stays_within_its_rounding_bound(interpret, seed):
    """Twice the bound of runs that round each sum and product: LiteRT's exp, tanh and erf may be off by as much again."""
    rng = np.random.default_rng([99, seed])
    plan = random_graph(rng, int8=bool(seed % 2))
    x = random_inputs(rng, plan, 5)
    bound = graph_bounded(plan, plan.parameters, x.T.astype(np.float64))
    assert (abs(interpret(tflite_bytes(plan), x).T - bound.exact) <= 2 * bound.error).all()


@pytest.mark.parametrize("cell", Cell, ids=lambda cell: cell.name)
def test_a_cell_over_a_sequence_stays_within_its_rounding_bound(interpret, cell):
    rng = np.random.default_rng(cell)
    build = Builder((5, 3))
    rows = {Cell.tanh: 1, Cell.gru: 3, Cell.lstm: 4}[cell] * 4
    given = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in ((rows, 3), (rows, 4), (rows,), (rows,))]
    x = build.recurrent("cell", build.input, cell, *given, reverse=cell == Cell.gru)
    plan = build.plan(x, loss=Loss.mse)
    x = random_inputs(rng, plan, 3)
    bound = graph_bounded(plan, plan.parameters, x.T.astype(np.float64))
    assert (abs(interpret(tflite_bytes(plan), x).T - bound.exact) <= 2 * bound.error).all()


@pytest.mark.parametrize(("groups", "answer"), [(4, ""), (2, "2 groups of 2 channels")])
def test_a_convolution_in_groups_is_written_where_a_group_is_one_channel(interpret, groups, answer):
    rng = np.random.default_rng(3)
    build = Builder((4, 5, 6))
    weight, bias = rng.normal(size=(8, 4 // groups, 3, 2)).astype("f4"), rng.normal(size=8).astype("f4")
    settings = {"stride": (2, 1), "padding": (2, 1, 1, 0), "dilation": (2, 1), "groups": groups}
    plan = build.plan(build.convolution("conv", build.input, weight, bias, **settings), loss=Loss.mse)
    if answer:
        with pytest.raises(PlanError, match=answer):
            tflite_bytes(plan)
        return
    x = random_inputs(rng, plan, 3)
    bound = graph_bounded(plan, plan.parameters, x.T.astype(np.float64))
    assert (abs(interpret(tflite_bytes(plan), x).T - bound.exact) <= 2 * bound.error).all()


# ---- what is written ------------------------------------------------------------------------------------------------


def test_the_file_is_the_same_on_every_run(mnist_plan):
    assert tflite_bytes(mnist_plan) == tflite_bytes(mnist_plan)


@pytest.mark.parametrize("plan", plans_of_all_kinds(), ids=["0", "1", "2"])
def test_only_version_1_of_the_named_operators_is_used(plan):
    model = tflite.Model.GetRootAsModel(tflite_bytes(plan), 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert {OPERATOR_NAMES[code.BuiltinCode()] for code in codes} <= ALLOWED
    assert all(code.Version() == 1 and code.BuiltinCode() == code.DeprecatedBuiltinCode() for code in codes)


@pytest.mark.parametrize("plan", plans_of_all_kinds(), ids=["0", "1", "2"])
def test_buffers_are_16_byte_aligned_and_weights_are_named_like_the_plans_tensors(plan):
    data = tflite_bytes(plan)
    assert tflite.Model.ModelBufferHasIdentifier(data, 0)
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    held = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        buffer = model.Buffers(tensor.Buffer())
        if buffer.DataLength():
            start = buffer._tab.Vector(buffer._tab.Offset(4))  # field `data`: the first of table Buffer
            assert start % 16 == 0
            held[tensor.Name().decode()] = buffer.DataAsNumpy().tobytes()
    for tensor in plan.tensors:
        numbers = np.frombuffer(held[tensor.name], "<f4")
        assert numbers.size == math.prod(tensor.shape)
        exported = plan.parameters[tensor.offset : tensor.offset + tensor.size]
        np.testing.assert_array_equal(np.sort(numbers), np.sort(exported))
