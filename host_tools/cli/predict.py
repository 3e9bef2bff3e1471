# SPDX-License-Identifier: MIT
"""`ttzo predict`: a model's answers for rows, computed on a device."""

from pathlib import Path

import click
import numpy as np

from ttzo.exporter.costs.memory import batch_capacity
from ttzo.host_tools.cli.bundle import BUNDLE, GENERATION, with_options
from ttzo.host_tools.cli.data import ROW_OPTIONS, require_network, taken
from ttzo.host_tools.cli.device import BAUD, DEVICE
from ttzo.host_tools.cli.key import KEY
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.trained_run import choose_parameters, trained_run
from ttzo.host_tools.data import answer_rows, data_set, run_data
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.device.place import place
from ttzo.host_tools.reference.network.network import read_inputs
from ttzo.host_tools.training import answers, detector, predict, run_model
from ttzo.host_tools.training.answers import detection_of_plan
from ttzo.host_tools.training.checkpoint import Generation

SHOWN = 20  # lines on the screen where no file is named


@click.command("predict")
@BUNDLE
@DEVICE
@click.option(
    "--data",
    "source",
    metavar="SOURCE",
    required=True,
    help="Rows: a table (.csv, .parquet, ..), an .npz file with x, or a known data set, whose test rows are answered.",
)
@with_options(ROW_OPTIONS)
@click.option(
    "--run",
    "folder",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="The run whose parameters answer (default: DIR/runs/DEVICE, or the only other run in DIR/runs; else as exported).",
)
@GENERATION
@click.option("--exported", is_flag=True, help="Answer with the exported parameters instead of the trained ones.")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File for the answers, as CSV, with the columns of the rows' file that the model does not read, of points with all.",
)
@BAUD
@KEY
@command
def predict_command(
    screen: Screen,
    bundle: Path,
    url: str,
    source: str,
    folder: Path | None,
    generation: str | None,
    exported: bool,
    out: Path | None,
    baud: int | None,
    key: Path | None,
    **options,
) -> dict:
    """Answer rows on a device: the name of a class and its probability, or numbers in the target's own unit.

    Columns are found by their names where the model was trained on named ones, and get the treatment that the training
    rows got. A column with the target may be there; it is not looked at.
    """  # fmt: skip
    if folder is None and run_model.is_run(bundle):
        folder = bundle  # a run's folder holds its model
    plan, run = read_bundle(bundle), folder or trained_run(screen, bundle, url, exported)
    require_network(plan)
    known = (run_data.load(run) if run.is_dir() else None) or data_set.preparation_of(plan)
    given = taken({name: None for name in data_set.DataOptions.__dataclass_fields__} | options)
    rows = answer_rows.load(source, plan, given, known)
    for note in rows.notes:
        screen.say(note)
    outputs = np.empty((len(rows.x), plan.out_features), np.float32)
    with open_device(url, bundle, baud=baud, key=key, on_line=screen.say) as device:
        origin = choose_parameters(
            device, run, exported, folder is not None, Generation[generation] if generation else None
        )
        each = batch_capacity(plan)
        with screen.bar("answering", "rows") as bar:
            for at in range(0, len(rows.x), each):
                outputs[at : at + each] = device.predict(rows.x[at : at + each])
                bar(min(at + each, len(rows.x)), len(rows.x))
        board = device.board
    if plan.finds_anomalies:
        found = predict.of_errors(
            detector.errors(outputs, read_inputs(plan, rows.x)),
            rows.places,
            _threshold(screen, run),
            detection_of_plan(plan),
        )
    else:
        found = predict.of_outputs(plan, outputs, rows.places, rows.preparation)
    if out is not None:
        write_atomically(out, found.as_csv(rows.kept, rows.decimal).encode())
        screen.tell(f"{len(found.lines):,} answers of {place(board, url)} ({origin}) -> {out}")
    else:
        shown = [tuple(_text(cell) for cell in line) for line in found.lines[:SHOWN]]
        screen.table(f"{place(board, url)}, {origin}", shown, found.heading)
        if len(found.lines) > SHOWN:
            screen.say(f"{len(found.lines) - SHOWN:,} more rows; -o FILE writes all")
    return {
        "device": url,
        "board": board,
        "parameters": origin,
        "out": out,
        "heading": found.heading,
        "answers": [list(line) for line in found.lines],
    }


def _threshold(screen: Screen, run: Path) -> float | None:
    """The error above which a row is anomalous, as the run in this folder has measured it."""
    page = answers.load(run) or {}
    found = page.get("detection") or {}
    limit = found.get("threshold") if isinstance(found, dict) else None
    if isinstance(limit, float):
        return limit
    screen.say(f"{run} holds no threshold, so errors alone are shown; `ttzo train` measures one")
    return None


def _text(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:.6g}"
