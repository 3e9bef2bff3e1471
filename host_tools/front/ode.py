# SPDX-License-Identifier: MIT
"""`ttzo.ode`: what a simulation with unknown constants is written with; begin at `Model`. `ttzo identify` finds the constants
from a log; the examples are the models of `exporter/zoo/simulations.py`."""

from ttzo.exporter.ode import *  # noqa: F403
from ttzo.exporter.ode import __all__ as __all__
