# SPDX-License-Identifier: MIT
"""Normalisation that travels with the model: what a device and the exported formats do to a sensor's readings."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ttzo.exporter.operations.layer import PlanError

if TYPE_CHECKING:
    from ttzo.exporter.plan.plan import Plan


@dataclass(frozen=True, eq=False)
class InputNormalisation:
    """A reading becomes ((reading - centre) - rest) factor, each step in float32; float32 (columns,) each. centre + rest is
    the column's centre to twice float32's digits: a pressure of 101,325 with a swing of 1 keeps its own."""

    centre: np.ndarray
    rest: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, centre: np.ndarray, spread: np.ndarray) -> "InputNormalisation":
        """Of columns' centres and spreads, float64 (columns,)."""
        rounded = centre.astype(np.float32)
        return cls(rounded, (centre - rounded).astype(np.float32), (1 / spread).astype(np.float32))

    def inconsistency(self, in_features: int) -> str:
        """What does not fit a model of so many inputs, "" where all does."""
        if not len(self.centre) or in_features % len(self.centre):
            return f"normalisation of {len(self.centre)} columns, but a row has {in_features} numbers"
        if not all(np.isfinite(part).all() for part in (self.centre, self.rest, self.factor)):
            return "a normalisation that is not finite"
        return ""

    def numbers(self) -> np.ndarray:
        """The bundle's section: float32 (3 columns,)."""
        return np.concatenate([self.centre, self.rest, self.factor]).astype("<f4")

    @classmethod
    def of_numbers(cls, numbers: np.ndarray) -> "InputNormalisation":
        """The inverse of `numbers`."""
        return cls(*(part.astype(np.float32) for part in numbers.reshape(3, -1)))

    def of_inputs(self, in_features: int) -> "InputNormalisation":
        """The same for each input of a row: a window holds its channels one after the other."""
        each = in_features // len(self.centre)
        return InputNormalisation(*(np.repeat(part, each) for part in (self.centre, self.rest, self.factor)))


def of_metadata(plan: "Plan") -> "Plan":
    """The plan with the normalisation that its metadata say of its training table; as it is where they say none."""
    page: Any = plan.metadata.get("preparation")
    found = page.get("normalisation") if isinstance(page, dict) else None
    if not found or plan.pde or plan.simulation or plan.n_tokens:
        return plan
    try:
        made = InputNormalisation.of(np.array(found["centre"], float), np.array(found["spread"], float))
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError("the recorded normalisation is damaged", "train again with --restart") from error
    return dataclasses.replace(plan, normalisation=made)
