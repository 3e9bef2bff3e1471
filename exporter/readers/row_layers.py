# SPDX-License-Identifier: MIT
"""The layers of a model that computes with whole batches, put on a plan's graph. See rows.py."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from ttzo.device_runtime.contract import Activation, Cell, Combine
from ttzo.exporter.operations.gathering import Places, Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.builder import Value
from ttzo.exporter.readers.rows import LEAVE_ROWS, ArrayBuilder, Refused, Rows, Weights


class RowBuilder(ArrayBuilder):
    """Everything that a reader puts on a graph."""

    # ---- layers

    def linear(self, name: str, x: Rows, weight: Weights, bias: Weights | None = None) -> Rows:
        """weight [out, in]."""
        self.along(x, -1)
        if bias is not None:
            bias = bias.moved(
                lambda a: np.broadcast_to(a.reshape(-1), weight.shape[:1]) if a.size == 1 else a.reshape(-1)
            )
            if bias.trained != weight.trained:
                return self.sum(f"{name}.bias", self.linear(name, x, weight), bias)
        name, owner = self._owned("affine", weight.owner("weight", self._unreserved(name)), weight=weight, bias=bias)
        value = self.build.linear(name, self.plain(x), weight.values, None if bias is None else bias.values, **owner)
        return Rows(value, x.axis, x.outer)

    def layer(self, name: str, x: Rows, layer: Layer, shape: Sequence[int], parts: dict[str, Weights]) -> Rows:
        """A layer as it stands, for instance a tensor train; `shape` is that of its output in the model."""
        if x.axis not in (None, 0) or x.outer != 1:
            raise Refused("takes rows that do not lie along the first axis", LEAVE_ROWS)
        name, owner = self._owned(f"affine {layer.kind.name}", name, **parts)
        count = x.value.numbers // layer.in_features
        if layer.gather is None and count > 1:
            layer = dataclasses.replace(layer, gather=Places(count, layer.in_features))
        if isinstance(layer.gather, Tokens) and self.plain(x).array:
            raise Refused("takes numbers of tokens that are not the network's input", "let the network begin with it")
        row = (shape[0] // self.batch, *shape[1:])
        value = self.build.layer(name, self.plain(x), layer, row, [w.values for w in parts.values()], **owner)
        return Rows(value, x.axis)

    def embedding(self, name: str, x: Rows, table: Weights, padding: int | None = None) -> Rows:
        """table [known tokens, features]."""
        if self.plain(x).array or x.value.numbers != self.input.value.numbers:
            raise Refused("takes numbers of tokens that are not the network's input", "let the network begin with it")
        if padding is not None and padding >= 0 and table.values[padding].any():
            raise Refused("has a padding vector that is not zero", "set it to zero")
        padding = padding if padding is not None and padding >= 0 else None
        kept = table.moved(np.transpose)
        name, owner = self._owned("embedding", table.owner("weight", name), weight=kept)
        value = self.build.embedding(name, x.value, table.values, combine=Combine.each, padding=padding, **owner)
        return Rows(value, x.axis, x.outer)

    def image(self, x: Rows, dims: int) -> Value:
        """[channels, rows, columns] of a batch of images, or, with one dimension, of sequences of one row."""
        if len(x.shape) != dims + 2 or x.axis not in (None, 0) or x.shape[0] != 1:
            raise Refused(
                f"takes an array {list(self.full_shape(x))}", f"{dims} axes after rows and channels are wanted"
            )
        _, channels, *sizes = x.shape
        return self.build.reshaped(self.plain(x), (channels, *(1 for _ in range(2 - dims)), *sizes))

    def of_image(self, x: Rows, value: Value, dims: int) -> Rows:
        channels, rows, columns = value.shape
        shape = (1, channels, rows, columns) if dims == 2 else (1, channels, columns)
        return Rows(self.build.reshaped(value, shape), x.axis)

    def convolution(
        self, name: str, x: Rows, weight: Weights, bias: Weights | None, *, stride, padding, dilation, groups: int
    ) -> Rows:
        """weight [out, channels / groups, kernel ...]; `padding`: of each axis before, then of each axis after."""
        dims = len(weight.shape) - 2
        if bias is not None and bias.trained != weight.trained:
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            inner = self.convolution(name, x, weight, None, **options)
            return self.sum(f"{name}.bias", inner, bias.moved(lambda a: a.reshape(-1, *(1 for _ in range(dims)))))
        if dims not in (1, 2):
            raise Refused(f"is a convolution in {dims} dimensions", "1 and 2 are supported")
        if x.border:
            padding = tuple(map(sum, zip(padding, x.border, strict=True)))
            x = dataclasses.replace(x, border=())
        image = self.image(x, dims)
        shape = weight.shape if dims == 2 else (*weight.shape[:2], 1, weight.shape[2])
        kept = weight.moved(lambda a: a.reshape(shape[0], -1))
        name, owner = self._owned(f"affine {shape}", weight.owner("weight", name), weight=kept, bias=bias)
        one = (1,) * (2 - dims)
        values = weight.values.reshape(shape), None if bias is None else bias.values
        made = self.build.convolution(
            name, image, *values, stride=(*one, *stride), padding=_both_ends(padding, dims),
            dilation=(*one, *dilation), groups=groups, **owner,
        )  # fmt: skip
        return self.of_image(x, made, dims)

    def pool(
        self, name: str, x: Rows, kind: str, *, kernel, stride, padding, ceil: bool = False, count_padding: bool = True
    ) -> Rows:
        """kind "max" or "average"; `padding` as in `convolution`. `ceil`: a last window may reach over the border."""
        dims, image = len(kernel), self.image(x, len(kernel))
        begin, end = padding[:dims], padding[dims:]
        if ceil:
            axes = zip(image.shape[3 - dims :], kernel, stride, begin, end, strict=True)
            more = [-(n + b + e - k) % s for n, k, s, b, e in axes]
            if any(more) and kind == "average":
                raise Refused("rounds the count of its windows up", "leave out ceil_mode, or let the windows fit")
            end = tuple(e + m for e, m in zip(end, more, strict=True))
        sizes = _pair(kernel), _pair(stride), _both_ends((*begin, *end), dims)
        name = self.inner_name(name)
        if kind == "max":
            return self.of_image(x, self.build.max_pool(name, image, *sizes), dims)
        return self.of_image(x, self.build.average_pool(name, image, *sizes, count_padding=count_padding), dims)

    def adaptive_pool(self, name: str, x: Rows, kind: str, out: Sequence[int | None]) -> Rows:
        sizes = x.shape[-len(out) :]
        wanted = tuple(size if one is None else one for one, size in zip(out, sizes, strict=True))
        if all(one == 1 for one in wanted):
            return self.reduced(name, x, kind, range(-len(out), 0), keep=True)
        if any(size % one for one, size in zip(wanted, sizes, strict=True)):
            raise Refused(f"makes {list(wanted)} of {list(sizes)} windows", "let the sizes divide, or pool to 1")
        kernel = tuple(size // one for one, size in zip(wanted, sizes, strict=True))
        return self.pool(name, x, kind, kernel=kernel, stride=kernel, padding=(0,) * (2 * len(out)))

    def reduced(self, name: str, x: Rows, kind: str, axes: Sequence[int], *, keep: bool) -> Rows:
        """Mean or largest number ("average", "max") over some axes."""
        axes = sorted({self.along(x, axis) for axis in axes})
        reduce = self.build.global_max if kind == "max" else self.build.global_mean
        value, shape = self.plain(x), x.shape
        for first, last in reversed(_runs(axes)):
            size = math.prod(shape[first : last + 1])
            merged = self.build.reshaped(value, (*shape[:first], size, *shape[last + 1 :]))
            value = reduce(self.inner_name(name), merged, first) if size > 1 else merged
            shape = (*shape[:first], *(1 for _ in range(first, last + 1)), *shape[last + 1 :])
            value = self.build.reshaped(value, shape)
        made = Rows(value, x.axis, x.outer)
        if keep:
            return made
        return self.reshaped(made, [size for axis, size in enumerate(self.full_shape(made)) if axis not in axes])

    # ---- activations and norms

    def activation(self, name: str, x: Rows, kind: Activation, slope: float = 0.0) -> Rows:
        return Rows(self.build.activation(self.inner_name(name), self.plain(x), kind, slope), x.axis, x.outer)

    def hard_sigmoid(self, name: str, x: Rows, slope: float = 1 / 6, shift: float = 0.5) -> Rows:
        """max(0, min(1, slope x + shift)), by way of relu6."""
        inner = self.activation(f"{name}.relu6", self.scaled(f"{name}.in", x, 6 * slope, 6 * shift), Activation.relu6)
        return self.scaled(name, inner, 1 / 6)

    def clamped(self, name: str, x: Rows, low: float | None, high: float | None) -> Rows:
        """max(low, min(high, x)), by way of relu or relu6."""
        if low == 0 and high is None:
            return self.activation(name, x, Activation.relu)
        if low is None or high is None or not high > low:
            raise Refused(f"keeps numbers between {low} and {high}", "two limits, or the limit 0 below, are supported")
        factor = 6 / (high - low)
        inner = self.activation(name, self.scaled(f"{name}.in", x, factor, -low * factor), Activation.relu6)
        return self.scaled(f"{name}.out", inner, 1 / factor, low)

    def soft_max(self, name: str, x: Rows, axis: int) -> Rows:
        axis = self.along(x, axis)
        if x.causal and axis != len(x.shape) - 1:
            raise Refused(
                "takes masked scores along another axis than the last", "let the mask be that of the soft-max"
            )
        value = self.build.soft_max(self.inner_name(name), x.value, axis, causal=x.causal)
        return Rows(value, x.axis, x.outer)

    def masked(self, x: Rows, mask: np.ndarray) -> Rows:
        """`mask` is true where scores do not count: above the diagonal, or nowhere."""
        if not mask.any():
            return x
        count = x.shape[-1]
        above = np.triu(np.ones((count, count), bool), 1)
        row = self.of_one_row(Weights(mask), x).values
        if x.shape[-2:] != above.shape or x.axis in (len(x.shape) - 1, len(x.shape) - 2) or (row != above).any():
            raise Refused("masks scores otherwise than above the diagonal", "a causal mask is supported")
        return Rows(self.plain(x), x.axis, x.outer, causal=True)

    def batch_norm(self, x: Rows, name: str, mean, variance, weight, bias, epsilon: float) -> Rows:
        """A frozen scale of the second axis, by statistics and factors as they are."""
        if x.axis not in (None, 0) or x.outer != 1 or len(x.shape) < 2:
            raise Refused("normalises another axis than the second", LEAVE_ROWS)
        factor = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
        factor = factor if weight is None else factor * weight
        shift = (0 if bias is None else bias.astype(np.float64)) - mean * factor
        parts = factor.astype(np.float32), np.asarray(shift, np.float32)
        return Rows(self.build.scale(self.free_name(name), self.plain(x), *parts, axis=1, frozen=True), x.axis)

    def norm(
        self, kind: str, name: str, x: Rows, axes: int, weight: Weights | None, bias: Weights | None, epsilon: float
    ) -> Rows:
        """kind "layer" or "rms", over the last `axes` axes."""
        for axis in range(1, axes + 1):
            self.along(x, -axis)
        weight, bias = (w and w.moved(lambda a: a.reshape(-1)) for w in (weight, bias))
        present = weight or bias
        name = present.owner("weight" if weight else "bias", name) if present else self.inner_name(name)
        name, owner = self._owned(f"{kind} norm", name, weight=weight, bias=bias) if present else (name, {})
        values = [None if w is None else w.values for w in (weight, bias)]
        if kind == "rms":
            if bias is not None:
                raise Refused("is an RMS norm with a bias", "leave the bias out")
            made = self.build.rms_norm(name, self.plain(x), values[0], epsilon, axes=axes, **owner)
        else:
            made = self.build.layer_norm(name, self.plain(x), values[0], values[1], epsilon, axes=axes, **owner)
        return Rows(made, x.axis, x.outer)

    # ---- products and recurrent cells

    def matrix_product(self, name: str, a: Rows, b: Rows, *, transposed: bool = False) -> Rows:
        if (a.axis, a.outer) != (b.axis, b.outer) or a.axis is not None and a.axis >= len(a.shape) - 2:
            raise Refused("multiplies arrays whose rows lie along different axes", LEAVE_ROWS)
        value = self.build.matrix_product(self.inner_name(name), self.plain(a), self.plain(b), transposed=transposed)
        return Rows(value, a.axis, a.outer)

    def attention(self, name: str, query: Rows, key: Rows, value: Rows, mask, causal: bool, scale: float) -> Rows:
        """soft-max(query key' scale) value; `mask` is true where scores do not count, or None."""
        scores = self.matrix_product(f"{name}.scores", query, key, transposed=True)
        scores = self.scaled(f"{name}.scale", scores, scale)
        if causal:
            mask = np.triu(np.ones(scores.shape[-2:], bool), 1)
        scores = scores if mask is None else self.masked(scores, mask)
        return self.matrix_product(name, self.soft_max(f"{name}.soft_max", scores, -1), value)

    def recurrent(
        self, name: str, x: Rows, cell: Cell, parts: dict[str, Weights], *, reverse: bool = False, last: bool = False
    ) -> Value:
        """One direction of one layer over steps [steps, features] of a row; parameters as the operation names them.
        Returns [steps, hidden], or with `last` [hidden]."""
        name, owner = self._owned(f"recurrent {cell.name}", name, **parts)
        steps = self.build.reshaped(self.plain(x), (-1, parts["weight_ih"].shape[1]))
        values = [weights.values for weights in parts.values()]
        return self.build.recurrent(name, steps, cell, *values, reverse=reverse, last=last, **owner)


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """Of rows and of columns; a single axis has one row."""
    rows, columns = (1, *sizes) if len(sizes) == 1 else sizes
    return rows, columns


def _both_ends(padding: Sequence[int], dims: int) -> tuple[int, ...]:
    """Padding (before..., after...) of some axes as (above, left, below, right)."""
    none = (0,) * (2 - dims)
    return (*none, *padding[:dims], *none, *padding[dims:])


def _runs(axes: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each group of neighbouring axes."""
    runs: list[tuple[int, int]] = []
    for axis in axes:
        if runs and runs[-1][1] == axis - 1:
            runs[-1] = (runs[-1][0], axis)
        else:
            runs.append((axis, axis))
    return runs
