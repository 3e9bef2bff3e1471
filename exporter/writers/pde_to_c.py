# SPDX-License-Identifier: MIT
"""A PDE as C: its bundle section as words, and the initialiser of `struct ttzo_pde` that points into them."""

import struct

from ttzo.device_runtime.contract import PdeDirectionRecord, PdeInfo, ProgramRecord, Record, RowGroupRecord
from ttzo.exporter.pde import section
from ttzo.exporter.pde.program import Pde, Program

NAME = "ttzo_model_pde"
WORDS_A_LINE = 8


def words(pde: Pde) -> list[str]:
    """`static const uint32_t ttzo_model_pde[]`: what a bundle holds, in the byte order of the little-endian targets."""
    numbers = [f"0x{word:08x}" for (word,) in struct.iter_unpack("<I", section.write(pde))]
    lines = [
        "// The PDE's section as in a bundle: bounds, row groups, programs, sparse grid.",
        f"static const uint32_t {NAME}[{len(numbers)}] = {{",
    ]
    for at in range(0, len(numbers), WORDS_A_LINE):
        lines.append("    " + ", ".join(numbers[at : at + WORDS_A_LINE]) + ",")
    return [*lines, "};", ""]


def initialiser(pde: Pde) -> list[str]:
    """The lines of `.pde = { .. },` in the model."""
    data, at = section.write(pde), PdeInfo.SIZE // 4
    n = pde.n_inputs
    info = PdeInfo.unpack(data)
    lines = ["    .pde = {", f"        .info = {_record(info)},"]
    lines += [f"        .low = (const float *)({NAME} + {at}),", f"        .high = (const float *)({NAME} + {at + n}),"]
    at += 2 * n
    lines.append(f"        .directions = (const uint8_t *)({NAME} + {at}),")
    at += PdeDirectionRecord.SIZE // 4 * len(pde.directions)
    lines.append(f"        .units = (const float *)({NAME} + {at}),")
    at += len(pde.units)
    lines.append(f"        .readings = (const float *)({NAME} + {at}),")
    at += len(pde.readings) * (n + pde.n_measured)
    lines.append("        .groups = {")
    for _ in pde.groups:
        lines.append(f"            {_record(RowGroupRecord.unpack(data[4 * at :]))},")
        at += RowGroupRecord.SIZE // 4
    lines += ["        },", "        .conditions = {"]
    for group in pde.groups:
        lines.append(f"            {_program(group.condition, at)},")
        at += group.condition.words
    lines.append("        },")
    for name, programs in (
        ("solution", pde.solution),
        ("exact", pde.exact or ()),
        ("points", pde.points),
        ("vectors", pde.vectors),
    ):
        if not programs:
            continue
        lines.append(f"        .{name} = {{")
        for program in programs:
            lines.append(f"            {_program(program, at)},")
            at += program.words
        lines.append("        },")
    if pde.grid:
        classes = at + info.n_values
        lines.append(
            f"        .grid = {{ {n}, {info.n_classes}, {info.n_values}, (const float *)({NAME} + {at}),\n"
            f"                  (const struct ttzo_sparse_class *)({NAME} + {classes}) }},"
        )
    return [*lines, "    },"]


def _record(record: Record) -> str:
    fields = [(name, getattr(record, name)) for _, name in record.FIELDS if name != "reserved"]
    return "{ " + ", ".join(f".{name} = {_number(value)}" for name, value in fields) + " }"


def _number(value: int | float) -> str:
    return f"{value.hex()}f" if isinstance(value, float) else str(value)


def _program(program: Program, at: int) -> str:
    constants = at + ProgramRecord.SIZE // 4
    instructions = constants + len(program.constants)
    return (
        f"{{ (const float *)({NAME} + {constants}), (const uint8_t *)({NAME} + {instructions}), "
        f"{len(program.constants)}, {len(program.instructions)}, {program.output} }}"
    )
