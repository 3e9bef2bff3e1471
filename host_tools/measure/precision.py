# SPDX-License-Identifier: MIT
"""What float32 costs: the same losses in float64, a bound on the rounding error of any float32 evaluation, and the
noise that is left in a loss difference.

The bound is Higham's running one ("Accuracy and Stability of Numerical Algorithms", 3.1 and 3.5): a chain of K
roundings multiplies each term by 1 + d, |d| <= gamma(K) = K u / (1 - K u), u = 2^-24, whatever the order of summation
and whether products are rounded apart or fused. So for a layer z = W x + b whose inputs carry an error e,

    |error of z|  <=  |W| e + gamma(K) (|W| |x| + |b|),

where |W| is contracted from the absolute values of the TT cores and K counts the roundings of all its contractions.
relu, tanh and sine do not stretch an error; softmax cross-entropy stretches it by at most 2 in the largest logit. Of
graphs every operation has a bound of its own (host_tools/reference/operations).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Activation, LayerKind, Loss
from ttzo.exporter.operations.gathering import Tokens
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers.tensor_train import dense_weight
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.reference.network.gathered_layer import combined, gathered
from ttzo.host_tools.reference.number.random import direction
from ttzo.host_tools.reference.operations.graph import graph_bounded
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork

UNIT_ROUNDOFF = 2.0**-24
ELEMENTARY_ULPS = 16  # what any sensible float32 exp, log, tanh or sin keeps, in units of 2^-24


def gamma(roundings: int) -> float:
    return roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF)


def _applied(layer: Layer, weight: np.ndarray, bias: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows x (n, n_inputs) through the affine map, wherever the layer applies it: (n, n_outputs)."""
    return combined(layer, x.T, weight @ gathered(layer, x.T) + bias[:, None]).T


def _affine(layer: Layer, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense weight (out, in) and bias (out,) of a layer, contracted in theta's precision."""
    tensors = [theta[t.offset : t.offset + t.size].reshape(t.shape) for t in layer.tensors]
    bias = tensors.pop() if layer.has_bias else np.zeros(layer.out_features, theta.dtype)
    return tensors[0] if layer.kind == LayerKind.dense else dense_weight(layer, tensors), bias


ACTIVATE: dict[Activation, Callable[[np.ndarray], np.ndarray]] = {
    Activation.identity: lambda z: z,
    Activation.relu: lambda z: np.maximum(z, 0),
    Activation.tanh: np.tanh,
    Activation.sine: np.sin,
}


def _row_losses(plan: Plan, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    if plan.loss == Loss.mse:
        return ((outputs - targets) ** 2).mean(axis=1)
    if plan.loss == Loss.huber:
        delta, error = plan.loss_options.huber_delta, np.abs(outputs - targets)
        return np.where(error < delta, error**2 / 2, delta * (error - delta / 2)).mean(axis=1)
    if plan.loss == Loss.binary_cross_entropy:
        outputs = np.hstack([np.zeros_like(outputs), outputs])
    return _mean_of_places(plan, _place_losses(plan, outputs, targets), targets)


def _place_losses(plan: Plan, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(n, places), of any number where a place does not count."""
    scores = scores.reshape(len(scores), plan.n_places, plan.n_classes)
    top = scores.max(axis=2, keepdims=True)
    known = np.where(targets == NO_CLASS, 0, targets).reshape(len(scores), -1, 1)
    own = np.take_along_axis(scores, known, axis=2)
    return (np.log(np.exp(scores - top).sum(axis=2, keepdims=True)) + top - own)[..., 0]


def _mean_of_places(plan: Plan, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weighted mean (n,) over the places of values (n, places) that count."""
    classes = targets.reshape(len(values), -1)
    judged = classes != NO_CLASS
    weights = np.array(plan.loss_options.class_weights or [1.0] * plan.n_classes)[np.where(judged, classes, 0)]
    return (values * weights * judged).sum(axis=1) / np.maximum(judged.sum(axis=1), 1)


def losses64(plan: Plan, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Each row's loss in float64: network inputs x (n, in_features), classes (n,) or targets (n, out_features)."""
    theta, state = theta.astype(np.float64), x.astype(np.float64)
    if plan.chain is None:
        return _row_losses(plan, graph_bounded(plan, theta, state.T).exact.T, targets)
    for layer in plan.layers:
        weight, bias = _affine(layer, theta)
        state = ACTIVATE[layer.activation](_applied(layer, weight, bias, state))
    return _row_losses(plan, state, targets)


def residual_tolerance(plan: Plan, theta: np.ndarray, seed: int, step: int) -> float:
    """The allowed difference of a PDE's mean loss in step `step` between two float32 evaluations. A rule of
    thumb, not a bound: 100 times the most that four random roundings of all parameters do to the loss, and 1e-6 of it.

    It treats a float32 evaluation as the exact one of a network whose numbers were changed by a few roundings, as the
    derivatives and the residual's program are not covered by `loss_bound`. On allen-cahn, darcy and heat10 as exported it
    tells a Laplacian with an error of 1e-3 from rounding; on black-scholes, where the Laplacian hardly counts, it does not."""
    rng, points = np.random.default_rng(step), pde.training_points(plan, seed, step)

    def loss(parameters: np.ndarray) -> float:
        residuals = pde.residuals(plan, parameters.astype(np.float32), points, seed, step)
        return float((residuals.astype(np.float64) ** 2).mean())

    at = loss(theta)
    rounded = [theta * (1 + 2 * UNIT_ROUNDOFF * rng.choice([-1, 1], theta.size)) for _ in range(4)]
    return 100 * max(abs(loss(each) - at) for each in rounded) + 1e-6 * at


def loss_bound(plan: Plan, theta: np.ndarray, x: np.ndarray, targets: np.ndarray) -> float:
    """Largest difference of the mean batch losses of two float32 evaluations: twice the rounding error bound of one."""
    theta, state = theta.astype(np.float64), x.astype(np.float64)
    if plan.chain is None:
        outputs = graph_bounded(plan, theta, state.T)
        return 2 * _mean_loss_error(plan, outputs.exact.T, outputs.error.T, targets)
    error = np.zeros_like(state)
    for layer in plan.layers:
        weight, bias = _affine(layer, theta)
        sizes, bias_size = _affine(layer, np.abs(theta))
        roundings = sum(inner + 1 for _, _, inner, _ in layer.contractions) + 1
        if isinstance(layer.gather, Tokens):  # numbers of tokens are exact; their outputs are summed up and divided
            roundings += layer.positions + 1
            error = gamma(roundings) * _applied(layer, sizes, bias_size, state)
        else:
            none = np.zeros_like(bias_size)
            error = _applied(layer, sizes, none, error) + gamma(roundings) * (
                _applied(layer, sizes, bias_size, np.abs(state) + error)
            )
        state = ACTIVATE[layer.activation](_applied(layer, weight, bias, state))
        if layer.activation in (Activation.tanh, Activation.sine):
            error = error + gamma(ELEMENTARY_ULPS)
    return 2 * _mean_loss_error(plan, state, error, targets)


def _mean_loss_error(plan: Plan, outputs: np.ndarray, error: np.ndarray, targets: np.ndarray) -> float:
    n, width = outputs.shape
    losses = _row_losses(plan, outputs, targets)
    if (
        plan.has_classes
    ):  # exp, sum, log and two subtractions of numbers below 2 max|z| + log(classes), mean over places
        classes = plan.n_classes
        of_places = np.abs(outputs).reshape(n, plan.n_places, -1).max(axis=2)
        roundings = 2 * ELEMENTARY_ULPS + classes + plan.n_places + 5
        each = 2 * error.reshape(n, plan.n_places, -1).max(axis=2)
        each = each + gamma(roundings) * (1 + 2 * of_places + np.log(classes))
        rows = _mean_of_places(plan, each, targets)
    elif plan.loss == Loss.huber:
        distance, delta = np.abs(outputs - targets) + error, plan.loss_options.huber_delta
        slope = np.minimum(distance, delta)
        rows = (error * slope).mean(axis=1) + gamma(width + 6) * (distance * slope).mean(axis=1)
    else:
        distance = np.abs(outputs - targets)
        rows = (error * (2 * distance + error)).mean(axis=1) + gamma(width + 4) * ((distance + error) ** 2).mean(axis=1)
    return float(rows.mean() + gamma(n + 2) * (np.abs(losses) + rows).mean())


@dataclass(frozen=True)
class Noise:
    """Float32 noise of the loss difference that a query measures, at radius mu: root mean squares over directions."""

    perturb_radius: float
    difference: float  # L(theta + mu v) - L(theta), in float64
    noise: float  # what float32 adds to it

    @property
    def relative(self) -> float:
        return self.noise / self.difference if self.difference else float("inf")


def difference_noise(plan: Plan, x: np.ndarray, targets: np.ndarray, n_directions: int = 8) -> Noise:
    """Forecast from the NumPy reference and float64 along the first directions of the plan's own seed."""
    phase, theta = plan.training.phases[0], plan.parameters
    network = NumpyNetwork(plan)
    mu = np.float32(phase.perturb_radius)

    def mean32(parameters: np.ndarray) -> float:
        return float(network.losses(parameters, x, targets).astype(np.float64).mean())

    base32, base64 = mean32(theta), losses64(plan, theta, x, targets).mean()
    exact, found = [], []
    for query in range(n_directions):
        v = direction(theta.size, phase.direction, plan.training.seed, 0, query)
        found.append(mean32(mu * v + theta) - base32)
        exact.append(losses64(plan, theta.astype(np.float64) + float(mu) * v, x, targets).mean() - base64)
    rms = [float(np.sqrt(np.mean(np.square(values)))) for values in (exact, np.subtract(found, exact))]
    return Noise(float(mu), *rms)
