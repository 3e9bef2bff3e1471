# SPDX-License-Identifier: MIT
"""Reads files that somebody else wrote: how large and how deep they are is looked at before anything takes them apart."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

MOST_DEPTH = 32  # brackets within brackets; a board has 1, a bundle's names 2
_STRINGS = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The file's bytes. Raises `OSError` when it cannot be read, `ValueError` when there are more than `most_bytes`."""
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes:,} bytes")
    return content


def json_page(content: bytes) -> Any:
    """The value of a JSON text. Raises `ValueError` when it is none, or nested deeper than `MOST_DEPTH`."""
    text = content.decode("utf-8")
    _require_depth(text)
    return json.loads(text)


def toml_page(content: bytes) -> dict[str, Any]:
    """The table of a TOML text. Raises `ValueError` when it is none, or nested deeper than `MOST_DEPTH`."""
    text = content.decode("utf-8")
    _require_depth(text)
    if max((line.count(".") for line in _STRINGS.sub("", text).splitlines()), default=0) > MOST_DEPTH:
        raise ValueError("its keys are nested too deep")
    return tomllib.loads(text)


def _require_depth(text: str) -> None:
    depth = 0
    for character in _STRINGS.sub("", text):
        depth += _BRACKETS.get(character, 0)
        if depth > MOST_DEPTH:
            raise ValueError(f"it is nested deeper than {MOST_DEPTH} brackets")
