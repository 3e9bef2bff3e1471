# SPDX-License-Identifier: MIT
"""`ttzo identify`: unknown constants of a simulation, from a log, on a device."""

from pathlib import Path

import click

from ttzo.exporter.export import export
from ttzo.host_tools.cli.device import BAUD, DEVICE
from ttzo.host_tools.cli.key import KEY
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.read_log import TIME, read_log
from ttzo.host_tools.device.device import BUNDLE, open_device, read_bundle, run_folder
from ttzo.host_tools.device.place import place
from ttzo.host_tools.training import identify
from ttzo.host_tools.training.findings import Findings


@click.command("identify")
@click.argument("model", metavar="MODEL")
@click.option("--data", "source", metavar="FILE", required=True, type=click.Path(path_type=Path), help="The log: a table with a column of times, the model's inputs and measured columns.")  # fmt: skip
@DEVICE
@click.option("--time", "time", metavar="COLUMN", default=TIME, show_default=True, help="The column of times: numbers in the model's unit, or dates.")  # fmt: skip
@click.option("--hold-out", type=click.FloatRange(0, 0.9), default=0.2, show_default=True, help="Part of the log, at its end, that is not fitted but compared.")  # fmt: skip
@click.option("--forget", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="With other data than before: how much what is known still counts (0: nothing).")  # fmt: skip
@click.option("--run", "folder", metavar="RUN", type=click.Path(path_type=Path), help="Folder of the run (default: DIR/runs/DEVICE-identified).")  # fmt: skip
@click.option("--restart", is_flag=True, help="Start again instead of going on from the checkpoint.")
@click.option("--sweeps", type=click.IntRange(min=1), default=identify.MOST_SWEEPS, show_default=True, help="Most passes of the log, in all.")  # fmt: skip
@click.option("--count", is_flag=True, help="Count the instructions (only with qemu:BOARD).")
@BAUD
@KEY
@command
def identify_command(
    screen: Screen,
    model: str,
    source: Path,
    url: str,
    time: str,
    hold_out: float,
    forget: float,
    folder: Path | None,
    restart: bool,
    sweeps: int,
    count: bool,
    baud: int | None,
    key: Path | None,
) -> dict:
    """Fit the unknown constants of a simulation to a log, on a device.

    MODEL is a bundle's folder, or what `ttzo export` takes: house, heater, battery, or file.py:function that returns a
    ttzo.ode.Model; it is exported into a folder of its name. The same command goes on after a cut; with other data it goes on
    from what it knows.
    """
    bundle = _bundle(screen, model)
    plan = read_bundle(bundle)
    if plan.simulation is None:
        raise DataError(f"{bundle} holds a network, not a simulation", "use `ttzo train`, or export a ttzo.ode.Model")
    log = read_log(source, plan.simulation, hold_out, time)
    with open_device(url, bundle, baud=baud, key=key, on_line=screen.say, count_instructions=count) as device:
        with screen.bar("fitting", "sweeps") as bar:
            found = identify.identify(
                device,
                log,
                folder or run_folder(bundle, url, "-identified"),
                restart=restart,
                forget=forget,
                most_sweeps=sweeps,
                report=lambda done, now: bar(done, sweeps, f"sweep {done}  residual {now.noise:.4g}"),
                say=screen.say,
            )
        board = device.board
    _show(screen, f"{place(board, url)}, {source}", found, plan.simulation.unknowns)
    return {"device": url, "board": board, "bundle": bundle, "result": found}


def _bundle(screen: Screen, model: str) -> Path:
    if (Path(model) / BUNDLE).is_file() or Path(model).is_file() and model.endswith(BUNDLE):
        return Path(model)
    folder = Path(model.rpartition(":")[2] if ":" in model else model)
    export(model, folder)
    screen.say(f"exported {model} to {folder}")
    return folder


def _show(screen: Screen, title: str, found: identify.Identified, names: tuple[str, ...]) -> None:
    result = found.found
    rows = [
        (c.name, f"{c.value:.5g}", "-" if c.error == float("inf") else f"{c.error:.2g}", _interval(c), c.remark)
        for c in result.constants
    ]
    screen.table(title, rows, ("constant", "value", "standard error", "95 % interval", ""))
    if len(names) > 1:
        cells = [(n, *(f"{r:+.2f}" for r in row)) for n, row in zip(names, result.correlations, strict=True)]
        screen.table("", cells, ("correlation", *names))
    screen.table("", _checks(found, result))
    if not found.converged:
        screen.say("the last sweep still lowered the cost: give more --sweeps")


def _interval(constant) -> str:
    return f"{constant.low:.5g} to {constant.high:.5g}" if constant.error != float("inf") else "-"


def _checks(found: identify.Identified, result: Findings) -> list[tuple[str, str]]:
    white = (
        "white: as noise alone is" if result.is_white else "NOT white: the model lacks something, or the noise is slow"
    )
    lag = f"{white} (correlation with the one before {result.lag:+.3f}, limit {result.lag_limit:.3f})"
    rows = [("residual", f"{result.noise:.4g} in {result.rows:,} rows"), ("residuals are", lag)]
    if result.held_rows:
        verdict = "as the fitted rows" if result.fits_held_rows else "WORSE than the fitted rows"
        rows.append(("held out", f"{result.held_noise:.4g} in {result.held_rows:,} rows, {verdict}"))
    coarse = " TOO COARSE: export with a shorter substep" if not found.integration < identify.COARSE else ""
    rows.append(("integration", f"half the step changes {100 * found.integration:.2g} % of the residual{coarse}"))
    rows.append(("simulations", f"{found.simulations} in {result.sweeps} sweeps, log number {result.logs}"))
    if found.instructions:
        rows.append(("instructions", f"{found.instructions:,}"))
    return rows
