# SPDX-License-Identifier: MIT
"""MLPerf Tiny's four reference architectures, from torch and from ONNX: what is exported computes what they do."""

import numpy as np
import onnxruntime
import pytest
import torch
from tiny_networks import NETWORKS, network

from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.readers.from_onnx import plan_from_file
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.writers.onnx.to_onnx import forward_graph
from ttzo.host_tools.reference.operations.graph import model_forward

BOUND = 1e-4  # of the largest output: float32 sums in other orders


def run(content: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("source", ["torch", "onnx"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_reference_network_is_exported_and_agrees_with_onnxruntime(tmp_path, name, source):
    module = network(name)
    x = torch.randn(2, *module.SHAPE, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "net.onnx"
    torch.onnx.export(module, (x,), path, dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
    settings = {"loss": Loss.mse, "batch": 2, "input_number": Number.float32}
    if source == "torch":
        plan = plan_from_module(module, input_shape=module.SHAPE, **settings)
    else:
        plan = plan_from_file(path, **settings)
    wanted = run(path.read_bytes(), x.numpy())
    own = run(forward_graph(plan).SerializeToString(), x.reshape(2, -1).numpy())
    assert np.abs(own - wanted).max() < BOUND * np.abs(wanted).max()
    twin = model_forward(plan, plan.parameters, x.reshape(2, -1).numpy())
    assert np.abs(twin - wanted).max() < BOUND * np.abs(wanted).max()
