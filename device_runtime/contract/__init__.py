# SPDX-License-Identifier: MIT
"""The contract between host and device, read from `contract.toml`.

Enumerations become `IntEnum`s, records become frozen dataclasses that pack to and unpack from bytes, and
`c_header()` writes the same as `ttzo_contract.h`: both sides are made from one page.

    python -m ttzo.device_runtime.contract        writes ttzo_contract.h beside this file
"""

import dataclasses
import enum
import json
import struct
import tomllib
import zlib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

_FOLDER = Path(__file__).parent
_PAGE = tomllib.loads((_FOLDER / "contract.toml").read_text(encoding="utf-8"))
_FORMATS = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i16": "h", "f32": "f"}
_C_TYPES = {"u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "i16": "int16_t", "f32": "float"}


class TtzoError(Exception):
    """What went wrong, in a sentence, and what to do next. Every error that ttzo raises for a person is one of these."""

    exit_code = 3

    def __init__(self, what: str, hint: str = ""):
        super().__init__(what)
        self.hint = hint


class DeviceError(TtzoError):
    """A request that the device refused; nothing on the device has changed. `name` is the contract's."""

    exit_code = 4

    def __init__(self, name: str, detail: int = 0):
        _, text, hint = _PAGE["error"][name]
        super().__init__(text.format(detail=_DETAIL_WORDS.get(name, str)(detail)), hint)
        self.name, self.detail = name, detail

    @classmethod
    def from_code(cls, code: int, detail: int = 0) -> "DeviceError":
        """The error of that code; a code that this contract does not know counts as `bad_contract`."""
        names = {entry[0]: name for name, entry in _PAGE["error"].items()}
        return cls(names.get(code, "bad_contract"), detail)

    @property
    def code(self) -> int:
        return _PAGE["error"][self.name][0]


def error_page() -> dict[int, str]:
    """What each error says, by its code; {detail} stands for its number."""
    return {code: text for code, text, _ in _PAGE["error"].values()}


def _enum(name: str) -> type[enum.IntEnum]:
    members = {member: entry[0] for member, entry in _PAGE["enum"][name].items()}
    return enum.IntEnum("".join(part.title() for part in name.split("_")), members, module=__name__)


LayerKind = _enum("layer_kind")
Gather = _enum("gather")
Combine = _enum("combine")
Activation = _enum("activation")
NodeOperation = _enum("node_operation")
NodeFlag = _enum("node_flag")
Cell = _enum("cell")
Loss = _enum("loss")
Number = _enum("number")
Arithmetic = _enum("arithmetic")
Cache = _enum("cache")
Estimator = _enum("estimator")
Part = _enum("part")
Derivative = _enum("derivative")
Need = _enum("need")
Sampler = _enum("sampler")
ProgramInput = _enum("program_input")
Operation = _enum("operation")
Direction = _enum("direction")
Difference = _enum("difference")
Update = _enum("update")
Schedule = _enum("schedule")
Region = _enum("region")
Stream = _enum("stream")

LIMIT: dict[str, int] = {name: entry[0] for name, entry in _PAGE["limit"].items()}
MESSAGE: dict[str, int] = {name: entry["code"] for name, entry in _PAGE["message"].items()}
HASH: int = zlib.crc32(json.dumps(_PAGE, sort_keys=True).encode())


def _split(kind: str) -> tuple[str, int]:
    """`"u16[8]"` -> `("u16", 8)`; a plain type has count 0."""
    base, _, count = kind.partition("[")
    return base, int(count.rstrip("]")) if count else 0


def _packed(name: str, base: str, values: list) -> bytes:
    try:
        return struct.pack(f"<{len(values)}{_FORMATS[base]}", *values)
    except (struct.error, OverflowError) as error:
        told = values[0] if len(values) == 1 else values
        raise TtzoError(f"{name} is {told}, which does not fit into {base}", "give a number in range") from error


class Record:
    """A packed little-endian record; the subclasses are dataclasses made from the contract's fields."""

    FIELDS: ClassVar[list[tuple[str, str]]]
    SIZE: ClassVar[int]

    def pack(self) -> bytes:
        """The record's `SIZE` bytes. Raises `TtzoError` naming a field whose number its type cannot hold."""
        out = b""
        for kind, name in self.FIELDS:
            base, count = _split(kind)
            value = getattr(self, name)
            if base not in _FORMATS:
                out += value.pack()
            elif kind.startswith("u8["):
                out += bytes(value).ljust(count, b"\0")
            else:
                values = [*value, *[0] * (count - len(value))] if count else [value]
                out += _packed(name, base, values)
        return out

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Reads the first `SIZE` bytes. Raises `DeviceError("bad_request")` when there are fewer."""
        if len(data) < cls.SIZE:
            raise DeviceError("bad_request", len(data))
        values, at = [], 0
        for kind, _ in cls.FIELDS:
            base, count = _split(kind)
            if base not in _FORMATS:
                size = RECORD[base].SIZE
                values.append(RECORD[base].unpack(data[at : at + size]))
            elif kind.startswith("u8["):
                size = count
                values.append(bytes(data[at : at + size]))
            else:
                form = f"<{count or 1}{_FORMATS[base]}"
                size = struct.calcsize(form)
                numbers = struct.unpack_from(form, data, at)
                values.append(tuple(numbers) if count else numbers[0])
            at += size
        return cls(*values)


def _record(name: str, fields: list[list[str]]) -> type[Record]:
    kinds = [(kind, field) for kind, field, _ in fields]
    size = sum(
        RECORD[base].SIZE if (base := _split(kind)[0]) not in _FORMATS
        else struct.calcsize("<" + _FORMATS[base]) * (_split(kind)[1] or 1)
        for kind, _ in kinds
    )  # fmt: skip
    made = dataclasses.make_dataclass(
        "".join(part.title() for part in name.split("_")),
        [(field, Any) for _, field in kinds],
        bases=(Record,),
        frozen=True,
        namespace={"FIELDS": kinds, "SIZE": size},
    )
    made.__module__ = __name__
    return made


RECORD: dict[str, type[Record]] = {}
for _name, _entry in _PAGE["struct"].items():
    RECORD[_name] = _record(_name, _entry["fields"])
REQUEST = {name: _record(name + "_request", entry["request"]) for name, entry in _PAGE["message"].items()}
REPLY = {name: _record(name + "_reply", entry["reply"]) for name, entry in _PAGE["message"].items()}

BundleHeader = RECORD["bundle_header"]
ModelInfo = RECORD["model_info"]
LayerRecord = RECORD["layer"]
GraphInfo = RECORD["graph_info"]
NodeRecord = RECORD["node"]
NodeArrayRecord = RECORD["node_array"]
PdeInfo = RECORD["pde_info"]
RowGroupRecord = RECORD["row_group"]
ProgramRecord = RECORD["program_record"]
PhaseRecord = RECORD["phase"]
TrainingRecord = RECORD["training"]
StateRecord = RECORD["state"]


# ---- details of errors in words -------------------------------------------------------------------------------------


def setting_name(number: int) -> str:
    """The setting that `bad_setting` and `fixed_at_export` mean by a number (numbered in settings.h)."""
    group, field = divmod(number, 16)
    record = PhaseRecord if group else TrainingRecord
    if field >= len(record.FIELDS):
        return str(number)
    name = record.FIELDS[field][1]
    return f"{name} of phase {group - 1}" if group else name


def _arithmetic_name(code: int) -> str:
    return Arithmetic(code).name if code in set(Arithmetic) else str(code)


def _part_names(bits: int) -> str:
    return " and ".join(part.name for part in Part if part & bits) or str(bits)


_DETAIL_WORDS = {
    "bad_setting": setting_name,
    "fixed_at_export": setting_name,
    "wrong_arithmetic": _arithmetic_name,
    "not_built_in": _part_names,
}  # of the others the number says enough


# ---- the C side -----------------------------------------------------------------------------------------------------


def _c_struct(name: str, record: type[Record], texts: list[str]) -> list[str]:
    lines = [f"#define TTZO_{name.upper()}_BYTES {record.SIZE}u", f"struct ttzo_{name} {{"]
    for (kind, field), text in zip(record.FIELDS, texts, strict=True):
        base, count = _split(kind)
        c_type = _C_TYPES.get(base, f"struct ttzo_{base}")
        declaration = f"    {c_type} {field}{f'[{count}]' if count else ''};"
        lines.append(f"{declaration:<44}// {text}" if text else declaration)
    lines += ["};"]
    for verb, head in (
        ("unpack", f"static inline void ttzo_unpack_{name}(const uint8_t *bytes, struct ttzo_{name} *out)"),
        ("pack", f"static inline void ttzo_pack_{name}(const struct ttzo_{name} *in, uint8_t *bytes)"),
    ):
        lines += [head, "{"] + _c_body(record, verb) + ["}"]
    return lines + [""]


def _c_body(record: type[Record], verb: str) -> list[str]:
    lines, at = [], 0
    for kind, field in record.FIELDS:
        base, count = _split(kind)
        size = RECORD[base].SIZE if base in RECORD else struct.calcsize("<" + _FORMATS[base])
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
    cases = [f'    case {code}: return "{name}";' for name, (code, _, _) in _PAGE["error"].items()]
    head = [
        "// An error's name as this page has it.",
        "static inline const char *ttzo_error_name(enum ttzo_error error)",
        "{",
    ]
    return [*head, "    switch ((unsigned)error) {", *cases, '    default: return "unknown";', "    }", "}"]


def _c_error_text() -> list[str]:
    cases = [f"    case {code}: return {json.dumps(text)};" for code, text, _ in _PAGE["error"].values()]
    head = [
        "// What an error says to a person; {detail} stands for its number.",
        "static inline const char *ttzo_error_text(enum ttzo_error error)",
        "{",
    ]
    return [*head, "    switch ((unsigned)error) {", *cases, '    default: return "unknown error";', "    }", "}"]


_C_ACCESS = """\
static inline uint8_t ttzo_get_u8(const uint8_t *p) { return p[0]; }
static inline uint16_t ttzo_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (unsigned)p[1] << 8); }
static inline uint32_t ttzo_get_u32(const uint8_t *p) { return ttzo_get_u16(p) | (uint32_t)ttzo_get_u16(p + 2) << 16; }
static inline uint64_t ttzo_get_u64(const uint8_t *p) { return ttzo_get_u32(p) | (uint64_t)ttzo_get_u32(p + 4) << 32; }
static inline int16_t ttzo_get_i16(const uint8_t *p) { return (int16_t)ttzo_get_u16(p); }
static inline float ttzo_get_f32(const uint8_t *p)
{
    union { uint32_t bits; float value; } both = { ttzo_get_u32(p) };
    return both.value;
}
static inline void ttzo_put_u8(uint8_t *p, uint8_t v) { p[0] = v; }
static inline void ttzo_put_u16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static inline void ttzo_put_u32(uint8_t *p, uint32_t v) { ttzo_put_u16(p, (uint16_t)v); ttzo_put_u16(p + 2, (uint16_t)(v >> 16)); }
static inline void ttzo_put_u64(uint8_t *p, uint64_t v) { ttzo_put_u32(p, (uint32_t)v); ttzo_put_u32(p + 4, (uint32_t)(v >> 32)); }
static inline void ttzo_put_i16(uint8_t *p, int16_t v) { ttzo_put_u16(p, (uint16_t)v); }
static inline void ttzo_put_f32(uint8_t *p, float v)
{
    union { float value; uint32_t bits; } both = { v };
    ttzo_put_u32(p, both.bits);
}
"""


def c_header() -> str:
    """The text of `ttzo_contract.h`."""
    lines = [
        "// SPDX-License-Identifier: MIT",
        "// Written by contract.py from contract.toml; change that page, not this file.",
        "#ifndef TTZO_CONTRACT_H",
        "#define TTZO_CONTRACT_H",
        "#include <stdint.h>",
        "",
        f"#define TTZO_CONTRACT_HASH 0x{HASH:08X}u",
        "",
        "// ---- limits",
    ]
    lines += [f"#define TTZO_{name.upper()} {value[0]}u // {value[1]}" for name, value in _PAGE["limit"].items()]
    lines += ["", "// ---- enumerations"]
    for name, members in _PAGE["enum"].items():
        lines.append(f"enum ttzo_{name} {{")
        lines += [
            f"    TTZO_{name.upper()}_{member.upper()} = {code}, // {text}" for member, (code, text) in members.items()
        ]
        lines += ["};"]
    lines += ["enum ttzo_error {"]
    lines += [f"    TTZO_ERROR_{name.upper()} = {code}, // {text}" for name, (code, text, _) in _PAGE["error"].items()]
    lines += ["};", "enum ttzo_message {"]
    lines += [
        f"    TTZO_MESSAGE_{name.upper()} = {entry['code']}, // {entry['text']}"
        for name, entry in _PAGE["message"].items()
    ]
    lines += [
        "};",
        *_c_error_name(),
        *_c_error_text(),
        "",
        "// ---- numbers as they stand in bundles and frames: little-endian, unaligned",
        _C_ACCESS,
        "// ---- records",
    ]
    for name, entry in _PAGE["struct"].items():
        lines += _c_struct(name, RECORD[name], [text for _, _, text in entry["fields"]])
    lines += ["// ---- messages"]
    for name, entry in _PAGE["message"].items():
        for side, records in (("request", REQUEST), ("reply", REPLY)):
            if entry[side]:
                lines += _c_struct(f"{name}_{side}", records[name], [text for _, _, text in entry[side]])
    return "\n".join([*lines, "#endif", ""])


@cache
def header_path() -> Path:
    """Where the committed header lies."""
    return _FOLDER / "ttzo_contract.h"
