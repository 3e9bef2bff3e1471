# SPDX-License-Identifier: MIT
"""What an equation is written with; `ttzo.pde` offers it."""

from ttzo.exporter.pde.expression import (
    PdeError,
    cos,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    normal_cdf,
    sin,
    sqrt,
    sum,
    tanh,
    where,
)
from ttzo.exporter.pde.problem import (
    Condition,
    Point,
    Problem,
    at_end,
    at_start,
    on_faces,
    trace,
    why_no_exact,
    why_scale,
)
from ttzo.exporter.pde.program import Pde, Program

__all__ = [
    "Condition",
    "Pde",
    "PdeError",
    "Point",
    "Problem",
    "Program",
    "at_end",
    "at_start",
    "cos",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "normal_cdf",
    "on_faces",
    "sin",
    "sqrt",
    "sum",
    "tanh",
    "trace",
    "where",
    "why_no_exact",
    "why_scale",
]
