# SPDX-License-Identifier: MIT
"""`ttzo record`: rows off a board into a table."""

from contextlib import closing
from pathlib import Path

import click

from ttzo.host_tools.cli.device import BAUD
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.data import record_rows
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.device import emulated_device
from ttzo.host_tools.device.micropython_board import SCHEME
from ttzo.host_tools.device.ports import DEFAULT_BAUD, LinkError, open_stream
from ttzo.host_tools.training.stop import Stop


@click.command("record")
@click.option("--device", "url", metavar="URL", required=True, help="A serial port, or socket://HOST:PORT.")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The table (.csv); rows are added to an existing table.",
)
@click.option("--label", help="The class of all these rows.")
@click.option(
    "--column",
    "columns",
    metavar="NAME=WORD",
    multiple=True,
    help="A further column for all these rows, such as person=anna.",
)
@click.option("--rows", "n_rows", type=click.IntRange(min=1), help="Number of rows to record (default: until Ctrl-C).")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Seconds to record.")
@BAUD
@command
def record_command(
    screen: Screen,
    url: str,
    out: Path,
    label: str | None,
    columns: tuple[str, ...],
    n_rows: int | None,
    seconds: float | None,
    baud: int | None,
) -> dict:
    """Write the lines of numbers that a board prints into a table, until Ctrl-C.

    The board's program prints one line for each row, such as `0.1, -0.3, 9.8` or `ax=0.1 ay=-0.3`. Each call is one
    recording: its number stands in the column `recording`, its label in `label`. Train with --target label.
    """
    constants = _constants(label, columns)
    line, stop = url.removeprefix(SCHEME), Stop()
    if emulated_device.is_emulated(url):
        raise DataError(f"{url} prints no numbers", "name the serial port of a board whose program prints them")
    with (
        closing(open_stream(line, baud or DEFAULT_BAUD)) as stream,
        stop.listening(),
        screen.bar("recording", "rows") as bar,
    ):
        try:
            found = record_rows.record(
                stream,
                out,
                constants,
                n_rows=n_rows,
                seconds=seconds,
                is_stopped=lambda: stop.requested,
                report=lambda n: bar(n, n_rows or n + 1),
            )
        except OSError as error:  # pyserial's errors among them
            if error.filename is not None:
                raise
            raise LinkError(
                f"the connection to {url} broke off ({error})", "connect the board again; the rows so far are kept"
            ) from error
    rows = [("rows", f"{found.n_rows:,} of {', '.join(found.columns)}"), ("recording", str(found.number))]
    rows += [("lines left out", f"{found.n_left_out:,}")] if found.n_left_out else []
    screen.table(str(out), rows)
    return {
        "file": out,
        "recording": found.number,
        "rows": found.n_rows,
        "left_out": found.n_left_out,
        "columns": found.columns,
    }


def _constants(label: str | None, columns: tuple[str, ...]) -> dict[str, str]:
    """The columns that are the same for all rows of this recording; `label` is the last."""
    made = {}
    for text in columns:
        name, equals, word = text.partition("=")
        if not name or not equals:
            raise DataError(f"--column {text} is not NAME=WORD", "write for example --column person=anna")
        made[name.strip()] = word.strip()
    return made | ({"label": label} if label is not None else {})
