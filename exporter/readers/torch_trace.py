# SPDX-License-Identifier: MIT
"""A torch module as torch.export traces it: operations of ATen, with ttzo's own layers and EmbeddingBag kept whole."""

import io
import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from ttzo.exporter.readers.errors import ExportError
from ttzo.exporter.readers.nn import Tokens, TTConv2d, TTEmbedding, TTLinear, torch

BATCH = 251  # rows of the example: a prime, so that an axis which it divides holds the rows
NOT_THE_MODELS = (r"torch(\.|$)", "copyreg$", "contextlib$")  # modules whose warnings are about torch
WHOLE = (TTLinear, TTConv2d, TTEmbedding, torch.nn.EmbeddingBag)


@torch.library.custom_op("ttzo::layer", mutates_args=())
def _layer(x: torch.Tensor, parameters: list[torch.Tensor], path: str, shape: list[int]) -> torch.Tensor:
    """Stands for a module's forward pass in a trace; nothing runs it."""
    return torch.empty(shape)


@_layer.register_fake
def _(x: torch.Tensor, parameters: list[torch.Tensor], path: str, shape: list[int]) -> torch.Tensor:
    return torch.empty(shape)


def traced(module: torch.nn.Module, shape: tuple[int, ...]) -> "torch.export.ExportedProgram":
    """The module's forward pass of `BATCH` rows of this shape, of plain numbers or of tokens. Raises `ExportError`."""
    if type(module).forward is torch.nn.Module.forward and "forward" not in vars(module):
        raise ExportError(
            f"a {type(module).__name__} has no forward pass", "return a module that can be called on rows"
        )
    tokens = any(
        isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag | TTEmbedding) for part in module.modules()
    )
    failed = None
    for dtype in (torch.float32, torch.int64) if tokens else (torch.float32,):
        try:
            with _whole_layers(module), _without_torchs_warnings(), _without_torchs_graph():
                program = torch.export.export(module, (torch.zeros(BATCH, *shape, dtype=dtype),), strict=False)
        except Exception as error:
            failed = error
            continue
        changes = any(node.op == "call_function" and _in_place(node) for node in program.graph.nodes)
        with _without_torchs_warnings():
            return program.run_decompositions({}) if changes else program
    if isinstance(failed, torch.fx.experimental.symbolic_shapes.GuardOnDataDependentSymNode):
        raise ExportError(
            f"a branch, a loop or a size that depends on data cannot be exported{_own_line(failed)}",
            "write the branch with torch.where, or remove it",
        ) from failed
    reason = (str(failed).strip() or type(failed).__name__).splitlines()[0]
    raise ExportError(
        f"torch.export cannot trace the model with rows of shape {list(shape)}: {type(failed).__name__}: {reason}"
        f"{_own_line(failed)}",
        "check the model with such rows; if its rows have another shape, give the option input_shape, or data of that shape",
    ) from failed


@contextmanager
def _without_torchs_warnings() -> Iterator[None]:
    """Within it, what torch's code warns of and logs about itself is not shown, warnings of a person's model are."""
    log = logging.getLogger("torch")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            for name in NOT_THE_MODELS:
                warnings.filterwarnings("ignore", module=name)
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _without_torchs_graph() -> Iterator[None]:
    """Shows what was written to stderr within it at its end, without the graph that torch prints for some errors."""
    written, graph = io.StringIO(), ""
    try:
        with redirect_stderr(written):
            yield
    except Exception as error:
        graph = f"{getattr(error, 'partial_fx_graph', '')}\n"
        raise
    finally:
        shown = written.getvalue()
        sys.stderr.write(shown.replace(graph, "") if graph.strip() else shown)


def input_shape(module: torch.nn.Module, rows: Sequence[int] | None = None) -> tuple[int, ...]:
    """What a row looks like: as the first module of `module` says; as `rows` (of the data) do, if they have several axes and
    it says nothing, or takes only one axis of theirs. Raises `ExportError`."""
    said = _said(module)
    if rows and len(rows) > 1 and (said is None or math.prod(said) != math.prod(rows)):
        return tuple(rows)
    if said is not None:
        return said
    hint = (
        'return the model with the option {"input_shape": (64,)} for rows of 64 numbers, {"input_shape": (1, 28, 28)} for '
        "images of one channel; or export with --input-shape 64 or 1,28,28, or with --data FILE.npz, whose rows have that shape"
    )
    raise ExportError("the model does not say what a row of its input looks like", hint)


def _said(module: torch.nn.Module) -> tuple[int, ...] | None:
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            return (part.in_features,)
        if isinstance(part, TTLinear) and not isinstance(part, TTConv2d | TTEmbedding):
            return (part.layer.in_features,)
        if isinstance(part, torch.nn.BatchNorm1d):
            return (part.num_features,)
        if isinstance(part, torch.nn.Unflatten) and part.dim == 1:
            return (math.prod(part.unflattened_size),)
        if isinstance(part, Tokens):
            return (part.count,)
        if next(part.parameters(recurse=False), None) is not None:
            break
    return None


def _in_place(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _own_line(error: BaseException | None) -> str:
    """The last line of the person's own code that was running."""
    trace, line = error.__traceback__ if error else None, ""
    inside = Path(torch.__file__).parent, Path(__file__).parent
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.suffix == ".py" and not any(path.is_relative_to(folder) for folder in inside):
            line = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return line


# ---- layers that stay whole -----------------------------------------------------------------------------------------


@contextmanager
def _whole_layers(module: torch.nn.Module) -> Iterator[None]:
    """Within it, ttzo's layers and EmbeddingBags are one operation each in a trace, where they have no forward of their
    own."""
    changed = []
    for path, part in module.named_modules():
        kind = next((kind for kind in WHOLE if type(part).forward is kind.forward), None)
        if kind is not None and "forward" not in vars(part):
            vars(part)["forward"] = _whole_forward(path, part)
            changed.append(part)
    try:
        yield
    finally:
        for part in changed:
            del vars(part)["forward"]


def _whole_forward(path: str, part: torch.nn.Module) -> Any:
    def forward(x: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
        if any(other is not None for other in (*others, *named.values())):
            raise ExportError(f"layer {path}: {type(part).__name__} takes offsets or weights", "give it tokens alone")
        return torch.ops.ttzo.layer(x, list(part.parameters(recurse=False)), path, list(_output_shape(part, x)))

    return forward


def _output_shape(part: Any, x: torch.Tensor) -> tuple[int, ...]:
    if isinstance(part, TTConv2d):
        n, _, *sizes = x.shape
        steps = zip(sizes, part.kernel_size, part.stride, part.padding, strict=True)
        return (n, part.out_channels, *((size + 2 * pad - kernel) // step + 1 for size, kernel, step, pad in steps))
    if isinstance(part, TTEmbedding):
        return (*x.shape, part.embedding_dim) if part.mode == "each" else (x.shape[0], part.embedding_dim)
    if isinstance(part, torch.nn.EmbeddingBag):
        return (x.shape[0], part.embedding_dim)
    return x.numel() // part.layer.in_features, part.layer.out_features
