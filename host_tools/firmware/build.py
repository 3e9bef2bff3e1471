# SPDX-License-Identifier: MIT
"""Compiles the C runtime: `build` into firmware for a board, `build_native` into a program for this machine.

    BUNDLE/model.ttzo, BUNDLE/model.c  ->  BUNDLE/firmware/BOARD/ttzo.elf, ttzo.bin, ttzo.map, build.json

What is up to date is not built again: `build.json` holds a key over sources, model, board, flags and compiler. A build
that fails leaves the firmware of the one before.
"""

import dataclasses
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import PORTS, core_headers, core_sources
from ttzo.device_runtime.contract import LIMIT, Arithmetic, Part, TtzoError
from ttzo.exporter.costs.memory import Room, flash_items, require_room
from ttzo.exporter.plan.parts import Parts, firmware_parts
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS, SHARED
from ttzo.host_tools.firmware.firmware_image import Image
from ttzo.host_tools.firmware.key_file import Lock
from ttzo.host_tools.firmware.wear import require_slots

# The order of float operations is the contract's: no contraction, no fast-math. Warnings are errors in the tests only:
# a compiler newer than ours may know new ones.
FLAGS = [
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wmissing-prototypes",
    "-Wundef",
]
NATIVE_FLAGS = ["-DTTZO_THREADS", "-pthread"]
FIRMWARE_FLAGS = ["-g", "-ffunction-sections", "-fdata-sections", "-fno-common"]
LINK_FLAGS = [
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--emit-relocs",
    "-Wl,--build-id=none",
    "-Wl,--fatal-warnings",
    "-Wl,-Map=ttzo.map",
]
FILES = ("ttzo.elf", "ttzo.bin", "ttzo.map")
COMPLAINT = "error|warning|undefined|cannot|overflowed"
NO_LIBRARY = r"spec file|std\w+\.h: No such file|cannot find -l"


class BuildError(TtzoError):
    """Firmware that cannot be built, or must not run."""


@dataclass(frozen=True)
class BuildReport:
    """What a build made, in bytes: of flash and RAM what is taken, and what the board has."""

    board: str
    elf: Path
    bin: Path
    flash_bytes: int  # code, constants, model, initial values
    flash_capacity: int
    static_bytes: int  # variables in RAM
    stack_bytes: int  # at most, from the image's call graph, one interrupt included
    stack_capacity: int
    stack_path: tuple[str, ...]  # the calls that need it
    work_needed: int
    work_capacity: int  # what stack and variables leave of the RAM
    ram_capacity: int
    rebuilt: bool

    def as_json(self) -> dict:
        """The report as JSON has it: paths as strings."""
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()
        }


# ---- firmware -------------------------------------------------------------------------------------------------------


def build(
    bundle_dir: str | Path,
    board: Board,
    extra_flags: Sequence[str] = (),
    *,
    size: bool = False,
    all_parts: bool = False,
    storage: bool = False,
    lock: Lock | None = None,
    objects: Path | None = None,
) -> BuildReport:
    """Builds the bundle folder's model into firmware for the board, unless that is up to date; with `size` as small as
    the compiler makes it (-Os), with `all_parts` with the whole runtime, with `storage` such that its run outlives a reset.
    None changes a bit of what it computes. With `lock` it takes orders from holders of that key only, and its files, which
    hold the key, are the user's alone. In the folder `objects` compiled sources, and the worst stack of the first model, stay
    for further builds with the same arguments, of other models.

    Raises:
        BuildError: no compiler; sources that do not compile; a model of another export; a stack that may overflow; heap,
            stdio or libm in the image.
        PlanError: the model does not fit; the largest consumer is named.
        DeviceError: a damaged bundle.
    """
    bundle_dir = Path(bundle_dir)
    plan = _read_plan(bundle_dir)
    if board.not_built:
        reason, _, way_out = board.not_built.partition("; ")
        raise BuildError(reason, way_out)
    if plan.arithmetic.name not in board.arithmetics:
        raise BuildError(
            f"{board.name} does not support {plan.arithmetic.name} arithmetic",
            f"export with one of: {', '.join(board.arithmetics)}",
        )
    if storage:
        require_slots(plan, board)
        board = board.with_slots()
    require_room(plan, board.room)
    out = bundle_dir / "firmware" / board.name
    parts = (frozenset(Part) if all_parts else firmware_parts(plan, keeps_rows=board.rows_bytes > 0)) - {Part.key}
    parts |= {Part.key} if lock else set()
    parts |= {Part.storage} if storage else set()
    sources = _firmware_sources(parts, board) + [bundle_dir / "model.c"]
    flags = [*_flags(plan, parts, board, lock), *extra_flags, *(["-Os"] if size else [])]
    folders = CHIP_PORTS[board.port].folders
    read = [
        *sources,
        *core_headers(),
        *(path for folder in folders for path in sorted(folder.glob("*.h"))),
        bundle_dir / "model.h",
        bundle_dir / "model.ttzo",
        SHARED / "firmware.ld",
    ]
    secret = [hashlib.sha256(lock.secret).hexdigest()] if lock else []
    key = _key(read, [*flags, *LINK_FLAGS, board.model_dump_json(), *secret], [f"{board.toolchain}-gcc"])
    if report := _up_to_date(out, key):
        return report
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=out) as folder:
        if lock:
            sources.append(_secret_file(Path(folder), lock))
        report = _make(Path(folder), out, plan, board, sources, flags, bundle_dir, objects)
        _publish(Path(folder), out, key, report, lock is not None)
    return report


def _secret_file(folder: Path, lock: Lock) -> Path:
    """The key as a source, in a folder that goes away."""
    path = folder / "model_key.c"
    path.touch(0o600)
    bytes_ = ", ".join(map(str, lock.secret))
    path.write_text(f"#include <stdint.h>\nextern const uint8_t ttzo_secret[{len(lock.secret)}];\nconst uint8_t ttzo_secret[{len(lock.secret)}] = {{ {bytes_} }};\n")  # fmt: skip
    return path


def _read_plan(bundle_dir: Path) -> Plan:
    for name in ("model.ttzo", "model.c", "model.h"):
        if not (bundle_dir / name).is_file():
            raise BuildError(
                f"{bundle_dir} is not a bundle folder: it has no {name}", "make one with `ttzo export MODEL -o DIR`"
            )
    return to_bundle.read((bundle_dir / "model.ttzo").read_bytes())


def sources_of(parts: Parts) -> list[Path]:
    """The core's sources for some parts: a part that has a folder is left out with it."""
    return core_sources({part.name for part in set(Part) - parts})


def _firmware_sources(parts: Parts, board: Board) -> list[Path]:
    """The core, and of the port what the board names; what begins with the name of a choice is one."""
    chosen = {f"uart_{board.uart}.c", f"clock_{board.clock}.c", f"watchdog_{board.watchdog}.c"}
    chosen |= {f"slots_{board.slots}.c"} if Part.storage in parts else set()
    chosen |= {f"random_{board.random}.c"} if Part.key in parts else set()
    return sources_of(parts) + CHIP_PORTS[board.port].sources(chosen)


def _flags(plan: Plan, parts: Parts, board: Board, lock: Lock | None) -> list[str]:
    flags = [*board.cpu_flags, *FLAGS, *FIRMWARE_FLAGS, *_macros(plan, parts, board)]
    return [*flags, f"-DTTZO_READING_OPEN={lock.reading_open:d}"] if lock else flags


def _macros(plan: Plan, parts: Parts, board: Board) -> list[str]:
    storage = Part.storage in parts
    values = {
        "BOARD": f'"{board.name}"',
        "CLOCK_HZ": f"{board.clock_hz}u",
        "BAUD": f"{board.baud}u",
        "UART_BASE": f"{board.uart_base:#x}u",
        "UART_IRQ": f"{board.uart_irq}u",
        "PAYLOAD_BYTES": f"{board.payload_bytes}u",
        "ROWS_ORIGIN": f"{board.rows_origin:#x}u",
        "ROWS_BYTES": f"{board.rows_bytes:#x}u",
        "PARTS": f"{sum(parts):#x}u",
        "WATCHDOG_MS": f"{board.watchdog_ms}u",
        "SLOT_BYTES": f"{board.slot_bytes if storage else 0:#x}u",
    }
    if storage:
        values |= {f"SLOT_{k}": f"{origin:#x}u" for k, origin in enumerate(board.slot_origins)}
        values["SLOT_RATED_ERASES"] = f"{board.slot_rated_erases}u"
    return [f"-DTTZO_{name}={value}" for name, value in values.items()] + _arithmetic_flags(plan.arithmetic)


def _arithmetic_flags(arithmetic: Arithmetic) -> list[str]:
    return ["-DTTZO_FUSED=1"] if arithmetic == Arithmetic.fused else []


def _make(
    folder: Path,
    out: Path,
    plan: Plan,
    board: Board,
    sources: list[Path],
    flags: list[str],
    bundle_dir: Path,
    kept: Path | None,
) -> BuildReport:
    """Compiles and links in `folder`, then looks at what came out. No path of this machine gets into the image."""
    # of two that fit, gcc takes the later
    hidden = [
        f"-ffile-prefix-map={path}={name}"
        for path, name in ((RUNTIME, "ttzo"), (bundle_dir.resolve(), "bundle"), (folder.resolve(), "."))
    ]
    image = Image(_linked(folder, plan, board, sources, [*flags, *hidden], kept), board.toolchain)
    stack, path = _worst_stack(image, board, kept)
    _check_model(image, plan, board)
    return _report(image, out, plan, board, stack, path)


def image_bytes(bundle_dir: Path, board: Board, parts: Parts) -> int:
    """Bytes of an image with just these parts, whatever the model needs; what it would do is not looked at."""
    plan = _read_plan(bundle_dir)
    lock = Lock(bytes(LIMIT["key_bytes"])) if Part.key in parts else None
    flags = [flag for flag in _flags(plan, parts, board, lock) if flag != "-g"]
    with tempfile.TemporaryDirectory(prefix="ttzo-image-") as folder:
        sources = _firmware_sources(parts, board) + [bundle_dir / "model.c"]
        sources += [_secret_file(Path(folder), lock)] if lock else []
        return _linked(Path(folder), plan, board, sources, flags, None).with_suffix(".bin").stat().st_size


def _linked(folder: Path, plan: Plan, board: Board, sources: list[Path], flags: list[str], kept: Path | None) -> Path:
    """Compiles and links `ttzo.elf` in `folder`, with `ttzo.bin` and `ttzo.map` beside it."""
    gcc, port = f"{board.toolchain}-gcc", CHIP_PORTS[board.port]
    specs = f"--specs={port.specs}"
    flags = [*flags, specs, f"-I{RUNTIME}", *(f"-I{each}" for each in port.folders)]
    objects = _compile_all(folder, gcc, [source.resolve() for source in sources], flags, kept)
    memory = {"FLASH_ORIGIN": board.flash_origin, "FLASH_BYTES": board.flash_bytes, "RAM_ORIGIN": board.ram_origin}
    memory |= {"RAM_BYTES": board.ram_bytes, "STACK_BYTES": board.stack_bytes}
    defined = [f"-D{name}={value:#x}" for name, value in memory.items()]
    _run([gcc, "-E", "-P", "-x", "c", *defined, str(SHARED / "firmware.ld"), "-o", "ttzo.ld"], folder)
    script = ["-T", "ttzo.ld"]
    _link([gcc, *board.cpu_flags, specs, *LINK_FLAGS, *script, *objects, "-lm", "-o", "ttzo.elf"], folder, board, plan)
    _run([f"{board.toolchain}-objcopy", "-O", "binary", "ttzo.elf", "ttzo.bin"], folder)
    return folder / "ttzo.elf"


def _compile_all(
    folder: Path, compiler: str, sources: Sequence[Path], flags: Sequence[str], kept: Path | None = None
) -> list[str]:
    """Object files, by name in `folder` or by path in `kept`, in the order of the sources. Those of the runtime that
    stand in `kept` are not compiled again."""
    objects = [f"{source.parent.name}-{source.stem}.o" for source in sources]
    if kept:
        is_ours = [source.is_relative_to(RUNTIME.resolve()) for source in sources]
        objects = [str(kept / name) if ours else name for name, ours in zip(objects, is_ours, strict=True)]
    commands = [
        [compiler, *flags, "-c", str(source), "-o", made]
        for source, made in zip(sources, objects, strict=True)
        if not (kept and Path(made).is_absolute() and Path(made).is_file())
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda command: _run(command, folder), commands))
    return objects


def _run(command: Sequence[str], folder: Path) -> str:
    """Runs a tool in `folder`; its first complaint is the error."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed", _package(command[0])) from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if re.search(COMPLAINT, line)]
        hint = (
            _package(command[0]) if re.search(NO_LIBRARY, done.stderr) else "the sources or the board's file are wrong"
        )
        raise BuildError(f"{command[0]} failed: {' / '.join(lines[:3])}", hint)
    return done.stdout


def _package(program: str) -> str:
    prefix = program.rpartition("-")[0]
    ports = (port.packages for port in CHIP_PORTS.values() if prefix and prefix in port.packages)
    return f"on Debian or Ubuntu: apt-get install {next(ports, 'gcc libc6-dev')}"


def _link(command: Sequence[str], folder: Path, board: Board, plan: Plan) -> None:
    try:
        _run(command, folder)
    except BuildError as error:
        overflow = re.search(r"region `(\w+)' overflowed by (\d+) bytes", str(error))
        if not overflow:
            raise
        parameters = flash_items(plan)["parameters"]
        raise BuildError(
            f"the firmware is {int(overflow[2]):,} bytes too large for the {overflow[1]} of {board.name}; "
            f"the model's parameters take {parameters:,}",
            "export with smaller --ranks, build with --size, or choose a larger board",
        ) from error


# ---- what came out --------------------------------------------------------------------------------------------------


def _check_symbols(image: Image) -> None:
    loaded = re.findall(r"^LOAD (.*libm\.a)$", image.elf.with_suffix(".map").read_text(), re.MULTILINE)
    libm = image.elf.parent / loaded[0]
    forbidden = image.forbidden(libm)
    if forbidden:
        called = [f"{name}, called by {', '.join(callers)}" for name, callers in forbidden.items() if callers]
        raise BuildError(
            f"the firmware contains {'; '.join(called or forbidden)}: no heap, stdio or libm on a device",
            "use the functions of real.h, and the work buffer",
        )


def _check_model(image: Image, plan: Plan, board: Board) -> None:
    at = image.symbols["ttzo_model"] - board.flash_origin
    if image.elf.with_suffix(".bin").read_bytes()[at : at + LIMIT["hash_bytes"]] != to_bundle.model_hash(plan):
        raise BuildError("model.c and model.ttzo come from different exports", "export the model again")


def _worst_stack(image: Image, board: Board, kept: Path | None) -> tuple[int, list[str]]:
    """Looks at the image's symbols and its deepest path of calls. With the compiled sources of `kept`, these are the same for
    every model, and looked at once."""
    known = kept and kept / "stack.json"
    if known and known.is_file():
        return json.loads(known.read_text(encoding="utf-8"))
    _check_symbols(image)
    port = CHIP_PORTS[board.port]
    found = image.worst_stack("Reset_Handler", port.interrupt, port.interrupt_frame_bytes)
    if known:
        known.write_text(json.dumps(found), encoding="utf-8")
    return found


def _report(image: Image, out: Path, plan: Plan, board: Board, stack: int, path: Sequence[str]) -> BuildReport:
    if stack > board.stack_bytes:
        raise BuildError(f"the stack may need {stack:,} bytes ({' > '.join(path)}), {board.name} reserves {board.stack_bytes:,}",
                         "raise stack_bytes in the board's file")  # fmt: skip
    require_room(plan, Room(board.name, board.flash_bytes, image.work_bytes))
    return BuildReport(
        board=board.name,
        elf=out / "ttzo.elf",
        bin=out / "ttzo.bin",
        flash_bytes=image.elf.with_suffix(".bin").stat().st_size,
        flash_capacity=board.flash_bytes,
        static_bytes=image.static_bytes,
        stack_bytes=stack,
        stack_capacity=board.stack_bytes,
        stack_path=tuple(path),
        work_needed=to_bundle.model_info(plan).work_bytes,
        work_capacity=image.work_bytes,
        ram_capacity=board.ram_bytes,
        rebuilt=True,
    )


# ---- up to date or not ----------------------------------------------------------------------------------------------


def _key(files: Iterable[Path], words: Iterable[str], compiler: Sequence[str]) -> str:
    """SHA-256 over what a build reads: files, flags, compiler version."""
    digest = hashlib.sha256()
    for part in [*(p.name.encode() + b"\0" + p.read_bytes() for p in files), *map(str.encode, words)]:
        digest.update(hashlib.sha256(part).digest())
    digest.update(_run([*compiler, "--version"], RUNTIME).encode())
    return digest.hexdigest()


def _digests(out: Path) -> dict[str, str]:
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES}


def _up_to_date(out: Path, key: str) -> BuildReport | None:
    try:
        stamp = json.loads((out / "build.json").read_text(encoding="utf-8"))
        if stamp["key"] != key or stamp["digests"] != _digests(out):
            return None
        report = stamp["report"]
        paths = {"elf": out / "ttzo.elf", "bin": out / "ttzo.bin"}
        return BuildReport(**report | paths | {"stack_path": tuple(report["stack_path"]), "rebuilt": False})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _publish(folder: Path, out: Path, key: str, report: BuildReport, is_secret: bool) -> None:
    """Moves the files in; without build.json, which goes first and comes last, the next build does it all again."""
    content = {name: value for name, value in report.as_json().items() if name not in ("elf", "bin")}
    stamp = {"key": key, "digests": _digests(folder), "report": content}
    (folder / "build.json").write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    (out / "build.json").unlink(missing_ok=True)
    for name in (*FILES, "build.json"):
        if is_secret:
            (folder / name).chmod(0o600)
        (folder / name).replace(out / name)


# ---- this machine ---------------------------------------------------------------------------------------------------


def build_native(arithmetic: Arithmetic, compiler: Sequence[str] = ()) -> Path:
    """The program `ttzo-native` in that arithmetic, for this machine or for that of a cross `compiler`; compiled once into
    the user's cache folder.

    Raises `BuildError` when there is no C compiler (`CC`, or `cc`).
    """
    port = PORTS / "native"
    sources = [*core_sources(), *sorted(port.glob("*.c"))]
    flags = [*FLAGS, *NATIVE_FLAGS, *_arithmetic_flags(arithmetic)]
    if not compiler:
        flags += processor_flags()
    # libm only for a correctly rounded fmaf where the processor has none
    headers = [*core_headers(), *sorted(port.glob("*.h"))]
    return for_this_machine("ttzo-native", sources, headers, [*flags, f"-I{RUNTIME}"], ["-lm"], compiler)


def processor_flags() -> list[str]:
    """Vectors and fused multiply-adds that this x86-64 processor has, as flags of the C compiler: the same bits, several
    times faster. Raises `BuildError` when there is no C compiler."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return []
    macros = subprocess.run(
        [*_host_compiler(), "-march=native", "-dM", "-E", "-x", "c", os.devnull], capture_output=True, text=True
    )
    return [f"-m{name.lower()}" for name in ("AVX2", "FMA", "AVX512F", "AVX512VL") if f"__{name}__ " in macros.stdout]


def build_plugin() -> Path:
    """The plugin of QEMU that counts a board's instructions, compiled once into the user's cache folder. Raises
    `BuildError` when there is no C compiler."""
    flags = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-fPIC"]
    return for_this_machine(
        "count.so", [Path(__file__).parents[1] / "device" / "qemu_plugin.c"], [], flags, ["-shared"]
    )


def _host_compiler() -> list[str]:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(compiler[0]):
        raise BuildError(f"there is no C compiler {compiler[0]}", _package(compiler[0]))
    return compiler


def for_this_machine(
    name: str,
    sources: list[Path],
    headers: list[Path],
    flags: list[str],
    link_flags: list[str],
    compiler: Sequence[str] = (),
) -> Path:
    """The file `name` that `compiler`, by default this machine's own, makes of the sources, in the user's cache folder;
    compiled once for each state of sources, headers, flags and compiler, also where several processes ask at the same time.

    Raises `BuildError` with the compiler's first complaints."""
    compiler = list(compiler) or _host_compiler()
    key = _key([*sources, *headers], [*flags, *link_flags, platform.machine()], compiler)
    made = platformdirs.user_cache_path("ttzo") / f"{Path(name).stem}-{key[:16]}" / name
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=made.parent) as folder:
            _run([*compiler, *flags, *map(str, sources), *link_flags, "-o", made.name], Path(folder))
            (Path(folder) / made.name).replace(made)
    return made
