# SPDX-License-Identifier: MIT
"""Writes `ttzo_contract.h`: the page for C."""

from typing import Any

from ttzo.device_runtime.contract.hashes import HASH, MESSAGE_HASH
from ttzo.device_runtime.contract.page import FOLDER, NUMBER_TYPES, PAGE, split_type
from ttzo.device_runtime.contract.ranges import RANGE, c_bounds
from ttzo.device_runtime.contract.records import RECORD, REPLY, REQUEST, type_bytes

PATH = FOLDER / "ttzo_contract.h"


def _c_struct(name: str, record: Any, texts: list[str]) -> list[str]:
    lines = [f"#define TTZO_{name.upper()}_BYTES {record.SIZE}u", f"struct ttzo_{name} {{"]
    for (kind, field), text in zip(record.FIELDS, texts, strict=True):
        base, count = split_type(kind)
        c_type = NUMBER_TYPES[base].c if base in NUMBER_TYPES else f"struct ttzo_{base}"
        declaration = f"    {c_type} {field}{f'[{count}]' if count else ''};"
        lines.append(f"{declaration:<44}// {text}" if text else declaration)
    lines += ["};"]
    for verb, head, copy in (
        ("unpack", f"const uint8_t *bytes, struct ttzo_{name} *out", f"out, bytes, {record.SIZE}"),
        ("pack", f"const struct ttzo_{name} *in, uint8_t *bytes", f"bytes, in, {record.SIZE}"),
    ):
        lines += [
            f"static inline void ttzo_{verb}_{name}({head})",
            "{",
            *_c_copy(record, copy, _c_body(record, verb)),
            "}",
        ]
    return lines + [""]


def _c_copy(record: Any, arguments: str, body: list[str]) -> list[str]:
    if not _alignment(record):
        return body
    return [f"    if (TTZO_COMPACT) {{ __builtin_memcpy({arguments}); return; }}", *body]


def _alignment(record: Any) -> int:
    """Of a C struct with these fields; 0 where they do not lie in it as in the record's bytes."""
    at, largest = 0, 1
    for kind, _ in record.FIELDS:
        base, count = split_type(kind)
        size = type_bytes(base)
        alignment = _alignment(RECORD[base]) if base in RECORD else size
        if not alignment or at % alignment or size % alignment:
            return 0
        largest = max(largest, alignment)
        at += size * (count or 1)
    return largest


def _c_body(record: Any, verb: str) -> list[str]:
    lines, at = [], 0
    for kind, field in record.FIELDS:
        base, count = split_type(kind)
        size = type_bytes(base)
        index = "[i]" if count else ""
        place = f"bytes + {at}" + (f" + {size} * i" if count else "")
        if base in RECORD:
            call = (
                f"ttzo_{verb}_{base}({place}, &out->{field});"
                if verb == "unpack"
                else f"ttzo_{verb}_{base}(&in->{field}, {place});"
            )
        elif verb == "unpack":
            call = f"out->{field}{index} = ttzo_get_{base}({place});"
        else:
            call = f"ttzo_put_{base}({place}, in->{field}{index});"
        loop = f"for (unsigned i = 0; i < {count}; i++) " if count else ""
        lines.append(f"    {loop}{call}")
        at += size * (count or 1)
    return lines


def _c_error_name() -> list[str]:
    cases = [f'    case {code}: return "{name}";' for name, code in PAGE["error"].items()]
    head = [
        "// An error's name as this page has it.",
        "static inline const char *ttzo_error_name(enum ttzo_error error)",
        "{",
    ]
    return [*head, "    switch ((unsigned)error) {", *cases, '    default: return "unknown";', "    }", "}"]


def _c_range_check(record: str) -> list[str]:
    lines = [
        f"// Number of the first field of a {record} that is out of range; -1 when all are in range.",
        f"static inline int ttzo_{record}_field_out_of_range(const struct ttzo_{record} *in)",
        "{",
    ]
    for number, field in enumerate(RANGE[record]):
        if bounds := c_bounds(record, field):
            in_range = " && ".join(f"in->{field} {sign} {bound}" for sign, bound in bounds)
            lines += [f"    if (!({in_range}))", f"        return {number};"]
    return [*lines, "    return -1;", "}", ""]


def _c_node_facts() -> list[str]:
    """What a node needs by its operation: part of the runtime, bytes of attributes."""
    lines = []
    for what in ("part", "attribute_bytes"):
        lines += [f"static inline uint32_t ttzo_node_{what}(uint8_t operation)", "{", "    switch (operation) {"]
        for name, facts in PAGE["node_part"].items():
            value = (
                f"TTZO_PART_{facts[0].upper()}" if what == "part" else f"{RECORD[facts[1]].SIZE if facts[1] else 0}u"
            )
            lines.append(f"    case TTZO_NODE_OPERATION_{name.upper()}: return {value};")
        lines += ["    default: return 0;", "    }", "}", ""]
    return lines


_C_ACCESS = """\
#ifndef TTZO_COMPACT // 1: less code at some price in speed. A record that lies in memory as in its bytes is copied as one.
#define TTZO_COMPACT 0
#endif
static inline uint8_t ttzo_get_u8(const uint8_t *p) { return p[0]; }
#if TTZO_COMPACT
static inline uint16_t ttzo_get_u16(const uint8_t *p) { uint16_t v; __builtin_memcpy(&v, p, 2); return v; }
static inline uint32_t ttzo_get_u32(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }
#else
static inline uint16_t ttzo_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
static inline uint32_t ttzo_get_u32(const uint8_t *p) { return ttzo_get_u16(p) | (uint32_t)ttzo_get_u16(p + 2) << 16; }
#endif
static inline uint64_t ttzo_get_u64(const uint8_t *p) { return ttzo_get_u32(p) | (uint64_t)ttzo_get_u32(p + 4) << 32; }
static inline int16_t ttzo_get_i16(const uint8_t *p) { return (int16_t)ttzo_get_u16(p); }
#ifndef TTZO_FLOAT32 // a test compiles `float` as double: what stands in bundles stays four bytes
#define TTZO_FLOAT32 float
#endif
static inline float ttzo_get_f32(const uint8_t *p)
{
    union { uint32_t bits; TTZO_FLOAT32 value; } both = { ttzo_get_u32(p) };
    return both.value;
}
static inline void ttzo_put_u8(uint8_t *p, uint8_t v) { p[0] = v; }
#if TTZO_COMPACT
static inline void ttzo_put_u16(uint8_t *p, uint16_t v) { __builtin_memcpy(p, &v, 2); }
static inline void ttzo_put_u32(uint8_t *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }
#else
static inline void ttzo_put_u16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static inline void ttzo_put_u32(uint8_t *p, uint32_t v) { ttzo_put_u16(p, (uint16_t)v); ttzo_put_u16(p + 2, (uint16_t)(v >> 16)); }
#endif
static inline void ttzo_put_u64(uint8_t *p, uint64_t v) { ttzo_put_u32(p, (uint32_t)v); ttzo_put_u32(p + 4, (uint32_t)(v >> 32)); }
static inline void ttzo_put_i16(uint8_t *p, int16_t v) { ttzo_put_u16(p, (uint16_t)v); }
static inline void ttzo_put_f32(uint8_t *p, float v)
{
    union { TTZO_FLOAT32 value; uint32_t bits; } both = { v };
    ttzo_put_u32(p, both.bits);
}
"""


def header_text() -> str:
    """The text of `ttzo_contract.h`."""
    lines = [
        "// SPDX-License-Identifier: MIT",
        "// Written by write_c.py from contract.toml; change that page, not this file.",
        "#ifndef TTZO_CONTRACT_H",
        "#define TTZO_CONTRACT_H",
        "#include <stdint.h>",
        "",
        '#include "contract/exact.h"',
        "",
        f"#define TTZO_CONTRACT_HASH 0x{HASH:08X}u",
        *(f"#define TTZO_MESSAGE_HASH_{name.upper()} 0x{number:08X}u" for name, number in MESSAGE_HASH.items()),
        "",
        "// ---- limits",
    ]
    lines += [f"#define TTZO_{name.upper()} {value[0]}u // {value[1]}" for name, value in PAGE["limit"].items()]
    lines += ["", "// ---- enumerations"]
    for name, members in PAGE["enum"].items():
        if name == "part":  # macros: the preprocessor compares them
            lines += [f"#define TTZO_PART_{part.upper()} {code}u // {text}" for part, (code, text) in members.items()]
            lines += [f"#define TTZO_ALL_PARTS {sum(code for code, _ in members.values())}u"]
            continue
        lines.append(f"enum ttzo_{name} {{")
        lines += [
            f"    TTZO_{name.upper()}_{member.upper()} = {code}, // {text}" for member, (code, text) in members.items()
        ]
        lines += ["};"]
    lines += ["enum ttzo_error {"]
    lines += [f"    TTZO_ERROR_{name.upper()} = {code}," for name, code in PAGE["error"].items()]
    lines += ["};", "enum ttzo_message {"]
    lines += [
        f"    TTZO_MESSAGE_{name.upper()} = {entry['code']}, // {entry['text']}"
        for name, entry in PAGE["message"].items()
    ]
    lines += [
        "};",
        *_c_error_name(),
        "",
        "// ---- numbers as they stand in bundles and frames: little-endian, unaligned",
        _C_ACCESS,
        "// ---- records",
    ]
    for name, entry in PAGE["struct"].items():
        lines += _c_struct(name, RECORD[name], [text for _, _, text in entry["fields"]])
    lines += ["// ---- nodes", *_c_node_facts()]
    lines += ["// ---- ranges"]
    for name in RANGE:
        lines += _c_range_check(name)
    lines += ["// ---- messages"]
    for name, entry in PAGE["message"].items():
        for side, records in (("request", REQUEST), ("reply", REPLY)):
            if entry[side]:
                lines += _c_struct(f"{name}_{side}", records[name], [text for _, _, text in entry[side]])
    return "\n".join([*lines, "#endif", ""])
