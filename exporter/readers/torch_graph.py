# SPDX-License-Identifier: MIT
"""A traced torch module as a graph. What each operation of ATen becomes stands in torch_arrays.py and torch_layers.py."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.loss_options import CLASSES, LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers import torch_arrays, torch_layers, torch_trace
from ttzo.exporter.readers.errors import ExportError
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.readers.row_layers import RowBuilder
from ttzo.exporter.readers.rows import Refused, Rows, Weights, parameter

OPERATIONS: dict[str, Callable[..., Any]] = torch_arrays.OPERATIONS | torch_layers.OPERATIONS
HEADS = ("softmax", "_softmax", "log_softmax", "_log_softmax", "argmax")
SWITCHED = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm)
OTHERWISE = (
    "build the model of linear and convolution layers, the common activations, pooling, norms, attention, recurrent cells, "
    "sums and products, or compute this on the host"
)


class TracedModel:
    """A module, traced with rows of `input_shape`; where that is None, of the shape that its first layer takes, or, where it
    says none, of `row_shape`."""

    def __init__(
        self, module: torch.nn.Module, input_shape: Sequence[int] | None, row_shape: Sequence[int] | None = None
    ):
        _refuse_training_mode(module)
        self.module = module
        self.shape = tuple(input_shape) if input_shape else torch_trace.input_shape(module, row_shape)
        self.program = torch_trace.traced(module, self.shape)
        self.program.graph.eliminate_dead_code()
        self.notes: list[str] = []
        self._parameters = dict(module.named_parameters(remove_duplicate=False))
        self._first_name: dict[int, str] = {}
        for name, each in self._parameters.items():
            self._first_name.setdefault(id(each), name)

    def plan(self, *, loss: Loss, metadata: dict[str, Any], **settings: Any) -> Plan:
        """The plan with the other fields of `Plan` as settings. Raises `ExportError`, `PlanError`."""
        rows, output, axes = self._read(loss)
        options = settings.pop("loss_options", LossOptions()).of_output(loss, axes)
        told = {"input_shape": list(self.shape)} | ({"notes": self.notes} if self.notes else {})
        return rows.build.plan(output.value, loss=loss, metadata=metadata | told, loss_options=options, **settings)

    def targets(self) -> list[tuple[str, torch.Tensor, np.ndarray]]:
        """Of each trained tensor of the plan: its name, the module's parameter, and which of its numbers it is."""
        rows, output, _ = self._read(None)
        plan = rows.build.plan(output.value, loss=Loss.mse)
        found: list[tuple[str, torch.Tensor, np.ndarray]] = []
        for tensor in plan.tensors:
            source = rows.sources[tensor.name]
            found.append((tensor.name, self._parameters[source.source], source.places.reshape(tensor.shape)))
        return found

    # ---- reading the trace

    def _read(self, loss: Loss | None) -> tuple[RowBuilder, Rows, tuple[int, ...]]:
        """The builder, the output, and the axes that it has in the module. Without a loss, whatever it is for."""
        modules = [name for name, _ in self.module.named_modules() if name]
        rows = RowBuilder(self.shape, torch_trace.BATCH, modules)
        values: dict[torch.fx.Node, Any] = self._given(rows)
        last = self._last(loss)
        self._run(rows, self.program.graph_module, values, last)
        output = _output(rows, values[last], takes_places=loss in (None, Loss.place_cross_entropy))
        return rows, output, tuple(values[last].shape[1:])

    def _run(
        self, rows: RowBuilder, code: torch.fx.GraphModule, values: dict[torch.fx.Node, Any], last: torch.fx.Node | None
    ) -> None:
        """Adds the values of all nodes up to `last`."""
        for node in code.graph.nodes:
            if node.op == "get_attr":
                values[node] = code.get_submodule(node.target)
            elif node.op == "call_function":
                values[node] = self._value(rows, node, values)
            if node is last:
                return

    def _without_gradients(self, rows: RowBuilder, part: torch.fx.GraphModule, given: Sequence[Any]) -> Any:
        """What the model runs under torch.no_grad(): its parameters are not trained."""
        inputs = [node for node in part.graph.nodes if node.op == "placeholder"]
        kept = [dataclasses.replace(each, trained=False) if isinstance(each, Weights) else each for each in given]
        values = dict(zip(inputs, kept, strict=True))
        self._run(rows, part, values, None)
        return torch.fx.map_arg(part.graph.output_node().args[0], values.__getitem__)

    def _given(self, rows: RowBuilder) -> dict[torch.fx.Node, Any]:
        """The values of the trace's inputs: the rows, parameters, buffers and constants."""
        signature = self.program.graph_signature
        made: dict[torch.fx.Node, Any] = {}
        buffers = dict(self.module.named_buffers(remove_duplicate=False)) | dict(self.program.constants)
        for node in self.program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in signature.inputs_to_parameters:
                made[node] = self._weights(signature.inputs_to_parameters[node.name])
            elif node.name in signature.user_inputs:
                made[node] = rows.input
            else:
                others = signature.inputs_to_buffers | signature.inputs_to_lifted_tensor_constants
                made[node] = buffers[others[node.name]].detach().cpu()
        return made

    def _weights(self, name: str) -> Weights:
        held = self._parameters[name]
        if held.dtype != torch.float32:
            raise ExportError(f"{name} is {held.dtype}, but a device computes in float32", "call model.float() first")
        values = held.detach().cpu().contiguous().numpy()
        return parameter(self._first_name[id(held)], values, held.requires_grad)

    def _last(self, loss: Loss | None) -> torch.fx.Node:
        """The node whose value the plan gives; heads that only label or normalise are left out, and noted."""
        outputs = self.program.graph.output_node().args[0]
        if len(outputs) != 1 or not isinstance(outputs[0], torch.fx.Node):
            raise ExportError(f"the model returns {len(outputs)} values", "let its forward return one tensor")
        last: Any = outputs[0]
        while last.op == "call_function" and _operation(last) in _heads(loss):
            if _operation(last) == "exp" and _operation(last.args[0]) not in HEADS:
                break
            self.notes.append(f"{_operation(last)} at the end is left out: the loss holds it")
            last = last.args[0]
        return last

    def _value(self, rows: RowBuilder, node: torch.fx.Node, values: dict[torch.fx.Node, Any]) -> Any:
        place = Place(node, *_module_of(node), self)
        args: Any = torch.fx.map_arg(node.args, values.__getitem__)
        named: Any = torch.fx.map_arg(node.kwargs, values.__getitem__)
        if _operation(node) == "wrap_with_set_grad_enabled":
            return self._without_gradients(rows, args[1], args[2:])
        if _operation(node) == "getitem":
            return args[0][args[1]]
        if _operation(node).startswith("_assert") or _operation(node) == "sym_constrain_range_for_size":
            return None
        try:
            flat = torch.utils._pytree.tree_leaves((args, named))
            if not any(isinstance(each, Rows | torch_layers.Lasts) for each in flat):
                return torch_arrays.without_rows(place, node.target, args, named)
            if _operation(node) not in OPERATIONS:
                raise Refused("cannot be exported", OTHERWISE)
            bound = _bound(node.target, args, named)
            if isinstance(bound["x"], torch_layers.Lasts):
                return bound["x"].chosen(_operation(node), bound)
            return OPERATIONS[_operation(node)](rows, place, **bound)
        except Refused as error:
            where = f"layer {place.path or 'model'}: {place.kind}: {_operation(node)}{place.line}"
            raise ExportError(f"{where} {error}", error.hint) from error
        except PlanError as error:
            raise PlanError(str(error), error.hint or "change the model there") from error


@dataclass(frozen=True)
class Place:
    """A node of the trace, and the module of the person's that it comes from."""

    node: torch.fx.Node
    path: str
    kind: str
    model: TracedModel

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def line(self) -> str:
        """The line of the person's code, where it is known."""
        lines = (self.node.meta.get("stack_trace") or "").strip().splitlines()
        own = len(lines) > 1 and "/torch/" not in lines[-2]
        return f" ({lines[-1].strip()})" if own else ""

    def note(self, sentence: str) -> None:
        if sentence not in self.model.notes:
            self.model.notes.append(sentence)


def _bound(target: Any, args: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the operation's schema, defaults included; the first one is called x."""
    schema = target._schema.arguments
    values = {each.name: each.default_value for each in schema if each.has_default_value()}
    values |= {each.name: value for each, value in zip(schema, args, strict=False)} | named
    first = schema[0].name
    return {"x" if name == first else name: value for name, value in values.items()}


def _operation(node: Any) -> str:
    """ "linear" of aten.linear.default and aten.linear_."""
    schema = getattr(getattr(node, "target", None), "_schema", None)
    if schema is None:
        return getattr(getattr(node, "target", None), "__name__", str(getattr(node, "target", "")))
    name = schema.name.split("::")[1]
    return name.rstrip("_") if not name.startswith("_") else name


def _module_of(node: torch.fx.Node) -> tuple[str, str]:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    return str(path), (kind if isinstance(kind, str) else kind.__name__).rsplit(".", 1)[-1]


def _heads(loss: Loss | None) -> tuple[str, ...]:
    """Operations at a model's end that have no parameters, and that the loss holds."""
    if loss == Loss.binary_cross_entropy:
        return ("sigmoid",)
    return (*HEADS, "exp") if loss is None or loss in CLASSES else ()


def _output(rows: RowBuilder, value: Any, *, takes_places: bool) -> Rows:
    if not isinstance(value, Rows):
        raise ExportError("the model's output does not depend on its input", "return what the layers give")
    if value.axis != 0 or value.outer != 1 or value.shape[0] != 1:
        raise ExportError("the model does not return one output for each row", "keep the first axis for the rows")
    wide = [size for size in value.shape if size != 1]
    if len(wide) > 1 and not (takes_places and len(value.shape) == 3):
        raise ExportError(
            f"the model ends in an array {list(value.shape[1:])}",
            "put nn.Flatten() at its end; or, where it holds the scores of a class for each place, [places, classes], "
            "export with --loss place_cross_entropy",
        )
    rows.plain(value)
    return rows.reshaped(value, (rows.batch, math.prod(value.shape)))


def _refuse_training_mode(module: torch.nn.Module) -> None:
    for path, part in module.named_modules():
        if isinstance(part, SWITCHED) and part.training and getattr(part, "p", 1) > 0:
            hint = "call model.eval() first: a device trains without dropout, and with batch norm frozen as it is"
            raise ExportError(f"layer {path or 'model'}: {type(part).__name__} is active", hint)
