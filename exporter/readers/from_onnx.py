# SPDX-License-Identifier: MIT
"""An ONNX file as a plan. Needs no torch. The graph is read in onnx_graph.py."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import Loss
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers.errors import OnnxError
from ttzo.exporter.readers.onnx_graph import OnnxGraph
from ttzo.exporter.writers.onnx.onnx_nodes import DOMAIN, PRODUCER, inliner, onnx

__all__ = ["OnnxError", "options_in_file", "plan_from_file"]
OLDEST_OPSET = 7
NOT_IN_ONNX = (
    "let the model do without what its exporter could not write in ONNX's operators: for tf2onnx's Erfc, Keras's gelu with "
    "approximate=True"
)
MOST_BYTES = 256 << 20  # of a file that is read


def plan_from_file(
    path: Path,
    *,
    loss: Loss,
    metadata: dict[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    row_shape: Sequence[int] | None = None,
    **settings: Any,
) -> Plan:
    """The plan of the network in an ONNX file, with the other fields of `Plan` as `settings`.

    Rows are the first axis of the input; `input_shape`: the sizes of one, where the file leaves some open; `row_shape`: those of the
    data's rows, which count where nothing else says them. A layer is
    called as its weight is ("fc1" of "fc1.weight"), or "layer0", "layer1", .. What was left out or frozen is said in the
    metadata's `notes`. Raises `OnnxError` for a file that is damaged or holds what a plan cannot, `PlanError` for a plan
    that no device could run.
    """
    read = OnnxGraph(_with_known_opset(path, _read(path)), input_shape, loss, row_shape)
    told = (metadata or {}) | {"input_shape": list(read.shape)} | ({"notes": read.notes} if read.notes else {})
    if not read.rows.sources:
        raise OnnxError(f"{path}: no layer leads from its input to its output", "export a model with layers")
    options = settings.pop("loss_options", LossOptions()).of_output(loss, read.axes)
    return read.rows.build.plan(read.output.value, loss=loss, metadata=told, loss_options=options, **settings)


def _with_known_opset(path: Path, model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with the functions of other programs written out. Raises `OnnxError` for one before `OLDEST_OPSET`."""
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), OLDEST_OPSET)
    if opset < OLDEST_OPSET:
        hint = f"export it with opset {OLDEST_OPSET} or newer, or convert it with onnx.version_converter"
        raise OnnxError(f"{path} has opset {opset}, whose operators mean something else", hint)
    others = [(each.domain, each.name) for each in model.functions if each.domain != DOMAIN]
    if not others:
        return model
    with _sound(path):
        return inliner.inline_selected_functions(model, others)


def options_in_file(path: Path) -> dict[str, Any]:
    """What to_onnx wrote into a file's properties about inputs and loss, as options of an export; of a file that another
    program wrote, none. That a network solved an equation is no option: the equation is not in the file. Raises
    `OnnxError`."""
    model = _read(path)
    told = {each.key: each.value for each in model.metadata_props} if model.producer_name == PRODUCER else {}
    with _sound(path):
        numbers = {name: float(told[name]) for name in ("input_scale", "input_offset", "huber_delta") if name in told}
        numbers |= {"places": int(told["places"])} if "places" in told else {}
    names = {name: told[name] for name in ("input_number", "loss", "class_weights") if name in told}
    return {name: value for name, value in names.items() if value != Loss.residual.name} | numbers


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Whatever onnx and protobuf raise about a file means that it is damaged."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        is_unknown = reason.startswith("No Op registered")
        hint = NOT_IN_ONNX if is_unknown else "export it again"
        raise OnnxError(f"{path} is not a valid ONNX model ({reason})", hint) from error


def _require_contents(message: Any) -> None:
    """What the checker does not look at. Raises `ValueError` for a name that is no UTF-8 (protobuf hands such a one out
    as bytes) and for a tensor whose numbers do not fill its shape."""
    if isinstance(message, onnx.TensorProto):
        onnx.numpy_helper.to_array(message)
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        is_one = isinstance(value, str | bytes) or hasattr(value, "ListFields")
        for each in (value,) if is_one else value:
            if field.type == field.TYPE_MESSAGE:
                _require_contents(each)
            elif not isinstance(each, str):
                raise ValueError(f"its {field.name} {each!r} is no text")


def _read(path: Path) -> "onnx.ModelProto":
    if not path.is_file():
        raise OnnxError(f"there is no file {path}", "check the path")
    if path.stat().st_size > MOST_BYTES:
        raise OnnxError(f"{path} has more than {MOST_BYTES:,} bytes", "a device holds up to 1,048,576 parameters")
    with _sound(path):
        model = onnx.load(path)
        _require_contents(model)
        onnx.checker.check_model(model, full_check=True)
    return model
