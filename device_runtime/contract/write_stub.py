# SPDX-License-Identifier: MIT
"""Writes `__init__.pyi`: what `__init__.py` makes when it runs, for mypy, pyright and editors."""

from ttzo.device_runtime.contract.page import (
    FOLDER,
    NUMBER_TYPES,
    PAGE,
    enum_class,
    message_class,
    split_type,
    struct_class,
)

PATH = FOLDER / "__init__.pyi"

_HEAD = """\
# SPDX-License-Identifier: MIT
# Written by write_stub.py from contract.toml; change that page, not this file.
from dataclasses import dataclass
from enum import IntEnum

from ttzo.device_runtime.contract.errors import DeviceError as DeviceError
from ttzo.device_runtime.contract.errors import ExitCode as ExitCode
from ttzo.device_runtime.contract.errors import TtzoError as TtzoError
from ttzo.device_runtime.contract.errors import error_page as error_page
from ttzo.device_runtime.contract.errors import setting_name as setting_name
from ttzo.device_runtime.contract.hashes import HASH as HASH
from ttzo.device_runtime.contract.hashes import MESSAGE_HASH as MESSAGE_HASH
from ttzo.device_runtime.contract.ranges import RANGE as RANGE
from ttzo.device_runtime.contract.ranges import Range as Range
from ttzo.device_runtime.contract.ranges import first_outside as first_outside
from ttzo.device_runtime.contract.records import RECORD as RECORD
from ttzo.device_runtime.contract.records import REPLY as REPLY
from ttzo.device_runtime.contract.records import REQUEST as REQUEST
from ttzo.device_runtime.contract.records import Record as Record

LIMIT: dict[str, int]  # by its name in the page
MESSAGE: dict[str, int]  # code of a message
"""


def stub_text() -> str:
    """The text of `__init__.pyi`."""
    blocks = [_enum(enum_class(name), members) for name, members in PAGE["enum"].items()]
    blocks += [_record(struct_class(name), entry["fields"]) for name, entry in PAGE["struct"].items()]
    for name, entry in PAGE["message"].items():
        blocks += [_record(message_class(name, side), entry[side]) for side in ("request", "reply")]
    return "\n".join([_HEAD, *blocks]).rstrip("\n") + "\n"


def _enum(name: str, members: dict[str, tuple[int, str]]) -> str:
    lines = [f"    {member} = {code}\n{_docstring(text)}" for member, (code, text) in members.items()]
    return f"class {name}(IntEnum):\n" + "".join(lines)


def _record(name: str, fields: list[list[str]]) -> str:
    lines = [f"    {field}: {python_type(kind)}\n{_docstring(text)}" for kind, field, text in fields]
    head = f"@dataclass(frozen=True)\nclass {name}(Record):"
    return f"{head}\n" + "".join(lines) if lines else f"{head} ...\n"


def _docstring(text: str) -> str:
    return f'    """{text}"""\n' if text else ""


def python_type(kind: str) -> str:
    """The Python type of a field: bytes for `u8[n]`, a tuple for other arrays."""
    base, count = split_type(kind)
    if base not in NUMBER_TYPES:
        return struct_class(base)
    if kind.startswith("u8["):
        return "bytes"
    python = NUMBER_TYPES[base].python
    return f"tuple[{python}, ...]" if count else python
