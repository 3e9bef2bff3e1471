# SPDX-License-Identifier: MIT
"""The C runtime that a device executes, and the contract that it shares with the host."""

from pathlib import Path

FOLDER = Path(__file__).parent.resolve()  # what the compiler gets as its include path
PORTS = FOLDER / "ports"


def core_sources() -> list[Path]:
    """The C sources of every room; ports are not among them."""
    return sorted(FOLDER.glob("*/*.c"))


def core_headers() -> list[Path]:
    """The headers that a build of the core reads."""
    return sorted([*FOLDER.glob("*.h"), *FOLDER.glob("*/*.h")])
