# SPDX-License-Identifier: MIT
"""`ttzo.pde`: what an equation is written with; begin at `Problem`. Its functions take traced values, NumPy arrays and
torch tensors alike; the examples are the equations of `exporter/zoo/`."""

from ttzo.exporter.pde import *  # noqa: F403
from ttzo.exporter.pde import __all__ as __all__
