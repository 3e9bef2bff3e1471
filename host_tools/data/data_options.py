# SPDX-License-Identifier: MIT
"""What a person may say about a data set of their own. Nothing here reads a file."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

from ttzo.host_tools.data.data_error import DataError

MISSING = ("refuse", "drop", "mean")
NORMALISE = ("auto", "none", "standard", "robust")
WINDOW_LABELS = ("majority", "last", "any")
HEADING = ("yes", "no")
TEST_SHARE = 0.2  # of the rows, where the person has no test rows of their own
VALIDATION_SHARE = 0.1  # of the rows that are not test rows of the person's own


@dataclass(frozen=True)
class DataOptions:
    """None means: not given. Columns are named by their headings or by their numbers from 1, with commas between.

    target: the column(s) to learn; by default the last ones. ignore: columns that are neither inputs nor target.
    group: the column that says what must never stand on two sides of a split, such as a person or a recording.
    heading: whether the first line holds the columns' names. missing, normalise, window_label: see the tuples above.
    validation, test: a share of the rows between 0 and 1, or a file of their own. split_seed: seed of the split.
    good: the label of rows without an anomaly.
    window, hop: samples are windows of so many rows, each so many rows after the one before it.
    """

    target: str | None = None
    ignore: str | None = None
    group: str | None = None
    heading: str | None = None
    missing: str | None = None
    normalise: str | None = None
    validation: float | str | None = None
    test: float | str | None = None
    split_seed: int | None = None
    window: int | None = None
    hop: int | None = None
    window_label: str | None = None
    good: str | None = None

    def __post_init__(self):
        for name, known in (
            ("missing", MISSING),
            ("normalise", NORMALISE),
            ("window_label", WINDOW_LABELS),
            ("heading", HEADING),
        ):
            if getattr(self, name) not in (None, *known):
                raise DataError(f"{name} is {getattr(self, name)!r}", f"take one of {', '.join(known)}")
        for name in ("validation", "test"):
            share = getattr(self, name)
            if isinstance(share, float) and not 0 <= share < 1:
                raise DataError(f"{name} is {share:g}", "give a share of the rows from 0 to below 1, or a file")
        if self.test == 0.0:
            raise DataError("no row is left to test on", "give --test a share of the rows above 0, or a file")
        if sum(value for value in (self.validation, self.test) if isinstance(value, float)) >= 1:
            raise DataError("no row is left to train on", "give smaller shares for --validation and --test")
        for name in ("window", "hop"):
            if (getattr(self, name) or 1) < 1:
                raise DataError(f"{name} is {getattr(self, name)}", "give a number of rows from 1 on")
        if self.hop is not None and self.window is None:
            raise DataError("a hop needs a window", "give its length: --window N")
        if self.window_label is not None and self.window is None:
            raise DataError("a label of windows needs a window", "give its length: --window N")

    def over(self, base: "DataOptions") -> "DataOptions":
        """These options; where one is not given, that of `base`."""
        return dataclasses.replace(base, **self.as_json())

    def without_files(self) -> "DataOptions":
        """These options for another source: files of parts belonged to the first one."""
        given = self.as_json()
        return DataOptions(**{name: value for name, value in given.items() if value != self.file(name)})

    def as_json(self) -> dict[str, Any]:
        """Those that are given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, page: Any) -> "DataOptions":
        """The inverse of `as_json`. Raises `DataError` for another page."""
        try:
            return cls(**page)
        except TypeError as error:
            raise DataError(f"these options for data are not known: {page!r}", "export the model again") from error

    def share(self, part: str) -> float | None:
        """The share of the rows that becomes `part` (validation, test); None where it is a file or not given."""
        value = getattr(self, part)
        return value if isinstance(value, float) else None

    def file(self, part: str) -> str | None:
        """The file of `part` (validation, test); None where there is none."""
        value = getattr(self, part) if part in ("validation", "test") else None
        return value if isinstance(value, str) else None
