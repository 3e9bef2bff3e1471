# SPDX-License-Identifier: MIT
"""Twin of compensated.h and compensated.c: numbers as sums of two float32, worth some 36 bits, in arrays of any shape."""

import numpy as np

from ttzo.host_tools.reference.number.real import from_bits, to_bits

_F = np.float32
_HEAD_BITS = np.uint32(0xFFFFF000)
_ROUND, _ROUND_BITS = _F(12582912.0), np.uint32(0x4B400000)
_ZERO = _F(0)
Split = tuple[np.ndarray, np.ndarray]  # a head of 12 bits, and the tail
Sum = tuple[np.ndarray, np.ndarray]  # and what its roundings lost


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def split(number: np.ndarray, rest: np.ndarray | np.float32 = _ZERO) -> Split:
    """number + rest, the rest below the number's last bits."""
    head = from_bits(to_bits(number) & _HEAD_BITS)
    return head, (number - head) + rest


def whole(x: Split) -> np.ndarray:
    return x[0] + x[1]


def plus(total: Sum, number: np.ndarray) -> Sum:
    made = total[0] + number
    moved = made - total[0]
    return made, total[1] + ((total[0] - (made - moved)) + (number - moved))


def muladd(x: Split, y: Split, total: Sum) -> Sum:
    """x y + total."""
    rest = x[1] * y[0] + total[1]
    return plus((total[0], whole(x) * y[1] + rest), x[0] * y[0])


def rounded(total: Sum) -> Split:
    made = total[0] + total[1]
    return split(made, (total[0] - made) + total[1])


def product(x: Split, y: Split) -> Sum:
    return x[0] * y[0], whole(x) * y[1] + x[1] * y[0]


def times(x: Split, y: Split) -> Split:
    return rounded(product(x, y))


def minus(x: Split) -> Split:
    return -x[0], -x[1]


def _beside(constant: Split, small: np.ndarray) -> Split:
    """constant + small, |small| < |constant|."""
    made = constant[0] + small
    return split(made, ((constant[0] - made) + small) + constant[1])


def _added(x: Split, scale: np.float32, total: Sum) -> Sum:
    """scale x + total, the scale a power of two."""
    made, rest = plus(total, scale * x[0])
    return made, scale * x[1] + rest


def _everywhere(constant: Split, like: np.ndarray) -> Split:
    return np.full_like(like, constant[0]), np.full_like(like, constant[1])


def _choose(mask: np.ndarray, yes: Split, no: Split) -> Split:
    return np.where(mask, yes[0], no[0]), np.where(mask, yes[1], no[1])


# ---- circular functions ---------------------------------------------------------------------------------------------

_SIXTH = split(np.array(0.166666672, _F), _F(-4.96705366e-09))
_TWENTY_FOURTH = split(np.array(0.0416666679, _F), _F(-1.24176342e-09))


def _reduced(z: Split) -> tuple[np.ndarray, Split]:
    """The nearest multiple of pi/2, whose low bits count, and z minus it."""
    x = whole(z)
    lost = (z[0] - x) + z[1]
    shifted = x * _F(0.636619747) + _ROUND
    multiple = shifted - _ROUND
    near = multiple * _F(-1.5703125) + x
    rest = multiple * _F(-2.56334407e-12) + (multiple * _F(-7.54953362e-08) + lost)
    return to_bits(shifted) - _ROUND_BITS, rounded(plus((near, rest), multiple * _F(-0.000483751297)))


def sine_and_cosine(z: Split) -> tuple[Split, Split]:
    """Within 2^-31 as far as |z| = 10^4, NaN from 10^5 on."""
    quarters, r = _reduced(z)
    square = times(r, r)
    s = whole(square)
    p = (_F(-2.50521084e-08) * s + _F(2.75573192e-06)) * s + _F(-0.000198412698)
    p = (p * s + _F(0.00833333333)) * s
    q = (_F(2.08767570e-09) * s + _F(-2.75573192e-07)) * s + _F(2.48015873e-05)
    q = (q * s + _F(-0.00138888889)) * s
    sine = rounded(muladd(times(r, square), _beside(minus(_SIXTH), p), r))
    total = muladd(times(square, square), _beside(_TWENTY_FOURTH, q), (np.ones_like(s), np.zeros_like(s)))
    cosine = rounded(_added(square, _F(-0.5), total))
    odd, turned = quarters & np.uint32(1), quarters & np.uint32(2)
    along, across = _choose(odd, cosine, sine), _choose(odd, minus(sine), cosine)
    known = np.abs(whole(z)) < _F(1e5)
    nan = np.full_like(s, _F(np.nan)), np.full_like(s, _F(np.nan))
    sines, cosines = (_choose(known, _choose(turned, minus(each), each), nan) for each in (along, across))
    return sines, cosines


# ---- the hyperbolic tangent -----------------------------------------------------------------------------------------


def _quotient(x: Split, y: Split) -> Split:
    by = whole(y)
    first = whole(x) / by
    left = muladd(split(-first), y, x)
    return rounded((first, (left[0] + left[1]) / by))


def tanh(z: Split) -> Split:
    """Within 2^-33. With e = exp(2 |z|) = 2^k (1 + m): tanh |z| = (m + 1 - 2^-k) / (m + 1 + 2^-k)."""
    x = whole(z)
    size, lost = np.abs(x), (z[0] - x) + z[1]
    lost = np.where(x < 0, -lost, lost)
    far = size > _F(14.0)  # 1 from here on
    size, lost = _F(2) * np.where(far, _F(14.0), size), _F(2) * np.where(far, _F(0), lost)
    shifted = size * _F(1.44269502) + _ROUND
    multiple = shifted - _ROUND
    r = rounded((multiple * _F(-0.693145752) + size, multiple * _F(-1.42860677e-06) + lost))
    s = whole(r)
    p = (_F(2.75573192e-06) * s + _F(2.48015873e-05)) * s + _F(0.000198412698)
    p = ((p * s + _F(0.00138888889)) * s + _F(0.00833333333)) * s
    square = times(r, r)
    total = muladd(times(square, square), _beside(_TWENTY_FOURTH, p), (np.zeros_like(s), np.zeros_like(s)))
    total = muladd(times(r, square), _everywhere(_SIXTH, s), total)
    total = _added(square, _F(0.5), total)
    shrunk = from_bits((np.uint32(127) - (to_bits(shifted) - _ROUND_BITS)) << np.uint32(23))  # 2^-k
    most = _F(1) - shrunk
    m = _added(r, _F(1), total)
    above = plus((m[0], ((_F(1) - most) - shrunk) + m[1]), most)
    made = _quotient(rounded(above), rounded(plus(above, _F(2) * shrunk)))
    return _choose(x < 0, minus(made), made)
