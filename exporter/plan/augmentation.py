# SPDX-License-Identifier: MIT
"""Augmentation: how a device varies the rows that a step trains on, drawn by the seed (device_runtime/network/vary_row.c)."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ttzo.device_runtime.contract import RowInfo
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.operations.gathering import Patches
from ttzo.exporter.operations.layer import PlanError

if TYPE_CHECKING:
    from ttzo.exporter.plan.plan import Plan

KEYS = ("shift", "scaling", "jitter", "shape")
HINT = "write it as shift=1 or shift=5,scaling=0.1,jitter=0.05,shape=6x1x50"


@dataclass(frozen=True)
class Augmentation:
    """Each training row is seen as an image [channels][height][width] (a window of a time series has height 1). It is
    moved by up to `shift` (rows, columns), each channel is multiplied by 1 + scaling N(0, 1), and jitter N(0, 1) is added
    to each number. Scaling is around the raw number 0. `jitter` is in raw numbers, as rows are sent."""

    shape: tuple[int, int, int]
    shift: tuple[int, int] = (0, 0)
    scaling: float = 0.0
    jitter: float = 0.0

    def inconsistency(self, in_features: int) -> str:
        """What does not fit a model of so many inputs, "" where all does."""
        channels, height, width = self.shape
        if channels * height * width != in_features:
            return f"augmentation of rows {channels}x{height}x{width}, but a row has {in_features} numbers"
        down, right = self.shift
        if not (0 <= down < height and 0 <= right < width) or max(down, right) > 255:
            return f"a shift by {down} rows and {right} columns of {height} rows and {width} columns"
        if not all(math.isfinite(number) and number >= 0 for number in (self.scaling, self.jitter)):
            return f"scaling {self.scaling} and jitter {self.jitter}: both are finite and at least 0"
        return ""

    @classmethod
    def of(cls, info: RowInfo) -> "Augmentation | None":
        """What a record says; None where it says nothing."""
        shape = (info.channels, info.height, info.width)
        made = cls(shape, (info.shift_height, info.shift_width), info.scaling, info.jitter)
        return made if info.channels else None


def settings_of(value: Any) -> dict[str, Any]:
    """The option `augment`, as text ("shift=1,jitter=0.05") or as a dictionary: numbers `shift`, `scaling`, `jitter`, and
    `shape` (channels, height, width). {} for none. Raises `PlanError`."""
    if value is None or value == {} or value == "":
        return {}
    if isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",")]
        value = {name.strip(): text.strip() for name, _, text in parts}
    if not isinstance(value, Mapping):
        raise PlanError(f"option augment is {value!r}", HINT)
    return {name: _setting(name, given) for name, given in value.items()}


def _setting(name: str, given: Any) -> Any:
    try:
        if name == "shape":
            shape = tuple(int(size) for size in (given.split("x") if isinstance(given, str) else given))
            if len(shape) == 3 and min(shape) > 0:
                return shape
        elif name == "shift":
            if float(given) == int(given) and int(given) >= 0:
                return int(given)
        elif name in KEYS and math.isfinite(float(given)):
            return float(given)
    except (TypeError, ValueError):
        pass
    known = ", ".join(KEYS)
    what = f"{name}={given!r}" if name in KEYS else f"{name!r}, which is none of {known}"
    raise PlanError(f"option augment has {what}", HINT)


def of_plan(plan: "Plan", settings: Mapping[str, Any], input_shape: tuple[int, ...] | None) -> "Plan":
    """The plan with the augmentation that `settings_of` asks for; {}: as it is. The jitter of the settings is in network
    inputs. Without a shape in the settings it is that of the first convolution's image, or `input_shape`. Raises `PlanError`
    where a shift has no shape."""
    if not settings:
        return plan
    shape = settings.get("shape") or _image_of(plan) or _three(input_shape)
    if shape is None and settings.get("shift"):
        raise PlanError("augment: a shift needs the shape of a row, which the model does not say", "add shape=1x28x28")
    channels, height, width = shape or (1, 1, plan.in_features)
    shift = settings.get("shift", 0)
    made = Augmentation(
        shape=(channels, height, width),
        shift=(shift if height > 1 else 0, shift),
        scaling=settings.get("scaling", 0.0),
        jitter=settings.get("jitter", 0.0) / abs(plan.input_scale or 1.0),
    )
    return dataclasses.replace(plan, augmentation=made)


def _image_of(plan: "Plan") -> tuple[int, int, int] | None:
    for node in plan.graph.nodes:
        gather = node.operation.layer.gather if isinstance(node.operation, Affine) else None
        if isinstance(gather, Patches):
            fits = gather.n_inputs == plan.in_features
            return (gather.channels, gather.height, gather.width) if fits else None
    return None


def _three(shape: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    """(height, width) and (channels, height, width) as the latter; None for other shapes."""
    if shape is None or len(shape) not in (2, 3):
        return None
    channels, height, width = (1, *shape)[-3:]
    return channels, height, width
