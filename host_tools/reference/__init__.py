# SPDX-License-Identifier: MIT
"""The C runtime once more, in NumPy: file by file and function by function, with the same order of operations.

In `separate` arithmetic it gives the same bits as the C on every target. It is the oracle that devices are held
against, and, with its losses taken from onnxruntime, the training loop of the `onnx:` device.
"""
