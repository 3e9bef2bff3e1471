# SPDX-License-Identifier: MIT
"""A bundle folder: a plan in all its formats, put in place together."""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.costs.memory import Room, require_room
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import normalisation, packing
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle

FILES = ("model.h", "model.c", "model.onnx", "loss.onnx", "model.tflite", "model.ttzo")
OF_SOME = ("model.tflite",)  # not written for graphs with a node that the format does not have


def write_files(
    plan: Plan,
    out_dir: str | Path,
    *,
    room: Room | None = None,
    describe: Callable[[Plan], Mapping[str, Any]] | None = None,
    plain_onnx: bool = False,
) -> Plan:
    """Writes `FILES` of a plan into a folder and returns the plan. What `describe` makes of it joins its metadata.
    `plain_onnx`: model.onnx is written for C code generators (writers/onnx/plain.py).

    All files are made before the first is put in its place, each by one rename and the bundle last, so that an export
    that fails leaves the folder as it was; other files in it stay. Raises `PlanError` when the plan does not fit `room`,
    `TtzoError` when the folder cannot be written.
    """
    if room is not None:
        require_room(plan, room)
    if describe is not None:
        plan = dataclasses.replace(plan, metadata=plan.metadata | dict(describe(plan)))
    plan = packing.of_metadata(normalisation.of_metadata(plan))
    _replace_files(Path(out_dir), render(plan, plain_onnx=plain_onnx))
    return plan


def render(plan: Plan, *, plain_onnx: bool = False) -> dict[str, bytes]:
    """The bytes of every file of a bundle folder, in the order of `FILES`; those of `OF_SOME` where the format has all nodes."""
    from ttzo.exporter.writers.onnx.plain import plain
    from ttzo.exporter.writers.onnx.to_onnx import forward_graph, loss_graph
    from ttzo.exporter.writers.to_c import c_files
    from ttzo.exporter.writers.to_tflite import tflite_bytes

    made = {name: text.encode() for name, text in c_files(plan).items()}
    if plan.simulation:  # no network that other runtimes could run
        return made | {"model.ttzo": to_bundle.write(plan)}
    network = forward_graph(plan)
    made["model.onnx"] = (plain(network) if plain_onnx else network).SerializeToString()
    made["loss.onnx"] = loss_graph(plan).SerializeToString()
    with suppress(PlanError):  # `ttzo export` says why
        made["model.tflite"] = tflite_bytes(plan)
    made["model.ttzo"] = to_bundle.write(plan)
    return {name: made[name] for name in FILES if name in made}


def _replace_files(folder: Path, files: dict[str, bytes]) -> None:
    staging = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            if (folder / name).is_dir():
                raise IsADirectoryError(0, f"{name} is a folder")
        staging = Path(tempfile.mkdtemp(prefix=".export-", dir=folder))
        for name, data in files.items():
            (staging / name).write_bytes(data)
        for name in files:
            (staging / name).replace(folder / name)
        for name in set(OF_SOME) - set(files):  # of an earlier export: it would be another model's
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise TtzoError(
            f"{folder} could not be written: {error.strerror}", "choose another folder with -o", ExitCode.disk
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
