# SPDX-License-Identifier: MIT
"""Writes what MicroPython's Python takes from the contract.

A line such as `_BATCH = const(2)  # contract: enum.region.batch` gets its number from the page. The numbers stand in the
files that use them, and not in a module of their own, because MicroPython replaces a `const` only in its own file: there
it costs no memory on the board. What a reference can be: enum.NAME.MEMBER, error.NAME, limit.NAME, bytes.RECORD,
offset.RECORD.FIELD (bytes); a message's record is called `status_reply`.

`_ttzo_texts.py` holds the errors' sentences by their codes.
"""

import re
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract.errors import error_page
from ttzo.device_runtime.contract.page import FOLDER, PAGE
from ttzo.device_runtime.contract.records import RECORD, REPLY, REQUEST, type_bytes

PORT = FOLDER.parent / "ports" / "micropython"
TEXTS = PORT / "_ttzo_texts.py"
_LINE = re.compile(r"^(\w+ = const\()\d+(\).*  # contract: )(\S+)", re.MULTILINE)


def number_of(reference: str) -> int:
    """The number that a reference names. Raises `KeyError` for one that names nothing."""
    kind, *names = reference.split(".")
    if kind == "enum":
        code: int = PAGE["enum"][names[0]][names[1]][0]
        return code
    if kind in ("error", "limit"):
        entry = PAGE[kind][names[0]]
        return int(entry if kind == "error" else entry[0])
    if kind == "bytes":
        return int(_record(names[0]).SIZE)
    if kind == "offset":
        return _offset(_record(names[0]), names[1])
    raise KeyError(reference)


def _record(name: str) -> Any:
    for side, records in (("_request", REQUEST), ("_reply", REPLY)):
        if name.removesuffix(side) in records and name.endswith(side):
            return records[name.removesuffix(side)]
    return RECORD[name]


def _offset(record: Any, field: str) -> int:
    at = 0
    for kind, name in record.FIELDS:
        if name == field:
            return at
        at += type_bytes(kind)
    raise KeyError(field)


def with_numbers(text: str) -> str:
    """A file's text, its numbers as the page has them."""
    return _LINE.sub(lambda found: f"{found[1]}{number_of(found[3])}{found[2]}{found[3]}", text)


def files() -> dict[Path, str]:
    """Text of each Python file of the port that takes something from the contract."""
    sources = {path: path.read_text(encoding="utf-8") for path in PORT.glob("*.py") if path != TEXTS}
    made = {path: with_numbers(text) for path, text in sources.items() if _LINE.search(text)}
    return made | {TEXTS: _texts()}


def _texts() -> str:
    page = error_page()
    lines = [f"    {_quoted(page.get(code, ''))}\n" for code in range(max(page) + 1)]
    return _HEAD + "_TEXTS = (\n" + "".join(lines) + ")\n" + _TEXT


def _quoted(text: str) -> str:
    """A line of a longer literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}\\n"'


_HEAD = """# SPDX-License-Identifier: MIT
# Written by write_micropython.py from words.toml; change that page, not this file. One string, a line for each code: a
# small heap has no room for as many strings.
"""
_TEXT = """

def text(number):
    \"""The sentence of an error.\"""
    at = 0
    for _ in range(number):
        at = _TEXTS.find("\\n", at) + 1
    return _TEXTS[at : _TEXTS.find("\\n", at)]
"""
