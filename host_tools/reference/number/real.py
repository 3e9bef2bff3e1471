# SPDX-License-Identifier: MIT
"""Elementary functions on float32 arrays, bit for bit those of `device_runtime/number/real.c` in `separate` arithmetic.

Every function takes a float32 array of any shape (or what converts to one) and returns a float32 array of that shape;
errors and special values are those stated in `real.h`. No floating-point warning leaves this module: what the device
would turn into inf or NaN comes out as inf or NaN.
"""

import numpy as np

_SIGN = np.uint32(0x80000000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITE = np.uint32(0x7F800000)
_ONE_BITS = np.uint32(0x3F800000)
_ROUND_BITS = np.uint32(0x4B400000)
_F = np.float32
_ROUND = _F(12582912.0)
_LN2_HIGH, _LN2_LOW = _F(0.693145752), _F(1.42860677e-06)
_NAN = np.array(0x7FC00000, np.uint32).view(np.float32)
_INF = _F(np.inf)
_LARGEST_ANGLE = _F(1e5)
_ERF_END = _F(4.0)
SMALL_SQUARES = _F(2.0**-12)  # TTZO_SMALL_SQUARES of loss.c

_quiet = np.errstate(all="ignore")


def to_bits(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, np.float32).view(np.uint32)


def from_bits(bits: np.ndarray) -> np.ndarray:
    return np.asarray(bits, np.uint32).view(np.float32)


def _power_of_two(biased: np.ndarray) -> np.ndarray:
    return from_bits(biased << np.uint32(23))


# ---- exponentials ---------------------------------------------------------------------------------------------------


def _reduce_by_ln2(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k (as uint32, wrapping), r and low with x = k ln 2 + r + low."""
    rounded = x * _F(1.44269502) + _ROUND
    multiple = rounded - _ROUND
    high = multiple * -_LN2_HIGH + x
    r = multiple * -_LN2_LOW + high
    low = multiple * -_LN2_LOW + (high - r)
    return to_bits(rounded) - _ROUND_BITS, r, low


def _expm1_polynomial(r: np.ndarray) -> np.ndarray:
    q = _F(0.00138706563) * r + _F(0.00836626161)
    q = q * r + _F(0.0416674353)
    q = q * r + _F(0.166665465)
    return q * r + _F(0.49999997)


@_quiet
def exp(x: np.ndarray) -> np.ndarray:
    """e^x; 0 and inf where it leaves float32."""
    x = np.asarray(x, np.float32)
    k, r, _ = _reduce_by_ln2(np.clip(x, _F(-104.0), _F(89.0)))
    y = _F(1.0) + (r * r * _expm1_polynomial(r) + r)
    exponent = k + np.uint32(254)
    half = exponent >> np.uint32(1)
    return np.where(np.isnan(x), _NAN, y * _power_of_two(half) * _power_of_two(exponent - half))


@_quiet
def expm1(x: np.ndarray) -> np.ndarray:
    """e^x - 1, to full relative accuracy near 0."""
    x = np.asarray(x, np.float32)
    k, r, low = _reduce_by_ln2(np.clip(x, _F(-18.0), _F(89.0)))
    scale = _power_of_two(k + np.uint32(126))
    offset = scale - _F(0.5)
    total = scale * r + offset
    lost = scale * r + (offset - total)
    tail = r * r * _expm1_polynomial(r) + low
    y = _F(2.0) * (total + (scale * tail + lost))
    return np.where(np.isnan(x), _NAN, np.where(np.abs(x) < _F(2.0**-25), x, y))


@_quiet
def tanh(x: np.ndarray) -> np.ndarray:
    """The hyperbolic tangent; odd, bit for bit."""
    x = np.asarray(x, np.float32)
    z = x * x
    q = _F(-0.00616961345) * z + _F(0.021000376)
    q = q * z + _F(-0.0538357571)
    q = q * z + _F(0.13332437)
    q = q * z + _F(-0.333333135)
    small = x * z * q + x
    k, r, _ = _reduce_by_ln2(_F(2.0) * np.minimum(np.abs(x), _F(10.0)))
    y = _F(1.0) + (r * r * _expm1_polynomial(r) + r)
    large = _F(1.0) - _F(2.0) / (y * _power_of_two(k + np.uint32(127)) + _F(1.0))
    size = np.abs(x)
    y = np.where(size < _F(0.5625), small, np.copysign(large, x))
    return np.where(np.isnan(x), _NAN, np.where(size < _F(2.0**-12), x, y))


@_quiet
def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x)."""
    return _F(1.0) / (_F(1.0) + exp(-np.asarray(x, np.float32)))


def _erf_polynomial(z: np.ndarray) -> np.ndarray:
    """erf(x) / x for z = x^2."""
    q = _F(-0.000517816399) * z + _F(0.00483683776)
    for coefficient in (-0.0266612954, 0.112789191, -0.376122147, 1.12837911):
        q = q * z + _F(coefficient)
    return q


def _erf_complement(a: np.ndarray) -> np.ndarray:
    """1 - erf(a) for 0.875 <= a <= 4."""
    t = np.minimum(a, _ERF_END) - _F(2.0)
    q = _F(3.10531073e-06) * t + _F(-4.98572626e-06)
    for coefficient in (
        0.000164085577,
        -0.0007229232,
        0.00355457165,
        -0.0164785236,
        -0.923752546,
        -4.41815996,
        -5.36494112,
    ):
        q = q * t + _F(coefficient)
    return exp(q)


@_quiet
def erf(x: np.ndarray) -> np.ndarray:
    """The error function; odd, bit for bit."""
    x = np.asarray(x, np.float32)
    a = np.abs(x)
    far = np.where(a > _ERF_END, _F(1.0), _F(1.0) - _erf_complement(a))
    y = np.where(a < _F(0.875), x * _erf_polynomial(x * x), np.copysign(far, x))
    return np.where(np.isnan(x), _NAN, y)


@_quiet
def gelu(x: np.ndarray) -> np.ndarray:
    """x (1 + erf(x / sqrt 2)) / 2."""
    x = np.asarray(x, np.float32)
    a, half = x * _F(0.707106769), _F(0.5) * x
    rest = half * _erf_complement(np.abs(a))
    far = np.where(np.abs(a) > _ERF_END, np.where(x > 0, x, _F(-0.0)), np.where(x > 0, x - rest, rest))
    y = np.where(np.abs(a) < _F(0.875), half * (a * _erf_polynomial(a * a)) + half, far)
    return np.where(np.isnan(x), _NAN, y)


# ---- logarithms -----------------------------------------------------------------------------------------------------


def _split_exponent(x_bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, m), both float32, with x = 2^k m and sqrt(1/2) <= m < sqrt(2)."""
    biased = (x_bits + np.uint32(0x3F800000 - 0x3F3504F3)) >> np.uint32(23)
    m = from_bits(x_bits - (biased << np.uint32(23)) + _ONE_BITS)
    return (biased.astype(np.int32) - np.int32(127)).astype(np.float32), m


def _log_sum(k: np.ndarray, f: np.ndarray, correction: np.ndarray) -> np.ndarray:
    """k ln 2 + log(1 + f) + correction."""
    s = f / (_F(2.0) + f)
    z = s * s
    q = _F(0.298710734) * z + _F(0.399775773)
    q = q * z + _F(0.666667759)
    tail = k * _LN2_LOW + correction
    tail = -s * (-z * q + f) + tail
    return k * _LN2_HIGH + (f + tail)


@_quiet
def log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm; NaN below 0, -inf at both zeros."""
    x = np.asarray(x, np.float32)
    is_subnormal = to_bits(x) < np.uint32(0x00800000)
    k, m = _split_exponent(to_bits(np.where(is_subnormal, x * _F(16777216.0), x)))
    y = _log_sum(k - np.where(is_subnormal, _F(24.0), _F(0.0)), m - _F(1.0), np.zeros_like(x))
    y = np.where(x == 0, -_INF, np.where(x == _INF, _INF, y))
    return np.where(np.isnan(x) | (x < 0), _NAN, y)


@_quiet
def log1p(x: np.ndarray) -> np.ndarray:
    """log(1 + x), to full relative accuracy near 0; NaN below -1, -inf at -1."""
    x = np.asarray(x, np.float32)
    u = _F(1.0) + x
    k, m = _split_exponent(to_bits(u))
    lost = np.where(x >= _F(1.0), _F(1.0) - (u - x), x - (u - _F(1.0)))
    y = np.where(k == 0, _log_sum(np.zeros_like(x), x, np.zeros_like(x)), _log_sum(k, m - _F(1.0), lost / u))
    y = np.where((np.abs(x) < _F(2.0**-25)) | (x == _INF), x, y)
    return np.where(np.isnan(x) | (x < -1), _NAN, np.where(x == -1, -_INF, y))


# ---- square root ----------------------------------------------------------------------------------------------------


@_quiet
def sqrt(x: np.ndarray) -> np.ndarray:
    """The square root, correctly rounded."""
    x = np.asarray(x, np.float32)
    return np.where(np.isnan(x) | (x < 0), _NAN, np.sqrt(x))


# ---- circular functions ---------------------------------------------------------------------------------------------


def _sine_polynomial(r: np.ndarray, z: np.ndarray) -> np.ndarray:
    q = _F(-0.000195180997) * z + _F(0.00833218824)
    q = q * z + _F(-0.166666552)
    return r * z * q + r


def _cosine_polynomial(z: np.ndarray) -> np.ndarray:
    q = _F(2.44325529e-05) * z + _F(-0.00138873106)
    q = q * z + _F(0.0416666456)
    return z * z * q + (z * _F(-0.5) + _F(1.0))


def _flip(y: np.ndarray, quarters: np.ndarray) -> np.ndarray:
    """y, negated in the third and fourth quarter."""
    return from_bits(to_bits(y) ^ ((quarters & np.uint32(2)) << np.uint32(30)))


def _reduce_by_quarters(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest multiple of pi/2 (as uint32, wrapping), and what x lies beyond it."""
    rounded = x * _F(0.636619747) + _ROUND
    multiple = rounded - _ROUND
    r = multiple * _F(-1.5703125) + x
    r = multiple * _F(-0.000483751297) + r
    r = multiple * _F(-7.54953362e-08) + r
    return to_bits(rounded) - _ROUND_BITS, multiple * _F(-2.56334407e-12) + r


def _sine_of(x: np.ndarray, quarters: int) -> np.ndarray:
    """sin(x + quarters pi/2) for finite x up to the largest angle."""
    turn, r = _reduce_by_quarters(x)
    turn = turn + np.uint32(quarters)
    z = r * r
    return _flip(np.where(turn & np.uint32(1), _cosine_polynomial(z), _sine_polynomial(r, z)), turn)


@_quiet
def sin(x: np.ndarray) -> np.ndarray:
    """The sine; odd, bit for bit; NaN beyond |x| = 10^5."""
    x = np.asarray(x, np.float32)
    y = np.where(np.abs(x) < _F(2.0**-12), x, _sine_of(x, 0))
    return np.where(np.abs(x) <= _LARGEST_ANGLE, y, _NAN)


@_quiet
def cos(x: np.ndarray) -> np.ndarray:
    """The cosine; even, bit for bit; NaN beyond |x| = 10^5."""
    x = np.asarray(x, np.float32)
    return np.where(np.abs(x) <= _LARGEST_ANGLE, _sine_of(x, 1), _NAN)


# ---- inverse tangent ------------------------------------------------------------------------------------------------

_HALF_PI, _HALF_PI_LOW = _F(1.57079637), _F(-4.37113883e-08)
_QUARTER_PI, _QUARTER_PI_LOW = _F(0.785398185), _F(-2.18556941e-08)


@_quiet
def atan(x: np.ndarray) -> np.ndarray:
    """The inverse tangent, -pi/2 to pi/2; odd, bit for bit."""
    x = np.asarray(x, np.float32)
    a = np.abs(x)
    steep, middle = a > _F(2.41421366), a > _F(0.414213568)
    r = np.where(steep, _F(-1.0) / a, np.where(middle, (a - _F(1.0)) / (a + _F(1.0)), a))
    high = np.where(steep, _HALF_PI, np.where(middle, _QUARTER_PI, _F(0.0)))
    low = np.where(steep, _HALF_PI_LOW, np.where(middle, _QUARTER_PI_LOW, _F(0.0)))
    z = r * r
    q = _F(0.0805053636) * z + _F(-0.138767198)
    q = q * z + _F(0.199776232)
    q = q * z + _F(-0.333329469)
    y = np.copysign(high + (r + (r * z * q + low)), x)
    return np.where(np.isnan(x), _NAN, np.where(a < _F(2.0**-12), x, y))


@_quiet
def atan2(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The angle of (x, y), -pi to pi."""
    y, x = np.broadcast_arrays(np.asarray(y, np.float32), np.asarray(x, np.float32))
    b, a = np.abs(y), np.abs(x)
    steep = b > a
    ratio = np.where(a == b, np.where(a == 0, _F(0.0), _F(1.0)), b / a)
    angle = atan(np.where(steep, a / b, ratio))
    angle = np.where(steep, (_HALF_PI - angle) + _HALF_PI_LOW, angle)
    angle = np.where(np.signbit(x), _F(2.0) * _HALF_PI - (angle - _F(2.0) * _HALF_PI_LOW), angle)
    return np.where(np.isnan(x) | np.isnan(y), _NAN, np.copysign(angle, y))


@_quiet
def sine_and_versine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sin(x) and 1 - cos(x), the latter to full relative accuracy near 0; NaN from |x| = 10^5 on. Twin of pairs.c."""
    x = np.asarray(x, np.float32)
    turn, r = _reduce_by_quarters(x)
    z = r * r
    s = r * z * ((z * _F(-0.000195180997) + _F(0.00833218824)) * z + _F(-0.166666552)) + r
    v = z * -z * ((z * _F(2.44325529e-05) + _F(-0.00138873106)) * z + _F(0.0416666456)) + _F(0.5) * z
    odd, far = turn & np.uint32(1), turn & np.uint32(2)
    signed, cosine = _flip(s, turn), _flip(_F(1) - v, turn)
    sine = np.where(odd, cosine, signed)
    versine = np.where(odd, _F(1) + signed, np.where(far, _F(2) - v, v))
    known = np.abs(x) < _LARGEST_ANGLE
    return np.where(known, sine, _NAN), np.where(known, versine, _NAN)


@_quiet
def sin_cos_turns(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of 2 pi `turns`, 0 <= turns < 1."""
    turns = np.asarray(turns, np.float32)
    rounded = turns * _F(4.0) + _ROUND
    quarters = to_bits(rounded) - _ROUND_BITS
    r = _F(6.28318548) * ((rounded - _ROUND) * _F(-0.25) + turns)
    z = r * r
    along, across = _sine_polynomial(r, z), _cosine_polynomial(z)
    odd = quarters & np.uint32(1)
    sine, cosine = np.where(odd, across, along), np.where(odd, along, across)
    return _flip(sine, quarters), _flip(cosine, quarters + np.uint32(1))
