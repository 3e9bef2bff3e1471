# SPDX-License-Identifier: MIT
"""The numbers of a loss."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import LIMIT, Loss, LossInfo

CLASSES = frozenset({Loss.cross_entropy, Loss.place_cross_entropy, Loss.binary_cross_entropy})
NO_CLASS = LIMIT["no_class"]


@dataclass(frozen=True)
class LossOptions:
    """places: of `place_cross_entropy`, places of a sequence, 0: as the axes of the model's output say. class_weights: of
    losses of classes, what multiplies the loss of a row or place of each class; () where all count alike. huber_delta: of
    `huber`, the error from which on the loss grows linearly."""

    places: int = 0
    class_weights: tuple[float, ...] = ()
    huber_delta: float = 1.0

    def inconsistency(self, loss: Loss, out_features: int) -> str:
        """What does not fit, "" where all does."""
        if loss == Loss.binary_cross_entropy and out_features != 1:
            return f"{loss.name} takes one output, the logit of class 1; the model has {out_features}"
        if (loss == Loss.place_cross_entropy) != (self.places > 0) or self.places < 0:
            return f"the loss {loss.name} and {self.places} places: outputs of {Loss.place_cross_entropy.name} are [places, classes]"
        if self.places and out_features % self.places:
            return f"{out_features} outputs are no whole number of classes for each of {self.places} places"
        if self.class_weights and len(self.class_weights) != self.n_classes(loss, out_features):
            return f"{len(self.class_weights)} class weights; the loss {loss.name} has {self.n_classes(loss, out_features)} classes"
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.class_weights):
            return "class weights are finite and at least 0"
        if not (math.isfinite(self.huber_delta) and self.huber_delta > 0):
            return f"huber_delta is {self.huber_delta}: it is finite and above 0"
        return ""

    def n_classes(self, loss: Loss, out_features: int) -> int:
        """Classes of a target; 0 where it holds numbers."""
        return {
            Loss.cross_entropy: out_features,
            Loss.place_cross_entropy: out_features // max(1, self.places),
            Loss.binary_cross_entropy: 2,
        }.get(loss, 0)

    def of_output(self, loss: Loss, axes: Sequence[int]) -> "LossOptions":
        """With the places that a model's output of these axes has, unless they are given."""
        by_axes = loss == Loss.place_cross_entropy and not self.places and len(axes) == 2
        return dataclasses.replace(self, places=axes[0]) if by_axes else self

    def section(self, loss: Loss) -> bytes:
        """The bundle's section, b"" for a loss without numbers."""
        is_huber = loss == Loss.huber
        if not self.places and not self.class_weights and not is_huber:
            return b""
        return self.info(loss).pack() + np.array(self.class_weights, "<f4").tobytes()

    def info(self, loss: Loss) -> LossInfo:
        return LossInfo(self.places, len(self.class_weights), self.huber_delta if loss == Loss.huber else 0.0)

    @classmethod
    def read(cls, data: bytes, loss: Loss) -> tuple["LossOptions", int]:
        """The inverse of `section`, and its length."""
        info = LossInfo.unpack(data)
        weights = np.frombuffer(data, "<f4", info.n_class_weights, LossInfo.SIZE).tolist()
        delta = {"huber_delta": info.huber_delta} if loss == Loss.huber else {}
        return cls(info.places, tuple(weights), **delta), LossInfo.SIZE + 4 * len(weights)
