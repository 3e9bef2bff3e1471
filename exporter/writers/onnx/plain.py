# SPDX-License-Identifier: MIT
"""An ONNX model in the form that C code generators read (onnx2c, emx-onnx-cgen): one row, every shape fixed, no local
functions, no Constant nodes, parameters in the shapes in which they are used."""

import numpy as np

from ttzo.exporter.writers.onnx.onnx_nodes import DOMAIN, NodeProto, TensorProto, inliner, numpy_helper, onnx


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model for one row. What it computes for that row stays the same, bit for bit."""
    made = (
        inliner.inline_local_functions(model)
        if model.functions
        else onnx.ModelProto.FromString(model.SerializeToString())
    )
    kept = [each for each in made.opset_import if each.domain != DOMAIN]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    for value in (*made.graph.input, *made.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.HasField("dim_param"):
                axis.dim_value = 1
    _fold(made.graph)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def _fold(graph: onnx.GraphProto) -> None:
    """Constants become initialisers, and so does what only moves them."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        tensor = _value(node, known)
        if tensor is None:
            nodes.append(node)
        else:
            known[node.output[0]] = tensor
    read = {name for node in nodes for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for name, tensor in known.items() if name in read)


def _value(node: NodeProto, known: dict[str, TensorProto]) -> TensorProto | None:
    """What a node makes of initialisers alone; None for all others."""
    if node.op_type == "Constant":
        (attribute,) = node.attribute
        value = onnx.helper.get_attribute_value(attribute)
        values = numpy_helper.to_array(value) if attribute.name == "value" else np.array(value, np.int64)
    elif node.op_type == "Shape" and list(node.input) == ["x"]:  # how many rows there are
        values = np.ones(1, np.int64)
    elif node.op_type in ("Reshape", "Transpose", "Concat", "Expand") and all(name in known for name in node.input):
        values = _moved(node, [numpy_helper.to_array(known[name]) for name in node.input])
    else:
        return None
    return numpy_helper.from_array(np.ascontiguousarray(values), node.output[0])


def _moved(node: NodeProto, inputs: list[np.ndarray]) -> np.ndarray:
    if node.op_type == "Transpose":
        return inputs[0].transpose(list(node.attribute[0].ints))
    if node.op_type == "Concat":
        return np.concatenate(inputs, axis=node.attribute[0].i)
    values, shape = inputs
    return values.reshape(shape) if node.op_type == "Reshape" else np.broadcast_to(values, shape)
