# SPDX-License-Identifier: MIT
"""A log of a simulation's inputs and measurements: a table with a column of times, as rows for a device."""

import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import LIMIT, LogRow
from ttzo.exporter.ode.model import TIME_UNITS
from ttzo.exporter.ode.simulation import Simulation
from ttzo.host_tools.data import read_frame, read_text
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.table import Table

TIME = "time"
LEAST_ROWS = 3


@dataclass(frozen=True, eq=False)
class Log:
    """`rows` float32 (n, numbers): kind (enum log_row), time since the row before, inputs, measured numbers. The last
    rows are held out. `name` is for people."""

    name: str
    rows: np.ndarray

    @property
    def checksum(self) -> int:
        return zlib.crc32(self.rows.tobytes())

    def count(self, kind: LogRow) -> int:
        return int((self.rows[:, 0] == kind).sum())


def make_log(
    simulation: Simulation,
    times: np.ndarray,
    inputs: np.ndarray,
    measured: np.ndarray,
    hold_out: float = 0.2,
    name: str = "log",
) -> Log:
    """The log of times (n,), ascending, in the simulation's unit, inputs (n, M) and measured numbers (n, Y), NaN where
    nothing was measured. The last `hold_out` of the rows are not fitted. Raises `DataError`."""
    n = len(times)
    rows = np.zeros((n, simulation.row_numbers + measured.shape[1]), np.float32)
    rows[1:, 1] = np.diff(times)
    unknown = np.isnan(measured).any(axis=1)
    with np.errstate(over="ignore"):  # said below
        rows[:, 2 : simulation.row_numbers] = inputs
        rows[:, simulation.row_numbers :] = np.where(unknown[:, None], 0.0, measured)
    rows[n - int(hold_out * n) :, 0] = LogRow.held_out
    rows[unknown, 0] = LogRow.unmeasured
    made = Log(name, rows)
    fitted, needed = made.count(LogRow.fitted), max(LEAST_ROWS, len(simulation.unknowns) + 1)
    if fitted < needed:
        raise DataError(
            f"{name} has {fitted} measured rows to fit, {len(simulation.unknowns)} unknowns need {needed} or more",
            "give a longer log, or a smaller --hold-out",
        )
    if not np.isfinite(rows).all():
        raise DataError(f"{name} holds a number that float32 cannot", "correct it, or change its unit")
    return made


def read_log(path: str | Path, simulation: Simulation, hold_out: float = 0.2, time: str = TIME) -> Log:
    """The log in a .csv, .parquet or .npy table: a column of times (numbers in the simulation's unit, or dates), and the
    columns that the simulation names. Raises `DataError`."""
    path = Path(path)
    table = _table(path)
    lost = [each for each in (time, *simulation.inputs, *simulation.measured) if each not in table.names]
    if lost:
        hint = f"{table.columns_text()}; the model needs {', '.join((time, *simulation.inputs, *simulation.measured))}"
        raise DataError(f"{path} has no column `{lost[0]}`", hint + (", or name its times with --time" if lost[0] == time else ""))  # fmt: skip
    (at,) = table.find(time, "time")
    times = _times(table, at, simulation)
    inputs = table.numbers([table.names.index(name) for name in simulation.inputs])
    measured = table.numbers([table.names.index(name) for name in simulation.measured])
    missing = np.argwhere(~np.isfinite(inputs))
    if len(missing):
        row, column = missing[0]
        raise DataError(
            f"{path}: {table.place(row)} has no number in `{simulation.inputs[column]}`",
            "an input is needed in every row: fill it, or leave the row out",
        )
    _require_order(table, times, simulation)
    return make_log(simulation, times, inputs, measured, hold_out, str(path))


def _table(path: Path) -> Table:
    if not path.is_file():
        raise DataError(f"there is no file {path}", "name a table with --data")
    kinds = {".parquet": read_frame.read_parquet, ".npy": read_frame.read_npy}
    return kinds.get(path.suffix.lower(), read_text.read)(path)


def _times(table: Table, column: int, simulation: Simulation) -> np.ndarray:
    """In the simulation's unit, from the first row on."""
    import pandas

    try:
        times = table.numbers([column])[:, 0]
    except DataError:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about dates of several forms, which are read one by one
                dates = pandas.to_datetime(pandas.Series(table.words(column)), utc=True)
        except (ValueError, TypeError, OverflowError) as error:
            what = f"{table.source}: {table.column_text(column)} holds neither numbers nor dates"
            raise DataError(f"{what} ({str(error)[:80]})", "write times as numbers or as 2026-01-31 12:00:00") from None
        seconds = (dates - dates.iloc[0]).dt.total_seconds().to_numpy()
        times = seconds / TIME_UNITS[simulation.time]
    if len(times) and not np.isfinite(times).all():
        raise DataError(
            f"{table.source}: {table.place(int(np.argmin(np.isfinite(times))))} has no time", "leave the row out"
        )
    return times


def _require_order(table: Table, times: np.ndarray, simulation: Simulation) -> None:
    steps = np.diff(times)
    if len(steps) and not (steps > 0).all():
        row = int(np.argmin(steps > 0)) + 1
        raise DataError(f"{table.source}: {table.place(row)} is not later than the row before", "sort the rows by time")
    longest = LIMIT["max_substeps"] * simulation.substep
    if len(steps) and not (steps <= longest).all():
        row = int(np.argmin(steps <= longest)) + 1
        raise DataError(
            f"{table.source}: {table.place(row)} comes {steps[row - 1]:g} {simulation.time} after the row before, more than {LIMIT['max_substeps']} "
            f"integration steps of {simulation.substep:g} {simulation.time}",
            "cut the log there, or export the model with a longer substep",
        )
