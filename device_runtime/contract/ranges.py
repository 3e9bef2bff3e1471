# SPDX-License-Identifier: MIT
"""What the settings of a training run may be: the page's ranges within what each field's type can hold."""

import math
import struct
from typing import Any, NamedTuple

from ttzo.device_runtime.contract.page import NUMBER_TYPES, PAGE

LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127
_NAMED = {"below_one": 1 - 2**-24}  # the largest float32 below 1


class Range(NamedTuple):
    """`least` to `most`, both allowed; `is_whole` for an integer field. Bounds of a float32 field are float32 numbers."""

    least: float
    most: float
    is_whole: bool

    def holds(self, value: float) -> bool:
        """Whether `value` is in range; NaN is not."""
        return self.least <= value <= self.most


def type_range(kind: str) -> Range:
    """What a number of that type can be, infinities and NaN left out."""
    if kind == "f32":
        return Range(-LARGEST_FLOAT32, LARGEST_FLOAT32, False)
    bits = 8 * NUMBER_TYPES[kind].n_bytes
    return Range(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, True) if kind[0] == "i" else Range(0, 2**bits - 1, True)


def _bound(kind: str, word: Any) -> float:
    """A bound as the field holds it."""
    number: float = _NAMED[word] if word in _NAMED else PAGE["limit"][word][0] if isinstance(word, str) else word
    return struct.unpack("<f", struct.pack("<f", number))[0] if kind == "f32" else number


def _range(kind: str, entry: Any) -> Range:
    whole = type_range(kind)
    if entry is None:
        return whole
    if isinstance(entry, str):
        return Range(0, max(code for code, _ in PAGE["enum"][entry.removeprefix("enum ")].values()), True)
    bounds = [_bound(kind, word) for word in entry]
    return Range(bounds[0], bounds[1] if len(bounds) > 1 else whole.most, whole.is_whole)


# Range of each field, in the record's order: RANGE["phase"]["learning_rate"].
RANGE: dict[str, dict[str, Range]] = {
    name: {field: _range(kind, ranges.get(field)) for kind, field, _ in PAGE["struct"][name]["fields"]}
    for name, ranges in PAGE["range"].items()
}


def first_outside(record: str, values: Any) -> int | None:
    """Number of the first field of `values` (a record) that is out of its range; None when all are in range."""
    for number, (field, allowed) in enumerate(RANGE[record].items()):
        if not allowed.holds(getattr(values, field)):
            return number
    return None


def c_bounds(record: str, field: str) -> list[tuple[str, str]]:
    """The comparisons that C makes, as (operator, number): those that the field's type does not imply."""
    kind = next(kind for kind, name, _ in PAGE["struct"][record]["fields"] if name == field)
    allowed, whole = RANGE[record][field], type_range(kind)
    if allowed == whole:
        return []
    bounds = [(">=", allowed.least)] if allowed.least > whole.least else []
    if allowed.most < whole.most or kind == "f32":  # a float may be infinite
        bounds.append(("<=", allowed.most))
    return [(sign, f"{bound}u" if allowed.is_whole else _c_float(bound)) for sign, bound in bounds]


def _c_float(value: float) -> str:
    text = f"{value:.9g}"
    return f"{text}f" if math.isfinite(value) and ("." in text or "e" in text) else f"{text}.0f"
