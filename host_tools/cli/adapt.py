# SPDX-License-Identifier: MIT
"""`ttzo adapt`: trains a trained model further on images from other domains, on the device."""

from functools import partial
from pathlib import Path

import click

from ttzo.host_tools.cli.bundle import BUNDLE, with_options
from ttzo.host_tools.cli.data import DATA
from ttzo.host_tools.cli.device import BAUD, DEVICE, OVERRIDES, ROWS
from ttzo.host_tools.cli.screen import Screen, Show, command
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.domain_shifts import SHIFTS
from ttzo.host_tools.device.device import open_device, read_bundle, run_folder
from ttzo.host_tools.training import checkpoint, measurement
from ttzo.host_tools.training.adapt import Adaptation, adapt
from ttzo.host_tools.training.run import Interrupted, Progress


@click.command("adapt")
@BUNDLE
@DEVICE
@DATA
@click.option("--from", "origin", metavar="RUN", type=click.Path(path_type=Path),
              help="The run whose parameters to adapt (default: DIR/runs/DEVICE).")  # fmt: skip
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    type=click.Choice(list(SHIFTS)),
    help="A shift of the images; all when none is given. May be repeated.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=1000, show_default=True, help="Labelled rows to train on."
)
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
    """Rotate, move, invert or add noise to a trained model's images, and train on a few of them.

    For each shift it measures the accuracy before and after training on --samples labelled rows by the bundle's own
    method. The run is kept in DIR/runs/DEVICE-SHIFT. Without --steps it makes 20 passes over the rows.
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
                        changes=changes, test_rows=rows or measurement.default_test_rows(device, known),
                        report=partial(_move_bar, bar),
                    )
                )  # fmt: skip
    except Interrupted as error:
        raise Interrupted(
            "the adaptation was stopped", "`ttzo adapt` starts again from the beginning; --shift runs a single shift"
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
