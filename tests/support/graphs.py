# SPDX-License-Identifier: MIT
"""Seeded random graphs of all operations, for property tests."""

from collections.abc import Callable

import numpy as np

from ttzo.device_runtime.contract import Activation, Arithmetic, Cell, Combine, LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.builder import Builder, Value
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training

SMOOTH = [Activation.tanh, Activation.sine, Activation.sigmoid, Activation.silu, Activation.gelu]


class RandomGraph:
    """Adds random nodes to a builder; `frozen` is the share of nodes whose parameters are."""

    def __init__(self, rng: np.random.Generator, build: Builder, smooth: bool, frozen: float):
        self.rng, self.build, self.smooth, self.frozen, self.count = rng, build, smooth, frozen, 0

    def numbers(self, *shape: int, scale: float = 0.5) -> np.ndarray:
        return self.rng.normal(0, scale, shape).astype(np.float32)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def maybe(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def owner(self) -> dict[str, bool]:
        return {"frozen": self.maybe(self.frozen)}

    # ---- nodes by the shapes that they take

    def step(self, x: Value) -> Value:
        """One random node behind x."""
        choices: list[Callable[[Value], Value]] = [self.activation, self.scale, self.soft_max, self.norm, self.residual]
        choices += [self.linear, self.linear, self.cut, self.learnt]
        if len(x.shape) == 3:
            choices += [self.convolution] * 3 + [self.pool, self.pool, self.flat_channels, self.excited]
        if len(x.shape) == 2:
            choices += [self.recurrent, self.attention, self.transposed, self.reduced, self.joined]
        if len(x.shape) == 1:
            choices += [self.train, self.as_image, self.as_sequence]
        return choices[self.rng.integers(len(choices))](x)

    def activation(self, x: Value) -> Value:
        kind = Activation(self.rng.choice(SMOOTH if self.smooth else list(Activation)))
        return self.build.activation(self.name("act"), x, kind, 0.125 if kind == Activation.leaky_relu else 0.0)

    def scale(self, x: Value) -> Value:
        axis = self.whole(0, len(x.shape) - 1)
        weight, bias = self.numbers(x.shape[axis]), self.numbers(x.shape[axis])
        which = self.whole(0, 2)
        given = {0: (weight, bias), 1: (weight, None), 2: (None, bias)}[which]
        return self.build.scale(self.name("scale"), x, *given, axis=axis, **self.owner())

    def soft_max(self, x: Value) -> Value:
        return self.build.soft_max(self.name("softmax"), x, self.whole(0, len(x.shape) - 1))

    def norm(self, x: Value) -> Value:
        weight = self.numbers(x.shape[-1]) if self.maybe() else None
        if self.maybe():
            return self.build.rms_norm(self.name("rms"), x, weight, 1e-2, **self.frozen_if(weight))
        bias = self.numbers(x.shape[-1]) if self.maybe() else None
        owner = self.frozen_if(weight if weight is not None else bias)
        return self.build.layer_norm(self.name("norm"), x, weight, bias, 1e-2, **owner)

    def frozen_if(self, weight: np.ndarray | None) -> dict[str, bool]:
        return self.owner() if weight is not None else {}

    def residual(self, x: Value) -> Value:
        y = self.activation(self.scale(x))
        if self.maybe(0.3):
            return self.build.multiply(self.name("multiply"), x, y)
        return self.build.add(self.name("add"), x, y, minus=self.maybe(0.3))

    def linear(self, x: Value) -> Value:
        n_out = self.whole(1, 9)
        bias = self.numbers(n_out) if self.maybe() else None
        weight = self.numbers(n_out, x.shape[-1])
        return self.build.linear(self.name("linear"), x, weight, bias, **self.owner())

    def train(self, x: Value) -> Value:
        """A tensor train on the whole array."""
        n = x.numbers
        left = next(d for d in range(int(n**0.5), 0, -1) if n % d == 0)
        modes, out, rank = (left, n // left), (2, 3), self.whole(1, 3)
        kind = LayerKind.tt_matrix if self.maybe() else LayerKind.tt_tensor
        ranks = (1, rank, 1) if kind == LayerKind.tt_matrix else (1, rank, 2, rank, 1)
        layer = Layer("train", kind, n, 6, 0, True, Activation.identity, modes, out, ranks)
        values = [self.numbers(*tensor.shape) for tensor in layer.tensors]
        return self.build.layer(self.name("train"), x, layer, (6,), values, **self.owner())

    def convolution(self, x: Value) -> Value:
        channels, height, width = x.shape
        groups = int(self.rng.choice([g for g in (1, 1, 2, channels) if channels % g == 0]))
        kernel = (min(self.whole(1, 3), height), min(self.whole(1, 3), width))
        dilation = tuple(
            2 if k > 1 and 2 * (k - 1) < size and self.maybe(0.3) else 1
            for k, size in zip(kernel, x.shape[1:], strict=True)
        )
        padding = tuple(self.whole(0, k - 1) for k in (*kernel, *kernel))
        stride = (self.whole(1, 2), self.whole(1, 2))
        n_out = groups * self.whole(1, 3)
        weight = self.numbers(n_out, channels // groups, *kernel)
        return self.build.convolution(
            self.name("conv"), x, weight, self.numbers(n_out) if self.maybe() else None,
            stride=stride, padding=padding, dilation=dilation, groups=groups, **self.owner(),
        )  # fmt: skip

    def pool(self, x: Value) -> Value:
        kernel = tuple(min(self.whole(1, 3), size) for size in x.shape[1:])
        stride = (self.whole(1, 2), self.whole(1, 2))
        padding = tuple(self.whole(0, (k - 1) // 2) for k in (*kernel, *kernel))
        if self.maybe() or self.smooth:
            return self.build.average_pool(self.name("mean"), x, kernel, stride, padding, count_padding=self.maybe())
        return self.build.max_pool(self.name("max"), x, kernel, stride, padding)

    def excited(self, x: Value) -> Value:
        """Channels weighted by what their means say."""
        mean = self.build.global_mean(self.name("mean"), self.build.reshaped(x, (x.shape[0], -1)), 1)
        weight = self.build.activation(self.name("gate"), mean, Activation.sigmoid)
        return self.build.multiply(self.name("excite"), x, self.build.reshaped(weight, (x.shape[0], 1, 1)))

    def flat_channels(self, x: Value) -> Value:
        return self.build.reshaped(x, (x.shape[0], -1))

    def as_image(self, x: Value) -> Value:
        side = next((s for s in (4, 3, 2) if x.numbers % (s * s) == 0), 0)
        return self.build.reshaped(x, (x.numbers // (side * side), side, side)) if side else self.linear(x)

    def as_sequence(self, x: Value) -> Value:
        steps = next((s for s in (3, 4, 2) if x.numbers % s == 0), 1)
        return self.build.reshaped(x, (steps, -1))

    def recurrent(self, x: Value) -> Value:
        cell, hidden = Cell(self.rng.choice(list(Cell))), self.whole(1, 4)
        rows = {Cell.tanh: 1, Cell.gru: 3, Cell.lstm: 4}[cell] * hidden
        biases = (self.numbers(rows), self.numbers(rows)) if self.maybe() else (None, None)
        weights = self.numbers(rows, x.shape[1]), self.numbers(rows, hidden)
        flags = {"reverse": self.maybe(0.3), "last": self.maybe(0.3)}
        return self.build.recurrent(self.name("cell"), x, cell, *weights, *biases, **flags, **self.owner())

    def attention(self, x: Value) -> Value:
        scores = self.build.matrix_product(self.name("scores"), x, x, transposed=True)
        share = self.build.soft_max(self.name("share"), scores, causal=self.maybe())
        return self.build.matrix_product(self.name("mixed"), share, x)

    def transposed(self, x: Value) -> Value:
        return self.build.transpose(self.name("transpose"), x, (1, 0))

    def reduced(self, x: Value) -> Value:
        axis = self.whole(0, 1)
        if self.maybe() or self.smooth:
            return self.build.global_mean(self.name("mean"), x, axis)
        return self.build.global_max(self.name("max"), x, axis)

    def joined(self, x: Value) -> Value:
        parts = [x, self.activation(x), *([self.scale(x)] if self.maybe() else [])]
        return self.build.concat(self.name("concat"), parts, self.whole(0, 1))

    def cut(self, x: Value) -> Value:
        axis = self.whole(0, len(x.shape) - 1)
        size, step = x.shape[axis], self.whole(1, 2)
        first = self.whole(0, size - 1)
        count = self.whole(1, (size - first + step - 1) // step)
        return self.build.slice(self.name("slice"), x, axis, first, count, step)

    def learnt(self, x: Value) -> Value:
        shape = x.shape[-1:] if self.maybe() else x.shape
        own = self.build.learnt_array(self.name("learnt"), self.numbers(*shape), **self.owner())
        return self.build.add(self.name("shift"), x, own)


def random_graph(
    rng: np.random.Generator,
    training: Training | None = None,
    *,
    batch: int = 3,
    nodes: int = 8,
    smooth: bool = False,
    frozen: float = 0.2,
    int8: bool = False,
    arithmetic: Arithmetic = Arithmetic.separate,
    loss: Loss | None = None,
) -> Plan:
    """A plan of a random graph with up to about `nodes` nodes, never a chain, with something to train."""
    shapes = [(12,), (5, 4), (2, 5, 6), (18,), (3, 4, 4), (6, 3)]
    reads_tokens = rng.random() < 0.15
    shape = (5,) if reads_tokens else shapes[rng.integers(len(shapes))]
    build = Builder(shape)
    graph = RandomGraph(rng, build, smooth, frozen)
    x = build.input
    if reads_tokens:
        combine = Combine(rng.choice(list(Combine)))
        padding = int(rng.integers(7)) if rng.random() < 0.5 else None
        x = build.embedding("embedding", x, graph.numbers(7, 4), combine=combine, padding=padding)
    for _ in range(int(rng.integers(2, nodes + 1))):
        x = graph.step(x)
        while x.numbers > 120:
            x = graph.linear(build.reshaped(x, (-1,)))
    x = build.activation("sigmoid", build.reshaped(x, (-1,)), Activation.sigmoid)
    n_out = int(rng.integers(2, 5))
    x = build.linear("last", x, graph.numbers(n_out, x.numbers), graph.numbers(n_out))
    number = Number(rng.choice([Number.uint8, Number.int16] if reads_tokens else list(Number)))
    scale = {Number.uint8: 1 / 128, Number.int16: 1 / 16384, Number.float32: 0.75}[number]
    return build.plan(
        x,
        frozen_int8=int8,
        loss=Loss(rng.choice([Loss.cross_entropy, Loss.mse])) if loss is None else loss,
        training=training or Training(),
        batch=batch,
        arithmetic=arithmetic,
        input_number=number,
        input_scale=1.0 if reads_tokens else float(np.float32(scale)),
        input_offset=0.0 if reads_tokens else float(rng.choice([0.0, -0.5])),
    )
