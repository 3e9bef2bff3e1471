# SPDX-License-Identifier: MIT
"""What a linked firmware image holds: its size, its symbols, and how deep its stack can get.

Everything is read from the ELF file with the toolchain's own programs, so that library code counts like ours. The
image must be linked with `--emit-relocs`, which shows whose address is taken.
"""

import bisect
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.firmware import riscv_code

FORBIDDEN = re.compile(r"_*(malloc|calloc|realloc|free|sbrk|v?[dfs]?n?i?printf|puts|putchar|exit|abort)(_r)?")

# Pointers of one kind are called by one function each, and reach functions with such an ending of their names
# (device_runtime/link/line.c); all other pointers reach any function whose address is taken, except those.
POINTERS = {
    "call_port_read": "_port_read",
    "call_port_write": "_port_write",
    "ttzo_ask_box": "_black_box",
    "call_save": "_save_bytes",
    "call_load": "_load_bytes",
    "call_slot_erase": "_slot_erase",
    "call_slot_write": "_slot_write",
    "call_slot_read": "_slot_read",
}

_FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\t(\S+)(?:\t([^@]*)(?:@ \(([0-9a-f]+) <)?)?")
_PUSH = re.compile(r"\{(.*)\}")
_STORE_DOWN = re.compile(r"\[sp, #-(\d+)\]!")
_MOVE_DOWN = re.compile(r"^(?:sp, )?(?:sp, )?#(\d+)$")
_RELOCATION = re.compile(r"^[0-9a-f]+ (R_(?:ARM|RISCV)_\S+) +(\S+)$")
_DIRECT = re.compile(r"R_ARM_(THM_)?(CALL|PC22|JUMP\d+|PREL31|REL32)$|R_ARM_NONE$|R_ARM_V4BX$")


class ImageError(TtzoError):
    """A firmware image that must not run."""


@dataclass(frozen=True)
class Function:
    """One function as it stands in the image: what it pushes and whom it may call."""

    name: str
    frame_bytes: int
    calls: frozenset[int]  # addresses
    calls_indirectly: bool


@dataclass(frozen=True)
class Image:
    """A linked ELF file."""

    elf: Path
    toolchain: str

    def _tool(self, name: str, *arguments: str) -> str:
        command = [f"{self.toolchain}-{name}", *arguments, str(self.elf)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Addresses of what the image defines."""
        rows = (line.split() for line in self._tool("nm", "--defined-only").splitlines())
        return {name: int(address, 16) for address, _, name in rows}

    @cached_property
    def section_bytes(self) -> dict[str, int]:
        rows = (line.split() for line in self._tool("size", "-A").splitlines())
        return {row[0]: int(row[1]) for row in rows if row and row[0].startswith(".")}

    @property
    def static_bytes(self) -> int:
        """RAM of variables, without stack and work buffer."""
        return self.section_bytes.get(".data", 0) + self.section_bytes.get(".bss", 0)

    @property
    def work_bytes(self) -> int:
        return self.symbols["ttzo_work_end"] - self.symbols["ttzo_work_start"]

    # ---- code

    @cached_property
    def functions(self) -> dict[int, Function]:
        """The image's functions by address."""
        if self._is_riscv:
            return self._riscv_functions()
        found: dict[int, tuple[str, list[tuple[str, str]]]] = {}
        body: list[tuple[str, str]] = []
        words: dict[int, int] = {}  # constants that lie between functions' instructions, by address
        for line in self._tool("objdump", "-d", "--no-show-raw-insn", "--section=.text").splitlines():
            if head := _FUNCTION.match(line):
                body = []
                found[int(head[1], 16)] = (head[2], body)
            elif instruction := _INSTRUCTION.match(line):
                operands = (instruction[3] or "").strip()
                if instruction[2] == ".word":
                    words[int(instruction[1], 16)] = int(operands, 16)
                if instruction[4] and instruction[2].startswith("ldr"):
                    operands = f"{operands.split(',')[0]}, @{instruction[4]}"
                body.append((instruction[2], operands))
        for name, code in found.values():
            code[:] = _with_constants(name, code, words)
        starts = sorted(found)
        return {address: _function(address, *found[address], starts) for address in starts}

    @property
    def _is_riscv(self) -> bool:
        return self.toolchain.startswith("riscv")

    def _riscv_functions(self) -> dict[int, Function]:
        found: dict[int, tuple[str, list[tuple[str, str]]]] = {}
        body: list[tuple[str, str]] = []
        for line in self._tool("objdump", "-d", "--no-show-raw-insn", "--section=.text").splitlines():
            if head := _FUNCTION.match(line):
                if not head[2].startswith(".L"):  # a label inside a function
                    body = []
                    found[int(head[1], 16)] = (head[2], body)
            elif instruction := riscv_code.instruction(line):
                body.append(instruction)
        starts, made = sorted(found), {}
        for address, (name, code) in found.items():
            calls, indirect = riscv_code.calls(address, code, starts)
            made[address] = Function(name, riscv_code.frame_bytes(name, code), frozenset(calls), indirect)
        return made

    @cached_property
    def address_taken(self) -> frozenset[int]:
        """Functions whose address stands somewhere as a number: all that an indirect call could reach."""
        wanted, taken, section = set(self.functions), set(), ""
        for line in self._tool("objdump", "-r").splitlines():
            if line.startswith("RELOCATION RECORDS FOR"):
                section = line.split("[")[1].rstrip("]:")
            elif (
                (entry := _RELOCATION.match(line))
                and section in (".text", ".rodata", ".data")
                and not (_DIRECT.match(entry[1]) or riscv_code.DIRECT.match(entry[1]))
            ):
                taken |= {address for address in wanted if self.functions[address].name == entry[2]}
        return frozenset(taken)

    def worst_stack(self, reset: str, interrupt: str, pushed_bytes: int = 0) -> tuple[int, list[str]]:
        """Bytes of stack at most, from `reset` with one `interrupt` on top, for which the processor pushes
        `pushed_bytes`, and the calls that need them.

        Raises `ImageError` on recursion and where a function moves its stack pointer by an amount not known here.
        """
        main_bytes, main_path = self._depth(self._at(reset), ())
        interrupt_bytes, interrupt_path = self._depth(self._at(interrupt), ())
        return main_bytes + pushed_bytes + interrupt_bytes, main_path + interrupt_path

    def _reached_from(self, function: Function) -> frozenset[int]:
        """Whom the function's calls of pointers may reach."""
        ends = {
            at: next((e for e in POINTERS.values() if self._plain_name(at).endswith(e)), None)
            for at in self.address_taken
        }
        wanted = POINTERS.get(function.name.split(".")[0])
        return frozenset(at for at, end in ends.items() if end == wanted)

    def _plain_name(self, address: int) -> str:
        return self.functions[address].name.split(".")[0]  # without what gcc adds to a copy

    def _at(self, name: str) -> int:
        return next(address for address, function in self.functions.items() if function.name == name)

    def _depth(self, address: int, above: tuple[int, ...]) -> tuple[int, list[str]]:
        if address in above:
            circle = [self.functions[a].name for a in (*above[above.index(address) :], address)]
            raise ImageError(f"recursion: {' -> '.join(circle)}", "the stack's depth must be known; write a loop")
        if address not in self._depths:
            function = self.functions[address]
            below = function.calls | (self._reached_from(function) if function.calls_indirectly else frozenset())
            deepest = max(
                (self._depth(callee, (*above, address)) for callee in sorted(below)),
                default=(0, []),
                key=lambda d: d[0],
            )
            self._depths[address] = (function.frame_bytes + deepest[0], [function.name, *deepest[1]])
        return self._depths[address]

    @cached_property
    def _depths(self) -> dict[int, tuple[int, list[str]]]:
        return {}

    # ---- what must not be in it

    def forbidden(self, libm: Path) -> dict[str, list[str]]:
        """Symbols that no firmware may hold (heap, stdio, libm), each with the allowed functions that call it: none
        for what only other forbidden ones call."""
        mathematics = subprocess.run(
            [f"{self.toolchain}-nm", "--defined-only", "--extern-only", str(libm)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        names = {row[2] for line in mathematics.splitlines() if len(row := line.split()) == 3}
        found = {name: self.symbols[name] & ~1 for name in self.symbols if name in names or FORBIDDEN.fullmatch(name)}
        allowed = [function for address, function in self.functions.items() if address not in found.values()]
        return {name: sorted(f.name for f in allowed if at in f.calls) for name, at in sorted(found.items())}


def _function(address: int, name: str, body: list[tuple[str, str]], starts: list[int]) -> Function:
    calls, indirect = set(), False
    for operation, operands in body:
        target = re.match(r"^(?:r\d+, )?([0-9a-f]+) <", operands)
        if target and operation.startswith(("b", "cb")):
            callee = starts[bisect.bisect_right(starts, int(target[1], 16)) - 1]
            # a Cortex-M0 jumps far inside a function with bl
            if callee != address or (operation in ("bl", "blx") and int(target[1], 16) == address):
                calls.add(callee)
        elif re.match(r"blx?\b|bx\b", operation) and operands != "lr":
            indirect = True
    return Function(name, sum(_pushed(name, *instruction) for instruction in body), frozenset(calls), indirect)


def _with_constants(name: str, code: list[tuple[str, str]], words: dict[int, int]) -> list[tuple[str, str]]:
    """The instructions with `add sp, rN`, by which a Cortex-M0 makes large frames, as `sub sp, #bytes` where the constant
    in rN is negative, and without it where it gives a frame back. Raises `ImageError` where the constant is not known."""
    known: dict[str, int] = {}  # registers that hold constants
    made = []
    for operation, operands in code:
        stem = operation.split(".")[0]
        to, _, rest = operands.partition(", ")
        if stem == "add" and to == "sp" and rest in known:
            if known[rest] >> 31:
                made.append(("sub", f"sp, #{(1 << 32) - known[rest]}"))
            continue
        if stem == "add" and to == "sp" and re.fullmatch(r"r\d+", rest):
            raise ImageError(f"{name} moves its stack by an amount that is not constant", "use arrays of fixed length")
        value = _constant(stem, to, rest, known, words)
        known.pop(to, None)
        if value is not None:
            known[to] = value & 0xFFFFFFFF
        made.append((operation, operands))
    return made


def _constant(stem: str, to: str, rest: str, known: dict[str, int], words: dict[int, int]) -> int | None:
    """What the instruction leaves in its register; None where that is no known constant."""
    if rest.startswith("@"):
        return words.get(int(rest[1:], 16))
    number = re.fullmatch(r"(?:(r\d+), )?#(\d+)", rest)
    if stem in ("mov", "movs") and number and not number[1]:
        return int(number[2])
    if stem in ("lsl", "lsls") and number and (number[1] or to) in known:
        return known[number[1] or to] << int(number[2])
    if stem in ("neg", "negs", "rsb", "rsbs") and rest.split(",")[0] in known:
        return -known[rest.split(",")[0]]
    return None


def _pushed(name: str, operation: str, operands: str) -> int:
    """Bytes by which one instruction lowers the stack pointer; in a loop it would count once, which gcc never writes."""
    stem = operation.split(".")[0]
    if stem in ("push", "vpush") or (stem in ("stmdb", "vstmdb") and operands.startswith("sp!")):
        pushed = _PUSH.search(operands)
        return sum(map(_register_bytes, pushed[1].split(", "))) if pushed else 0
    if store := _STORE_DOWN.search(operands):
        return int(store[1])
    if stem in ("sub", "subw", "subs") and operands.startswith("sp"):
        if moved := _MOVE_DOWN.match(operands):
            return int(moved[1])
        raise ImageError(f"{name} allocates stack by an amount that is not constant", "use arrays of fixed length")
    if (stem in ("mov", "movs", "bic", "ldr") and operands.startswith("sp,")) or (
        stem == "msr" and "SP" in operands.upper()
    ):
        raise ImageError(f"{name} sets the stack pointer to a value that is not constant", "use arrays of fixed length")
    return 0


def _register_bytes(registers: str) -> int:
    """`r4` or `s16` 4, `d8` 8, `d8-d11` 32."""
    first, _, last = registers.partition("-")
    count = int((last or first)[1:]) - int(first[1:]) + 1 if first[1:].isdigit() else 1
    return count * (8 if first.startswith("d") else 4)
