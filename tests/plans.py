# SPDX-License-Identifier: MIT
"""Seeded random plans and rows for property tests."""

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Loss, Number
from ttzo.exporter.plan import Layer, Plan, Training
from ttzo.host_tools.reference.network import NUMBER_DTYPE


def _folds(rng: np.random.Generator, features: int, length: int) -> tuple[int, ...]:
    """`length` modes whose product is `features`."""
    modes = [1] * length
    for prime in _primes(features):
        modes[rng.integers(length)] *= prime
    return tuple(modes)


def _primes(n: int) -> list[int]:
    found, divisor = [], 2
    while n > 1:
        while n % divisor == 0:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return found


def random_layer(
    rng: np.random.Generator, number: int, in_features: int, out_features: int, offset: int, last: bool
) -> Layer:
    kind = rng.choice(list(LayerKind))
    n_in, n_out = rng.integers(1, 5, 2)
    if kind == LayerKind.tt_matrix:
        n_out = n_in
    modes = {} if kind == LayerKind.dense else {
        "in_modes": _folds(rng, in_features, n_in),
        "out_modes": _folds(rng, out_features, n_out),
        "contraction": int(rng.integers(n_in)) if kind == LayerKind.tt_matrix else 0,
        "ranks": (1, *(int(r) for r in rng.integers(1, 5, (n_in if kind == LayerKind.tt_matrix else n_in + n_out) - 1)), 1),
    }  # fmt: skip
    return Layer(
        name=f"layer{number}",
        kind=LayerKind(kind),
        in_features=in_features,
        out_features=out_features,
        parameter_offset=offset,
        has_bias=bool(rng.integers(2)),
        activation=Activation.identity if last else Activation(rng.choice(list(Activation))),
        **modes,
    )


def random_plan(rng: np.random.Generator, training: Training, batch: int = 5, loss: Loss | None = None) -> Plan:
    """One to four layers of every kind, 1 to 24 features wide, with parameters of moderate size."""
    widths = [int(rng.choice([1, 2, 3, 4, 6, 8, 9, 12, 16, 20, 24])) for _ in range(rng.integers(2, 6))]
    layers, offset = [], 0
    for number, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
        layer = random_layer(rng, number, n_in, n_out, offset, number + 2 == len(widths))
        layers.append(layer)
        offset += layer.n_parameters
    number = Number(rng.choice(list(Number)))
    return Plan(
        layers=tuple(layers),
        parameters=rng.normal(0, 0.5, offset).astype(np.float32),
        loss=Loss(rng.choice(list(Loss))) if loss is None else loss,
        training=training,
        batch=batch,
        input_number=number,
        input_scale={Number.uint8: 1 / 128, Number.int16: 1 / 16384, Number.float32: 0.75}[number],
        input_offset=float(rng.choice([0.0, -0.5])),
    )


def random_rows(rng: np.random.Generator, plan: Plan, n: int) -> np.ndarray:
    """Rows as they travel, uint8 [n, row_bytes]."""
    kind = NUMBER_DTYPE[plan.input_number]
    if plan.input_number == Number.float32:
        raw = rng.normal(0, 1, (n, plan.in_features)).astype(kind)
    else:
        raw = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, (n, plan.in_features)).astype(kind)
    if plan.loss == Loss.cross_entropy:
        targets = rng.integers(0, plan.out_features, (n, 1)).astype("<u2")
    else:
        targets = rng.normal(0, 1, (n, plan.out_features)).astype("<f4")
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(n, -1) for part in (raw, targets)], axis=1)


def layer_in_double(parameters: np.ndarray, layer: Layer, x: np.ndarray) -> np.ndarray:
    """Rows x [n, in_features] through a layer in double precision, by the dense weights rebuilt from its cores."""
    tensors = [parameters[t.offset : t.offset + t.size].reshape(t.shape).astype(np.float64) for t in layer.tensors]
    bias = tensors.pop() if layer.has_bias else 0.0
    weight = tensors[0]
    if layer.kind != LayerKind.dense:
        chain = tensors[0]
        for core in tensors[1:]:
            chain = np.tensordot(chain, core, 1)
        chain = chain[0, ..., 0]
        if layer.kind == LayerKind.tt_matrix:  # modes come as m1 n1 m2 n2 ...
            d = len(layer.in_modes)
            weight = chain.transpose([*range(0, 2 * d, 2), *range(1, 2 * d, 2)]).reshape(layer.out_features, -1)
        else:
            weight = chain.reshape(layer.in_features, layer.out_features).T
    z = x @ weight.T + bias
    return [lambda v: v, lambda v: np.maximum(v, 0), np.tanh, np.sin][layer.activation](z)
