# SPDX-License-Identifier: MIT
"""What a person gives as the value of an option, checked: each function takes the option's name and its value, and raises
`PlanError` with what may be given."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from ttzo.exporter.operations.layer import PlanError


def meant(unknown: str, known: Sequence[str]) -> str:
    """The next step where an option has an unknown name: the name that is nearest, all names where none is near."""
    near = get_close_matches(unknown, known, n=1)
    return f"did you mean {near[0]}?" if near else f"the options are {', '.join(known)}"


def names_of(option: str, value: Any) -> tuple[str, ...]:
    """A name, or several."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise PlanError(f"option {option} is {value!r}", 'give a name or a list of names, such as "conv1" or ["encoder.*"]')


def one_of(option: str, value: Any, known: Sequence[str]) -> str:
    if value in known:
        return str(value)
    raise PlanError(f"option {option} is {value!r}", f"give one of {', '.join(known)}")


def yes_or_no(option: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise PlanError(f"option {option} is {value!r}", "give True or False")


def number(name: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 3e38:
        return float(value)
    raise PlanError(f"option {name} is {value!r}", "give a finite number")


def shape(value: Any) -> tuple[int, ...] | None:
    """Sizes of one row: a tuple, or text as "1,28,28"."""
    if value is None:
        return None
    sizes = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    try:
        made = tuple(int(size) for size in sizes)
    except (TypeError, ValueError):
        made = ()
    if not made or min(made) < 1:
        raise PlanError(f"option input_shape is {value!r}", "give the sizes of one row, as 1,28,28")
    return made


def whole(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise PlanError(f"option {name} is {value!r}", "give a whole number")
