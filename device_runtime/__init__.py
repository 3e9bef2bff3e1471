# SPDX-License-Identifier: MIT
"""The C runtime that a device executes, and the contract that it shares with the host."""

from collections.abc import Collection
from pathlib import Path

FOLDER = Path(__file__).parent.resolve()  # what the compiler gets as its include path
PORTS = FOLDER / "ports"


def core_sources(left_out: Collection[str] = ()) -> list[Path]:
    """The C sources of every room except `left_out`, by name; ports are not among them."""
    return [path for path in sorted(FOLDER.glob("*/*.c")) if path.parent.name not in left_out]


def core_headers() -> list[Path]:
    """The headers that a build of the core reads."""
    return sorted([*FOLDER.glob("*.h"), *FOLDER.glob("*/*.h")])
