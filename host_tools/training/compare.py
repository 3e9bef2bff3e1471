# SPDX-License-Identifier: MIT
"""The same steps on two devices, held against each other.

Two devices that compute by the contract end in the same bits: parameters are compared after every k-th step, loss and
gradient norm after each. onnxruntime adds up in an order of its own: there, each compared step starts from the other
device's parameters, and the two losses must lie within the rounding error bound of `precision.loss_bound`, those of a
PDE's residuals within `precision.residual_tolerance`, which is a rule of thumb. How far it gets from the other when left
alone is reported, but does not count.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import Region, StepReply
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import Device
from ttzo.host_tools.measure.precision import loss_bound, residual_tolerance
from ttzo.host_tools.reference.network.network import read_inputs
from ttzo.host_tools.reference.number.random import batch_rows
from ttzo.host_tools.training.stop import Stop

Report = Callable[[int, int], object]


@dataclass(frozen=True)
class Parting:
    """The first step and place where two devices part. `place` is a tensor with an index, or `loss`, `gradient norm`;
    `after` is the last step at which all was still the same."""

    step: int
    after: int
    place: str
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Two devices over `steps` steps. Bits: `parted` is None when they are identical.

    Bound or tolerance: `worst` is the largest |loss difference| / bound of a step, `difference` and `bound` those of that step;
    `drift` is the largest parameter difference after as many steps without help.
    """

    a: str
    b: str
    judged_by: str  # "bits", "bound", or "tolerance" with a PDE
    steps: int
    compared: int
    parted: Parting | None
    loss: tuple[float, float]
    worst: float = 0.0
    difference: float = 0.0
    bound: float = 0.0
    drift: float | None = None

    @property
    def agree(self) -> bool:
        return self.parted is None


def by_bound(device: Device) -> bool:
    """Whether a device is judged by the size of rounding errors instead of by its bits."""
    return device.board == "onnx"


def compare(
    a: Device,
    b: Device,
    data: DataSet,
    steps: int,
    *,
    every: int = 1,
    settings: Training | None = None,
    report: Report = lambda done, total: None,
) -> Comparison:
    """Both devices do `steps` steps from the exported parameters on the same rows; every `every`-th is compared in full."""
    settings = settings or a.plan.training
    for device in (a, b):
        device.reset()
        device.configure(settings)
    pair = _Pair(a, b, data, settings)
    with pair.stop.listening():
        if by_bound(a) or by_bound(b):
            return _within_bound(pair, steps, every, report)
        return _same_bits(pair, steps, every, report)


class _Pair:
    """Two devices that take the same step at the same time."""

    def __init__(self, a: Device, b: Device, data: DataSet, settings: Training):
        self.devices, self.data, self.settings, self.stop = (a, b), data, settings, Stop()

    def rows(self, step: int) -> np.ndarray:
        if self.devices[0].plan.pde is not None:
            return np.zeros(0, np.int64)  # the devices draw their points themselves
        return batch_rows(self.settings.seed, step, self.devices[0].plan.batch, len(self.data.x_train))

    def step(self, step: int) -> tuple[StepReply, StepReply]:
        """Step number `step` + 1 on both."""
        rows = self.data.train_rows[self.rows(step)]
        with ThreadPoolExecutor(2) as pool:
            a, b = pool.map(lambda device: self.step_one(device, rows), self.devices)
            return a, b

    def step_one(self, device: Device, rows: np.ndarray) -> StepReply:
        self.stop.check()
        if device.plan.pde is not None:
            return device.step(Region.collocation, self.stop.check)
        device.write_batch(rows)
        return device.step(Region.batch, self.stop.check)


# ---- bits ------------------------------------------------------------------------------------------------------------


def _same_bits(pair: _Pair, steps: int, every: int, report: Report) -> Comparison:
    a, b = pair.devices
    parted, same_until, compared, losses = None, 0, 0, (math.nan, math.nan)
    for step in range(steps):
        of_a, of_b = pair.step(step)
        compared, losses = of_a.step, (of_a.loss, of_b.loss)
        parted = _result_parting(of_a, of_b, same_until)
        if parted or compared % every == 0 or compared == steps:
            found = parameter_parting(a.plan, a.parameters(), b.parameters(), compared, same_until)
            parted = parted or found
            same_until = compared
        report(step + 1, steps)
        if parted:
            break
    return Comparison(a.url, b.url, "bits", steps, compared, parted, losses)


def _bits(values) -> np.ndarray:
    return np.asarray(values, np.float32).view(np.uint32)


def _result_parting(a: StepReply, b: StepReply, same_until: int) -> Parting | None:
    for name in ("loss", "gradient_norm"):
        x, y = getattr(a, name), getattr(b, name)
        if _bits(x) != _bits(y):
            return Parting(a.step, same_until, name.replace("_", " "), x, y)
    return None


def parameter_parting(plan: Plan, a: np.ndarray, b: np.ndarray, step: int, same_until: int) -> Parting | None:
    """The first place where the parameters of two devices have other bits; None when there is none."""
    different = np.flatnonzero(_bits(a) != _bits(b))
    if not different.size:
        return None
    at = int(different[0])
    tensor = next(t for t in plan.tensors if t.offset <= at < t.offset + t.size)
    index = ", ".join(map(str, np.unravel_index(at - tensor.offset, tensor.shape)))
    place = f"{tensor.name}[{index}] and {different.size - 1} more" if different.size > 1 else f"{tensor.name}[{index}]"
    return Parting(step, same_until, place, float(a[at]), float(b[at]))


# ---- bound -----------------------------------------------------------------------------------------------------------


def _within_bound(pair: _Pair, steps: int, every: int, report: Report) -> Comparison:
    """The judged pass, then the onnxruntime device once more, on its own."""
    a, b = pair.devices
    reference, guest = (b, a) if by_bound(a) else (a, b)
    worst, compared, parted, losses = (-1.0, 0.0, 0.0), 0, None, (0.0, 0.0)
    for step in range(steps):
        if step % every and step != steps - 1:
            pair.step_one(reference, pair.data.train_rows[pair.rows(step)])
            continue
        bound = _bound(pair, reference, guest, step)
        results = pair.step(step)
        losses, compared = (results[0].loss, results[1].loss), compared + 1
        difference = abs(losses[0] - losses[1])
        worst = max(worst, (difference / bound, difference, bound))
        report(step + 1, steps)
        if difference > bound:
            parted = Parting(step + 1, step, "loss", *losses)
            break
    drift = None if parted else _drift(pair, reference, guest, steps)
    judged_by = "bound" if reference.plan.pde is None else "tolerance"
    return Comparison(a.url, b.url, judged_by, steps, compared, parted, losses, *worst, drift)


def _bound(pair: _Pair, reference: Device, guest: Device, step: int) -> float:
    """Gives the guest the reference's run, and tells how far their losses in the next step may lie apart."""
    parameters = reference.parameters()
    guest.load(parameters, reference.moments(), reference.state())
    rows, plan = pair.rows(step), reference.plan
    if plan.pde is not None:
        return residual_tolerance(plan, parameters, pair.settings.seed, step)
    return loss_bound(plan, parameters, read_inputs(plan, pair.data.x_train[rows]), pair.data.y_train[rows])


def _drift(pair: _Pair, reference: Device, guest: Device, steps: int) -> float:
    guest.reset()
    guest.configure(pair.settings)
    for step in range(steps):
        pair.step_one(guest, pair.data.train_rows[pair.rows(step)])
    return float(np.abs(guest.parameters() - reference.parameters()).max())
