# SPDX-License-Identifier: MIT
"""Seeded random plans and rows for property tests."""

import numpy as np

from ttzo.device_runtime.contract import Activation, Combine, Estimator, LayerKind, Loss, Number
from ttzo.exporter.operations.gathering import Gathering, Patches, Tokens
from ttzo.exporter.operations.layer import LAYER_ACTIVATIONS, Layer
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING, Training
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE

NO_GATHERS = REUSING - {Estimator.cge, Estimator.cocd}  # estimators that do not go through convolutions or embeddings


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
    rng: np.random.Generator,
    number: int,
    in_features: int,
    out_features: int,
    offset: int,
    last: bool,
    gather: Gathering | None = None,
) -> Layer:
    kind = rng.choice(list(LayerKind))
    n_in, n_out = rng.integers(1, 5, 2)
    if kind == LayerKind.tt_matrix:
        n_out = n_in
    modes = {} if kind == LayerKind.dense else {
        "in_modes": _folds(rng, in_features, n_in),
        "out_modes": _folds(rng, out_features, n_out),
        "contraction": int(rng.integers(n_in + 1)) if kind == LayerKind.tt_matrix and not gather else 0,
        "ranks": (1, *(int(r) for r in rng.integers(1, 5, (n_in if kind == LayerKind.tt_matrix else n_in + n_out) - 1)), 1),
    }  # fmt: skip
    return Layer(
        name=f"layer{number}",
        kind=LayerKind(kind),
        in_features=in_features,
        out_features=out_features,
        parameter_offset=offset,
        has_bias=bool(rng.integers(2)) and not isinstance(gather, Tokens),
        activation=Activation.identity if last else Activation(rng.choice(LAYER_ACTIVATIONS)),
        gather=gather,
        **modes,
    )


def random_patches(rng: np.random.Generator, n_inputs: int) -> Patches:
    """Patches of an image of so many numbers."""
    channels, height, width = _folds(rng, n_inputs, 3)
    kernel, stride = (tuple(int(size) for size in rng.integers(1, 4, 2)) for _ in range(2))
    padding = tuple(int(rng.integers(size)) for size in kernel)
    sizes = zip((height, width), kernel, padding, strict=True)
    kernel = tuple(min(k, size + 2 * pad) for size, k, pad in sizes)
    return Patches(channels, height, width, kernel, stride, tuple(map(min, padding, (k - 1 for k in kernel))))


def random_tokens(rng: np.random.Generator, known: int) -> Tokens:
    padding = int(rng.integers(known)) if rng.integers(2) else None
    return Tokens(int(rng.integers(1, 6)), Combine(rng.choice(list(Combine))), padding)


def random_plan(
    rng: np.random.Generator, training: Training, batch: int = 5, loss: Loss | None = None, gathers: bool = True
) -> Plan:
    """One to four layers of every kind, 1 to 24 features wide, with parameters of moderate size; convolutions and
    embeddings among them where they can be, unless `gathers` is False."""
    widths = [int(rng.choice([1, 2, 3, 4, 6, 8, 9, 12, 16, 20, 24])) for _ in range(rng.integers(2, 6))]
    gathers = gathers and not any(phase.estimator in NO_GATHERS for phase in training.phases)
    reads_tokens = gathers and rng.random() < 0.2
    layers, offset, n_in = [], 0, widths[0]
    for number, n_out in enumerate(widths[1:]):
        gather = None
        if reads_tokens and number == 0:
            gather = random_tokens(rng, n_in)
        elif gathers and rng.random() < 0.4:
            gather = random_patches(rng, n_in)
            n_in, n_out = gather.in_features, min(n_out, 6)
        layer = random_layer(rng, number, n_in, n_out, offset, number + 2 == len(widths), gather)
        layers.append(layer)
        offset, n_in = offset + layer.n_parameters, layer.n_outputs
    number = Number(rng.choice(list(Number))) if not reads_tokens else Number(rng.choice([Number.uint8, Number.int16]))
    scale = {Number.uint8: 1 / 128, Number.int16: 1 / 16384, Number.float32: 0.75}[number]
    return Plan.of_layers(
        layers,
        rng.normal(0, 0.5, offset).astype(np.float32),
        loss=Loss(rng.choice([Loss.cross_entropy, Loss.mse])) if loss is None else loss,
        training=training,
        batch=batch,
        input_number=number,
        input_scale=1.0 if reads_tokens else scale,
        input_offset=0.0 if reads_tokens else float(rng.choice([0.0, -0.5])),
    )


def random_rows(rng: np.random.Generator, plan: Plan, n: int) -> np.ndarray:
    """Rows as they travel, uint8 [n, row_bytes]."""
    kind = NUMBER_DTYPE[plan.input_number]
    if plan.n_tokens:
        raw = rng.integers(0, plan.n_tokens, (n, plan.in_features)).astype(kind)
    elif plan.input_number == Number.float32:
        raw = rng.normal(0, 1, (n, plan.in_features)).astype(kind)
    else:
        raw = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, (n, plan.in_features)).astype(kind)
    if plan.has_classes:
        targets = rng.integers(0, plan.n_classes, (n, plan.n_places)).astype("<u2")
        if plan.has_padding:
            targets[rng.random(targets.shape) < 0.3] = NO_CLASS
    else:
        targets = rng.normal(0, 1, (n, plan.out_features)).astype("<f4")
    return np.concatenate([np.ascontiguousarray(part).view(np.uint8).reshape(n, -1) for part in (raw, targets)], axis=1)


def random_inputs(rng: np.random.Generator, plan: Plan, n: int) -> np.ndarray:
    """Network inputs float32 [n, in_features]: normal numbers, or tokens."""
    if plan.n_tokens:
        return rng.integers(0, plan.n_tokens, (n, plan.in_features)).astype(np.float32)
    return rng.normal(0, 1, (n, plan.in_features)).astype(np.float32)


def layer_in_double(parameters: np.ndarray, layer: Layer, x: np.ndarray) -> np.ndarray:
    """Rows x [n, n_inputs] through a layer in double precision, by the dense weights rebuilt from its cores."""
    tensors = [parameters[t.offset : t.offset + t.size].reshape(t.shape).astype(np.float64) for t in layer.tensors]
    bias = tensors.pop() if layer.has_bias else np.zeros(layer.out_features)
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
    if isinstance(layer.gather, Patches):
        z = _convolved(layer.gather, weight, x) + np.repeat(bias, layer.positions)
    else:
        z = _looked_up(layer.gather, weight, x) if layer.gather else x @ weight.T + bias
    return [lambda v: v, lambda v: np.maximum(v, 0), np.tanh, np.sin][layer.activation](z)


def _convolved(gather: Patches, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A convolution as one writes it down: the kernel laid on every place of the padded image."""
    (kh, kw), (sh, sw), (ph, pw) = gather.kernel, gather.stride, gather.padding
    images = np.pad(x.reshape(-1, gather.channels, gather.height, gather.width), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    places = [
        images[:, :, i : i + kh, j : j + kw].reshape(len(x), -1) @ weight.T
        for i in range(0, images.shape[2] - kh + 1, sh)
        for j in range(0, images.shape[3] - kw + 1, sw)
    ]
    return np.stack(places, -1).reshape(len(x), -1)


def _looked_up(gather: Tokens, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows of a table, row by row."""
    out = []
    for tokens in x.astype(int):
        vectors = [weight[:, t] * (t != gather.padding) for t in tokens]
        if gather.combine == Combine.each:
            out.append(np.concatenate(vectors))
        else:
            count = sum(t != gather.padding for t in tokens) if gather.combine == Combine.mean else 1
            out.append(sum(vectors) / max(count, 1))
    return np.array(out)
