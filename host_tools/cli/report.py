# SPDX-License-Identifier: MIT
"""`ttzo report`: pictures of a run, and a page about runs."""

from pathlib import Path

import click

from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.report import page, pictures
from ttzo.host_tools.report.pictures import ReportError


@click.command("report")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path),
              help="The file: .html for a page, .png, .svg or .pdf for a picture (default: RUN/curves.png).")  # fmt: skip
@click.option("--bundle", type=click.Path(path_type=Path), help="Folder of the bundle (default: the run's own).")
@command
def report_command(screen: Screen, runs: tuple[Path, ...], out: Path | None, bundle: Path | None) -> dict:
    """Draw a run's curves, or write a page about one run or several.

    RUN is a run's folder, such as DIR/runs/native. The picture of a PDE shows the solution, the exact one and their
    difference. The page (-o report.html) is one file: curves, classes, where bytes and operations go, what an adaptation
    changed, and the runs beside each other.
    """
    if out is not None and out.suffix.lower() in (".html", ".htm"):
        screen.say("drawing..")
        path = page.write(list(runs), out, bundle)
        screen.tell(f"report: {path}")
        return {"report": path}
    if len(runs) > 1:
        raise ReportError("a picture shows one run", "write a page of several: -o report.html")
    path = pictures.draw(runs[0], out, bundle=bundle)
    screen.tell(f"curves: {path}")
    return {"curves": path}
