# SPDX-License-Identifier: MIT
"""A residual program as bytes: the contract's layout `program`."""

import struct

from ttzo.device_runtime.contract import LIMIT, Operation, ProgramRecord
from ttzo.exporter.pde.program import Program, operand_count


def program_bytes(program: Program) -> bytes:
    header = ProgramRecord(len(program.constants), len(program.instructions), program.output, 0)
    constants = struct.pack(f"<{len(program.constants)}f", *program.constants)
    return header.pack() + constants + b"".join(bytes(instruction) for instruction in program.instructions)


def read_program(data: bytes, at: int) -> tuple[Program, int]:
    """The program that begins at byte `at`, and where it ends. Raises `ValueError` or `struct.error`."""
    header = ProgramRecord(*struct.unpack_from("<4B", data, at))
    at += ProgramRecord.SIZE
    constants = struct.unpack_from(f"<{header.n_constants}f", data, at)
    at += 4 * header.n_constants
    words = [struct.unpack_from("<4B", data, at + 4 * k) for k in range(header.n_instructions)]
    program = Program(constants, tuple((Operation(op), a, b, c) for op, a, b, c in words), header.output)
    _require_order(program)
    return program, at + 4 * header.n_instructions


def _require_order(program: Program) -> None:
    """Every operand stands before its use."""
    first = LIMIT["program_inputs"] + len(program.constants)
    for k, (operation, *registers) in enumerate(program.instructions):
        if any(r >= first + k for r in registers[: operand_count(operation)]):
            raise ValueError(f"instruction {k} reads what comes later")
    if program.output >= first + len(program.instructions):
        raise ValueError("the result is nowhere")
