# SPDX-License-Identifier: MIT
"""Operations of graphs in ONNX, one file for each file of exporter/operations. Every one has a
`write(nodes, operation, tensors, inputs)` that adds its nodes and returns the name of what they make."""
