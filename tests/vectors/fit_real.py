# SPDX-License-Identifier: MIT
"""Prints the polynomial coefficients of `device_runtime/number/real.c` and `host_tools/reference/number/real.py`.

    python tests/vectors/fit_real.py        needs mpmath

Each polynomial is the minimax fit of its target under a weight that turns its error into the relative error of the
whole function, found by Lawson's reweighted least squares on Chebyshev nodes. Coefficients are rounded to float32 one
after another, lowest degree first; those that follow are fitted again around what was rounded. No randomness.
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 40
LN2_HALF = float(mp.log(2) / 2) * 1.0005
QUARTER_TURN = float(mp.pi / 4) * 1.0005
LOG_EDGE = float(((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2) * 1.0005
TANH_EDGE = 0.5625
ATAN_EDGE = float(mp.sqrt(2) - 1) * 1.0005
ERF_EDGE, ERF_END = 0.875, 4.0  # erf is 1 from the end on: 1 - erf is less than half a unit of float32

# name: (target, weight of its error, interval, number of coefficients)
FITS = {
    "expm1(r) = r + r^2 q(r)": (
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: r**2 / mp.expm1(r),
        (-LN2_HALF, LN2_HALF),
        5,
    ),
    "log((1+s)/(1-s)) = 2 s + s z q(z), z = s^2": (
        lambda z: (2 * mp.atanh(mp.sqrt(z)) - 2 * mp.sqrt(z)) / z**1.5,
        lambda z: z / 2,
        (0.0, LOG_EDGE),
        3,
    ),
    "tanh(x) = x + x z q(z), z = x^2": (
        lambda z: (mp.tanh(mp.sqrt(z)) - mp.sqrt(z)) / z**1.5,
        lambda z: z**1.5 / mp.tanh(mp.sqrt(z)),
        (0.0, TANH_EDGE**2),
        5,
    ),
    "sin(r) = r + r z q(z), z = r^2": (
        lambda z: (mp.sin(mp.sqrt(z)) - mp.sqrt(z)) / z**1.5,
        lambda z: z**1.5 / mp.sin(mp.sqrt(z)),
        (0.0, QUARTER_TURN**2),
        3,
    ),
    "cos(r) = 1 - z/2 + z^2 q(z), z = r^2": (
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / mp.cos(mp.sqrt(z)),
        (0.0, QUARTER_TURN**2),
        3,
    ),
    "atan(x) = x + x z q(z), z = x^2": (
        lambda z: (mp.atan(mp.sqrt(z)) - mp.sqrt(z)) / z**1.5,
        lambda z: z**1.5 / mp.atan(mp.sqrt(z)),
        (0.0, ATAN_EDGE**2),
        4,
    ),
    "erf(x) = x q(z), z = x^2": (
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z),
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        (1e-6, ERF_EDGE**2),
        6,
    ),
    "erf(x) = 1 - exp(q(x - 2))": (  # the error counts as that of erf
        lambda t: mp.log(mp.erfc(t + 2)),
        lambda t: mp.erfc(t + 2),
        (ERF_EDGE - 2, ERF_END - 2),
        9,
    ),
}


def minimax(nodes: np.ndarray, target: np.ndarray, weight: np.ndarray, degrees: range) -> np.ndarray:
    """Coefficients of `degrees` that minimise max |weight * error| over the nodes."""
    basis = nodes[:, None] ** np.array(degrees)
    emphasis = np.full(len(nodes), 1.0 / len(nodes))
    for _ in range(300):
        scale = np.sqrt(emphasis) * weight
        coefficients = np.linalg.lstsq(basis * scale[:, None], target * scale, rcond=None)[0]
        error = np.abs(weight * (basis @ coefficients - target))
        emphasis = emphasis * error
        emphasis /= emphasis.sum()
    return coefficients


def fit(target, weight, interval: tuple[float, float], count: int) -> tuple[list[np.float32], float]:
    """Float32 coefficients, lowest degree first, and the largest weighted error they leave."""
    low, high = interval
    nodes = (low + high) / 2 - (high - low) / 2 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    rest = np.array([float(target(mp.mpf(node))) for node in nodes])
    weights = np.array([abs(float(weight(mp.mpf(node)))) for node in nodes])
    rounded = []
    for degree in range(count):
        rounded.append(np.float32(minimax(nodes, rest, weights, range(degree, count))[0]))
        rest = rest - float(rounded[-1]) * nodes**degree
    return rounded, float(np.max(np.abs(weights * rest)))


def parts(value: mp.mpf, bits: list[int]) -> list[float]:
    """`value` as a sum of numbers with so many significant bits each."""
    made = []
    for count in bits:
        step = mp.mpf(2) ** (int(mp.floor(mp.log(abs(value), 2))) + 1 - count)
        made.append(float(mp.nint(value / step) * step))
        value -= made[-1]
    return made


if __name__ == "__main__":
    for name, case in FITS.items():
        coefficients, error = fit(*case)
        print(f"{name}: relative error 2^{np.log2(error):.1f}")
        print("   ", *(f"{c:.9g}f" for c in coefficients))
    print("ln 2:", *(f"{part:.9g}f" for part in parts(mp.log(2), [15, 24])))
    print("pi/2:", *(f"{part:.9g}f" for part in parts(mp.pi / 2, [11, 11, 11, 24])))
