# SPDX-License-Identifier: MIT
"""Records and enumerations made from the page: frozen dataclasses that pack to and unpack from bytes, and `IntEnum`s."""

import dataclasses
import enum
import struct
from typing import Any, ClassVar, Self

from ttzo.device_runtime.contract.errors import DeviceError, TtzoError
from ttzo.device_runtime.contract.page import NUMBER_TYPES, PAGE, enum_class, message_class, split_type, struct_class

_HOME = "ttzo.device_runtime.contract"  # where the made classes are imported from


class Record:
    """A packed little-endian record; the subclasses are dataclasses made from the contract's fields."""

    FIELDS: ClassVar[list[tuple[str, str]]]  # type and name of each field
    SIZE: ClassVar[int]  # bytes

    def pack(self) -> bytes:
        """The record's `SIZE` bytes. Raises `TtzoError` naming a field whose number its type cannot hold."""
        return b"".join(_pack_field(kind, name, getattr(self, name)) for kind, name in self.FIELDS)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Reads the first `SIZE` bytes. Raises `DeviceError("bad_request")` when there are fewer."""
        if len(data) < cls.SIZE:
            raise DeviceError("bad_request", len(data))
        values, at = [], 0
        for kind, _ in cls.FIELDS:
            values.append(_unpack_field(kind, data, at))
            at += type_bytes(kind)
        return cls(*values)


def type_bytes(kind: str) -> int:
    """Bytes of a field of that type."""
    base, count = split_type(kind)
    size = NUMBER_TYPES[base].n_bytes if base in NUMBER_TYPES else RECORD[base].SIZE
    return size * (count or 1)


def _pack_field(kind: str, name: str, value: Any) -> bytes:
    base, count = split_type(kind)
    if base not in NUMBER_TYPES:
        packed: bytes = value.pack()
        return packed
    if kind.startswith("u8["):
        return bytes(value).ljust(count, b"\0")
    values = [*value, *[0] * (count - len(value))] if count else [value]
    try:
        return struct.pack(f"<{len(values)}{NUMBER_TYPES[base].form}", *values)
    except (struct.error, OverflowError) as error:
        given = values[0] if len(values) == 1 else values
        raise TtzoError(f"{name} is {given}, which does not fit into {base}", "give a number in range") from error


def _unpack_field(kind: str, data: bytes, at: int) -> Any:
    base, count = split_type(kind)
    size = type_bytes(kind)
    if base not in NUMBER_TYPES:
        return RECORD[base].unpack(data[at : at + size])
    if kind.startswith("u8["):
        return bytes(data[at : at + size])
    numbers = struct.unpack_from(f"<{count or 1}{NUMBER_TYPES[base].form}", data, at)
    return numbers if count else numbers[0]


def make_enum(name: str) -> type[enum.IntEnum]:
    """The enumeration of the page's `[enum.NAME]`."""
    members = {member: code for member, (code, _) in PAGE["enum"][name].items()}
    make: Any = enum.IntEnum  # a call makes a class here; mypy takes it for a member
    made: type[enum.IntEnum] = make(enum_class(name), members, module=_HOME)
    return made


def _make_record(name: str, fields: list[list[str]]) -> type[Record]:
    kinds = [(kind, field) for kind, field, _ in fields]
    return dataclasses.make_dataclass(
        name,
        [(field, Any) for _, field in kinds],
        bases=(Record,),
        frozen=True,
        namespace={"FIELDS": kinds, "SIZE": sum(type_bytes(kind) for kind, _ in kinds), "__module__": _HOME},
    )


RECORD: dict[str, Any] = {}  # by its name in the page; Any, since which class a name means is known when it runs only
for _name, _entry in PAGE["struct"].items():  # one by one: a record may hold an earlier one
    RECORD[_name] = _make_record(struct_class(_name), _entry["fields"])
REQUEST: dict[str, Any] = {
    name: _make_record(message_class(name, "request"), entry["request"]) for name, entry in PAGE["message"].items()
}
REPLY: dict[str, Any] = {
    name: _make_record(message_class(name, "reply"), entry["reply"]) for name, entry in PAGE["message"].items()
}
