# SPDX-License-Identifier: MIT
"""Frames and calls of RISC-V functions, from the lines of objdump."""

import bisect
import re

from ttzo.device_runtime.contract import TtzoError

_INSTRUCTION = re.compile(r"^ *([0-9a-f]+):\t(\S+)(?:\t(.*))?")
_TARGET = re.compile(r"(?:^|,|# )([0-9a-f]+) <")
DIRECT = re.compile(r"R_RISCV_(CALL(_PLT)?|JAL|BRANCH|RVC_\w+|RELAX|ALIGN|PCREL_LO12_\w)$")


def instruction(line: str) -> tuple[str, str] | None:
    """Operation and operands of a line; None where it is none."""
    found = _INSTRUCTION.match(line)
    return (found[2], (found[3] or "").strip()) if found else None


def calls(address: int, body: list[tuple[str, str]], starts: list[int]) -> tuple[set[int], bool]:
    """Functions, by their `starts`, that the function at `address` jumps into, or calls where it is itself; whether it
    calls a pointer."""
    found, indirect = set(), False
    for operation, operands in body:
        if operation not in ("j", "jr", "jal", "jalr") and not operation.startswith("b"):
            continue
        target = _TARGET.search(operands)
        if target is None:
            indirect = indirect or operation in ("jr", "jalr")
            continue
        callee = starts[bisect.bisect_right(starts, int(target[1], 16)) - 1]
        if callee != address or (operation in ("jal", "jalr") and int(target[1], 16) == address):
            found.add(callee)
    return found, indirect


def frame_bytes(name: str, body: list[tuple[str, str]]) -> int:
    """Bytes by which the function lowers its stack pointer, every time it does added up.

    Raises `TtzoError` for an amount that is not constant."""
    known: dict[str, int] = {}
    total = 0
    for operation, operands in body:
        to, *rest = operands.partition(" #")[0].split(",")
        if (operation, to) == ("auipc", "sp"):  # a stack begins: its address comes in two instructions
            known["sp"] = 0
            continue
        if operation in ("add", "addi", "sub", "mv") and to == "sp" and rest != ["s0"]:
            moved = _moved(operation, rest, known)
            if known.pop("sp", None) is not None:
                continue
            if moved is None:
                raise TtzoError(
                    f"{name} moves its stack by an amount that is not constant", "use arrays of fixed length"
                )
            total += max(0, -moved)
            continue
        value = _constant(operation, rest, known)
        known.pop(to, None)
        if value is not None:
            known[to] = value
    return total


def _number(word: str, known: dict[str, int]) -> int | None:
    """A decimal number, or what stands in a register."""
    return int(word) if re.fullmatch(r"-?\d+", word) else known.get(word)


def _moved(operation: str, rest: list[str], known: dict[str, int]) -> int | None:
    """objdump says `add` for addi too. From s0, the frame pointer, a function only goes back."""
    if operation in ("add", "addi") and rest[0] == "sp":
        return _number(rest[1], known)
    return 0 if operation in ("add", "addi") and rest[0] == "s0" else None


def _constant(operation: str, rest: list[str], known: dict[str, int]) -> int | None:
    """What the instruction leaves in its register, signed; None where that is no known constant."""
    if operation in ("li", "lui"):
        return _signed(int(rest[0], 0) << (12 if operation == "lui" else 0))
    if operation in ("add", "addi") and rest[0] in known:
        added = _number(rest[1], known)
        return None if added is None else _signed(known[rest[0]] + added)
    return None


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
