# SPDX-License-Identifier: MIT
"""Boards: one flat TOML each, in `boards/` or in a file of the user's.

A board's numbers stand there and nowhere else; the firmware gets them as macros, the linker as memory, the forecasts
as costs.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from ttzo import boards as board_folder
from ttzo.device_runtime.contract import LIMIT, Arithmetic, TtzoError
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.plan.untrusted_file import read_bytes, toml_page
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS

FOLDER = Path(board_folder.__file__).parent
MOST_BYTES = 64 << 10  # of a board's file

_Name = Annotated[
    str, pydantic.StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=LIMIT["board_name_bytes"] - 1)
]
_Part = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9_]+$")]
_Text = Annotated[str, pydantic.StringConstraints(min_length=1)]
_Bytes = Annotated[int, pydantic.Field(gt=0, lt=1 << 32)]
_Address = Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]


class BoardError(TtzoError):
    """A board that is not known, or a board file that is damaged."""


class Board(pydantic.BaseModel):
    """One board; a field with a default may be left out of its TOML."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: _Name  # what the device reports in HELLO
    title: _Text  # for people: board, chip, core, clock
    ran_on: _Text  # what was seen running where, and what was not

    not_built: str = ""  # why `ttzo build` makes no firmware for it, and what to do instead; "": it does
    build_note: str = ""  # what must be added to its firmware before a chip can start it

    port: _Part  # folder in device_runtime/ports
    toolchain: _Text  # the compiler is {toolchain}-gcc
    cpu_flags: tuple[_Text, ...]  # core, instruction set and float ABI, for gcc
    # that the core computes as the contract says
    arithmetics: tuple[Literal[tuple(Arithmetic.__members__)], ...]  # type: ignore[valid-type]  # pydantic checks names

    flash_origin: _Address
    flash_bytes: _Bytes
    ram_origin: _Address
    ram_bytes: _Bytes  # stack, static data and work buffer together
    stack_bytes: Annotated[int, pydantic.Field(ge=1024, multiple_of=8)]  # at the bottom of the RAM
    rows_origin: _Address  # a further memory, for training rows without their zeros (region sparse)
    rows_bytes: Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]  # 0 when there is none

    clock: _Part  # clock_{clock}.c of the port
    clock_hz: Annotated[int, pydantic.Field(gt=0)]
    uart: _Part  # uart_{uart}.c of the port
    uart_base: _Address
    uart_irq: Annotated[int, pydantic.Field(ge=0, lt=240)]  # of the receiver
    baud: Annotated[int, pydantic.Field(gt=0)]
    random: _Part  # random_{random}.c of the port: where the challenges of a keyed board come from
    # of the longest frame; a board with little RAM takes 256, and writes in more and shorter frames
    payload_bytes: Annotated[int, pydantic.Field(ge=LIMIT["min_payload"], le=LIMIT["max_payload"])]

    slots: Literal[""] | _Part  # slots_{slots}.c of the port: the memory that outlives a reset; "" when there is none
    slot_origins: tuple[_Address, ...]  # of its two slots; the image ends before them
    slot_bytes: Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]  # of each; 0 when there is none
    slot_rated_erases: Annotated[
        int, pydantic.Field(ge=0, lt=1 << 32)
    ]  # of each by its data sheet; 0: it does not wear
    watchdog: Literal[""] | _Part  # watchdog_{watchdog}.c of the port; "" for none
    # from its last feeding to a reset; 0 without one. It is fed after each loss evaluation: longer than one, than adding
    # up n_queries directions, and than the erase of a slot
    watchdog_ms: Annotated[int, pydantic.Field(ge=0, lt=1 << 32)]

    qemu_machine: str  # "" when QEMU has none
    qemu_arguments: tuple[str, ...]
    flash_command: tuple[str, ...]  # {bin} and {elf} stand for the firmware's files; empty when none is known

    # flash of the firmware without the model's data, where the forecast by its parts (exporter/costs/part_sizes.py) is
    # wrong for the board; 0: that forecast
    code_bytes: Annotated[int, pydantic.Field(ge=0, lt=1 << 32)] = 0
    static_bytes: _Bytes  # forecast: RAM besides stack and work buffer, at least what a build takes
    instruction_ratio: Annotated[float, pydantic.Field(gt=0)]  # instructions of a step over those of a Cortex-M4F
    cycles_per_instruction: Annotated[float, pydantic.Field(gt=0)]
    # while it computes; a comment in the file names the source. Left out: not known, and no joules are forecast
    active_milliamperes: Annotated[float, pydantic.Field(ge=0)] = 0.0
    supply_volts: Annotated[float, pydantic.Field(ge=0)] = 0.0
    cost_basis: _Text  # where these figures come from

    @pydantic.model_validator(mode="after")
    def _consistent(self):
        if self.stack_bytes + self.static_bytes >= self.ram_bytes:
            raise ValueError("stack_bytes and static_bytes leave nothing of ram_bytes for the work buffer")
        if self.room.least_code_bytes >= self.flash_bytes:
            raise ValueError(f"flash_bytes has no room for the firmware: {self.room.least_code_bytes:,} bytes at least")
        if self.clock_hz < 16 * self.baud:
            raise ValueError("clock_hz must be at least 16 times baud")
        if bool(self.active_milliamperes) != bool(self.supply_volts):
            raise ValueError("active_milliamperes and supply_volts belong together: both, or 0 and 0")
        if bool(self.watchdog) != bool(self.watchdog_ms):
            raise ValueError('watchdog and watchdog_ms belong together: both, or "" and 0')
        if self.port not in CHIP_PORTS:
            raise ValueError(f"port is {self.port!r}; there are: {', '.join(sorted(CHIP_PORTS))}")
        known = {kind: _parts(self.port, kind) for kind in ("clock", "uart", "random")}
        known |= {kind: ["", *_parts(self.port, kind)] for kind in ("slots", "watchdog")}
        self._check_slots()
        for field, choices in known.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field} is {getattr(self, field)!r}; there are: {', '.join(filter(None, choices))}")
        return self

    def _check_slots(self) -> None:
        if not self.slots:
            if self.slot_origins or self.slot_bytes or self.slot_rated_erases:
                raise ValueError("slots is empty: slot_origins must be so too, slot_bytes and slot_rated_erases 0")
            return
        if len(self.slot_origins) != 2 or not self.slot_bytes:
            raise ValueError("slot_origins must be two addresses, and slot_bytes more than 0")
        if abs(self.slot_origins[0] - self.slot_origins[1]) < self.slot_bytes:
            raise ValueError("slot_origins: the two slots overlap")
        kept = self.with_slots()
        if kept.flash_bytes <= self.room.least_code_bytes or kept.ram_bytes <= self.stack_bytes + self.static_bytes:
            raise ValueError("slot_origins leave no room for the program: they must lie at the end of flash or RAM")

    def with_slots(self) -> "Board":
        """The board as firmware that keeps runs sees it: its flash or RAM ends where the slots begin."""
        at = min(self.slot_origins, default=0)
        changes = {}
        if self.slots and self.flash_origin <= at < self.flash_origin + self.flash_bytes:
            changes["flash_bytes"] = at - self.flash_origin
        if self.slots and self.ram_origin <= at < self.ram_origin + self.ram_bytes:
            changes["ram_bytes"] = at - self.ram_origin
        return self.model_copy(update=changes)

    @property
    def core(self) -> str:
        """The core and where its floats go, from the compiler's flags: "cortex-m4 hard", "rv32imac soft"."""
        names = [flag.partition("=")[2] for flag in self.cpu_flags if flag.startswith(("-mcpu=", "-march="))]
        abis = [flag.partition("=")[2] for flag in self.cpu_flags if flag.startswith(("-mfloat-abi=", "-mabi="))]
        hard = any(abi in ("hard", "softfp") or abi.endswith(("f", "d")) for abi in abis)
        return f"{names[0] if names else 'unknown'} {'hard' if hard else 'soft'}"

    @property
    def room(self) -> Room:
        """What the board offers a model, by forecast."""
        return Room(
            name=self.name,
            flash_bytes=self.flash_bytes,
            ram_bytes=self.ram_bytes - self.stack_bytes - self.static_bytes,
            code_bytes=self.code_bytes,
            core=self.core,
            keeps_rows=self.rows_bytes > 0,
        )


def names() -> list[str]:
    """The boards that come with ttzo, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name_or_path: str | Path) -> Board:
    """The board of that name, or of that TOML file.

    Raises:
        BoardError: an unknown name; a file that cannot be read or is no TOML; a field that is unknown, missing or wrong.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        path = FOLDER / f"{name_or_path}.toml"
    elif path.suffix != ".toml":
        raise BoardError(
            f"there is no board {name_or_path}",
            f"the known boards are {', '.join(names())}; or give a board's own .toml file",
        )
    return _checked(path, _page(path))


def _page(path: Path) -> dict:
    try:
        return toml_page(read_bytes(path, MOST_BYTES))
    except OSError as error:
        raise BoardError(f"board file {path} cannot be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise BoardError(f"board file {path} is not valid TOML: {error}", "correct that line") from error


def _checked(path: Path, page: dict) -> Board:
    try:
        return Board.model_validate_json(json.dumps(page, default=str))  # by JSON, where an array makes a tuple
    except pydantic.ValidationError as error:
        wrong = [_sentence(each) for each in error.errors(include_url=False)]
        raise BoardError(
            f"board file {path}: {'; '.join(wrong)}",
            f"compare it with {FOLDER / 'netduinoplus2.toml'}; host_tools/firmware/boards.py explains each field",
        ) from error


def _sentence(wrong: Any) -> str:
    """One wrong key of a board file: its name, what is wrong with it, and what stands there."""
    field = ".".join(map(str, wrong["loc"])) or "the board"
    given = "" if wrong["type"] in ("missing", "value_error") else f" (it is {wrong['input']!r})"
    return f"{field}: {re.sub('^Value error, ', '', wrong['msg'])}{given}"


def _parts(port: str, kind: str) -> list[str]:
    paths = (path for folder in CHIP_PORTS[port].folders for path in folder.glob(f"{kind}_*.c"))
    return sorted({path.stem.removeprefix(f"{kind}_") for path in paths})
