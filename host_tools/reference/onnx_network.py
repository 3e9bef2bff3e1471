# SPDX-License-Identifier: MIT
"""A network whose losses come from onnxruntime: the exported loss graph, its parameters fed as inputs."""

import numpy as np
import onnxruntime

from ttzo.exporter.plan import Plan
from ttzo.exporter.to_onnx import loss_graph


class OnnxNetwork:
    """Evaluates the plan's loss graph at any parameters, on one thread so that a run can be repeated."""

    def __init__(self, plan: Plan):
        self.plan = plan
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            loss_graph(plan).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def _run(self, output: str, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        feed = {t.name: theta[t.offset : t.offset + t.size].reshape(t.shape) for t in self.plan.tensors}
        return self._session.run([output], feed | {"x": x, "y": targets})[0]

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        return self._run("outputs", theta, x, self._no_targets(len(x)))

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return self._run("losses", theta, x, targets)

    def _no_targets(self, n: int) -> np.ndarray:
        kind = self._session.get_inputs()[-1]
        return (
            np.zeros(n, np.int64) if kind.type == "tensor(int64)" else np.zeros((n, self.plan.out_features), np.float32)
        )
