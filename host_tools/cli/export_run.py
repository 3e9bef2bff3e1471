# SPDX-License-Identifier: MIT
"""What else `ttzo export` writes: a trained model in every format again, a library for firmware of one's own."""

from pathlib import Path
from typing import Any

import click

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter import adaptation
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.export_again import changed
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.cli.screen import Screen
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.firmware import c_library
from ttzo.host_tools.training import run_model
from ttzo.host_tools.training.checkpoint import Generation

LIBRARY = click.option(
    "--library",
    type=click.Choice([kind.value for kind in c_library.Kind]),
    metavar="KIND",
    help="Also a library for firmware of your own, in DIR/KIND.",
)


def write_library(screen: Screen, plan: Plan, out: Path, kind: str | None) -> None:
    """The library of that kind, where one was asked for."""
    if kind:
        screen.say(f"library: {c_library.write(plan, out, c_library.Kind(kind))}")


def export_run(
    screen: Screen,
    run: Path,
    out: Path,
    room: Room | None,
    generation: str | None,
    adapts: bool,
    plain_onnx: bool,
    options: dict[str, Any],
) -> Plan:
    """Writes the run's trained model into `out`, with the changes that `options` ask for. With `adapts` its last layer
    alone is trained: one firmware that answers and that `ttzo adapt` can train."""
    table = DataOptions(**{name: options.pop(name) for name in DataOptions.__dataclass_fields__})
    if table != DataOptions():
        raise TtzoError("a trained model keeps the treatment of its data", "leave out the options for a table")
    if generation and run.suffix == ".npz":
        raise TtzoError(f"{run} is one checkpoint", "leave out --generation, or name the run's folder")
    plan = run_model.trained(run, Generation[generation or "last"])
    plan = changed(adaptation.last_layer_alone(plan, room) if adapts else plan, room=room, **options)
    write_files(plan, out, room=room, plain_onnx=plain_onnx)
    say_missing_formats(screen, plan, out)
    if not plan.n_parameters:
        screen.say("all parameters are frozen: this model answers (`ttzo predict`, `ttzo eval`) and cannot be trained")
    return plan


def say_missing_formats(screen: Screen, plan: Plan, out: Path) -> None:
    """Names the format that the export to `out` has not written, and why."""
    if plan.simulation:
        screen.say("written: C arrays and model.ttzo; a simulation has no network for ONNX or TFLite")
    elif not (out / "model.tflite").is_file():
        from ttzo.exporter.writers.to_tflite import tflite_bytes

        try:
            tflite_bytes(plan)
        except PlanError as error:
            screen.say(f"model.tflite is not written: {error}")
