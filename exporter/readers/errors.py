# SPDX-License-Identifier: MIT
"""Errors of the readers."""

from ttzo.device_runtime.contract import TtzoError


class ExportError(TtzoError):
    """A model that cannot be exported; the sentence names the layer and its place."""


class OnnxError(TtzoError):
    """An ONNX file that cannot be exported; the sentence names the node."""
