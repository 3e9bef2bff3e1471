# SPDX-License-Identifier: MIT
"""Appliances by what they draw when they are switched on: PLAID as the package sktime brings it (BSD licence), eleven
kinds, 537 training and 537 test cases. A case is the magnitude of the current, five numbers a period of the mains, in one
of at least three units, which is not given; most begin before the switch. A row is `N_FEATURES` numbers of one case.
"""

import numpy as np

from ttzo.host_tools.data import series, time_series, wheel_files
from ttzo.host_tools.data.known_rows import KnownRows

NAME = "appliances"
LABELS = (
    "air conditioner", "compact fluorescent lamp", "fan", "fridge", "hairdryer", "heater",
    "incandescent lamp", "laptop", "microwave", "vacuum cleaner", "washing machine",
)  # fmt: skip
SHA256 = {
    "TRAIN": "40deb3bc6bd1e1aa0e6db6e6bfd3cecc4a23bf57f6a6d6ab90fb75e4a2c72344",
    "TEST": "aa6da0dc1461e8d374e068a940ce37d1b0bb1a9844596d818920c8af696d656d",
}
PERIOD = 5  # numbers
AFTER = np.array([0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 34])  # periods from the switch on: where courses are read
STEADY, ON, BEGINS = 12, 0.2, 0.03  # last periods; levels that count as switched on, parts of the steady one
# (the step of the meter's noise is below, what a watt is about), of each unit: chosen by eye on the training cases
UNITS = ((5e-5, 1e-5), (7e-3, 1.1e-2), (np.inf, 0.1))
FIRST_UNIT = 0.05  # sizes below it have the first unit
OTHER_UNIT, NOISE = 0.05, 0.2  # assumed where a case has no beginning: between the other units; watts
N_FEATURES = 38 + 3 * len(AFTER)
VARIANTS = 8  # of each training case, cut otherwise
QUANTILES = 60
STEPS_OF_ONE = 4096
SMALL = 1e-5


def rows() -> KnownRows:
    """Rows int16; training rows are the cases, then their variants. Raises `DataError`."""
    (cases, y), (tested, y_test) = (_cases(part) for part in SHA256)
    rng = np.random.default_rng(0)
    cut = [varied(case, rng) for case in cases for _ in range(VARIANTS)]
    train = np.array([features(case) for case in [*cases, *cut]])
    quantiles = np.quantile(train, np.linspace(0, 1, QUANTILES), axis=0)
    x_test = spread_evenly(np.array([features(case) for case in tested]), quantiles)
    y_train = np.concatenate([y, np.repeat(y, VARIANTS)])
    return KnownRows((spread_evenly(train, quantiles), y_train), (x_test, y_test), labels=LABELS)


def _cases(part: str) -> tuple[list[np.ndarray], np.ndarray]:
    path = f"datasets/data/PLAID/PLAID_{part}.ts"
    cases, words = time_series.parse(wheel_files.read("sktime", path, SHA256[part], series.INSTALL).decode(), path)
    return [case[0] for case in cases], np.array(words, np.int64)


def varied(case: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The case as another measurement would have caught it: begun at another time before the switch, ended earlier."""
    switch = int(np.argmax(case > BEGINS * np.median(case[-60:-10])))
    most = switch - 12 if switch > 15 else 5 if switch < 2 else 1
    after = len(case) - switch
    spare = min(after - 120, 2 * len(case) // 5) if after > 125 else 5
    first = rng.integers(0, most)
    return case[first : len(case) - rng.integers(0, max(1, spare))]


def spread_evenly(x: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Each number as its place among the quantiles of its column, from -sqrt 3 to sqrt 3 (deviation 1), int16. Of equal
    quantiles the middle counts."""
    share = np.linspace(0, 1, len(quantiles))
    made = np.empty(x.shape)
    for k, (column, q) in enumerate(zip(x.T, quantiles.T, strict=True)):
        made[:, k] = np.interp(column, q, share) - np.interp(-column, -q[::-1], -share[::-1])
    return np.rint((made - 1) * (np.sqrt(3) * STEPS_OF_ONE)).astype(np.int16)


# ---- features --------------------------------------------------------------------------------------------------------


def features(case: np.ndarray) -> np.ndarray:
    """`N_FEATURES` numbers: size, noise before the switch, time, roughness and shape of the period at the end, the course
    after the switch; the logarithm of the level and two harmonics at the periods `AFTER` it; the power and its unit."""
    n = len(case) // PERIOD
    periods = case[len(case) - PERIOD * n :].reshape(n, PERIOD)
    constant, first, second = np.fft.fft(periods, axis=1).T[:3] / PERIOD
    level = np.maximum(np.abs(constant), 1e-8)
    h1, h2 = np.abs(first) / level, np.abs(second) / level
    shape = second * np.exp(-2j * np.angle(first)) / level  # of the period, wherever it was cut
    steady = slice(max(0, n - STEADY), max(1, n - 2))
    end = np.median(level[steady])
    on, begins = int(np.argmax(level > ON * end)), int(np.argmax(level > BEGINS * end))
    course = np.log(level / end)
    before = case[: len(case) - PERIOD * (n - begins) - 1] if begins >= 2 else None
    single = [
        *_size(end, level, before),
        *(on, n, begins, on - begins),
        *_roughness(course[max(on + 2, n - 20) : n - 1], periods[steady]),
        *_shape(h1[steady], h2[steady], shape[steady].mean()),
        *_course(course, on, n, int(np.argmax(level)) - on),
    ]
    at = np.minimum(on + AFTER, n - 2)
    harmonics = [[np.median(h[place : place + 3]) for place in at] for h in (h1, h2)]
    return np.concatenate([single, course[at], *harmonics, _power(end, before)])


def _size(end: float, level: np.ndarray, before: np.ndarray | None) -> list[float]:
    """The unit is not given, but the meter's noise is much the same: the size in noises tells the power."""
    peak = np.log(level.max() / end)
    if before is None:
        return [np.log(end), 0, 0, 0, 0, peak]
    noise = before.std() + 1e-9
    step = _step(before)
    return [np.log(end), 1, *np.log([end / noise, end / step, end / (abs(before.mean()) + 0.1 * noise)]), peak]


def _step(before: np.ndarray) -> float:
    return float(np.median(np.abs(np.diff(before)))) + 1e-9


def _power(end: float, before: np.ndarray | None) -> list[float]:
    """The logarithm of the power in about watts; the unit (four numbers, of which one is 1; the last stands for unknown); the
    logarithm of the noise in about watts. The steps of the noise form three clusters, one for each unit."""
    if before is not None:
        step = _step(before)
        kind = sum(step >= below for below, _ in UNITS)
        unit, noise = UNITS[kind][1], step / UNITS[kind][1]
    else:
        kind, unit, noise = (0, UNITS[0][1], NOISE) if end < FIRST_UNIT else (len(UNITS), OTHER_UNIT, NOISE)
    return [np.log(end / unit), *(float(kind == each) for each in range(len(UNITS) + 1)), np.log(noise)]


def _roughness(course: np.ndarray, periods: np.ndarray) -> list[float]:
    change = np.diff(course) if len(course) > 3 else np.zeros(1)
    jitter = (periods / periods.mean(1, keepdims=True)).std(0).mean()
    return list(np.log([change.std() + SMALL, np.abs(change).mean() + SMALL, jitter + SMALL]))


def _shape(h1: np.ndarray, h2: np.ndarray, shape: complex) -> list[float]:
    one, two = np.median(h1), np.median(h2)
    logs = np.log([one + 1e-3, two + 1e-4, (two + 1e-4) / (one + 1e-4)])
    return [one, two, *logs, shape.real, shape.imag, *np.log([h1.std() + SMALL, h2.std() + SMALL])]


def _course(course: np.ndarray, on: int, n: int, peak_at: int) -> list[float]:
    """Means, trend, extremes of the logarithm of the level after the switch, its largest step, and how long it lies above
    and below the steady level."""
    after, late = course[on:], course[min(on + 2, n - 4) : n - 1]
    trend = course[-8:-2].mean() - course[-16:-8].mean() if n > 20 else 0
    step = np.abs(np.diff(course[on : n - 1])).max() if n - 1 - on > 1 else 0
    means = [peak_at, after.mean(), trend, np.median(after)]
    return [*means, late.min(), late.max(), late.std(), step, (late > np.log(1.1)).mean(), (late < np.log(0.9)).mean()]
