# SPDX-License-Identifier: MIT
"""Operations of graphs: against torch, against their own error bounds, in onnxruntime, and through a bundle."""

import dataclasses
import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import random_graph
from plans import random_inputs

from ttzo.device_runtime.contract import Activation, Cell, Estimator, Loss, NodeOperation
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.builder import Builder
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.onnx.to_onnx import forward_graph
from ttzo.host_tools.cli.bundle import shared_rows
from ttzo.host_tools.measure import precision
from ttzo.host_tools.reference.operations.graph import graph_bounded, model_forward, tensors_of
from ttzo.host_tools.reference.operations.registry import TWINS
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

nn = torch.nn
F = nn.functional
RNG = np.random.default_rng(5)


def numbers(*shape):
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def double(*arrays):
    return [torch.tensor(np.asarray(array), dtype=torch.float64) for array in arrays]


# ---- each operation against torch -----------------------------------------------------------------------------------


def convolution(build):
    weight, bias = numbers(6, 2, 3, 2), numbers(6)
    w, b = double(weight, bias)
    settings = {"stride": (2, 1), "padding": (2, 1, 1, 0), "dilation": (2, 1), "groups": 2}
    made = build.convolution("conv", build.input, weight, bias, **settings)

    def expected(x):
        return F.conv2d(F.pad(x, (1, 0, 2, 1)), w, b, stride=(2, 1), dilation=(2, 1), groups=2)

    return made, expected


def linear_at_places(build):
    weight, bias = numbers(4, 5), numbers(4)
    w, b = double(weight, bias)
    return build.linear("linear", build.input, weight, bias), lambda x: F.linear(x, w, b)


def max_pool(build):
    return build.max_pool("pool", build.input, (3, 2), (2, 1), (1, 1)), lambda x: F.max_pool2d(x, (3, 2), (2, 1), 1)


def average_pool(build):
    made = build.average_pool("pool", build.input, (3, 2), (2, 1), (1, 0), count_padding=False)
    return made, lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0), count_include_pad=False)


def average_pool_with_padding(build):
    made = build.average_pool("pool", build.input, (3, 2), (2, 1), (1, 0), count_padding=True)
    return made, lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0), count_include_pad=True)


def layer_norm(build):
    weight, bias = numbers(5), numbers(5)
    w, b = double(weight, bias)
    return build.layer_norm("norm", build.input, weight, bias, 2.0**-10), lambda x: F.layer_norm(
        x, (5,), w, b, 2.0**-10
    )


def rms_norm(build):
    weight = numbers(5)
    (w,) = double(weight)
    return build.rms_norm("norm", build.input, weight, 2.0**-10), lambda x: F.rms_norm(x, (5,), w, 2.0**-10)


def soft_max(build):
    return build.soft_max("softmax", build.input, 1), lambda x: torch.softmax(x, 2)


def causal_attention(build):
    x = build.input
    scores = build.matrix_product("scores", x, x, transposed=True)
    made = build.matrix_product("mixed", build.soft_max("share", scores, causal=True), x)
    return made, lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=1.0)


def transposed(build):
    return build.transpose("transpose", build.input, (2, 0, 1)), lambda x: x.permute(0, 3, 1, 2)


def sliced(build):
    return build.slice("slice", build.input, 1, 1, 2, 2), lambda x: x[:, :, 1:4:2]


def joined(build):
    x = build.input
    parts = [x, build.activation("tanh", x, Activation.tanh), x, build.activation("silu", x, Activation.silu)]
    return build.concat("concat", parts, 1), lambda x: torch.cat([x, torch.tanh(x), x, F.silu(x)], 2)


def shifted(build):
    place = numbers(4, 5)
    made = build.add("add", build.input, build.learnt_array("place", place), minus=True)
    (p,) = double(place)
    return made, lambda x: x - p


def weighted(build):
    x = build.input
    mean = build.global_mean("mean", build.reshaped(x, (4, 30)), 1)
    made = build.multiply("multiply", x, build.reshaped(mean, (4, 1, 1)))
    return made, lambda x: x * x.mean((2, 3), keepdim=True)


def scaled(build):
    weight, bias = numbers(4), numbers(4)
    w, b = double(weight, bias)
    return build.scale("scale", build.input, weight, bias), lambda x: x * w[:, None, None] + b[:, None, None]


def largest(build):
    return build.global_max("max", build.input, 0), lambda x: x.amax(1)


def recurrent(cell, module, **flags):
    def case(build):
        torch.manual_seed(3)
        own = module(5, 3, batch_first=True, bidirectional=bool(flags.get("reverse")))
        side = "_reverse" if flags.get("reverse") else ""
        names = [f"{name}_l0{side}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        values = [getattr(own, name).detach().numpy() for name in names]
        made = build.recurrent("cell", build.input, cell, *values, **flags)
        own = own.double()

        def expected(x):
            out = own(x)[0].detach()
            out = out[..., 3:] if flags.get("reverse") else out
            return out[:, 0 if flags.get("reverse") else -1] if flags.get("last") else out

        return made, expected

    return case


ACTIVATIONS = {
    Activation.leaky_relu: lambda x: F.leaky_relu(x, 0.125),
    Activation.relu6: F.relu6,
    Activation.hard_swish: F.hardswish,
    Activation.sigmoid: torch.sigmoid,
    Activation.silu: F.silu,
    Activation.gelu: F.gelu,
    Activation.relu: torch.relu,
    Activation.tanh: torch.tanh,
    Activation.sine: torch.sin,
    Activation.identity: lambda x: x,
}


def activated(kind):
    slope = 0.125 if kind == Activation.leaky_relu else 0.0
    return lambda build: (build.activation("act", build.input, kind, slope), ACTIVATIONS[kind])


IMAGE, SEQUENCE = (4, 5, 6), (4, 5)
CASES = {
    "convolution": (IMAGE, convolution),
    "linear at places": (SEQUENCE, linear_at_places),
    "max pool": (IMAGE, max_pool),
    "average pool": (IMAGE, average_pool),
    "average pool, padding counted": (IMAGE, average_pool_with_padding),
    "layer norm": (SEQUENCE, layer_norm),
    "rms norm": (SEQUENCE, rms_norm),
    "soft-max": (SEQUENCE, soft_max),
    "causal attention": (SEQUENCE, causal_attention),
    "transpose": (IMAGE, transposed),
    "slice": (SEQUENCE, sliced),
    "concat of four": (SEQUENCE, joined),
    "learnt array": (SEQUENCE, shifted),
    "channels weighted": (IMAGE, weighted),
    "scale": (IMAGE, scaled),
    "global max": (SEQUENCE, largest),
    "tanh cell": (SEQUENCE, recurrent(Cell.tanh, nn.RNN)),
    "gru": (SEQUENCE, recurrent(Cell.gru, nn.GRU, reverse=True)),
    "lstm": (SEQUENCE, recurrent(Cell.lstm, nn.LSTM, last=True)),
    "gru, last of reverse": (SEQUENCE, recurrent(Cell.gru, nn.GRU, reverse=True, last=True)),
} | {kind.name: (SEQUENCE, activated(kind)) for kind in Activation}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_computes_what_torch_does(name):
    shape, case = CASES[name]
    build = Builder(shape)
    value, expected = case(build)
    # a last layer that passes numbers on makes it a plan with something to train
    end = build.scale("end", build.reshaped(value, (-1,)), np.ones(1, np.float32))
    plan = build.plan(end, loss=Loss.mse)
    x = numbers(3, *shape)
    found = graph_bounded(plan, plan.parameters, x.reshape(3, -1).T.astype(np.float64))
    exact = expected(torch.tensor(x, dtype=torch.float64)).reshape(3, -1).numpy().T
    assert value.numbers == exact.shape[0]
    np.testing.assert_allclose(found.exact, exact, rtol=1e-12, atol=1e-12)
    made = model_forward(plan, plan.parameters, x.reshape(3, -1)).T
    assert np.all(np.abs(made - exact) <= found.error + 1e-12)


# ---- random graphs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_random_graph_stays_within_its_rounding_bound_here_and_in_onnxruntime(seed):
    rng = np.random.default_rng(seed)
    plan = random_graph(rng, int8=bool(seed % 2))
    x = random_inputs(rng, plan, 4)
    bound = graph_bounded(plan, plan.parameters, x.T.astype(np.float64))
    model = forward_graph(plan)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = {
        "the twin": model_forward(plan, plan.parameters, x),
        "onnxruntime": session.run(None, {"x": x})[0],
        "onnxruntime, parameters fed": OnnxNetwork(plan).outputs(plan.parameters, x),
    }
    for name, made in answers.items():
        assert np.all(np.abs(made.T - bound.exact) <= bound.error), name


@pytest.mark.parametrize("seed", range(12))
def test_losses_in_onnxruntime_stay_within_the_bound_of_the_comparison(seed):
    rng = np.random.default_rng(seed)
    plan = random_graph(rng, int8=bool(seed % 2), batch=5)
    x = random_inputs(rng, plan, 5)
    classes = plan.loss == Loss.cross_entropy
    y = (
        rng.integers(0, plan.out_features, 5)
        if classes
        else rng.normal(0, 1, (5, plan.out_features)).astype(np.float32)
    )
    bound = precision.loss_bound(plan, plan.parameters, x, y)
    exact = precision.losses64(plan, plan.parameters, x, y).mean()
    for network in (NumpyNetwork(plan), OnnxNetwork(plan)):
        assert abs(network.losses(plan.parameters, x, y).astype(np.float64).mean() - exact) <= bound


def test_random_graphs_have_every_operation():
    seen = {
        node.operation.CODE for seed in range(200) for node in random_graph(np.random.default_rng(seed)).graph.nodes
    }
    assert seen == set(NodeOperation)


def test_no_attribute_of_an_operation_breaks_the_check_of_it():
    """As bundles that somebody else wrote may have them: each number of each attribute at the ends of what fits."""
    nodes = [node for seed in range(40) for node in random_graph(np.random.default_rng(seed)).graph.nodes]
    operations = {type(node.operation): node.operation for node in nodes}
    for operation in operations.values():
        names = [field.name for field in dataclasses.fields(operation) if type(getattr(operation, field.name)) is int]
        for name, value in itertools.product(names, (0, 1, 255, 2**16 - 1, 2**32 - 1)):
            assert isinstance(dataclasses.replace(operation, **{name: value}).inconsistency, str), (operation, name)


@pytest.mark.parametrize("seed", range(30))
def test_a_forward_pass_in_the_planned_memory_gives_the_same(seed):
    rng = np.random.default_rng(seed)
    plan = random_graph(rng, nodes=12)
    x = random_inputs(rng, plan, 1)
    graph, arena = plan.graph, np.full(plan.graph.arena, np.nan, np.float32)
    parts = [slice(p, p + a.numbers) for p, a in zip(graph.places, graph.arrays, strict=True)]
    arena[parts[0]] = x[0]
    for node in graph.nodes:
        inputs = [arena[parts[array]][:, None] for array in node.inputs]
        tensors = tensors_of(plan, node, plan.parameters)
        arena[parts[node.output]] = TWINS[node.operation.CODE].forward(node.operation, tensors, inputs)[:, 0]
    assert arena[parts[-1]].tobytes() == model_forward(plan, plan.parameters, x)[0].tobytes()


@pytest.mark.parametrize("seed", range(20))
def test_a_bundle_gives_back_the_graph_it_was_made_from(seed):
    plan = random_graph(np.random.default_rng(seed), int8=bool(seed % 2))
    data = to_bundle.write(plan)
    back = to_bundle.read(data)
    assert (back.graph.arrays, back.constants) == (plan.graph.arrays, plan.constants)
    assert [(n.name, n.inputs, n.parameters, n.flags) for n in back.graph.nodes] == [
        (n.name, n.inputs, n.parameters, n.flags) for n in plan.graph.nodes
    ]
    assert to_bundle.write(back) == data


# ---- frozen and shared parameters -----------------------------------------------------------------------------------


def test_int8_constants_are_off_by_no_more_than_half_a_step():
    weight = numbers(7, 9)
    build = Builder((9,))
    x = build.linear("frozen", build.input, weight, numbers(7), frozen=True)
    plan = build.plan(build.linear("last", x, numbers(2, 7)), frozen_int8=True, loss=Loss.mse)
    held = tensors_of(plan, plan.graph.nodes[0], plan.parameters)[0]
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(held - weight) <= step * 0.5001)
    assert plan.graph.constant_bytes == 4 * 7 + 64 + 4 * 7
    assert [tensor.name for tensor in plan.tensors] == ["last.weight"]


def test_shared_parameters_stand_in_theta_once():
    build = Builder((4, 5))
    weight = numbers(5, 5)
    x = build.linear("first", build.input, weight)
    x = build.linear("again", build.activation("tanh", x, Activation.tanh), weight, shares="first")
    plan = build.plan(x, loss=Loss.mse)
    assert plan.n_parameters == 25
    x = numbers(2, 4, 5)
    expected = np.tanh(x.astype(float) @ weight.T) @ weight.T
    np.testing.assert_allclose(
        model_forward(plan, plan.parameters, x.reshape(2, -1)).reshape(x.shape), expected, atol=1e-5
    )


def test_a_chain_of_layers_is_recognised_and_held_as_layers():
    build = Builder((6,))
    x = build.activation("relu", build.linear("a", build.input, numbers(4, 6), numbers(4)), Activation.relu)
    plan = build.plan(build.linear("b", x, numbers(2, 4)), loss=Loss.mse)
    assert [(layer.name, layer.activation) for layer in plan.layers] == [
        ("a", Activation.relu),
        ("b", Activation.identity),
    ]


def test_what_works_on_chains_alone_refuses_a_graph_by_name():
    plan = random_graph(np.random.default_rng(1))
    with pytest.raises(PlanError, match="chains of layers only: "):
        _ = plan.layers


def test_plan_names_what_a_loss_difference_of_a_shared_parameter_costs():
    build = Builder((4,))
    weight = numbers(4, 4)
    x = build.linear("first", build.input, weight)
    x = build.linear("again", build.activation("tanh", x, Activation.tanh), weight, shares="first")
    x = build.linear("last", x, numbers(2, 4))
    plan = build.plan(x, loss=Loss.mse, training=Training((Phase(Estimator.cge),)))
    ((name, text),) = shared_rows(plan)
    assert (name, plan.macs) == ("shared first", 16 + 16 + 8)
    assert "used by 2 nodes" in text and "runs 28 of a row's 40" in text  # one row of first, all of again and last
    assert shared_rows(dataclasses.replace(plan, training=Training((Phase(Estimator.rge),)))) == []
