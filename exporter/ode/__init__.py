# SPDX-License-Identifier: MIT
"""What a simulation with unknown constants is written with; `ttzo.ode` offers it."""

from ttzo.exporter.ode.model import Measured, Model, Moment, Unknown, curve, trace
from ttzo.exporter.ode.simulation import Simulation
from ttzo.exporter.pde.expression import (
    PdeError,
    cos,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sin,
    sqrt,
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
    "cos",
    "curve",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "sin",
    "sqrt",
    "tanh",
    "trace",
    "where",
]
