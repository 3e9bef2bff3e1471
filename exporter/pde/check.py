# SPDX-License-Identifier: MIT
"""Slips in what a person writes, as sentences with their line: functions that fail or take other arguments, bounds that are
none, numbers that are no counts."""

import inspect
import linecache
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.pde.expression import HERE, PdeError


def line_of(function: Any) -> str:
    """`file.py:7: ` of a function that Python wrote down, else ""."""
    code = getattr(function, "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}: " if code else ""


def line_of_caller() -> str:
    """The same of the first caller who is not these files'."""
    frame: FrameType | None = sys._getframe(1)
    while frame and (Path(frame.f_code.co_filename).parent in HERE or frame.f_code.co_filename == "<string>"):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}: " if frame else ""


def called(what: str, function: Any, *args: Any, names: str) -> Any:
    """function(*args). Raises `PdeError`, with the person's line, where it is no function, takes other arguments than those of
    `names`, fails, or returns nothing."""
    if not callable(function):
        raise PdeError(f"{what} is {function!r}, not a function", f"write {what}=lambda {names}: ...")
    _require_arguments(what, function, args, names)
    try:
        made = function(*args)
    except (TtzoError, RecursionError):
        raise
    except Exception as error:
        raise _failed(what, error) from error
    if made is None:
        raise PdeError(f"{line_of(function)}{what} returns nothing", "end the function with `return ...`")
    return made


def _require_arguments(what: str, function: Callable[..., Any], args: tuple, names: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some built-in functions nothing is known
        return
    try:
        signature.bind(*args)
    except TypeError:
        n = len(signature.parameters)
        raise PdeError(
            f"{line_of(function)}{what} takes {n} argument{'s' * (n != 1)}, it is given {len(args)}",
            f"write lambda {names}: ...",
        ) from None


def _failed(what: str, error: Exception) -> PdeError:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent not in HERE]
    if not frames:
        return PdeError(f"{what} failed: {type(error).__name__}: {error}", "correct it and export again")
    last = frames[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    place = f"{Path(last.filename).name}:{last.lineno}"
    return PdeError(
        f"{place}: {what} failed: {type(error).__name__}: {error}, in `{line}`",
        "correct that line; use ttzo.pde's functions",
    )


# ---- numbers --------------------------------------------------------------------------------------------------------


def require_bounds(what: str, value: Any, example: str) -> None:
    """A pair of finite numbers, the first below the second."""
    pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not pair or not all(_is_number(bound) for bound in value):
        raise PdeError(f"{what} is {value!r}, not a pair of numbers", f"write {example}")
    low, high = map(float, value)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise PdeError(
            f"{what} goes from {low:g} to {high:g}", "bounds are finite: cut the domain where nothing happens"
        )
    if not low < high:
        raise PdeError(f"{what} goes from {low:g} to {high:g}", "the lower bound comes first, and they differ")


def require_count(what: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PdeError(f"{what} is {value!r}", "give a whole number from 1 on")


def require_weight(what: str, value: Any) -> None:
    if not _is_number(value) or not 0 < value < math.inf:
        raise PdeError(f"{what} has weight {value!r}", "give a positive weight")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool | str)
