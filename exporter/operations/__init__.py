# SPDX-License-Identifier: MIT
"""Operations of graphs, one file each: attributes, check of shapes, parameters and cost. Their twins in NumPy lie in
host_tools/reference/operations, in C in device_runtime/operations, in ONNX in exporter/writers/onnx."""
