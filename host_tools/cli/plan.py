# SPDX-License-Identifier: MIT
"""`ttzo plan`: what a bundle takes on boards, before anything is built."""

from pathlib import Path

import click
import numpy as np

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.costs.instructions import Executed, uncounted
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.cli.board_fit import ESTIMATE, kilobytes
from ttzo.host_tools.cli.bundle import BUNDLE, describe, summary
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.unread import refuse_unread
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.firmware import boards, forecast
from ttzo.host_tools.measure import first_steps, precision
from ttzo.host_tools.reference.network.network import read_inputs
from ttzo.host_tools.reference.train.numpy_network import in_separate


@click.command("plan")
@BUNDLE
@click.option("--board", "names", multiple=True, help="A board; all known boards when none is given. May be repeated.")
@click.option(
    "--data",
    help="Rows for the noise forecast (default: the model's own data set, or random rows where that would be a download).",
)
@command
def plan_command(screen: Screen, bundle: Path, names: tuple[str, ...], data: str | None) -> dict:
    """Forecast flash, RAM, operations, time and energy on boards, and the float32 rounding noise of the loss."""
    plan = read_bundle(bundle)
    if plan.pde or plan.simulation:
        refuse_unread("plan of a model without rows", ("bundle", "names"))
    x, y, rows = _rows(plan, data)
    executed, why_no_mean = _executed(plan, x, y)
    forecasts = [forecast.forecast(plan, board, executed) for board in map(boards.load, names or boards.names())]
    screen.table(f"{bundle}: {plan.metadata.get('title', '')}", describe(plan))
    _tell_forecasts(screen, plan, forecasts)
    if why_no_mean:
        screen.tell(f"the mean is not known: {why_no_mean}")
    if left_out := uncounted(plan, plan.training.phases[0]):
        screen.tell(f"seconds and millijoules are too low: no counted step has {', '.join(left_out)}")
    for each in forecasts:
        if each.refusal:
            screen.tell(f"{each.board}: {each.refusal}")
    for storage in dict.fromkeys(each.storage for each in forecasts if each.storage and not each.refusal):
        keepers = [each.board for each in forecasts if each.storage == storage and not each.refusal]
        screen.tell(f"built with --storage, a run is kept by {', '.join(keepers)}: {storage}")
    noise = _noise(plan, x, y)
    if noise:
        screen.tell(
            f"float32 noise of a query's loss difference, forecast on {plan.batch} {rows}: {noise.noise:.2g} of {noise.difference:.2g} "
            f"({100 * noise.relative:.2g} %) at mu {noise.perturb_radius:g}"
        )
    return {"bundle": bundle, **summary(plan), "forecasts": forecasts, "noise": noise, "noise_rows": rows}


def _tell_forecasts(screen: Screen, plan: Plan, forecasts: list[forecast.Forecast]) -> None:
    """The table of boards, after a sentence that says what its columns are."""
    sizes = "KB of flash (expected-at most) and of work buffer in RAM, of what a board has; rows that can stay there; "
    if plan.simulation is not None:
        screen.tell(
            f"\n{sizes}seconds of sending {plan.batch} rows. How long a sweep takes depends on the log: `ttzo identify DIR "
            "--data LOG.csv --device qemu:BOARD --count` counts the instructions of the whole fit."
        )
    else:
        passes = forecasts[0].forward_passes
        assert passes is not None
        screen.tell(
            f"\nA step takes {passes:,} forward passes of a row, {passes / plan.batch:,.3g} of a batch of {plan.batch}. "
            f"{sizes}seconds of a step ({ESTIMATE}), in the mean of the first {first_steps.STEPS} and at most; its millijoules "
            "(-: the board's current is not known); seconds of sending its rows:"
        )
    heads = ("board", "flash", "RAM", "rows", "s a step", "s at most", "mJ", "s to send")
    spare = ("s to send", "rows", "mJ", "s at most")
    screen.table("", [_forecast_row(each) for each in forecasts], heads, spare)


def _forecast_row(each: forecast.Forecast) -> tuple:
    return (
        each.board,
        f"{kilobytes(each.flash_bytes, each.most_flash_bytes)}/{each.flash_capacity / 1000:,.0f}",
        f"{each.work_bytes / 1000:,.0f}/{each.work_capacity / 1000:,.0f}",
        f"{each.dataset_rows:,}",
        "-" if each.step_seconds is None else f"{each.step_seconds:,.3g}",
        "-" if each.most_seconds is None else f"{each.most_seconds:,.3g}",
        "-" if each.step_joules is None else f"{1000 * each.step_joules:,.3g}",
        f"{each.line_seconds:,.3g}",
    )


def _rows(plan: Plan, source: str | None) -> tuple[np.ndarray | None, np.ndarray | None, str]:
    """Inputs and targets of the first steps, and where they are from: training rows, or random ones where there are none;
    None for an equation and a simulation, which need none."""
    if plan.pde or plan.simulation:
        return None, None, ""
    n = plan.batch * first_steps.STEPS
    try:
        if source is None and plan.metadata.get("data") == "mnist":
            raise data_set.DataError("a forecast does not download data")
        rows = data_set.load(source, plan)
        return rows.x_train[:n], rows.y_train[:n], f"rows of {rows.name}"
    except data_set.DataError:
        if source is not None:
            raise
        return *_random_rows(plan, n), "random rows"


def _executed(plan: Plan, x: np.ndarray | None, y: np.ndarray | None) -> tuple[Executed | None, str]:
    """What the first steps take, trained on this machine; else why that was not possible."""
    try:
        return first_steps.executed(plan, None if x is None or y is None else data_set.pack_rows(x, y)), ""
    except TtzoError as error:
        return None, f"{error} ({error.hint})"


def _noise(plan: Plan, x: np.ndarray | None, y: np.ndarray | None) -> precision.Noise | None:
    """The noise forecast, on one batch, in `separate` arithmetic: `fused` rounds less often. Not of an equation, whose
    residuals are computed in float32 alone."""
    if x is None or y is None:
        return None
    return precision.difference_noise(in_separate(plan), read_inputs(plan, x[: plan.batch]), y[: plan.batch])


def _random_rows(plan: Plan, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    dtype = np.dtype(data_set.DTYPES[plan.input_number])
    shape = (n, plan.in_features)
    x = (
        rng.integers(0, plan.n_tokens or 256, shape).astype(dtype)
        if dtype.kind != "f"
        else rng.standard_normal(shape).astype(dtype)
    )
    y = data_set.random_targets(plan, rng, n)
    return x, y if plan.has_classes else y.astype(np.float32)
