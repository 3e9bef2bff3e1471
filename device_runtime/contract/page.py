# SPDX-License-Identifier: MIT
"""`contract.toml` and `words.toml` as they stand, and what the page's words for types mean."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent  # not that of the links of an editable install
PAGE: dict[str, Any] = tomllib.loads((FOLDER / "contract.toml").read_text(encoding="utf-8"))
WORDS: dict[str, Any] = tomllib.loads((FOLDER / "words.toml").read_text(encoding="utf-8"))


class NumberType(NamedTuple):
    """A number of the page as `struct`, C and Python write it, and its bytes."""

    form: str
    c: str
    python: str
    n_bytes: int


NUMBER_TYPES = {
    "u8": NumberType("B", "uint8_t", "int", 1),
    "u16": NumberType("H", "uint16_t", "int", 2),
    "u32": NumberType("I", "uint32_t", "int", 4),
    "u64": NumberType("Q", "uint64_t", "int", 8),
    "i16": NumberType("h", "int16_t", "int", 2),
    "f32": NumberType("f", "float", "float", 4),
}


def split_type(kind: str) -> tuple[str, int]:
    """`"u16[8]"` -> `("u16", 8)`; a plain type has count 0."""
    base, _, count = kind.partition("[")
    return base, int(count.rstrip("]")) if count else 0


def enum_class(name: str) -> str:
    """The Python class of an enumeration: `layer_kind` -> `LayerKind`."""
    return "".join(part.title() for part in name.split("_"))


def struct_class(name: str) -> str:
    """The Python class of a record: `pde_info` -> `PdeInfo`, `layer` -> `LayerRecord`.

    `Record` is added where the name alone is one that another room gives its own class.
    """
    plain = enum_class(name)
    return plain if plain.endswith(("Header", "Info", "Record", "Rows")) else plain + "Record"


def message_class(name: str, side: str) -> str:
    """The Python class of a message's `request` or `reply`: `StepReply`."""
    return enum_class(f"{name}_{side}")
