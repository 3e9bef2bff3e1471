# SPDX-License-Identifier: MIT
"""What is wrong with the cells of a person's rows, all of it in one error."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ttzo.host_tools.data.data_error import DataError

SHOWN = 6  # columns in a sentence, lines of an error


@dataclass(frozen=True)
class Fault:
    """what: a sentence without the file's name. hint: the next step; "" where that of another fault serves."""

    what: str
    hint: str


def error(source: str, faults: Sequence[Fault]) -> DataError:
    """One error of all faults (one or more), a line for each."""
    hint = "; ".join(dict.fromkeys(each.hint for each in faults if each.hint))
    if len(faults) == 1:
        return DataError(f"{source}: {faults[0].what}", hint)
    lines = [f"  {each.what}" for each in faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"  and so on in {len(faults) - SHOWN} more columns")
    return DataError("\n".join([f"{source} cannot be used as it is:", *lines]), hint)


def by_column(counts: Iterable[int], name_column: Callable[[int], str]) -> str:
    """`12 in column 2 (`temp`), 3 in column 4`, of the columns whose count is not 0."""
    found = [f"{count:,} in {name_column(k)}" for k, count in enumerate(counts) if count]
    more = f" and in {len(found) - SHOWN} more columns" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def infinite(
    x: np.ndarray, y: np.ndarray, place: Callable[[int], str], name_column: Callable[[int], str]
) -> list[Fault]:
    """Of inputs (n, k), and of targets where they are numbers."""
    found = []
    for values, is_target in ((x, False), (y, True)):
        if values.dtype.kind != "f" or not len(at := np.argwhere(np.isinf(values.reshape(len(values), -1)))):
            continue
        row, column = map(int, at[0])
        first = f"{place(row)}, {'the target' if is_target else name_column(column)}"
        more = f" and {len(at) - 1:,} more cells" if len(at) > 1 else ""
        found.append(Fault(f"it holds infinity in {first}{more}", "correct it"))
    return found


def missing(
    lacks: np.ndarray, lacks_target: np.ndarray, place: Callable[[int], str], name_column: Callable[[int], str]
) -> list[Fault]:
    """Of masks bool (n, k) and (n,) of the inputs and the target that are missing."""
    n = int(lacks.sum() + lacks_target.sum())
    if not n:
        return []
    row = int(np.argmax(lacks.any(1) | lacks_target))
    first = name_column(int(np.argmax(lacks[row]))) if lacks[row].any() else "the target"
    amount = f"{n:,} numbers are missing (empty or NaN)" if n > 1 else "a number is missing (empty or NaN)"
    counts = [*lacks.sum(0), lacks_target.sum()]
    where = by_column(counts, lambda k: name_column(k) if k < lacks.shape[1] else "the target")
    return [
        Fault(
            f"{amount}, first in {place(row)}, {first}" + (f" ({where})" if np.count_nonzero(counts) > 1 else ""),
            "--missing drop leaves such rows out, --missing mean puts the column's mean there; or fill them yourself",
        )
    ]
