# SPDX-License-Identifier: MIT
"""`ttzo adapt`: trains a trained model further on a few labelled rows of new data, on the device."""

import dataclasses
import shlex
from functools import partial
from pathlib import Path

import click

from ttzo.device_runtime.contract import Loss
from ttzo.exporter import adaptation
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.to_bundle import model_hash
from ttzo.host_tools.cli.bundle import with_options
from ttzo.host_tools.cli.data import DATA, TABLE_OPTIONS, load_rows, taken, test_json
from ttzo.host_tools.cli.device import BAUD, CHANGES, DEVICE, OVERRIDES, RowCount, run_json
from ttzo.host_tools.cli.key import KEY
from ttzo.host_tools.cli.screen import Screen, Show, command
from ttzo.host_tools.data import data_set, run_data
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.domain_shifts import SHIFTS
from ttzo.host_tools.data.prepare_rows import Preparation
from ttzo.host_tools.device.device import BundleError, Evaluation, open_device, read_bundle, run_folder
from ttzo.host_tools.device.place import place
from ttzo.host_tools.report import page
from ttzo.host_tools.training import measurement, run_model
from ttzo.host_tools.training.adapt import SHARE_OF_RATE, Adaptation, Measured, adapt, labelled, shifted
from ttzo.host_tools.training.checkpoint import Checkpoint
from ttzo.host_tools.training.run import Interrupted, Progress

ROWS = 100  # labelled ones, when nobody says how many
LAST = "last-layer"  # folder of the bundle for `--only last`, in the run's


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is adapted: a bundle folder, its plan, the checkpoint to begin with (None: as exported), and what was done to
    the rows that it was trained on."""

    bundle: Path
    plan: Plan
    start: Checkpoint | None
    preparation: Preparation | None


@click.command("adapt")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@DEVICE
@DATA
@click.option("--rows", "n", type=click.IntRange(min=2), help=f"Labelled rows to learn from (default: {ROWS}).")
@click.option("--only", type=click.Choice(["last"]), help="Train the last layer alone: less memory, another export.")
@click.option("--shift", type=click.Choice(list(SHIFTS)), help="Change images before they are used: a new domain.")
@click.option("--old", "old_source", metavar="SOURCE",
              help="Old data, to measure what is forgotten (default: what the run was trained on).")  # fmt: skip
@click.option("--run", "folder", metavar="DIR", type=click.Path(path_type=Path),
              help="Folder of the new run (default: runs/DEVICE-adapted beside the bundle).")  # fmt: skip
@click.option("--test-rows", type=RowCount(), help="Rows of each measurement, or `all`.")
@with_options(TABLE_OPTIONS)
@with_options(OVERRIDES)
@BAUD
@KEY
@command
def adapt_command(
    screen: Screen,
    run: Path,
    url: str,
    source: str | None,
    n: int | None,
    only: str | None,
    shift: str | None,
    old_source: str | None,
    folder: Path | None,
    test_rows: int | None,
    baud: int | None,
    key: Path | None,
    **options,
) -> dict:
    """Let a trained model learn from a few labelled rows of new data: a new wearer, a moved sensor.

    RUN is the folder of a run (DIR/runs/DEVICE), or a bundle that `ttzo export RUN --for-adaptation` has written. The
    rows are drawn from the training rows of --data by the seed, and a tenth of them is held out: if the model answers
    these worse at the end, the device goes back to the best point on the way, or to the parameters from before. Without --steps it makes 20
    passes over the rows, without --lr at half the run's rate.

    --only last freezes all layers except the last one. That is another bundle, so a board must be flashed with it.
    """
    origin = _origin(run)
    if not origin.start and "trained" not in origin.plan.metadata and (runs := run_model.all_of(run)):
        screen.say(f"note: {run} is adapted as exported; its trained runs are {', '.join(map(str, runs))}")
    changes = {name: options.pop(name) for name in CHANGES}
    if only and not adaptation.is_last_layer_alone(origin.plan):
        origin = _last_layer(screen, run, origin)
    elif origin.start and changes["lr"] is None:
        changes["lr"] = [SHARE_OF_RATE * phase.learning_rate for phase in origin.start.settings.phases]
    old = _old_rows(screen, origin, old_source)
    rows = _new_rows(screen, origin, run, source, taken(options), shift, (n, changes["seed"] or 0))
    folder = folder or run_folder(origin.bundle, url, f"-{shift or 'adapted'}")
    with (
        open_device(url, origin.bundle, baud=baud, key=key, on_line=screen.say) as device,
        screen.bar("adapting") as bar,
    ):
        try:
            found = adapt(
                device, rows, origin.start, folder, old=old, changes=changes, report=partial(_move_bar, bar),
                test_rows=test_rows or measurement.most_rows(device), say=screen.say,
            )  # fmt: skip
        except Interrupted as error:
            raise Interrupted(
                "the adaptation was stopped", "the same command starts again from the beginning"
            ) from error
        page.save_adaptation(folder, _json(device.plan, found))
        result = _json(device.plan, found) | {"training": run_json(device, found.run)}
    n_rows, beyond = len(rows.x_train) + rows.n_validation, memory.beyond_inference(origin.plan)
    lines = [*_lines(origin.plan, found), ("steps", f"{found.run.steps:,}", "")]
    lines += [("multiply-accumulates", f"{found.run.macs:,}", "")] if found.run.macs else []
    lines += [("memory beyond inference", f"{beyond:,} bytes", "")]
    screen.table(f"{place(device.board, url)}, {n_rows} labelled rows of {rows.name}", lines, ("", "before", "after"))
    if found.went_back:
        screen.tell(f"the held-out rows were answered worse at the end: the device went back to {found.went_back}")
    return result | {"rows": n_rows, "held_out": rows.n_validation, "beyond_inference_bytes": beyond, "bundle": origin.bundle}  # fmt: skip


# ---- where it begins -------------------------------------------------------------------------------------------------


def _origin(run: Path) -> Origin:
    if not run_model.is_run(run):
        plan = read_bundle(run)
        return Origin(run, plan, None, data_set.preparation_of(plan))
    plan, start = run_model.load(run)
    own = run if run.is_dir() else run.parent
    exported = own.resolve().parent.parent
    try:
        bundle = exported if model_hash(read_bundle(exported)) == model_hash(plan) else own
    except BundleError:
        bundle = own
    return Origin(bundle, plan, start, run_data.load(own))


def _last_layer(screen: Screen, run: Path, origin: Origin) -> Origin:
    """The bundle that trains the last layer alone, written into the run's folder unless it is there."""
    plan = run_model.trained(run) if origin.start else origin.plan
    made = adaptation.last_layer_alone(plan)
    folder = (run if run.is_dir() else run.parent) / LAST
    try:
        is_there = model_hash(read_bundle(folder)) == model_hash(made)
    except BundleError:
        is_there = False
    if not is_there:
        write_files(made, folder)
    flash = shlex.join(["ttzo", "flash", str(folder), "--board"])
    screen.say(f"the last layer alone is another bundle, {folder}: a board must be flashed with it ({flash} BOARD)")
    return Origin(folder, made, None, origin.preparation)


# ---- rows ------------------------------------------------------------------------------------------------------------


def _old_rows(screen: Screen, origin: Origin, source: str | None) -> DataSet | None:
    known = origin.preparation
    try:
        return data_set.load(source or (known.source if known else None), origin.plan, known=known)
    except DataError as error:
        if source:
            raise
        screen.say(f"what is forgotten is not measured: {error}; name the old data with --old SOURCE")
        return None


def _new_rows(
    screen: Screen, origin: Origin, run: Path, source: str | None, options: DataOptions, shift: str | None, draw: tuple[int | None, int]
) -> DataSet:  # fmt: skip
    if source is None and shift is None:
        raise DataError("no new data are named", "give --data NEW, or for images --shift")
    if origin.plan.pde is not None:
        raise DataError("an equation has no rows to adapt to", "name a run of a model that learns rows")
    if options.validation is None:  # what is held out comes out of the labelled rows
        options = dataclasses.replace(options, validation=0.0)
    new = load_rows(screen, origin.plan, source, options, run if run.is_dir() else run.parent)
    n, seed = draw
    rows = labelled(new, n or min(ROWS, len(new.x_train)), seed)
    return shifted(rows, shift) if shift else rows


# ---- words -----------------------------------------------------------------------------------------------------------


def _move_bar(bar: Show, now: Progress) -> None:
    bar(now.step, now.steps, f"loss {now.loss:.3f}")


def _lines(plan: Plan, found: Adaptation) -> list[tuple[str, str, str]]:
    names = {"test": "new data, test rows", "held_out": "new data, held out", "old": "old data"}
    made = []
    for name, words in names.items():
        before, after = getattr(found.before, name), getattr(found.after, name)
        if before is not None:
            made.append((f"{words} ({before.n_rows})", _worth(plan, before), _worth(plan, after)))
    return made


def _worth(plan: Plan, test: Evaluation) -> str:
    return f"{100 * test.accuracy:.2f} %" if plan.loss == Loss.cross_entropy else f"loss {test.loss:.6g}"


def _json(plan: Plan, found: Adaptation) -> dict:
    def values_of(measured: Measured) -> dict:
        values = {name: getattr(measured, name) for name in ("test", "held_out", "old")}
        return {name: test_json(plan, value) if value else None for name, value in values.items()}

    return {"before": values_of(found.before), "after": values_of(found.after), "went_back": found.went_back}
