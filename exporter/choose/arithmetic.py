# SPDX-License-Identifier: MIT
"""The arithmetic of a model for which nobody chose one."""

from collections.abc import Collection

from ttzo.device_runtime.contract import Arithmetic
from ttzo.exporter.plan import train_defaults

WHY_FUSED = (
    "arithmetic fused was chosen: the board multiplies and adds in one instruction. For boards that do not, for numpy: and "
    "for MicroPython's ready modules, export with --arithmetic separate"
)


def named_arithmetic(value: Arithmetic | str | None) -> Arithmetic | None:
    """An arithmetic or its name; None where nobody chose. Raises `PlanError` for another name."""
    return None if value is None else train_defaults.member("arithmetic", value, Arithmetic)


def choose_arithmetic(given: Arithmetic | None, of_board: Collection[str]) -> tuple[Arithmetic, str]:
    """`given`, or the better one of a board that supports these; and a sentence for a person where that is a choice.

    A core with fused multiply-add takes fewer instructions by it. Without a board it is `separate`, whose bits are the
    same on every core.
    """
    if given is not None:
        return given, ""
    if Arithmetic.fused.name in of_board:
        return Arithmetic.fused, WHY_FUSED
    return Arithmetic.separate, ""
