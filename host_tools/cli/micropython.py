# SPDX-License-Identifier: MIT
"""Commands about MicroPython: deploy, module."""

from pathlib import Path

import click

from ttzo.device_runtime.contract import Arithmetic, Part
from ttzo.host_tools.cli.bundle import BUNDLE, choice
from ttzo.host_tools.cli.choices import Explained
from ttzo.host_tools.cli.data import DATA
from ttzo.host_tools.cli.device import BAUD
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.micropython.deploy import Deployment, deploy
from ttzo.host_tools.micropython.native_module import ALL_PARTS, BUILT, name_parts, parts_of, write_package

MPY_DIR = click.option(
    "--mpy-dir",
    metavar="FOLDER",
    envvar="MPY_DIR",
    help="A MicroPython source tree to link the native module against (default: MPY_DIR).",
)


@click.command("deploy")
@BUNDLE
@click.option("--device", "port", metavar="PORT", required=True, help="The board's port: /dev/ttyACM0, COM3.")
@click.option(
    "--module",
    metavar="PATH",
    type=click.Path(path_type=Path, exists=True),
    help="A folder that `ttzo module` has written.",
)
@MPY_DIR
@DATA
@click.option("--no-test", is_flag=True, help="Skip the training step that checks the bits.")
@BAUD
@command
def deploy_command(
    screen: Screen, bundle: Path, port: str, module: Path | None, mpy_dir: str | None, source: str | None, no_test: bool,
    baud: int | None,
) -> dict:  # fmt: skip
    """Put the module and a bundle onto a MicroPython board: completely, or nothing changes.

    The board is asked for its architecture; --data also copies the rows, as train.rows and test.rows. Then, on the
    board: import ttzo; m = ttzo.load("NAME.ttzo")
    """
    extra = {}
    if source:
        rows = data_set.load(source, read_bundle(bundle))
        extra = {"train.rows": rows.train_rows.tobytes(), "test.rows": rows.test_rows.tobytes()}
    with screen.bar("copying", "bytes") as bar:
        done = deploy(
            bundle, port, module=module, mpy_dir=mpy_dir, extra=extra, test=not no_test, baud=baud, say=screen.say,
            on_progress=bar,
        )  # fmt: skip
    screen.table(f"{done.machine} at {done.port}", _rows(done))
    screen.say(f'next, on the board: import ttzo; m = ttzo.load("{done.bundle}")')
    return {"deployment": done}


def _rows(done: Deployment) -> list[tuple[str, str]]:
    rows = [("MicroPython", f"{done.version}, {done.architecture}"), ("module", done.module)]
    rows += [("copied", f"{', '.join(done.copied)}: {done.bytes_sent:,} bytes")] if done.copied else []
    rows += [("unchanged", ", ".join(done.unchanged))] if done.unchanged else []
    tested = "one training step: the reference's bits" if done.tested_steps else "left out"
    return [*rows, ("self-test", tested)]


@click.command("module", cls=Explained)
@click.argument("architecture", type=click.Choice(BUILT))
@click.option(
    "-o", "--out", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Folder for the module."
)
@MPY_DIR
@click.option(
    "--url", default="", help="Address of the folder, for versions of mip that do not support relative addresses."
)
@click.option(
    "--arithmetic",
    **choice(Arithmetic),
    default="separate",
    show_default=True,
    help="As the models were exported.",
)
@click.option(
    "--bundle", "bundles", metavar="DIR", multiple=True, type=click.Path(path_type=Path, exists=True),
    help="Build only the parts of the runtime that this model needs. May be repeated.",
)  # fmt: skip
@click.option("--no-link", is_flag=True, help="Leave out the link: the board then trains only at its prompt.")
@command
def module_command(
    screen: Screen, architecture: str, out: Path, mpy_dir: str | None, url: str, arithmetic: str, bundles: tuple[Path, ...],
    no_link: bool,
) -> dict:  # fmt: skip
    """Build the MicroPython module for an architecture: _ttzo.mpy, ttzo.mpy and the package.json that mip installs.

    ARCHITECTURE is what `ttzo deploy` prints, or `sys.implementation._mpy >> 10` on the board.
    """
    if not mpy_dir:
        raise click.UsageError("give a MicroPython source tree by --mpy-dir FOLDER or in MPY_DIR")
    wanted = (parts_of(read_bundle(bundle)) for bundle in bundles)
    parts = (frozenset({Part.link}).union(*wanted) if bundles else ALL_PARTS) - ({Part.link} if no_link else set())
    sizes = write_package(architecture, out, mpy_dir, Arithmetic[arithmetic], parts, url)
    rows = [("parts", name_parts(parts)), *((name, f"{size:,} bytes") for name, size in sizes.items())]
    screen.table(f"{architecture} -> {out}", rows)
    return {"architecture": architecture, "folder": out, "bytes": sizes, "parts": [part.name for part in sorted(parts)]}
