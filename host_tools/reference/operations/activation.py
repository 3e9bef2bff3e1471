# SPDX-License-Identifier: MIT
"""Twin of activation.c."""

import numpy as np

from ttzo.device_runtime.contract import Activation
from ttzo.exporter.operations.activation import Activate
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.operations.bounded import Bounded

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
