# SPDX-License-Identifier: MIT
"""The text format `.ts` of time series with classes: a head of `@` lines, then a line for each case, its channels
separated by colons, the numbers of a channel by commas, the class last."""

import numpy as np

from ttzo.host_tools.data.data_error import DataError


def parse(text: str, name: str) -> tuple[list[np.ndarray], list[str]]:
    """Cases as float64 (channels, length) each, and the word of each one's class. Raises `DataError`."""
    cases, classes = [], []
    for line in _cases(text):
        *channels, label = line.split(":")
        try:
            cases.append(np.array([[float(number) for number in channel.split(",")] for channel in channels]))
        except ValueError as error:
            raise DataError(f"{name}: case {len(cases) + 1} holds no table of numbers ({error})") from error
        classes.append(label.strip())
    if not cases:
        raise DataError(f"{name} holds no cases")
    return cases, classes


def _cases(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    at = next((i for i, line in enumerate(lines) if line.lower() == "@data"), len(lines))
    return [line for line in lines[at + 1 :] if line]
