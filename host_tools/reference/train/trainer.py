# SPDX-License-Identifier: MIT
"""Twin of trainer.c, settings.c and train.c: the one training loop in Python, for `numpy:` and `onnx:`."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttzo.device_runtime.contract import (
    DeviceError,
    Estimator,
    PhaseRecord,
    Region,
    StateRecord,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.cost import evaluations_a_step, evaluations_by_definition
from ttzo.exporter.costs.graph_memory import blocks
from ttzo.exporter.plan import pruning
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import GAUSS_NEWTON, REUSING, moments_of_update
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.reference.cores.core_gradient import CoreEstimate
from ttzo.host_tools.reference.cores.graph_gradient import GraphEstimate
from ttzo.host_tools.reference.equations import coordinate_columns, frozen_features, pde
from ttzo.host_tools.reference.equations.coordinate_gn import CoordinateGaussNewton, columns_of_graph
from ttzo.host_tools.reference.equations.gauss_newton import GaussNewton
from ttzo.host_tools.reference.identification.identify import Fit
from ttzo.host_tools.reference.network import packed_rows, sparse_rows
from ttzo.host_tools.reference.network.loss import hits as count_hits
from ttzo.host_tools.reference.network.loss import sum_in_order
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE, read_inputs
from ttzo.host_tools.reference.network.vary_rows import varied_rows
from ttzo.host_tools.reference.number import real
from ttzo.host_tools.reference.number.random import sample_rows
from ttzo.host_tools.reference.train.estimator import Estimate
from ttzo.host_tools.reference.train.numpy_network import Network, NumpyNetwork
from ttzo.host_tools.reference.train.schedule import power, rate_factor, state_after_step
from ttzo.host_tools.reference.train.settings import check_fixed, check_settings

ZERO, ONE = np.float32(0), np.float32(1)
LAST_STEP = 2**32 - 1  # the step counter's end
START = StateRecord(0, 0, 0, 0, 0.0, float("inf"), 0, 0)


@dataclass(frozen=True)
class StepResult:
    phase: int
    loss: float
    gradient_norm: float
    evaluations: int
    macs: int  # multiply-accumulates; 0 for estimators that skip zeros, which only a device counts


class Trainer:
    """A training run as the device holds it; `poll(done, total)` is called after each loss evaluation of a step or
    each row of an evaluation and cancels by returning False. Refusals are `DeviceError`s and change nothing."""

    def __init__(self, plan: Plan, network: Network | None = None, work_capacity: int = 1 << 24,
                 sparse_capacity: int = 0):  # fmt: skip
        self.plan = plan
        self.network = network or NumpyNetwork(plan)
        self.poll: Callable[[int, int], bool] | None = None
        self.n_moments, self.row_bytes, self.macs_per_sample = plan.n_moments, plan.row_bytes, plan.macs
        self.macs_per_row = plan.macs * plan.passes
        self.work_bytes, self.work_capacity = memory.work_bytes(plan), work_capacity
        if work_capacity < self.work_bytes:
            raise DeviceError("out_of_memory", self.work_bytes)
        self.dataset_capacity = memory.dataset_capacity(plan, work_capacity)
        self._rows = {
            Region.batch: np.zeros((memory.batch_capacity(plan), self.row_bytes), np.uint8),
            Region.dataset: np.zeros((self.dataset_capacity, self.row_bytes), np.uint8),
        }
        self.sparse_capacity = sparse_capacity  # bytes of the region sparse
        self._sparse = np.zeros(sparse_capacity, np.uint8)
        self._sparse_rows = np.zeros((0, self.row_bytes), np.uint8)  # what a commit found there
        self._count = {Region.batch: 0, Region.dataset: 0, Region.sparse: 0}  # rows that are committed
        self._stage = np.zeros(4 * max(plan.n_parameters, plan.n_moments), np.uint8)
        self.reset()

    # ---- lifetime and settings

    def reset(self) -> None:
        self.training, *phases = training_records(self.plan.training)
        self.training = TrainingRecord.unpack(self.training.pack())  # the numbers that fit into the record
        self.phases = tuple(PhaseRecord.unpack(phase.pack()) for phase in phases)
        self.state = START
        self.theta = self.plan.parameters.copy()
        self.moments = np.zeros(self.n_moments, np.float32)

    def configure(self, training: TrainingRecord, phase_0: PhaseRecord, phase_1: PhaseRecord) -> None:
        check_fixed(training, (phase_0, phase_1), self.plan)
        check_settings(training, (phase_0, phase_1))
        self.training, self.phases = training, (phase_0, phase_1)

    def set_state(self, state: StateRecord) -> None:
        possible = (
            True,
            state.phase < self.training.n_phases,
            state.phase_start <= state.step,
            state.window_count <= self.training.plateau_window,
            math.isfinite(state.window_sum),
            not math.isnan(state.best_window),  # infinite before the first window
            state.windows_without_progress <= self.training.plateau_patience,
        )
        if not all(possible):
            raise DeviceError("bad_request", possible.index(False))
        self.state = state

    # ---- regions

    def _memory(self, region: int) -> np.ndarray:
        """The bytes of a region that is being written: the stage for parameters and moments, else the rows."""
        if region == Region.parameters:
            return self._stage[: 4 * self.plan.n_parameters]
        if region == Region.moments:
            return self._stage[: 4 * self.n_moments]
        if region == Region.sparse:
            return self._sparse
        if region not in self._rows:
            raise DeviceError("out_of_range", 0)
        return self._rows[Region(region)].reshape(-1)

    def write(self, region: int, offset: int, data: bytes) -> None:
        target = self._memory(region)
        if offset + len(data) > target.size:
            raise DeviceError("out_of_range", offset)
        if region in self._count:
            self._count[Region(region)] = 0
        target[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def write_packed(self, region: int, offset: int, count: int, packed: bytes) -> None:
        """`write` of `count` bytes that `packed` holds."""
        assert self.plan.packing is not None
        if offset + count > self._memory(region).size:
            raise DeviceError("out_of_range", offset)
        self.write(region, offset, packed_rows.unpack(self.plan.packing, packed, count))

    def commit(self, region: int, count: int, crc: int) -> None:
        source = self._memory(region)
        if count > source.size or (region not in self._count and count != source.size):
            raise DeviceError("out_of_range", count)
        data = source[:count].tobytes()
        if zlib.crc32(data) != crc:
            raise DeviceError("bad_checksum", count)
        if region == Region.sparse:
            self._commit_sparse(data)
        elif region in self._count:
            self._commit_rows(Region(region), count)
        else:
            self._commit_numbers(Region(region), np.frombuffer(data, "<f4").copy())

    def _commit_numbers(self, region: Region, numbers: np.ndarray) -> None:
        if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
            raise DeviceError("bad_number", int(bad[0]))
        if region == Region.parameters:
            self.theta = numbers
        else:
            self.moments = numbers

    def _commit_sparse(self, data: bytes) -> None:
        self._count[Region.sparse] = 0
        plan, width = self.plan, NUMBER_DTYPE[self.plan.input_number].itemsize
        n = sparse_rows.check(data, plan.in_features, width, self.row_bytes, plan.n_classes, plan.has_padding)
        self._sparse_rows = sparse_rows.unpack(data, plan.in_features, width, self.row_bytes)
        if plan.n_tokens:
            self._count[Region.batch] = 0  # whose memory a device unpacks them into
            inputs, _ = self._decode(self._sparse_rows)
            if (bad := self._rows_of_unknown_tokens(inputs)).size:
                raise DeviceError("bad_token", int(bad[0]))
        self._count[Region.sparse] = n

    def _commit_rows(self, region: Region, count: int) -> None:
        if count % self.row_bytes:
            raise DeviceError("out_of_range", count)
        n = count // self.row_bytes
        inputs, targets = self._decode(self._rows[region][:n])
        if (bad := self._rows_of_unknown_classes(targets)).size:
            raise DeviceError("bad_label", int(bad[0]))
        if self.plan.simulation:
            numbers = self._rows[region][:n].view("<f4").reshape(-1)
            if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
                raise DeviceError("bad_number", int(bad[0]))
        if (bad := self._rows_of_unknown_tokens(inputs)).size:
            raise DeviceError("bad_token", int(bad[0]))
        self._count[region] = n

    def _rows_of_unknown_classes(self, targets: np.ndarray) -> np.ndarray:
        if not self.plan.has_classes:
            return np.zeros(0, int)
        unknown = (targets >= self.plan.n_classes) & ~(self.plan.has_padding & (targets == NO_CLASS))
        return np.flatnonzero(unknown.any(axis=tuple(range(1, unknown.ndim))))

    def _rows_of_unknown_tokens(self, inputs: np.ndarray) -> np.ndarray:
        n_tokens = self.plan.n_tokens
        return np.flatnonzero(((inputs < 0) | (inputs >= n_tokens)).any(axis=1)) if n_tokens else np.zeros(0, int)

    def read(self, region: int, offset: int, count: int) -> bytes:
        sources: dict[int, np.ndarray] = {Region.parameters: self.theta, Region.moments: self.moments}
        source = sources.get(region)
        if source is None or offset + count > source.nbytes:
            raise DeviceError("out_of_range", offset)
        return source.tobytes()[offset : offset + count]

    def _decode(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows as they are sent, uint8 [n, row_bytes] -> network inputs float32 [n, in], targets int64 [n] or
        [n, places], or float32 [n, out]."""
        kind = NUMBER_DTYPE[self.plan.input_number]
        input_bytes = kind.itemsize * self.plan.in_features
        raw = np.ascontiguousarray(rows[:, :input_bytes]).view(kind)
        targets = np.ascontiguousarray(rows[:, input_bytes:])
        if self.plan.has_classes:
            classes = targets.view("<u2").astype(np.int64)
            return read_inputs(self.plan, raw), classes if self.plan.has_padding else classes[:, 0]
        return read_inputs(self.plan, raw), targets.view("<f4")

    def _committed(self, region: int) -> np.ndarray:
        if region not in self._rows:
            raise DeviceError("bad_request", region)
        return self._rows[Region(region)][: self._count[Region(region)]]

    # ---- a step

    def _batch(self, region: int) -> np.ndarray:
        """The rows of a step, uint8 [batch, row_bytes]."""
        rows = self._chosen(region)
        if self.plan.augmentation is None:
            return rows
        self._rows[Region.batch][:] = varied_rows(self.plan, rows, self.training.seed, self.state.step)
        self._count[Region.batch] = 0  # used up
        return self._rows[Region.batch]

    def _chosen(self, region: int) -> np.ndarray:
        batch = self.plan.batch
        if region == Region.sparse:
            self._unpack_batch()
            region = Region.batch
        rows = self._committed(region)
        if len(rows) < (batch if region == Region.batch else 1):
            raise DeviceError("not_committed", self.state.step)
        if region == Region.batch:
            return rows
        positions = self.state.step * batch + np.arange(batch)
        return rows[sample_rows(self.training.seed, positions, len(rows))]

    def _unpack_batch(self) -> None:
        """The batch as the sample order picks it from the region sparse, into the region batch."""
        n, batch = self._count[Region.sparse], self.plan.batch
        if n == 0:
            raise DeviceError("not_committed", self.state.step)
        positions = self.state.step * batch + np.arange(batch)
        self._rows[Region.batch][:batch] = self._sparse_rows[sample_rows(self.training.seed, positions, n)]
        self._count[Region.batch] = batch

    def step(self, region: int) -> StepResult:
        """One training step on the rows of `region`. Raises `DeviceError` and leaves everything as it was."""
        phase, state = self.phases[self.state.phase], self.state
        if state.step == LAST_STEP:
            raise DeviceError("last_step", state.step)
        rate = np.float32(phase.learning_rate) * rate_factor(self.training, state.step)
        move = self._move_by_gradient
        if self.plan.simulation:
            move = self._move_along_log
        elif phase.estimator in GAUSS_NEWTON:
            move = self._move_by_residuals
        loss, norm, evaluations = move(phase, region, rate)
        self.state = state_after_step(state, self.training, float(loss), evaluations)
        if self.state.phase != state.phase:
            self.moments[:] = 0
        return StepResult(state.phase, float(loss), float(norm), evaluations, self._macs(phase, evaluations))

    def _macs(self, phase: PhaseRecord, evaluations: int) -> int:
        if phase.estimator in REUSING or self.plan.simulation:
            return 0
        plan = self.plan
        return evaluations * (plan.batch * self.macs_per_row if plan.pde else plan.forward_macs(plan.batch))

    def _counted(self, work: Callable[[np.ndarray], np.ndarray], total: int) -> Callable[[np.ndarray], np.ndarray]:
        """`work(parameters)`, one loss evaluation of `total`, with the poll after it."""
        done = 0

        def counted(parameters: np.ndarray) -> np.ndarray:
            nonlocal done
            result = work(parameters)
            done += 1
            self._poll(done, total)
            return result

        return counted

    def _move_by_gradient(
        self, phase: PhaseRecord, region: int, rate: np.float32
    ) -> tuple[np.float32, np.float32, int]:
        """Estimate and update: mean loss before, the estimate's norm, evaluations spent."""
        estimate = self._estimate(phase, region)
        gradient = estimated = np.where(pruning.is_pruned(self.theta), ZERO, estimate.gradient())
        with np.errstate(all="ignore"):
            norm = real.sqrt(np.array([sum_in_order(gradient * gradient)]))[0]
            if not np.isfinite(norm):
                raise DeviceError("non_finite", self.state.step)
            if phase.clip_norm > 0 and norm > np.float32(phase.clip_norm):
                gradient = gradient * (np.float32(phase.clip_norm) / norm)
            self._update(phase, gradient, rate)
            if (buffer := self._buffer(phase)) is not None:
                buffer[:] = estimated
        return estimate.loss, norm, estimate.evaluations

    def _buffer(self, phase: PhaseRecord) -> np.ndarray | None:
        """cocd's memory, after the moments of the phase's update rule."""
        if phase.estimator != Estimator.cocd:
            return None
        n = self.plan.n_parameters
        at = n * moments_of_update(Update(phase.update))
        return self.moments[at : at + n]

    def _estimate(self, phase: PhaseRecord, region: int) -> Estimate | CoreEstimate | GraphEstimate:
        """With environments shared where the network is the reference's, by whole loss evaluations elsewhere."""
        state, seed = self.state, self.training.seed
        age, buffer = state.step - state.phase_start, self._buffer(phase)
        if phase.estimator in REUSING and isinstance(self.network, NumpyNetwork):
            x, targets = self._decode(self._batch(region))
            self._poll(0, self.plan.batch)
            estimate = (
                CoreEstimate(self.plan, phase, seed, state.step, self.theta, x, targets, age, buffer)
                if self.plan.chain is not None
                else GraphEstimate(self.plan, phase, seed, state.step, self.theta, x, targets, age, buffer)
            )
            if not np.isfinite(estimate.loss):
                raise DeviceError("non_finite", state.step)
            return estimate
        losses = self._counted(self._row_losses(region), evaluations_by_definition(self.plan, phase))
        return Estimate(phase, seed, state.step, self.theta, losses, blocks(self.plan), age, buffer)

    def _move_by_residuals(
        self, phase: PhaseRecord, region: int, rate: np.float32
    ) -> tuple[np.float32, np.float32, int]:
        """A Gauss-Newton step: mean loss before, the step's length, evaluations spent."""
        residuals, points = self._residuals(region)
        seed, step = self.training.seed, self.state.step
        counted = self._counted(residuals, evaluations_a_step(self.plan, phase))

        if phase.estimator == Estimator.frozen_features:
            evaluations = evaluations_a_step(self.plan, phase)
            next_rows = self._counted(self._residuals(region, ahead=1)[0], evaluations)
            self.theta, loss, length = frozen_features.step(self.plan, phase, seed, step, self.theta, points, next_rows)
            return loss, length, evaluations
        in_units = phase.estimator == Estimator.coordinate_gn

        def columns() -> tuple[np.ndarray, np.ndarray]:
            made_by, mu = coordinate_columns if in_units else pde, np.float32(phase.perturb_radius)
            if in_units and self.plan.chain is None:
                return columns_of_graph(self.plan, self.theta, residuals, mu)
            return made_by.residuals_and_columns(self.plan, self.theta, points, seed, step, mu)

        kind: type[CoordinateGaussNewton | GaussNewton] = CoordinateGaussNewton if in_units else GaussNewton
        work = kind(self.plan, phase, seed, step, self.theta, self.moments, counted, columns)
        self.theta, self.moments, loss, length = work.run(rate)
        return loss, length, work.evaluations

    def _move_along_log(self, phase: PhaseRecord, region: int, rate: np.float32) -> tuple[np.float32, np.float32, int]:
        """The next rows of a simulation's log: mean square of the sweep so far, the next step's length, evaluations spent."""
        stays = region == Region.dataset
        rows = self._committed(region).view("<f4")  # of batch and dataset; others are refused
        if len(rows) < (1 if stays else self.plan.batch):
            raise DeviceError("not_committed", self.state.step)
        fit = Fit(self.plan, phase, self.theta, self.moments, self.training.seed)
        loss, length = fit.run(rows, stays, self._poll, self.state.step)
        self.theta, self.moments = fit.theta, fit.moments
        return loss, length, 1 + self.plan.n_parameters

    def _residuals(self, region: int, ahead: int = 0) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
        """The weighted residuals of the rows of the step, or of one so many steps ahead, as a function of the parameters, and
        the rows' points."""
        if self.plan.pde is None or region != Region.collocation:
            raise DeviceError("bad_request", self.state.step)
        seed, step = self.training.seed, self.state.step + ahead
        points = pde.training_points(self.plan, seed, step)
        return lambda theta: self.network.residuals(theta, points, seed, step), points

    def _row_losses(self, region: int) -> Callable[[np.ndarray], np.ndarray]:
        """The losses of the step's rows as a function of the parameters."""
        if self.plan.pde is None:
            x, targets = self._decode(self._batch(region))
            return lambda theta: self.network.losses(theta, x, targets)
        residuals, _ = self._residuals(region)
        return lambda theta: residuals(theta) ** 2

    def _poll(self, done: int, total: int) -> None:
        if self.poll and not self.poll(done, total):
            raise DeviceError("cancelled")

    def _update(self, phase: PhaseRecord, g: np.ndarray, rate: np.float32) -> None:
        """Takes the step, or nothing of it when a parameter or moment would not be finite."""
        n, beta1, beta2 = self.plan.n_parameters, np.float32(phase.beta1), np.float32(phase.beta2)
        moments = self.moments.copy()
        v, squares = moments[:n], moments[n : 2 * n]
        if phase.update == Update.sign:
            theta = np.where(g > 0, self.theta - rate, np.where(g < 0, self.theta + rate, self.theta))
        else:
            step = g
            if phase.update == Update.momentum:
                step = v[:] = beta1 * v + g
            elif phase.update == Update.ema_momentum:
                step = v[:] = beta1 * v + (ONE - beta1) * g
            elif phase.update == Update.adam:
                age = self.state.step - self.state.phase_start + 1
                unbias1, unbias2 = ONE / (ONE - power(beta1, age)), ONE / (ONE - power(beta2, age))
                v[:] = beta1 * v + (ONE - beta1) * g
                squares[:] = beta2 * squares + (ONE - beta2) * (g * g)
                step = (v * unbias1) / (real.sqrt(squares * unbias2) + np.float32(phase.epsilon))
            theta = -rate * step + self.theta
        if not np.isfinite(theta).all() or not np.isfinite(moments).all():
            raise DeviceError("non_finite", self.state.step)
        self.theta, self.moments = theta, moments

    # ---- evaluation

    def evaluate(self, region: int, first: int, count: int) -> tuple[float, int]:
        """Sum of the losses of rows [first, first + count), and how many of them are classified right."""
        if self.plan.pde is not None or self.plan.simulation is not None:
            raise DeviceError("bad_request", first)
        rows = self._committed(region)
        if first + count > len(rows):
            raise DeviceError("out_of_range", first)
        losses, hits = [np.zeros(0, np.float32)], 0
        for at in range(0, count, self.plan.batch):
            x, targets = self._decode(rows[first : first + count][at : at + self.plan.batch])
            losses.append(self.network.losses(self.theta, x, targets))
            if self.plan.has_classes:
                hits += count_hits(self.plan, self.network.outputs(self.theta, x), targets)
            self._poll(at + len(x), count)
        total = sum_in_order(np.concatenate(losses))
        if not np.isfinite(total):
            raise DeviceError("non_finite", self.state.step)
        return float(total), hits

    def predict(self, row: int) -> np.ndarray:
        """Outputs float32 [out_features] for one row of the batch; with a PDE, u there."""
        if self.plan.simulation is not None:  # an answer depends on all rows before it
            raise DeviceError("bad_request", row)
        rows = self._committed(Region.batch)
        if row >= len(rows):
            raise DeviceError("out_of_range", row)
        if self.plan.pde is not None:
            points = rows[row : row + 1].view("<f4")[:, : self.plan.in_features].T
            return self._solution(points)[:, 0]
        x, _ = self._decode(rows[row : row + 1])
        return self.network.outputs(self.theta, x)[0]

    def _solution(self, points: np.ndarray) -> np.ndarray:
        """The fields [fields, n] at points [inputs, n]."""
        inputs = points * np.float32(self.plan.input_scale) + np.float32(self.plan.input_offset)
        return pde.solution(self.plan, self.network.outputs(self.theta, np.ascontiguousarray(inputs.T)).T, points)

    def solution_error(self, region: int, first: int, count: int) -> tuple[float, float]:
        """Sums of (u - exact)^2 and exact^2 over seeded validation points (collocation), or rows with the host's u."""
        if self.plan.pde is None or (region == Region.collocation and self.plan.pde.exact is None):
            raise DeviceError("bad_request", first)
        if region == Region.collocation:
            points = pde.validation_points(self.plan, first, count)
            exact = pde.exact(self.plan, points)
        else:
            rows = self._committed(region)
            if first + count > len(rows):
                raise DeviceError("out_of_range", first)
            numbers = rows[first : first + count].view("<f4")
            points, exact = numbers[:, : self.plan.in_features].T, numbers[:, self.plan.in_features :].T
        with np.errstate(all="ignore"):
            difference = self._solution(points) - exact
            sums = [sum_in_order((values * values).T.ravel()) for values in (difference, exact)]
        self._poll(count, count)
        if not np.isfinite(sums).all():
            raise DeviceError("non_finite", self.state.step)
        return float(sums[0]), float(sums[1])
