# SPDX-License-Identifier: MIT
"""Twin of recurrent.c."""

import numpy as np

from ttzo.device_runtime.contract import Cell
from ttzo.exporter.operations.recurrent import Recurrent
from ttzo.host_tools.reference.network.product import multiply
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.operations.bounded import Bounded, product

ZERO = np.float32(0)


def _order(operation: Recurrent) -> list[int]:
    """Steps in the order in which they are run."""
    return list(range(operation.steps))[:: -1 if operation.reverse else 1]


def forward(operation: Recurrent, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    n = x[0].shape[1]
    steps = x[0].reshape(operation.steps, operation.in_features, n)
    bias_ih, bias_hh = (t[:, None] for t in tensors[2:]) if operation.has_bias else (ZERO, ZERO)
    h = np.zeros((operation.hidden, n), np.float32)
    s, out = h, [h] * operation.steps
    for t in _order(operation):
        a = multiply(tensors[0][:, None], steps[t], bias_ih)
        c = multiply(tensors[1][:, None], h, bias_hh)
        h, s = _step(operation, a, c, h, s)
        out[t] = h
    return h if operation.last else np.concatenate(out)


def _step(
    operation: Recurrent, a: np.ndarray, c: np.ndarray, h: np.ndarray, s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if operation.cell == Cell.tanh:
        return real.tanh(a + c), s
    if operation.cell == Cell.gru:
        (a_r, a_z, a_n), (c_r, c_z, c_n) = np.split(a, 3), np.split(c, 3)
        r, z = real.sigmoid(a_r + c_r), real.sigmoid(a_z + c_z)
        new = real.tanh(r * c_n + a_n)
        return z * (h - new) + new, s
    i, f, g, o = np.split(a + c, 4)
    s = real.sigmoid(f) * s + real.sigmoid(i) * real.tanh(g)
    return real.sigmoid(o) * real.tanh(s), s


# ---- in double, with bounds -----------------------------------------------------------------------------------------


def _sigmoid(x: Bounded) -> Bounded:
    return x.map(lambda z: 1 / (1 + np.exp(-z)), 0.25)


def _tanh(x: Bounded) -> Bounded:
    return x.map(np.tanh, 1.0)


def _parts(x: Bounded, count: int) -> list[Bounded]:
    return [Bounded(*pair) for pair in zip(np.split(x.exact, count), np.split(x.error, count), strict=True)]


def bounded(operation: Recurrent, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    steps = x[0].moved(lambda part: part.reshape(operation.steps, operation.in_features, -1))
    n = steps.exact.shape[2]
    weights = [Bounded.of(tensor) for tensor in tensors[:2]]
    biases = [Bounded.of(t[:, None] + np.zeros(n)) for t in tensors[2:]] or [
        Bounded.of(np.zeros((operation.rows, n)))
    ] * 2
    h = s = Bounded.of(np.zeros((operation.hidden, n)))
    out = [h] * operation.steps
    for t in _order(operation):
        a = product(weights[0], Bounded(steps.exact[t], steps.error[t]), "ij,jn->in") + biases[0]
        c = product(weights[1], h, "ij,jn->in") + biases[1]
        h, s = _bounded_step(operation, a, c, h, s)
        out[t] = h
    parts = [h] if operation.last else out
    return Bounded(np.concatenate([p.exact for p in parts]), np.concatenate([p.error for p in parts]))


def _bounded_step(operation: Recurrent, a: Bounded, c: Bounded, h: Bounded, s: Bounded) -> tuple[Bounded, Bounded]:
    if operation.cell == Cell.tanh:
        return _tanh(a + c), s
    if operation.cell == Cell.gru:
        (a_r, a_z, a_n), (c_r, c_z, c_n) = _parts(a, 3), _parts(c, 3)
        r, z = _sigmoid(a_r + c_r), _sigmoid(a_z + c_z)
        new = _tanh(r * c_n + a_n)
        return z * (h - new) + new, s
    i, f, g, o = (part for part in _parts(a + c, 4))
    s = _sigmoid(f) * s + _sigmoid(i) * _tanh(g)
    return _sigmoid(o) * _tanh(s), s
