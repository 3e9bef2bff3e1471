# SPDX-License-Identifier: MIT
"""Training on a device: the host sends rows and counts steps, the device does everything else.

Data stay on the device where they fit and pay; otherwise each step is sent exactly the rows that the sample order
picks. Both give the same bits, and so does a run that was interrupted and gone on with: `checkpoint.npz` in the run's
folder holds all that a step depends on, `metrics.csv` beside it has a line for every step.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import DeviceError, ExitCode, Region, TtzoError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.to_bundle import model_hash
from ttzo.host_tools.data import run_data
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.whole_file import OF_THE_DISK, DiskError
from ttzo.host_tools.device.device import Device, Evaluation, StartedAnew, run_folder
from ttzo.host_tools.device.link import LinkError
from ttzo.host_tools.device.replies import ReplyError
from ttzo.host_tools.reference.number.random import batch_rows
from ttzo.host_tools.training import answers, audit, run_model
from ttzo.host_tools.training import checkpoint as checkpoints
from ttzo.host_tools.training.answers import Answers
from ttzo.host_tools.training.checkpoint import Checkpoint, CheckpointError, Generation
from ttzo.host_tools.training.generations import Generations
from ttzo.host_tools.training.measurement import default_test_rows, measure_answers, most_rows, subset, test_subset
from ttzo.host_tools.training.metrics import MetricsError, MetricsFile
from ttzo.host_tools.training.stop import Stop

CHECKPOINT_S = 5.0  # at the soonest, and
CHECKPOINT_SHARE = 20  # at most one part in so many of the time goes into checkpoints
MEASUREMENTS = 10  # of the test rows during a run
SOLUTION_MEASUREMENTS = 25  # of a PDE's solution: its points cost less than a step


class Interrupted(TtzoError):
    """The person stopped the work; what was done is kept."""

    exit_code = ExitCode.interrupted


class SessionError(TtzoError):
    """A run that cannot go on."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step. `test` and `validation` are the last measurements on such rows (while validation
    rows are there, test rows are measured at the end alone), `rate` in steps a second."""

    step: int
    steps: int
    loss: float
    evaluations: int
    rate: float
    test: Evaluation | None
    validation: Evaluation | None = None


@dataclass(frozen=True)
class Run:
    """What a call of `train` came to. `loss` is the last step's; `evaluations`, `seconds`, and of its steps `macs` and
    `instructions` are those of the whole run, as far as the device counts them."""

    folder: Path
    step: int
    steps: int
    resumed_from: int
    loss: float | None
    evaluations: int
    macs: int
    instructions: int | None
    seconds: float
    resident: bool
    test: Evaluation
    validation: Evaluation | None = None
    answers: Answers | None = None

    @property
    def last_loss(self) -> float:
        """`loss`; NaN where this call took no step."""
        return math.nan if self.loss is None else self.loss


# ---- settings --------------------------------------------------------------------------------------------------------


def require_trained(plan: Plan) -> None:
    """Raises `SessionError` for a plan of which every parameter is frozen."""
    if not plan.n_parameters:
        raise SessionError(
            "every parameter of this model is frozen", "export the run again without --frozen, or with --freeze NAME"
        )


def run_settings(exported: Training, changes: Mapping[str, Any]) -> Training:
    """The schedule with `changes` (names: `train_defaults.RUN_SETTINGS`; None: not given; several values: one for each phase).

    Raises `SessionError` for a setting that is fixed at export, `PlanError` for a value out of range.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    fixed = [name for name in given if name not in train_defaults.RUN_SETTINGS]
    if any(phase.is_gauss_newton for phase in exported.phases) and "n_queries" in given:
        fixed.append("n_queries")  # the memory of its columns is
    if fixed:
        raise SessionError(
            f"{fixed[0]} is fixed at export",
            f"export again with it; a run can change {', '.join(train_defaults.RUN_SETTINGS)}",
        )
    return train_defaults.overridden(exported, given)


# ---- the run's folder ------------------------------------------------------------------------------------------------


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the folder meanwhile; the system forgets it when this process is killed.
    Does nothing where folders cannot be locked (Windows, some network drives).

    Raises `SessionError` when another process trains there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(fcntl, descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(fcntl: ModuleType, descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SessionError(
            f"another process is training in {folder}", "wait until it ends, or choose another folder with --run"
        ) from error
    except OSError:
        return  # a drive that knows no locks, or none of folders


# ---- training --------------------------------------------------------------------------------------------------------


def train(
    device: Device,
    data: DataSet,
    folder: Path | None = None,
    *,
    changes: Mapping[str, Any] = MappingProxyType({}),
    start: Checkpoint | None = None,
    restart: bool = False,
    generation: Generation = Generation.last,
    checkpoint_steps: int | None = None,
    test_rows: int | None = None,
    report: Callable[[Progress], object] = lambda progress: None,
    on_upload: Callable[[int, int], object] = lambda done, total: None,
    say: Callable[[str], object] = lambda text: None,
) -> Run:
    """Trains until the schedule's last step, in `folder` (default: `runs/<device>` in the bundle's folder).

    Goes on from the folder's checkpoint (that of `generation`) unless `restart`, under the checkpoint's settings with
    `changes` on top (see `run_settings`). A run that begins takes its parameters from `start`, another run's checkpoint (run_model.start_for), or
    as they were exported. A checkpoint is written every `checkpoint_steps` steps (default: by time), at the end, and on Ctrl-C; those of
    the generations good and best where the loss is measured. `say(text)` hears what the person should know.

    Raises:
        CheckpointError: a damaged checkpoint, or one of another model; the device was not touched.
        SessionError: the run was trained on other data, or another process trains in the folder.
        Interrupted: Ctrl-C; the checkpoint is written.
        LinkError, DeviceError, ReplyError, DiskError: line, device or disk failed; the hint says how to go on.
        Diverged: the last loss is far above the best one; the checkpoints are written.
    """
    folder = folder or run_folder(device.folder, device.url)
    with ExitStack() as held:
        session = _Session(device, data, folder, changes, restart, generation, held)
        session.start, session.checkpoint_steps = start, checkpoint_steps
        session.report, session.on_upload, session.say = report, on_upload, say
        session.n_test_rows = test_rows or default_test_rows(device, data)
        held.enter_context(session.stop.listening())
        try:
            return session.run()
        except KeyboardInterrupt:
            raise session.interrupted() from None


class _Session:
    """One call of `train`, which sets the attributes without a value here. What it opens, `held` closes."""

    start: Checkpoint | None
    checkpoint_steps: int | None
    report: Callable[[Progress], object]
    on_upload: Callable[[int, int], object]
    say: Callable[[str], object]
    n_test_rows: int
    metrics: MetricsFile  # from _begin on
    begun = False

    def __init__(
        self,
        device: Device,
        data: DataSet,
        folder: Path,
        changes: Mapping[str, Any],
        restart: bool,
        generation: Generation,
        held: ExitStack,
    ):
        require_trained(device.plan)
        self.device, self.data, self.folder, self.held = device, data, folder, held
        self.path = folder / Generation.last.value
        self.again = "the same command without --restart" if restart else "the same command"
        self.stop = Stop()
        self.is_alone = folder.is_dir()
        if self.is_alone:
            held.enter_context(alone_in(folder))
        origin = folder / generation.value
        wanted = not restart and (origin.exists() or generation != Generation.last)
        found = checkpoints.load(origin, device.plan) if wanted else None
        if found and found.data_checksum != data.checksum:
            raise SessionError(
                f"the run in {folder} was trained on other data", "give the same data, or start again with --restart"
            )
        self.found = found
        self.settings = run_settings(found.settings if found else device.plan.training, changes)
        self.resumed_from = self.saved_step = found.state.step if found else 0
        self.evaluations = found.state.evaluations if found else 0
        self.macs = 0
        self.instructions: int | None = None
        self.loss: float | None = None
        self.test: Evaluation | None = None
        self.answers: Answers | None = None
        self.validation: Evaluation | None = None
        self.validation_rows = (
            data.validation_rows[subset(data.n_validation, most_rows(device))] if data.n_validation else None
        )
        audited = test_subset(data, audit.ROWS) if self.validation_rows is None else self.validation_rows
        self.generations = Generations(folder, device, self.validation_rows, audited)
        self.losses: list[float] = []  # of the steps since the last measurement
        self.saved_at, self.save_cost = time.monotonic(), 0.0

    # ---- beginning

    def _begin(self) -> None:
        """Brings the device to where the run stands. The folder changes only after the device has agreed."""
        self.device.reset()
        self.device.configure(self.settings)
        if self.found:
            self.device.load(self.found.parameters, self.found.moments, self.found.state)
        elif self.start:
            no_moments = np.zeros(self.device.plan.n_moments, np.float32)
            self.device.load(self.start.parameters, no_moments, self.device.state())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.is_alone:
                self.held.enter_context(alone_in(self.folder))
            self.generations.begin(goes_on=self.found is not None)
            self._save()
            run_model.save(self.folder, self.device.plan)
            run_data.save(self.folder, self.data.preparation)
            (self.folder / answers.NAME).unlink(missing_ok=True)  # they were of other parameters
            origin = f"model {model_hash(self.device.plan).hex()}, data {self.data.name}, {self.device.board} at {self.device.url}"
            self.metrics = MetricsFile(self.folder / "metrics.csv", origin, self.settings, self.resumed_from, self.say)
            self.held.callback(self.metrics.close)
            self.begun = True
        except OSError as error:
            if error.errno in OF_THE_DISK:
                raise DiskError(self.folder, error) from error
            raise SessionError(
                f"{self.folder} cannot be written ({error.strerror})", "choose another folder with --run", ExitCode.disk
            ) from error
        self.macs = self.metrics.macs
        if self.device.instructions is not None:
            self.instructions = self.metrics.instructions
        self.started_at = time.monotonic()

    def _upload(self) -> Region:
        """Puts the data set onto the device when it fits and is not more than the steps will use; the region that the
        steps take their rows from."""
        device, n = self.device, len(self.data.x_train)
        if device.plan.pde is not None:
            return Region.collocation
        if (self.settings.steps - device.step_count) * device.plan.batch < n:
            return Region.batch

        def tell(done: int, total: int) -> None:
            self.on_upload(done, total)
            self.stop.check()

        if n <= device.info.dataset_capacity:
            device.write_dataset(self.data.train_rows, tell)
            return Region.dataset
        if device.info.sparse_capacity and len(self.data.sparse_rows) <= device.info.sparse_capacity:
            device.write_sparse(self.data.sparse_rows, tell)
            return Region.sparse
        return Region.batch

    # ---- steps

    def run(self) -> Run:
        try:
            self._begin()
            region = self._upload()
            self.started_at = time.monotonic()
            times = MEASUREMENTS if self.device.plan.pde is None else SOLUTION_MEASUREMENTS
            every = max(1, self.settings.steps // times)
            while self.device.step_count < self.settings.steps:
                self.stop.check()
                self._step(region, every)
            self._save()
            test = self.test or self._measure_last()
            self._keep_answers()
        except (LinkError, DeviceError, ReplyError, MetricsError, CheckpointError, DiskError) as error:
            raise self._explained(error) from error
        self.generations.require_convergence(self.metrics.first_loss, self.device.step_count)
        return Run(
            folder=self.folder,
            step=self.device.step_count,
            steps=self.settings.steps,
            resumed_from=self.resumed_from,
            loss=self.loss,
            evaluations=self.evaluations,
            macs=self.macs,
            instructions=self.instructions,
            seconds=self._seconds(),
            resident=region in (Region.dataset, Region.sparse),
            test=test,
            validation=self.validation,
            answers=self.answers,
        )

    def _step(self, region: Region, every: int) -> None:
        if region == Region.batch:
            self.device.write_batch(self._batch(self.device.step_count))
        before = self.device.instructions
        result = self.device.step(region, self.stop.check)
        after = self.device.instructions
        if before is not None and after is not None:
            self.instructions = (self.instructions or 0) + after - before
        self.macs += result.macs
        self.loss = result.loss
        self.losses.append(result.loss)
        self.evaluations += result.evaluations
        test, validation = None, None
        is_measured = result.step % every == 0 or result.step == self.settings.steps
        if is_measured:
            test, validation = self._measure(is_last=result.step == self.settings.steps)
        classes = self.device.plan.has_classes
        self.metrics.write(
            step=result.step,
            phase=result.phase,
            loss=result.loss,
            gradient_norm=result.gradient_norm,
            evaluations=self.evaluations,
            seconds=self._seconds(),
            accuracy=test.accuracy if test and classes else None,
            test_loss=test.loss if test else None,
            validation_accuracy=validation.accuracy if validation and classes else None,
            validation_loss=validation.loss if validation else None,
            relative_l2=test.relative if test else None,
            macs=self.macs or None,
            instructions=self.instructions,
        )
        if is_measured:
            mean = math.fsum(self.losses) / len(self.losses)
            self.generations.keep(validation.loss if validation else mean, self._read)
            self.losses.clear()
        if self._due(result.step):
            self._save()
        self._tell(result.step, result.loss)

    def _batch(self, step: int) -> np.ndarray:
        return self.data.train_rows[
            batch_rows(self.settings.seed, step, self.device.plan.batch, len(self.data.x_train))
        ]

    def _measure(self, is_last: bool) -> tuple[Evaluation | None, Evaluation | None]:
        """What is measured now, on test rows and on validation rows: on the latter where there are any, then on test rows
        at the end alone."""
        test, validation = None, None
        if self.validation_rows is not None:
            validation = self.validation = self.device.evaluate(self.validation_rows, self.stop.check)
        if is_last:
            test = self._measure_last()
        elif validation is None:
            test = self.device.evaluate(test_subset(self.data, self.n_test_rows), self.stop.check)
        self.test = test or self.test
        return test, validation

    def _measure_last(self) -> Evaluation:
        """The test rows at the end of the run, and what the answers to them are worth."""
        self.test, self.answers = measure_answers(self.device, self.data, self.n_test_rows, self.stop.check)
        return self.test

    def _seconds(self) -> float:
        return self.metrics.seconds + time.monotonic() - self.started_at

    def _tell(self, step: int, loss: float) -> None:
        rate = (step - self.resumed_from) / max(1e-9, time.monotonic() - self.started_at)
        self.report(Progress(step, self.settings.steps, loss, self.evaluations, rate, self.test, self.validation))

    # ---- checkpoints

    def _due(self, step: int) -> bool:
        if self.checkpoint_steps:
            return step % self.checkpoint_steps == 0
        return time.monotonic() - self.saved_at > max(CHECKPOINT_S, CHECKPOINT_SHARE * self.save_cost)

    def _read(self, measured: float = math.nan, measured_rows: int = 0) -> Checkpoint:
        device = self.device
        return Checkpoint(
            parameters=device.parameters(),
            moments=device.moments(),
            state=device.state(),
            settings=self.settings,
            model_hash=model_hash(device.plan),
            data_checksum=self.data.checksum,
            measured=measured,
            measured_rows=measured_rows,
        )

    def _save(self) -> None:
        began = time.monotonic()
        saved = self._read()
        checkpoints.save(self.path, saved)
        self.saved_step, self.saved_at = saved.state.step, time.monotonic()
        self.save_cost = self.saved_at - began

    def _keep_answers(self) -> None:
        if self.answers is not None:
            answers.save(self.folder, asdict(self.answers))

    # ---- endings

    def interrupted(self) -> Interrupted:
        """Saves what the device has done, and says so. Before the first step there is nothing to save."""
        if self.begun:
            with suppress(LinkError, DeviceError, ReplyError, DiskError, KeyboardInterrupt):
                self._save()
        if not self.path.exists():
            return Interrupted("stopped before the first step; nothing has changed", "the same command starts again")
        held = f"the checkpoint in {self.folder} holds step {self.saved_step} of {self.settings.steps}"
        return Interrupted(f"stopped; {held}", f"{self.again} goes on from there")

    def _explained(self, error: TtzoError) -> TtzoError:
        """The same error, its hint ending with how to go on."""
        if isinstance(error, DeviceError) and error.name == "cancelled":
            raise KeyboardInterrupt
        if not self.begun:
            return error
        if isinstance(error, DeviceError) and error.name in ("wrong_step", "not_committed"):
            error = StartedAnew(f"{self.device.board} was restarted during training", "check its power supply")
        error.hint += f"; the checkpoint in {self.folder} holds step {self.saved_step}: {self.again} goes on from there"
        return error
