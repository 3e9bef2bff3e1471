# SPDX-License-Identifier: MIT
"""What other ways to train cost on the same board: forty lines of back-propagation in C, AIfES where its sources are at hand,
and the model of `ttzo demo`.

    peers.counts(say, aifes)   ->  one PeerCount for each

All learn the rows of `digits` on an emulated Cortex-M4F until 95 % of the test rows are right, looked at after every 144 rows.
Counted are the instructions of training alone: a program runs twice, to find how many rows it needs and to train on so many;
what it executes without training is taken off.
"""

import dataclasses
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Region, TtzoError
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.data import data_set, known_data
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.device import BUNDLE, Device, open_device
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.build import BuildReport, build, build_plugin
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS
from ttzo.host_tools.reference.number.random import batch_rows

BOARD = "mps2-an386"
SEEDS = (0, 1, 2)
GOAL = 0.95  # of the test rows
EVERY = 144  # rows between two looks at them
EPOCHS = 12  # at most
HIDDEN, CLASSES = 32, 10
UNTIL = 2**32 - 1
REQUEST = 0x20380000
FOLDER = Path(__file__).parent
FORTY_LINES = FOLDER / "peer_forty_lines.c"
FLAGS = ("-std=gnu11", "-O2", "-ffunction-sections", "-fdata-sections", "-DNDEBUG", f"-I{FOLDER}")
LINK = ("-nostartfiles", "--specs=nosys.specs", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments")


class PeerError(TtzoError):
    """A peer that cannot be compiled or run, or does not reach the goal."""


@dataclass(frozen=True)
class PeerCount:
    """`rows` and `instructions` until the goal for each seed; bytes of flash (code, constants and first parameters) and of RAM
    (variables, memory and stack), without rows."""

    name: str
    how: str
    parameters: int
    rows: tuple[int, ...]
    instructions: tuple[int, ...]
    flash_bytes: int
    ram_bytes: int

    @property
    def mean_rows(self) -> int:
        return round(sum(self.rows) / len(self.rows))

    @property
    def mean_instructions(self) -> int:
        return round(sum(self.instructions) / len(self.instructions))

    @property
    def a_row(self) -> int:
        return round(sum(self.instructions) / sum(self.rows))

    def as_json(self) -> dict[str, Any]:
        means = {name: getattr(self, name) for name in ("a_row", "mean_rows", "mean_instructions")}
        return dataclasses.asdict(self) | means


def counts(settings: dict[str, Any], say: Callable[[str], object], aifes: Path | None = None) -> Iterator[PeerCount]:
    """Of the demo's model with these `settings`, of the forty lines, and of AIfES in the folder of its library. `say` hears
    what is under way. Raises `PeerError`, and what building and emulating raise."""
    if aifes and not (aifes / "src/aifes.h").is_file():
        raise PeerError(f"{aifes} does not hold AIfES", "give the folder of its Arduino library, with src/aifes.h")
    with tempfile.TemporaryDirectory(prefix="ttzo-peers-") as folder:
        yield _demo(settings, Path(folder), say)
        how = "back-propagation, a step after each row"
        yield _program("forty lines of C", how, [FORTY_LINES], (), Path(folder), say)
        if aifes:
            sources = [FOLDER / "peer_aifes.c", *sorted((aifes / "src").rglob("*.c")), *(aifes / "src").glob("*.cpp")]
            how = "back-propagation, a step after 16 rows"
            yield _program("AIfES", how, sources, (f"-I{aifes / 'src'}", "-w"), Path(folder), say)


# ---- programs of back-propagation ------------------------------------------------------------------------------------


def _program(
    name: str, how: str, sources: list[Path], flags: tuple[str, ...], folder: Path, say: Callable[[str], object]
) -> PeerCount:
    rows, instructions, flash, ram = [], [], 0, 0
    objects = _compiled(sources, flags, folder)
    for seed in SEEDS:
        say(f"{name}, seed {seed}")
        elf = _linked(objects, seed, folder)
        until, _ = _run(elf, UNTIL, folder)
        if until["right"] < _enough():
            raise PeerError(f"{name} does not reach the goal with seed {seed}", "correct its rate")
        rows.append(until["rows"])
        trained, whole = _run(elf, until["rows"], folder)
        instructions.append(whole - _run(elf, 0, folder)[1])
        flash, ram = _bytes(elf)
        ram += trained["memory"] + trained["stack"]
    return PeerCount(
        name, how, HIDDEN * (64 + 1) + CLASSES * (HIDDEN + 1), tuple(rows), tuple(instructions), flash, ram
    )


def _compiled(sources: list[Path], flags: tuple[str, ...], folder: Path) -> list[Path]:
    objects = []
    for number, source in enumerate([FOLDER / "peer_main.c", *sources]):
        made = folder / f"{number}-{source.stem}.o"
        language = ("-x", "c") if source.suffix == ".cpp" else ()
        _tool("gcc", *boards.load(BOARD).cpu_flags, *FLAGS, *flags, *language, "-c", str(source), "-o", str(made))
        objects.append(made)
    return objects


def _linked(objects: list[Path], seed: int, folder: Path) -> Path:
    data, elf = folder / "peer_data.c", folder / "peer.elf"
    data.write_text(_data(seed), encoding="ascii")
    cpu = boards.load(BOARD).cpu_flags
    _tool(
        "gcc", *cpu, *FLAGS, *LINK, "-T", str(FOLDER / "peer.ld"), str(data), *map(str, objects), "-lm", "-o", str(elf)
    )
    return elf


def _enough() -> int:
    return int(np.ceil(GOAL * len(known_data.digits()[3])))


def _data(seed: int) -> str:
    """The rows, their order and the first weights as C."""
    x_train, y_train, x_test, y_test = known_data.digits()
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(x_train)) for _ in range(EPOCHS)])
    rows, classes = np.concatenate([x_train, x_test]) / 16, np.concatenate([y_train, y_test])
    first, second = (rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in ((HIDDEN, 64), (CLASSES, HIDDEN)))
    tables = {
        "const float peer_rows[][PEER_INPUTS]": rows, "const uint8_t peer_classes[]": classes,
        "const uint16_t peer_order[]": order, "const float peer_first[]": first, "const float peer_second[]": second,
    }  # fmt: skip
    table = '__attribute__((section(".tables"))) '
    numbers = {"n_order": len(order), "n_train": len(x_train), "n_rows": len(rows), "enough": _enough()}
    lines = [
        '#include "peer.h"',
        "extern const uint16_t peer_order[];",
        "extern const float peer_first[], peer_second[];",
    ]
    lines += [f"extern const uint32_t peer_{name};\nconst uint32_t peer_{name} = {n};" for name, n in numbers.items()]
    return "\n".join(lines + [f"{table}{name} = {{ {_values(values)} }};" for name, values in tables.items()]) + "\n"


def _values(values: np.ndarray) -> str:
    if values.dtype.kind != "f":
        return ", ".join(map(str, values.ravel()))
    rows = (", ".join(f"{x:.9g}f" if "." in f"{x:.9g}" or "e" in f"{x:.9g}" else f"{x:.1f}f" for x in row) for row in np.atleast_2d(values))  # fmt: skip
    return (
        ", ".join(f"{{ {row} }}" for row in rows)
        if values.shape[-1] == 64 and len(values) > HIDDEN
        else ", ".join(rows)
    )


def _run(elf: Path, request: int, folder: Path) -> tuple[dict[str, int], int]:
    """What the program told, and the instructions that it executed."""
    board, counter = boards.load(BOARD), folder / "count"
    counter.unlink(missing_ok=True)
    command = [CHIP_PORTS[board.port].emulator, "-M", str(board.qemu_machine), "-kernel", str(elf)]
    command += [
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "none",
        "-semihosting-config",
        "enable=on,target=native",
    ]
    command += ["-device", f"loader,addr={REQUEST:#x},data={request:#x},data-len=4"]
    command += ["-plugin", f"{build_plugin()},out={counter}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"QEMU did not run the program: {error}", "install qemu-system-arm, or try again") from error
    words = (done.stdout + done.stderr).split()
    told = {word: int(n) for word, n in zip(words, words[1:], strict=False) if n.isdigit()}
    if "stack" not in told:
        raise PeerError(f"the program ended early: {' '.join(words[-20:])}", "run it in QEMU by hand")
    return told, int.from_bytes(counter.read_bytes(), "little")


def _bytes(elf: Path) -> tuple[int, int]:
    """Flash, and RAM of variables."""
    sections = {line.split()[0]: int(line.split()[1]) for line in _tool("size", "-A", str(elf)).splitlines() if line.startswith(".")}  # fmt: skip
    variables = sections.get(".data", 0) + sections.get(".bss", 0)
    return sections[".text"] + sections.get(".ARM.exidx", 0) + sections.get(".data", 0), variables


def _tool(name: str, *arguments: str) -> str:
    program = f"{boards.load(BOARD).toolchain}-{name}"
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PeerError(
            f"{program} is not installed", "on Debian or Ubuntu: apt-get install gcc-arm-none-eabi"
        ) from error
    if done.returncode:
        raise PeerError(f"{program} failed: {done.stderr.strip().splitlines()[0]}", "compile the sources by hand")
    return done.stdout


# ---- the demo --------------------------------------------------------------------------------------------------------


def _demo(settings: dict[str, Any], folder: Path, say: Callable[[str], object]) -> PeerCount:
    """Its steps on `native:` until the goal, then the same steps, to the same bits, on the emulated board."""
    rows, instructions, board = [], [], boards.load(BOARD)
    for seed in SEEDS:
        say(f"ttzo demo, seed {seed}")
        plan = plan_of("digits", **settings, seed=seed)  # of the first parameters too
        (folder / BUNDLE).write_bytes(to_bundle.write(plan))
        for name, text in c_files(plan).items():
            (folder / name).write_text(text, encoding="ascii")
        steps, parameters = _steps_until(plan, folder)
        report, counter = build(folder, board), folder / "count"
        with (
            qemu.emulated(board, report.elf, counter=counter) as emulation,
            open_device(emulation.url, folder) as device,
        ):
            device.counter = counter
            instructions.append(sum(_steps(device, plan, steps)))
            if not np.array_equal(device.parameters(), parameters):
                raise PeerError("the board's parameters are not those of native:", "run `ttzo compare`")
        rows.append(steps * plan.batch)
    return PeerCount("ttzo demo", "forward passes, node_cge, a step after 24 rows", plan.n_parameters, tuple(rows),
                     tuple(instructions), report.flash_bytes, _ram(report))  # fmt: skip


def _steps_until(plan: Plan, folder: Path) -> tuple[int, np.ndarray]:
    data = data_set.load(None, plan)
    with open_device("native:", folder) as device:
        for step in range(1, EPOCHS * len(data.train_rows) // plan.batch):
            device.write_batch(_batch(plan, data.train_rows, step - 1))
            device.step(Region.batch)
            if step * plan.batch % EVERY == 0 and device.evaluate(data.test_rows).accuracy >= GOAL:
                return step, device.parameters()
    raise PeerError("the demo does not reach the goal", "correct its settings")


def _steps(device: Device, plan: Plan, n: int) -> Iterator[int]:
    """Instructions of each step."""
    rows = data_set.load(None, plan).train_rows
    for step in range(n):
        device.write_batch(_batch(plan, rows, step))
        before = device.instructions or 0
        device.step(Region.batch)
        yield (device.instructions or 0) - before


def _batch(plan: Plan, rows: np.ndarray, step: int) -> np.ndarray:
    return rows[batch_rows(plan.training.seed, step, plan.batch, len(rows))]


def _ram(report: BuildReport) -> int:
    return report.static_bytes + report.stack_bytes + report.work_needed
