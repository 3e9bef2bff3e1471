# SPDX-License-Identifier: MIT
"""Commands about MicroPython: deploy, module."""

from pathlib import Path

import click

from ttzo.device_runtime.contract import Arithmetic, Part, TtzoError
from ttzo.exporter.plan.parts import Parts
from ttzo.host_tools.cli.bundle import BUNDLE, choice
from ttzo.host_tools.cli.choices import Explained
from ttzo.host_tools.cli.data import DATA
from ttzo.host_tools.cli.device import BAUD
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.micropython.deploy import Deployment, deploy
from ttzo.host_tools.micropython.modules import Modules, installed, smallest, write_modules
from ttzo.host_tools.micropython.native_module import ALL_PARTS, BUILT, name_parts, parts_of, write_files, write_package

EVERY = "every"

MPY_DIR = click.option(
    "--mpy-dir",
    metavar="FOLDER",
    envvar="MPY_DIR",
    help="A MicroPython source tree to link the native module against (default: MPY_DIR).",
)

MODULES = click.option(
    "--module",
    metavar="PLACE",
    help="A folder that `ttzo module` has written, or the address of one (default: the modules that came with ttzo, if any).",
)


@click.command("deploy")
@BUNDLE
@click.option("--device", "port", metavar="PORT", required=True, help="The board's port: /dev/ttyACM0, COM3.")
@MODULES
@MPY_DIR
@DATA
@click.option("--no-test", is_flag=True, help="Skip the training step that checks the bits.")
@BAUD
@command
def deploy_command(
    screen: Screen, bundle: Path, port: str, module: str | None, mpy_dir: str | None, source: str | None, no_test: bool,
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
@click.argument("architecture", type=click.Choice([*BUILT, EVERY]))
@click.option(
    "-o", "--out", metavar="FOLDER", required=True, type=click.Path(path_type=Path), help="Folder for the module."
)
@MPY_DIR
@MODULES
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
    help="Only the parts of the runtime that this model needs. May be repeated.",
)  # fmt: skip
@click.option("--no-link", is_flag=True, help="Leave out the link: the board then trains only at its prompt.")
@click.option("--key", "with_key", is_flag=True, help="With the part that asks for a key: m.serve(stream, key=..).")
@command
def module_command(
    screen: Screen, architecture: str, out: Path, mpy_dir: str | None, module: str | None, url: str, arithmetic: str,
    bundles: tuple[Path, ...], no_link: bool, with_key: bool,
) -> dict:  # fmt: skip
    """Write the MicroPython module for an architecture: _ttzo.mpy, ttzo.mpy and the package.json that mip installs.

    ARCHITECTURE is what `ttzo deploy` prints, or `sys.implementation._mpy >> 10` on the board. The module is built against
    a MicroPython source tree, or taken from the modules that came with ttzo. `every` builds all kits of parts for all
    architectures whose compilers are here; FOLDER is then an index for mip.
    """
    if architecture == EVERY:
        return _every(screen, out, mpy_dir)
    wanted = (parts_of(read_bundle(bundle)) for bundle in bundles)
    parts = (frozenset({Part.link}).union(*wanted) if bundles else ALL_PARTS) - ({Part.link} if no_link else set())
    parts |= {Part.key} if with_key else set()
    if mpy_dir and not module:
        sizes = write_package(architecture, out, mpy_dir, Arithmetic[arithmetic], parts, url)
    else:
        sizes, parts = _take(architecture, out, module, Arithmetic[arithmetic], parts, url)
    rows = [("parts", name_parts(parts)), *((name, f"{size:,} bytes") for name, size in sizes.items())]
    screen.table(f"{architecture} -> {out}", rows)
    return {"architecture": architecture, "folder": out, "bytes": sizes, "parts": [part.name for part in sorted(parts)]}


def _take(
    architecture: str, out: Path, module: str | None, arithmetic: Arithmetic, parts: Parts, url: str
) -> tuple[dict[str, int], Parts]:
    modules = Modules(module) if module else installed()
    if modules is None:
        raise TtzoError(
            "this ttzo came without built modules",
            "name a MicroPython source tree by --mpy-dir or in MPY_DIR, or a folder or an address of modules by --module",
        )
    if arithmetic != Arithmetic.separate:
        raise TtzoError(
            f"the modules in {modules.place} are for separate arithmetic", "name a MicroPython source tree by --mpy-dir"
        )
    package = smallest(modules, architecture, parts)
    return write_files(out, modules.files(package), package.has, url), package.has


def _every(screen: Screen, out: Path, mpy_dir: str | None) -> dict:
    if not mpy_dir:
        raise TtzoError("modules are built against a MicroPython source tree", "name it by --mpy-dir or in MPY_DIR")
    with screen.bar("building", "modules") as bar:
        left_out = write_modules(out, mpy_dir, on_progress=bar)
    packages = Modules(out).packages
    rows = [(package.name, f"{package.bytes:,}", ", ".join(package.parts)) for package in packages]
    screen.table(f"modules -> {out}", rows, ("package", "bytes", "parts"))
    for name, reason in left_out.items():
        screen.tell(f"not built here: {name}: {reason}")
    return {"folder": out, "packages": packages, "left_out": left_out}
