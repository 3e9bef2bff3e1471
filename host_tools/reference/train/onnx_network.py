# SPDX-License-Identifier: MIT
"""A network whose losses come from onnxruntime: the exported loss graph, its parameters fed as inputs."""

import dataclasses

import numpy as np
import onnxruntime

from ttzo.device_runtime.contract import Derivative, Loss
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.onnx.pde_to_onnx import has_opposite
from ttzo.exporter.writers.onnx.to_onnx import loss_graph
from ttzo.host_tools.reference.equations.derive import Noise, gaussian_pairs, jet_directions
from ttzo.host_tools.reference.equations.pde import measured_numbers, opposite_points


class OnnxNetwork:
    """Evaluates the plan's loss graph at any parameters, on one thread so that a run can be repeated."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self._losses = _session(plan)
        # a PDE's graph has no outputs: they come from the same network with an ordinary loss
        self._plain = _without_equation(plan) if plan.pde else plan
        self._outputs = _session(self._plain) if plan.pde else self._losses

    def _parameters(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        return _named(self.plan, theta)

    def outputs(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        feed = _named(self._plain, theta) | {"x": x, "y": self._plain.no_targets(len(x))}
        return self._outputs.run(["outputs"], feed)[0]

    def losses(self, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return self._losses.run(["losses"], self._parameters(theta) | {"x": x, "y": targets})[0]

    def residuals(self, theta: np.ndarray, points: np.ndarray, seed: int, step: int) -> np.ndarray:
        feed = self._parameters(theta) | {"x": np.ascontiguousarray(points.T)}
        if self.plan.equation.derivative == Derivative.monte_carlo:
            feed["normals"] = gaussian_pairs(self.plan, Noise(seed, step, np.arange(points.shape[1])))
        if self.plan.equation.n_sampled:
            made = jet_directions(self.plan, Noise(seed, step, np.arange(points.shape[1])))
            feed["directions"] = np.ascontiguousarray(made.transpose(1, 2, 0))
        if self.plan.equation.readings:
            feed["measured"] = np.ascontiguousarray(measured_numbers(self.plan, step).T)
        if has_opposite(self.plan.equation):
            feed["opposite"] = np.ascontiguousarray(opposite_points(self.plan, points, seed, step).T)
        return self._losses.run(["residuals"], feed)[0]


def _named(plan: Plan, theta: np.ndarray) -> dict[str, np.ndarray]:
    """The plan's tensors in theta, by name."""
    return {t.name: theta[t.offset : t.offset + t.size].reshape(t.shape) for t in plan.tensors}


def _without_equation(plan: Plan) -> Plan:
    """The same network, without the equation's constants."""
    theta = plan.parameters[: plan.n_parameters - len(plan.unknowns)]
    return dataclasses.replace(plan, parameters=theta, loss=Loss.mse, pde=None, training=Training())


def _session(plan: Plan) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        loss_graph(plan).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
