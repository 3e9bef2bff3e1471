# SPDX-License-Identifier: MIT
"""Expressions over the points of a PDE, and the functions a problem is written with.

The functions (`sin`, `where`, `sum`, ...) take what they are given: expressions while a problem is traced, torch
tensors when torch differentiates it, NumPy arrays when the host evaluates it. A vector has its coordinates on the
first axis, so that `x[0]`, `sum(x * x)` and scalar times vector mean the same in all three.
"""

import linecache
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np

from ttzo.device_runtime.contract import TtzoError

HERE = (Path(__file__).parent, Path(__file__).parents[1] / "ode")
_VECTORS = ("x", "n_x", "n_xx")
_DERIVATIVES = ("grad", "second", "lap", "u_t", "u_tt")


class PdeError(TtzoError):
    """A problem that cannot become a residual program; the sentence names the line."""


def refusal(what: str, hint: str) -> PdeError:
    """The error for the user's line that is being traced. A hint names ttzo.pde; of a simulation it says ttzo.ode."""
    frame: FrameType | None = sys._getframe(1)
    while frame and Path(frame.f_code.co_filename).parent in HERE:
        frame = frame.f_back
    if frame is None:
        return PdeError(what, hint)
    hint = re.sub(r"\bpde\b", "ode", hint) if _traces_a_simulation(frame) else hint
    file, number = frame.f_code.co_filename, frame.f_lineno
    line = linecache.getline(file, number).strip()
    return PdeError(f"{Path(file).name}:{number}: {what}, in `{line}`", hint)


def _traces_a_simulation(frame: FrameType | None) -> bool:
    """Whether a simulation's model called the user's line."""
    while frame and Path(frame.f_code.co_filename).parent not in HERE:
        frame = frame.f_back
    return frame is not None and Path(frame.f_code.co_filename).parent == HERE[1]


@dataclass(frozen=True, eq=False)
class Expression:
    """One value of a program. `operation` is "input", "constant", or a name of the contract's enum operation;
    `size` is the number of coordinates of a vector, None for a scalar."""

    operation: str
    args: tuple["Expression", ...] = ()
    name: str = ""
    value: float = 0.0
    index: int = 0  # of a coordinate, or of the network's output
    size: int | None = None
    along: tuple[int, ...] = ()  # of a "derivative": the inputs, ascending; of "along": direction's number and order

    # ---- what Python can do with a number

    def __add__(self, other):
        return add(self, other)

    __radd__ = __add__

    def __sub__(self, other):
        return subtract(self, other)

    def __rsub__(self, other):
        return subtract(other, self)

    def __mul__(self, other):
        return multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return divide(self, other)

    def __rtruediv__(self, other):
        return divide(other, self)

    def __neg__(self):
        return negate(self)

    def __pos__(self):
        return self

    def __pow__(self, exponent):
        return _power(self, exponent)

    def __rpow__(self, base):
        if is_number(wrap(base)) and wrap(base).value > 0:
            return exp(multiply(self, math.log(wrap(base).value)))
        raise refusal("a power needs a positive number below a traced exponent", "write pde.exp(b * pde.log(a))")

    def __and__(self, other):
        return multiply(self, other)

    def __or__(self, other):
        return subtract(1.0, multiply(subtract(1.0, self), subtract(1.0, other)))

    __rand__, __ror__ = __and__, __or__

    def __invert__(self):
        return subtract(1.0, self)

    def __abs__(self):
        return where(less(self, 0.0), negate(self), self)

    def __lt__(self, other):
        return less(self, other)

    def __gt__(self, other):
        return less(other, self)

    def __le__(self, other):
        return subtract(1.0, less(other, self))

    def __ge__(self, other):
        return subtract(1.0, less(self, other))

    # ---- vectors

    def __getitem__(self, index):
        if self.size is None:
            raise refusal("a scalar has no coordinates", "only x, grad and second are vectors")
        if isinstance(index, slice):
            raise refusal("parts of a vector cannot be traced", "name its coordinates one by one, as p.x[0] + p.x[1]")
        if not isinstance(index, (int, np.integer)) or not -self.size <= index < self.size:
            raise refusal(f"there is no coordinate {index} among {self.size}", "coordinates count from 0")
        return component(self, int(index) % self.size)

    def __len__(self):
        if self.size is None:
            raise refusal("a scalar has no length", "only x, grad and second are vectors")
        return self.size

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # ---- what cannot be traced

    def __bool__(self):
        raise refusal(
            "the program cannot branch on a value that differs from point to point", "use pde.where(condition, a, b)"
        )

    def __float__(self):
        raise refusal("a traced value is not a Python number", "use pde.sin, pde.exp, ... instead of math's")

    __int__ = __index__ = __complex__ = __float__

    def __array_ufunc__(self, ufunc, method, *inputs, **__):
        if method == "__call__" and ufunc.__name__ in _OF_NUMPY:  # a number of NumPy before an operator
            return _OF_NUMPY[ufunc.__name__](
                *(each.item() if isinstance(each, np.generic) else each for each in inputs)
            )
        raise refusal(f"numpy's {ufunc.__name__} cannot be traced", "use pde.sin, pde.exp, pde.where, ...")

    @classmethod
    def __torch_function__(cls, function, *_, **__):
        name = getattr(function, "__name__", "function")
        if name.strip("_r") in ("add", "sub", "mul", "div", "truediv", "pow"):
            raise refusal(
                "torch's numbers cannot be traced",
                "give a Python number, as float(value): an equation has no unknown coefficients",
            )
        raise refusal(f"torch's {name} cannot be traced", "use pde.sin, pde.exp, pde.where, ...")

    def __array__(self, *_, **__):
        raise refusal("a traced value is not an array", "use the functions of ttzo.pde")

    def __eq__(self, other):
        raise refusal("values cannot be compared for equality", "use < or >")

    __hash__ = object.__hash__

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _DERIVATIVES:
            raise refusal(
                f"`{name}` is no attribute of an expression",
                'write p.d(expression, 0, 1) for its derivative in coordinates 0 and 1, p.d(expression, "t"), p.gradient(expression) or p.laplacian(expression)',
            )
        raise refusal(f"a traced value has no `{name}`", "use the functions of ttzo.pde")


# ---- building, with the simplifications that differentiation needs --------------------------------------------------


def constant(value: float) -> Expression:
    return Expression("constant", value=float(value))


ZERO, ONE = constant(0.0), constant(1.0)


def leaf(name: str, size: int, output: int = 0) -> Expression:
    """An input of the program: `name` of the contract's enum program_input, `size` coordinates in space; from n on of the
    network's output number `output`."""
    return Expression("input", name=name, size=size if name in _VECTORS else None, index=output)


def wrap(value) -> Expression:
    if isinstance(value, Expression):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value):
        return constant(float(value))
    if type(value).__module__.startswith("torch"):
        raise refusal(
            f"torch's {type(value).__name__} cannot be traced",
            "give a Python number, as float(value); it stays as it is",
        )
    raise refusal(
        f"{type(value).__name__} {value!r} cannot be used in a problem", "use finite numbers and traced values"
    )


def is_number(e: Expression, value: float | None = None) -> bool:
    return e.operation == "constant" and (value is None or e.value == value)


def _node(operation: str, *args: Expression) -> Expression:
    sizes = {e.size for e in args} - {None}
    return Expression(operation, args, size=sizes.pop() if sizes else None)


def add(a, b) -> Expression:
    a, b = wrap(a), wrap(b)
    if is_number(a) and is_number(b):
        return constant(a.value + b.value)
    if is_number(a, 0.0):
        return b
    if is_number(b, 0.0):
        return a
    return subtract(a, b.args[0]) if b.operation == "negate" else _node("add", a, b)


def subtract(a, b) -> Expression:
    a, b = wrap(a), wrap(b)
    if is_number(a) and is_number(b):
        return constant(a.value - b.value)
    if is_number(b, 0.0):
        return a
    if is_number(a, 0.0):
        return negate(b)
    return add(a, b.args[0]) if b.operation == "negate" else _node("subtract", a, b)


def multiply(a, b) -> Expression:
    a, b = wrap(a), wrap(b)
    if is_number(a) and is_number(b):
        return constant(a.value * b.value)
    if is_number(b):
        a, b = b, a
    if is_number(a, 0.0):
        return ZERO
    if is_number(a, 1.0):
        return b
    if is_number(a, -1.0):
        return negate(b)
    return _node("multiply", a, b)


def divide(a, b) -> Expression:
    a, b = wrap(a), wrap(b)
    if is_number(b, 0.0):
        raise refusal("division by zero", "check the problem's coefficients")
    if is_number(b):
        return multiply(constant(1.0 / b.value), a) if not is_number(b, 1.0) else a
    return ZERO if is_number(a, 0.0) else _node("divide", a, b)


def negate(a) -> Expression:
    a = wrap(a)
    if is_number(a):
        return constant(-a.value)
    return a.args[0] if a.operation == "negate" else _node("negate", a)


def less(a, b) -> Expression:
    a, b = wrap(a), wrap(b)
    return constant(a.value < b.value) if is_number(a) and is_number(b) else _node("less", a, b)


def component(a: Expression, index: int) -> Expression:
    """Coordinate `index`; a scalar counts as a vector of equal coordinates."""
    if a.size is None:
        return a
    if a.operation in ("add", "subtract", "multiply", "divide", "negate"):
        return _BUILD[a.operation](*(component(arg, index) for arg in a.args))
    if a.operation == "place":
        return a.args[0] if a.index == index else ZERO
    if a.operation == "shift":
        return component(a.args[0], index + a.index) if index + a.index < len(a) else ZERO
    if a.size == 1 and a.operation == "input" and a.name == "n_xx":
        return leaf("lap", 1, a.index)
    return Expression("component", (a,), index=index)


def place(a: Expression, index: int, size: int) -> Expression:
    return ZERO if is_number(a, 0.0) else Expression("place", (a,), index=index, size=size)


def spread(a: Expression, size: int) -> Expression:
    """A scalar as a vector of equal coordinates; a vector stays as it is."""
    return a if a.size is not None else Expression("spread", (a,), size=size)


def total(a: Expression, size: int) -> Expression:
    """Sum of the coordinates; scalars are taken out of the sum, and the sum of n_xx is the Laplacian."""
    if a.size is None:
        return multiply(constant(size), a)
    if a.operation in ("add", "subtract"):
        return _BUILD[a.operation](*(total(arg, size) for arg in a.args))
    if a.operation == "negate":
        return negate(total(a.args[0], size))
    if a.operation == "multiply" and None in (a.args[0].size, a.args[1].size):
        left, right = a.args if a.args[0].size is None else a.args[::-1]
        return multiply(left, total(right, size))
    if a.operation == "divide" and a.args[1].size is None:
        return divide(total(a.args[0], size), a.args[1])
    if a.operation == "place":
        return a.args[0]
    if a.operation == "spread":
        return multiply(constant(size), a.args[0])
    if a.operation == "input" and a.name == "n_xx":
        return leaf("lap", size, a.index)
    return Expression("sum", (a,))


_BUILD: dict[str, Callable[..., Expression]] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "negate": negate,
}


_OF_NUMPY: dict[str, Callable[..., Expression]] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "negative": negate,
    "less": less,
    "greater": lambda a, b: less(b, a),
    "less_equal": lambda a, b: subtract(1.0, less(b, a)),
    "greater_equal": lambda a, b: subtract(1.0, less(a, b)),
    "power": lambda a, b: wrap(a) ** b,
}  # what NumPy calls the operators
MOST_SQUARED = 4096  # largest whole exponent that is multiplied out, by squaring


def _power(base: Expression, exponent) -> Expression:
    if isinstance(exponent, Expression) and is_number(exponent):
        exponent = exponent.value
    if isinstance(exponent, Expression):
        return exp(multiply(exponent, log(base)))
    if not isinstance(exponent, (int, float, np.integer, np.floating)):
        raise refusal(f"an exponent is {exponent!r}, not a number", "use numbers and traced values")
    if exponent < 0:
        return divide(1.0, _power(base, -exponent))
    if exponent == 0.5:
        return sqrt(base)
    if exponent != int(exponent) or exponent > MOST_SQUARED:
        return exp(multiply(constant(float(exponent)), log(base)))
    result, square, n = ONE, base, int(exponent)
    while n:
        result = multiply(result, square) if n & 1 else result
        square, n = (multiply(square, square) if n > 1 else square), n >> 1
    return result


# ---- the functions of a problem -------------------------------------------------------------------------------------


def _elementary(name: str):
    of_numpy = np.arctan if name == "atan" else getattr(np, name)

    def function(a):
        if isinstance(a, Expression):
            return constant(of_numpy(a.value)) if is_number(a) else _node(name, a)
        library = _library(a)
        return of_numpy(a) if library is np else getattr(library, name)(a)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name}(a), of every coordinate."
    return function


def _library(value):
    """torch for its tensors, else NumPy; torch is there when a tensor is."""
    return sys.modules["torch"] if type(value).__module__.startswith("torch") else np


sqrt, exp, expm1, log, log1p, sin, cos, tanh, atan = map(
    _elementary, ("sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "atan")
)


def atan2(y, x):
    """The angle of the point (x, y), -pi to pi."""
    if not isinstance(y, Expression) and not isinstance(x, Expression):
        library = _library(y) if _library(y) is not np else _library(x)
        return np.arctan2(y, x) if library is np else library.atan2(*map(library.as_tensor, (y, x)))
    y, x = wrap(y), wrap(x)
    return constant(math.atan2(y.value, x.value)) if is_number(y) and is_number(x) else _node("atan2", y, x)


def sinh(a):
    """The hyperbolic sine, to full relative accuracy near 0."""
    half = 0.5 * expm1(a)
    return half + half / (2.0 * half + 1.0)


def cosh(a):
    """The hyperbolic cosine."""
    return 0.5 * (exp(a) + exp(-a))


def tan(a):
    """The tangent."""
    return sin(a) / cos(a)


def abs(a):
    """The size of a, coordinate by coordinate."""
    return a.__abs__()


def where(condition, a, b):
    """`a` where the condition holds, else `b`, coordinate by coordinate."""
    if not any(isinstance(value, Expression) for value in (condition, a, b)):
        library = _library(condition)
        if library is np:
            return np.where(condition, a, b)
        return library.where(condition != 0, *(library.as_tensor(value, dtype=library.float64) for value in (a, b)))
    condition, a, b = wrap(condition), wrap(a), wrap(b)
    if is_number(condition) or (is_number(a) and is_number(b) and a.value == b.value):
        return b if is_number(condition, 0.0) else a
    return _node("select", condition, a, b)


def maximum(a, b):
    """The larger of the two, coordinate by coordinate."""
    return where(a > b, a, b)


def minimum(a, b):
    """The smaller of the two, coordinate by coordinate."""
    return where(a < b, a, b)


def shift(a, by=1):
    """The vector whose coordinate i is coordinate i + by of the vector a, 0 beyond the last: what a neighbour has."""
    if not isinstance(by, int) or isinstance(by, bool) or not 0 <= by < len(a):
        raise refusal(
            f"a vector of {len(a)} coordinates is shifted by {by!r}", "give a whole number from 0 on below that"
        )
    if isinstance(a, Expression):
        return Expression("shift", (a,), index=by, size=a.size)
    library = _library(a)
    rest = library.zeros_like(a[:by])
    return np.concatenate([a[by:], rest]) if library is np else library.cat([a[by:], rest])


def sum(a):
    """Sum over the coordinates of a vector."""
    if not isinstance(a, Expression):
        return a.sum(0)
    if a.size is None:
        raise refusal("a scalar has no coordinates to sum", "only x, grad and second are vectors")
    return total(a, a.size)


def normal_cdf(z):
    """The standard normal distribution function, to 8e-8 (Abramowitz and Stegun 26.2.17)."""
    size = where(z < 0.0, -z, z)
    k = 1.0 / (1.0 + 0.2316419 * size)
    tail = k * (0.319381530 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))))
    upper = exp(-0.5 * size * size) * (1.0 / math.sqrt(2.0 * math.pi)) * tail
    return where(z < 0.0, upper, 1.0 - upper)
