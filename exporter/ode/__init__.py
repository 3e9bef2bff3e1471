# SPDX-License-Identifier: MIT
"""What a simulation with unknown constants is written with; `ttzo.ode` offers it."""

from ttzo.exporter.ode.model import Measured, Model, Moment, Unknown, curve, trace
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.pde.expression import (
    PdeError,
    abs,
    atan,
    atan2,
    cos,
    cosh,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    where,
)

__all__ = [
    "Measured",
    "Model",
    "Moment",
    "PdeError",
    "Simulation",
    "Unknown",
    "abs",
    "atan",
    "atan2",
    "cos",
    "cosh",
    "curve",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trace",
    "where",
]
