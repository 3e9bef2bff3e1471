# SPDX-License-Identifier: MIT
"""A plan's loss in ONNX: from `outputs` and the target `y` to `losses`."""

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx.onnx_nodes import NodeProto, TensorProto, helper, numpy_helper, onnx


def loss_target(plan: Plan) -> onnx.ValueInfoProto:
    """`y`: int64 classes [batch], of sequences [batch, places], or float32 [batch, out_features]."""
    if not plan.has_classes:
        return helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", plan.out_features])
    places = [plan.n_places] if plan.has_padding else []
    return helper.make_tensor_value_info("y", TensorProto.INT64, ["batch", *places])


def loss_nodes(plan: Plan) -> list[NodeProto]:
    """The nodes that make `losses` float32 [batch]."""
    if plan.loss == Loss.cross_entropy and not plan.loss_options.class_weights:
        return _cross_entropy()
    if plan.has_classes:
        return _place_cross_entropy(plan)
    return _huber(plan.loss_options.huber_delta) if plan.loss == Loss.huber else _mean_squared_error()


def _constant(name: str, value: np.ndarray) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))


def _cross_entropy() -> list[NodeProto]:
    return [
        helper.make_node("LogSoftmax", ["outputs"], ["log_probabilities"], axis=1),
        helper.make_node("Constant", [], ["class_axis"], value_ints=[1]),
        helper.make_node("Unsqueeze", ["y", "class_axis"], ["class_column"]),
        helper.make_node("GatherElements", ["log_probabilities", "class_column"], ["picked"], axis=1),
        helper.make_node("Squeeze", ["picked", "class_axis"], ["picked_row"]),
        helper.make_node("Neg", ["picked_row"], ["losses"]),
    ]


def _place_cross_entropy(plan: Plan) -> list[NodeProto]:
    """The weighted mean over the places whose class is not NO_CLASS."""
    weights = np.array(plan.loss_options.class_weights or [1.0] * plan.n_classes, np.float32)
    nodes = []
    if plan.loss == Loss.binary_cross_entropy:  # the score of class 0 is 0
        nodes += [
            helper.make_node("Sub", ["outputs", "outputs"], ["zeros"]),
            helper.make_node("Concat", ["zeros", "outputs"], ["flat_scores"], axis=1),
        ]
    scores = "flat_scores" if nodes else "outputs"
    return [
        *nodes,
        _constant("score_shape", np.array([-1, plan.n_places, plan.n_classes])),
        helper.make_node("Reshape", [scores, "score_shape"], ["scores"]),
        helper.make_node("LogSoftmax", ["scores"], ["log_probabilities"], axis=2),
        _constant("place_shape", np.array([-1, plan.n_places])),
        helper.make_node("Reshape", ["y", "place_shape"], ["classes"]),
        _constant("no_class", np.array(NO_CLASS)),
        _constant("class_0", np.array(0)),
        helper.make_node("Equal", ["classes", "no_class"], ["is_padding"]),
        helper.make_node("Where", ["is_padding", "class_0", "classes"], ["known"]),
        _constant("class_axis", np.array([2])),
        helper.make_node("Unsqueeze", ["known", "class_axis"], ["class_columns"]),
        helper.make_node("GatherElements", ["log_probabilities", "class_columns"], ["picked"], axis=2),
        helper.make_node("Squeeze", ["picked", "class_axis"], ["picked_places"]),
        _constant("class_weights", -weights),
        helper.make_node("Gather", ["class_weights", "known"], ["place_weights"]),
        helper.make_node("Mul", ["picked_places", "place_weights"], ["place_losses"]),
        helper.make_node("Not", ["is_padding"], ["is_judged"]),
        helper.make_node("Cast", ["is_judged"], ["judged"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["place_losses", "judged"], ["judged_losses"]),
        _constant("place_axis", np.array([1])),
        helper.make_node("ReduceSum", ["judged_losses", "place_axis"], ["loss_sums"], keepdims=0),
        helper.make_node("ReduceSum", ["judged", "place_axis"], ["judged_sums"], keepdims=0),
        _constant("one", np.array(1, np.float32)),
        helper.make_node("Max", ["judged_sums", "one"], ["judged_counts"]),
        helper.make_node("Div", ["loss_sums", "judged_counts"], ["losses"]),
    ]


def _mean_squared_error() -> list[NodeProto]:
    return [
        helper.make_node("Sub", ["outputs", "y"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["losses"], axes=[1], keepdims=0),
    ]


def _huber(delta: float) -> list[NodeProto]:
    """With c the error e within delta, the mean of c (e - c / 2)."""
    limit = np.float32(delta)
    return [
        helper.make_node("Sub", ["outputs", "y"], ["error"]),
        _constant("low", np.array(-limit)),
        _constant("high", np.array(limit)),
        helper.make_node("Clip", ["error", "low", "high"], ["clipped"]),
        _constant("half", np.array(0.5, np.float32)),
        helper.make_node("Mul", ["clipped", "half"], ["half_clipped"]),
        helper.make_node("Sub", ["error", "half_clipped"], ["beyond"]),
        helper.make_node("Mul", ["clipped", "beyond"], ["each"]),
        helper.make_node("ReduceMean", ["each"], ["losses"], axes=[1], keepdims=0),
    ]
