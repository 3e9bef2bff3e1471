# SPDX-License-Identifier: MIT
"""Classes as numbers: words, and numbers that do not count from 0, get their place in sorted order and keep their names."""

from collections.abc import Callable

import numpy as np

from ttzo.host_tools.data.data_error import DataError

SHOWN = 8  # classes in a sentence
Place = Callable[[int], str]  # what a row is called


def whole_numbers(values: np.ndarray) -> np.ndarray | None:
    """float64 (n,) of numbers, or of words that are all numbers; None where one is not."""
    if values.dtype.kind in "buif":
        return values.astype(float)
    try:
        return np.array([float(word.replace(",", ".")) for word in values])
    except ValueError:
        return None


def names_of(source: str, values: np.ndarray, n_outputs: int) -> tuple[str, ...] | None:
    """The classes' names by their numbers; None where the classes in `values` (words or numbers, none missing) are
    numbers below `n_outputs` already. Raises `DataError` for more classes than outputs."""
    numbers = whole_numbers(values)
    if numbers is None:
        names = tuple(sorted(set(values)))
    else:
        found = np.unique(numbers)
        if len(found) == 0 or (found == np.floor(found)).all() and found[0] >= 0 and found[-1] < n_outputs:
            return None
        if (found != np.floor(found)).any() or len(found) > n_outputs:
            return None  # `number` names the row
        names = tuple(f"{value:.0f}" for value in found)
    if len(names) > n_outputs:
        raise DataError(
            f"{source} has {len(names)} classes ({names_text(names)}), the model has {n_outputs} outputs",
            "name the column of the classes with --target COLUMN, or export a model with more outputs",
        )
    return names


def number(source: str, values: np.ndarray, names: tuple[str, ...] | None, n_outputs: int, place: Place) -> np.ndarray:
    """int64 (n,): the classes' numbers. Raises `DataError` for one that the model does not know, with its place."""
    numbers = whole_numbers(values)
    if names is None:
        if numbers is None:
            raise DataError(
                f"{source}: {place(0)} has the class `{values[0]}`, the model knows the numbers 0 to {n_outputs - 1}",
                "write the classes as these numbers, or name their column with --target COLUMN",
            )
        wrong = (numbers < 0) | (numbers >= n_outputs) | (numbers != np.floor(numbers))
        if wrong.any():
            row = int(np.argmax(wrong))
            if n_outputs == 1 or numbers[row] != np.floor(numbers[row]):
                raise DataError(
                    f"{source}: {place(row)} has the target {numbers[row]:g}, which is no class of this model",
                    "to learn numbers, export the model with --loss mse; for classes, name their column with --target COLUMN",
                )
            raise DataError(
                f"{source}: {place(row)} has the class {numbers[row]:g}, the model knows 0 to {n_outputs - 1}",
                "name the column of the classes with --target COLUMN, export a model with more outputs, or with --loss mse for numbers",
            )
        return numbers.astype(np.int64)
    words = values if numbers is None else [f"{value:.0f}" for value in numbers]
    known = {name: at for at, name in enumerate(names)}
    made = np.array([known.get(word, -1) for word in words], np.int64)
    if len(unknown := np.flatnonzero(made < 0)):
        row = int(unknown[0])
        others = sorted({words[row] for row in unknown} - {words[row]})
        more = f" (nor does it know {names_text(tuple(others))}: {len(unknown):,} rows in all)" if others else ""
        raise DataError(
            f"{source}: {place(row)} has the class `{words[row]}`, the model knows {names_text(names)}{more}",
            "correct the row, or export the model again for these data",
        )
    return made


def names_text(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
