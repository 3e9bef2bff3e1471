# SPDX-License-Identifier: MIT
"""Twin of activation.c."""

import numpy as np

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.operations.activation import Activate
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.operations.bounded import Bounded
from ttzo.host_tools.reference.operations.jet import Jet

ZERO, HALF, ONE, SIX, SIXTH = (np.float32(x) for x in (0, 0.5, 1, 6, 1 / 6))


def forward(operation: Activate, tensors: list[np.ndarray], x: list[np.ndarray]) -> np.ndarray:
    return activate(operation.activation, x[0], np.float32(operation.slope))


def activate(kind: Activation, z: np.ndarray, slope: np.float32 = ZERO) -> np.ndarray:
    match kind:
        case Activation.relu:
            return np.where(z < 0, ZERO, z)
        case Activation.tanh:
            return real.tanh(z)
        case Activation.sine:
            return real.sin(z)
        case Activation.leaky_relu:
            return np.where(z < 0, z * slope, z)
        case Activation.relu6:
            return np.where(z < 0, ZERO, np.where(z > SIX, SIX, z))
        case Activation.hard_swish:
            share = z * SIXTH + HALF
            return z * np.where(share < 0, ZERO, np.where(share > 1, ONE, share))
        case Activation.sigmoid:
            return real.sigmoid(z)
        case Activation.silu:
            return z * real.sigmoid(z)
        case Activation.gelu:
            return real.gelu(z)
    return z


def _erf(x: np.ndarray) -> np.ndarray:
    import math

    return np.vectorize(math.erf, otypes=[np.float64])(x)


_EXACT = {
    Activation.identity: (lambda z, slope: z, 1.0),
    Activation.relu: (lambda z, slope: np.maximum(z, 0), 1.0),
    Activation.tanh: (lambda z, slope: np.tanh(z), 1.0),
    Activation.sine: (lambda z, slope: np.sin(z), 1.0),
    Activation.leaky_relu: (lambda z, slope: np.where(z < 0, z * slope, z), 1.0),
    Activation.relu6: (lambda z, slope: np.clip(z, 0, 6), 1.0),
    Activation.hard_swish: (lambda z, slope: z * np.clip(z / 6 + 0.5, 0, 1), 1.5),
    Activation.sigmoid: (lambda z, slope: 1 / (1 + np.exp(-z)), 0.25),
    Activation.silu: (lambda z, slope: z / (1 + np.exp(-z)), 1.1),
    Activation.gelu: (lambda z, slope: 0.5 * z * (1 + _erf(z / np.sqrt(2))), 1.13),
}  # in double, and the steepest slope


def of(kind: Activation, z: Bounded, slope: float) -> Bounded:
    function, steepest = _EXACT[kind]
    with np.errstate(over="ignore"):
        return z.map(lambda values: function(values, slope), steepest)


def bounded(operation: Activate, tensors: list[np.ndarray], x: list[Bounded]) -> Bounded:
    return of(operation.activation, x[0], operation.slope)


# ---- derivatives ----------------------------------------------------------------------------------------------------

TWO, THREE, FOUR = (np.float32(x) for x in (2, 3, 4))
Bent = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _sigmoid_bent(z: np.ndarray) -> Bent:
    value = real.sigmoid(z)
    first = -value * value + value
    return value, first, first * (-TWO * value + ONE), first * (-SIX * first + ONE)


def _bent(kind: Activation, z: np.ndarray) -> Bent:
    """phi(z) and its derivatives."""
    match kind:
        case Activation.sigmoid:
            return _sigmoid_bent(z)
        case Activation.silu:
            value, first, second, third = _sigmoid_bent(z)
            return z * value, z * first + value, z * second + TWO * first, z * third + THREE * second
        case Activation.gelu:
            square = z * z
            density = np.float32(0.398942292) * real.exp(-HALF * square)
            share = HALF * real.erf(z * np.float32(0.707106769)) + HALF
            return real.gelu(z), z * density + share, density * (TWO - square), density * (z * (square - FOUR))
        case Activation.sine:
            sine, cosine = real.sin(z), real.cos(z)
            return sine, cosine, -sine, -cosine
        case _:
            value = real.tanh(z)
            first = -value * value + ONE
            return value, first, -TWO * value * first, first * (FOUR * value * value + -TWO * first)


def bend(kind: Activation, shape: Jet, columns: np.ndarray) -> np.ndarray:
    """Columns [columns, numbers, rows] after the activation."""
    if kind == Activation.identity:
        return columns
    made, (value, first, second, third) = columns.copy(), _bent(kind, columns[0])
    along = shape.of_order(columns, 1)
    square = along * along
    made[0] = value
    shape.of_order(made, 1)[:] = first * along
    if shape.order > 1:
        twice = shape.of_order(columns, 2)
        shape.of_order(made, 2)[:] = second * square + first * twice
    if shape.order > 2:
        mixed = THREE * second * (along * twice) + first * shape.of_order(columns, 3)
        shape.of_order(made, 3)[:] = third * (square * along) + mixed
    if shape.n_summed:
        squares = np.zeros_like(value)
        for each in square[: shape.n_summed]:
            squares = each + squares
        made[-1] = second * squares + first * columns[-1]
    return made


def jet(operation: Activate, tensors: list[np.ndarray], shape: Jet, x: list[np.ndarray]) -> np.ndarray:
    return bend(operation.activation, shape, x[0])
