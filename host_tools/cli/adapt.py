# SPDX-License-Identifier: MIT
"""`ttzo adapt`: a trained model meets images from other domains, and learns them on the device."""

from functools import partial
from pathlib import Path

import click

from ttzo.host_tools.cli.bundle import BUNDLE, with_options
from ttzo.host_tools.cli.device import BAUD, DATA, DEVICE, OVERRIDES, ROWS
from ttzo.host_tools.cli.screen import Screen, Show, command
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.domain_shifts import SHIFTS
from ttzo.host_tools.device.device import open_device, read_bundle, run_folder
from ttzo.host_tools.training import checkpoint, session
from ttzo.host_tools.training.adapt import Adaptation, adapt
from ttzo.host_tools.training.session import Interrupted, Progress


@click.command("adapt")
@BUNDLE
@DEVICE
@DATA
@click.option("--from", "origin", metavar="RUN", type=click.Path(path_type=Path),
              help="The run whose parameters meet the other domains (default: DIR/runs/DEVICE).")  # fmt: skip
@click.option("--shift", "shifts", multiple=True, type=click.Choice(list(SHIFTS)), help="All when none is named.")
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Labelled rows.")
@with_options(OVERRIDES)
@ROWS
@BAUD
@command
def adapt_command(
    screen: Screen,
    bundle: Path,
    url: str,
    source: str | None,
    origin: Path | None,
    shifts: tuple[str, ...],
    samples: int,
    rows: int | None,
    baud: int | None,
    **changes,
) -> dict:
    """Turn, move, invert or disturb a trained model's images, and train on a few of them.

    For each shift: what the model gets right before and after training on so many labelled rows, by the bundle's own
    method, in DIR/runs/DEVICE-SHIFT. Steps, unless given, are those of 20 passes over the rows.
    """
    plan = read_bundle(bundle)
    start = checkpoint.load((origin or run_folder(bundle, url)) / "checkpoint.npz", plan)
    known = data_set.load(source, plan)
    found = []
    try:
        with open_device(url, bundle, baud=baud, on_line=screen.say) as device, screen.bars() as make:
            for shift in shifts or SHIFTS:
                bar = make(shift)
                found.append(
                    adapt(
                        device, known, shift, start, run_folder(bundle, url, f"-{shift}"), n_samples=samples,
                        changes=changes, test_rows=rows or session.default_test_rows(device, known),
                        report=partial(_move_bar, bar),
                    )
                )  # fmt: skip
    except Interrupted as error:
        raise Interrupted(
            "the adaptation was stopped", "`ttzo adapt` begins anew; --shift takes one at a time"
        ) from error
    heading = ("shift", "right before", "after", "of test rows", "steps", "multiply-accumulates")
    screen.table(f"{url}, {samples} labelled rows", [_row(each) for each in found], heading)
    return {"device": url, "samples": samples, "shifts": [_json(each) for each in found]}


def _move_bar(bar: Show, now: Progress) -> None:
    bar(now.step, now.steps, f"loss {now.loss:.3f}")


def _row(each: Adaptation) -> tuple:
    before, after = (f"{100 * test.accuracy:.2f} %" for test in (each.before, each.run.test))
    macs = f"{each.run.macs:,}" if each.run.macs else "not counted"
    return each.shift, before, after, each.run.test.n_rows, each.run.steps, macs


def _json(each: Adaptation) -> dict:
    return {
        "shift": each.shift,
        "before": each.before.accuracy,
        "after": each.run.test.accuracy,
        "rows": each.run.test.n_rows,
        "steps": each.run.steps,
        "macs": each.run.macs,
        "run": each.run.folder,
    }
