# SPDX-License-Identifier: MIT
"""`ttzo.nn`: the torch modules that a model can use besides torch's own. It needs torch."""

from ttzo.exporter.readers.from_torch import load_into_module
from ttzo.exporter.readers.nn import Sine, Tokens, TTConv2d, TTEmbedding, TTLinear

__all__ = ["Sine", "TTConv2d", "TTEmbedding", "TTLinear", "Tokens", "load_into_module"]
