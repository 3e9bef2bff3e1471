# SPDX-License-Identifier: MIT
"""Puts module and bundle onto a MicroPython board, completely or not at all, and tests that the board trains.

Every file is written beside its place, checked by its CRC-32, and renamed only when all are whole. The self-test is one
training step, on seeded rows or an equation's own points: the board must end in the bits of the reference.
"""

import ast
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Arithmetic, Part, Region, TtzoError
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.parts import Parts
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import DTYPES, pack_rows, random_targets
from ttzo.host_tools.device.device import bundle_path, open_device, read_bundle
from ttzo.host_tools.device.micropython_board import SCHEME, Facts, MicroPythonBoard, MicroPythonError
from ttzo.host_tools.micropython.modules import Modules, Package, installed, smallest
from ttzo.host_tools.micropython.native_module import (
    MPY_VERSION,
    NATIVE,
    PYTHON,
    ModuleError,
    architecture_of,
    build_native,
    name_parts,
    parts_of,
    parts_of_package,
    python_files,
)
from ttzo.host_tools.training.compare import Parting, parameter_parting

FRESH = ".new"
PIECE_BYTES = 128  # of parameters, at once
TEST_ROWS = "ttzo-test.rows"
REST_BYTES = 14_000  # of heap: the Python part, a link being served, files and what is left of reading them
BLOCK_BYTES = 4096  # of a file system, at most: what the last block of a file may waste
Say = Callable[[str], object]
OnProgress = Callable[[int, int], object]


@dataclass(frozen=True)
class Deployment:
    """What `deploy` did. `tested_steps` training steps ended in the reference's bits, 0 when no test was wanted."""

    port: str
    machine: str
    version: str
    architecture: str
    module: str  # where the native part came from
    bundle: str  # its name on the board
    copied: tuple[str, ...]
    unchanged: tuple[str, ...]
    bytes_sent: int
    tested_steps: int


def deploy(
    bundle: str | Path,
    port: str,
    *,
    module: str | Path | None = None,
    mpy_dir: str | None = None,
    extra: dict[str, bytes] | None = None,
    test: bool = True,
    baud: int | None = None,
    say: Say = lambda text: None,
    on_progress: OnProgress = lambda done, total: None,
) -> Deployment:
    """Installs what the bundle needs on the board at `port` (with or without `mpy:`).

    The native module is the one built into the board's firmware; or from the file, folder or address `module`; or built
    against the MicroPython source tree `mpy_dir` (default: MPY_DIR of the environment); or one that came with ttzo. `extra`
    files go beside the bundle.

    Raises:
        MicroPythonError: no prompt, a full file system, a board that failed the self-test; nothing is half-installed.
        ModuleError: no module for the board's architecture, or one for another.
    """
    port, plan, path = port.removeprefix(SCHEME), read_bundle(bundle), bundle_path(bundle)
    name = bundle_name(path)
    with MicroPythonBoard(port, baud or 115200) as board:
        facts = board.facts()
        say(f"{facts.machine}: MicroPython {'.'.join(map(str, facts.version))}, {facts.architecture}")
        files, origin = _module_files(facts, plan, module, mpy_dir or os.environ.get("MPY_DIR"), say)
        files |= {name: path.read_bytes()} | (extra or {})
        same = tuple(place for place, content in files.items() if board.checksum(place) == zlib.crc32(content))
        wanted = {place: content for place, content in files.items() if place not in same}
        _install(board, facts, wanted, on_progress)
        if any(place.endswith(".mpy") for place in wanted):
            board.reset()  # what is imported is the old module
        parts = int(board.run("import _ttzo; print(_ttzo.parts())")) if test else 0
        if test and not parts & Part.link:
            say("comparing one training step on the board, at its prompt, with the reference")
            _compare(plan, _step_at_prompt(board, plan, name), _step(_reference(plan), bundle, plan, Region.dataset))
    if test and parts & Part.link:
        say("comparing one training step on the board with the reference")
        there = _step(_reference(plan), bundle, plan, Region.batch)
        _compare(plan, _step(SCHEME + port, bundle, plan, Region.batch, baud), there)
    return Deployment(
        port,
        facts.machine,
        ".".join(map(str, facts.version)),
        facts.architecture,
        origin,
        name,
        tuple(wanted),
        same,
        sum(map(len, wanted.values())),
        int(test),
    )


def bundle_name(path: Path) -> str:
    """A bundle's name on the board: its folder's."""
    stem = path.resolve().parent.name if path.name == "model.ttzo" else path.stem
    return (re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "model") + ".ttzo"


# ---- which module ---------------------------------------------------------------------------------------------------


def _module_files(
    facts: Facts, plan: Plan, module: str | Path | None, mpy_dir: str | None, say: Say
) -> tuple[dict[str, bytes], str]:
    """The module's files by their place on the board, and where the native part comes from."""
    if facts.frozen and not module:
        return {}, "built into the firmware with its Python part: not copied"
    folder = f"{facts.library}/" if facts.library else ""
    if facts.built_in and not module:
        files, origin = python_files(), "built into the firmware"
    else:
        _require_native(facts)
        files, origin = _files(facts, plan, module, mpy_dir, say)
    return {folder + name: content for name, content in files.items()}, origin


def _require_native(facts: Facts) -> None:
    if facts.architecture == "none":
        raise ModuleError(
            f"{facts.machine} (MicroPython {'.'.join(map(str, facts.version))}) loads no native modules",
            "build its firmware with the user C module of device_runtime/ports/micropython",
        )
    if facts.mpy_version != MPY_VERSION:
        raise ModuleError(
            f"the board loads native modules of version {_dotted(facts.mpy_version)}, but ttzo builds {_dotted(MPY_VERSION)}",
            "put a newer MicroPython (1.23 or later) onto the board",
        )


def _files(
    facts: Facts, plan: Plan, module: str | Path | None, mpy_dir: str | None, say: Say
) -> tuple[dict[str, bytes], str]:
    """The module's files and where the native part comes from. What is chosen or built here has the parts that the model
    needs, and those of the module that it replaces: another model on the board may need them."""
    parts = parts_of(plan) | {part for part in Part if part & facts.parts}
    if module and _is_index(module):
        return _taken(facts, plan, Modules(module), parts)
    if module:
        return _given(Path(module), facts.architecture, plan)
    if mpy_dir:
        content, origin = _built(facts, plan, mpy_dir, parts, say)
        return {NATIVE: content} | python_files(), origin
    if modules := installed():
        return _taken(facts, plan, modules, parts)
    raise ModuleError(
        f"the board needs a module for {facts.architecture}, this ttzo came without built modules, and none was given",
        "give a folder or an address of modules by --module, or set MPY_DIR to a MicroPython source tree to build one",
    )


def _is_index(module: str | Path) -> bool:
    return str(module).startswith(("http://", "https://")) or (Path(module) / "index.json").is_file()


def _taken(facts: Facts, plan: Plan, modules: Modules, parts: Parts) -> tuple[dict[str, bytes], str]:
    """With the link where the heap has room for it."""
    if plan.arithmetic != Arithmetic.separate:
        raise ModuleError(
            f"the modules in {modules.place} are for separate arithmetic, the model was exported in {plan.arithmetic.name}",
            "export it without --arithmetic, or set MPY_DIR to a MicroPython source tree to build a module",
        )
    package: Package = smallest(modules, facts.architecture, parts | {Part.link})
    if not facts.parts and not _has_room(facts, plan, package.bytes):
        package = smallest(modules, facts.architecture, parts)
    return modules.files(package), f"{package.name} {package.version} of {modules.place}: {package.bytes:,} bytes"


def _given(module: Path, architecture: str, plan: Plan) -> tuple[dict[str, bytes], str]:
    """What `ttzo module` has written."""
    path = _module_path(module, architecture)
    content = path.read_bytes()
    if (found := architecture_of(content)) != architecture:
        raise ModuleError(
            f"the board needs a module for {architecture}, but {path} is for {found}",
            f"build one with `ttzo module {architecture}`",
        )
    if missing := parts_of(plan) - parts_of_package(path):
        raise ModuleError(
            f"{path} was built without a part that the model needs (part {name_parts(missing)})",
            f"build one with `ttzo module {architecture} --bundle DIR -o FOLDER`",
        )
    beside = [path.parent / f"{name}.mpy" for name in PYTHON]
    there = all(file.is_file() for file in beside)
    python = {file.name: file.read_bytes() for file in beside} if there else python_files()
    return {NATIVE: content} | python, str(path)


def _built(facts: Facts, plan: Plan, mpy_dir: str, parts: Parts, say: Say) -> tuple[bytes, str]:
    parts |= {Part.link}
    say(f"building the module for {facts.architecture} against {mpy_dir}")
    content = build_native(facts.architecture, mpy_dir, plan.arithmetic, parts)
    if not facts.parts and not _has_room(facts, plan, len(content)):
        say(
            "the board's heap is too small for the link: the module is built without it, and the board trains at its prompt"
        )
        parts -= {Part.link}
        content = build_native(facts.architecture, mpy_dir, plan.arithmetic, parts)
    return content, f"built against {mpy_dir}, parts {name_parts(parts)}: {len(content):,} bytes"


def _has_room(facts: Facts, plan: Plan, native_bytes: int) -> bool:
    """Whether the board's heap holds the module, the model and what serving takes."""
    return native_bytes + memory.work_bytes(plan) + len(to_bundle.write(plan)) + REST_BYTES <= facts.heap_bytes


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _module_path(module: Path, architecture: str) -> Path:
    """The native module at `module`: the file, or in the folder, or in the folder's folder of that architecture."""
    for path in (module, module / architecture / NATIVE, module / NATIVE):
        if path.is_file():
            return path
    raise ModuleError(
        f"there is no {NATIVE} for {architecture} in {module}", f"build one with `ttzo module {architecture} -o FOLDER`"
    )


# ---- whole or not at all --------------------------------------------------------------------------------------------


def _report_part(on_progress: OnProgress, before: int, total: int, done: int, _: int) -> None:
    on_progress(before + done, total)


def _install(board: MicroPythonBoard, facts: Facts, files: dict[str, bytes], on_progress: OnProgress) -> None:
    total = sum(map(len, files.values()))
    needed = total + BLOCK_BYTES * len(files)
    if files and facts.free_bytes is not None and needed > facts.free_bytes:
        raise MicroPythonError(
            f"the board's file system has {facts.free_bytes:,} bytes free, but {needed:,} are needed",
            "remove files: `mpremote fs rm NAME`",
        )
    done = 0
    try:
        for place, content in files.items():
            board.write_file(place + FRESH, content, partial(_report_part, on_progress, done, total))
            if board.checksum(place + FRESH) != zlib.crc32(content):
                raise MicroPythonError(
                    f"{place} arrived damaged on the board", "check the cable, and repeat the command"
                )
            done += len(content)
    except (TtzoError, KeyboardInterrupt):
        with suppress(TtzoError):  # if the board is gone, the next deploy overwrites what is left
            board.run(f"import os\nfor n in {[place + FRESH for place in files]!r}:\n {_REMOVE}")
        raise
    for place in files:
        board.run(f"import os\nn={place!r}\nf={place + FRESH!r}\n{_REPLACE}")


_REMOVE = "try: os.remove(n)\n except OSError: pass"
# where the file system (FAT) does not replace a file, the old one goes first
_REPLACE = "try: os.rename(f, n)\nexcept OSError:\n os.remove(n)\n os.rename(f, n)"


# ---- the self-test --------------------------------------------------------------------------------------------------


def _reference(plan: Plan) -> str:
    return "numpy:" if plan.arithmetic == Arithmetic.separate else "native:"


def _step(url: str, bundle: str | Path, plan: Plan, region: Region, baud: int | None = None) -> np.ndarray:
    """The parameters [P] after one step from the exported ones, on seeded rows in that region or an equation's points."""
    with open_device(url, bundle, baud=baud) as device:
        device.reset()
        if plan.pde is None:
            (device.write_batch if region == Region.batch else device.write_dataset)(seeded_rows(plan))
        device.step(region if plan.pde is None else Region.collocation)
        parameters = device.parameters()
        device.reset()
    return parameters


def _step_at_prompt(board: MicroPythonBoard, plan: Plan, name: str) -> np.ndarray:
    """The same without a link: the rows are in a file, from which a step draws as from the region dataset."""
    with _rows_on_the_board(board, b"" if plan.pde else seeded_rows(plan).tobytes()):
        board.reset()  # memory in one piece
        board.run(f"import binascii, ttzo\nm=ttzo.load({name!r})")
        board.run("m.train(steps=1)" if plan.pde else f"f=open({TEST_ROWS!r},'rb'); m.train(f,steps=1); f.close()")
    board.run("f=None")
    parameters, total = b"", 4 * plan.n_parameters
    while len(parameters) < total:  # in small pieces: a small heap is full of the model
        at, count = len(parameters), min(PIECE_BYTES, total - len(parameters))
        printed = board.run(f"print(binascii.hexlify(m._view(m._facts[9]+{at},{count})))")
        parameters += bytes.fromhex(ast.literal_eval(printed.strip()).decode())
    board.run("m=None")
    return np.frombuffer(parameters, "<f4")


@contextmanager
def _rows_on_the_board(board: MicroPythonBoard, rows: bytes) -> Iterator[None]:
    """The file of rows, taken away also when the board refuses to train."""
    board.write_file(TEST_ROWS, rows)
    remove = f"import os; os.remove({TEST_ROWS!r})"
    try:
        yield
    except TtzoError:
        with suppress(TtzoError):  # what the board refused is the error to show
            board.reset()  # closes the file
            board.run(remove)
        raise
    board.run(remove)


def _compare(plan: Plan, here: np.ndarray, there: np.ndarray) -> None:
    parted: Parting | None = parameter_parting(plan, here, there, 1, 0)
    if parted:
        raise MicroPythonError(
            f"the board does not compute the same as the reference: after one step {parted.place} is {parted.a:.9g}, not {parted.b:.9g}",
            "build the module with `ttzo module`, which sets the compiler flags",
        )


def seeded_rows(plan: Plan) -> np.ndarray:
    """A batch of packed rows from a fixed seed."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(DTYPES[plan.input_number])
    shape = (plan.batch, plan.in_features)
    x = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, plan.n_tokens or 17, shape)
    return pack_rows(x.astype(dtype), random_targets(plan, rng, plan.batch))
