# SPDX-License-Identifier: MIT
"""Training on a device: the host sends rows and counts steps, the device does everything else.

Data stay on the device where they fit and pay; otherwise each step is sent exactly the rows that the sample order
picks. Both give the same bits, and so does a run that was interrupted and gone on with: `checkpoint.npz` in the run's
folder holds all that a step depends on, `metrics.csv` beside it has a line for every step.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import DeviceError, ExitCode, Region, TtzoError
from ttzo.exporter.choose.method import with_steps
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.to_bundle import model_hash
from ttzo.host_tools.data import run_data
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.whole_file import OF_THE_DISK, DiskError
from ttzo.host_tools.device.device import Device, Evaluation, run_folder
from ttzo.host_tools.device.link import StartedAnew
from ttzo.host_tools.device.place import place
from ttzo.host_tools.device.ports import LinkError
from ttzo.host_tools.device.replies import ReplyError
from ttzo.host_tools.reference.number.random import batch_rows
from ttzo.host_tools.training import answers, audit, run_model
from ttzo.host_tools.training import checkpoint as checkpoints
from ttzo.host_tools.training.answers import Answers
from ttzo.host_tools.training.checkpoint import Checkpoint, CheckpointError, Generation
from ttzo.host_tools.training.folder_lock import alone_in
from ttzo.host_tools.training.generations import Generations
from ttzo.host_tools.training.guard import ASTRAY, Event, Kind, Verdict, describe
from ttzo.host_tools.training.kept_run import KeptRun
from ttzo.host_tools.training.measurement import (
    default_test_rows,
    finite_evaluation,
    guard_of,
    measure_answers,
    most_rows,
    subset,
    test_columns,
    test_subset,
)
from ttzo.host_tools.training.metrics import MetricsError, MetricsFile, as_kept
from ttzo.host_tools.training.run import (
    Interrupted,
    Progress,
    Run,
    SessionError,
    diverged,
    no_validation_rows,
    rates_of,
    require_trained,
    run_settings,
    slowed,
)
from ttzo.host_tools.training.stop import Stop
from ttzo.host_tools.training.upload import upload

CHECKPOINT_S = 5.0  # at the soonest, and
CHECKPOINT_SHARE = 20  # at most one part in so many of the time goes into checkpoints
MOST_IN_VAIN = 5  # times in a row that a device may start anew before the next checkpoint
MEASUREMENTS = 20  # of validation or test rows during a run
SOLUTION_MEASUREMENTS = 25  # of a PDE's solution: its points cost less than a step


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
    patience: int | None = None,
    keep: Generation = Generation.last,
    report: Callable[[Progress], object] = lambda progress: None,
    on_upload: Callable[[int, int], object] = lambda done, total: None,
    say: Callable[[str], object] = lambda text: None,
) -> Run:
    """Trains until the schedule's last step, in `folder` (default: `runs/<device>` in the bundle's folder).

    Goes on from the folder's checkpoint (that of `generation`) unless `restart`, under the checkpoint's settings with
    `changes` on top (see `run_settings`); without one, from this run as the device has kept it over a reset. A run that
    begins takes its parameters from `start`, another run's checkpoint (run_model.start_for), or as they were exported. A
    checkpoint is written every `checkpoint_steps` steps (default: by time), at the end, and on Ctrl-C; those of the
    generations good and best where the guard looks at the loss. A device that reconnects and has lost what it held is brought
    to the last checkpoint again. With `patience` the run ends early, when the loss of the validation rows has not fallen
    for so many measurements; `keep` best: it ends with the parameters of the lowest. `say(text)` hears what the person should know.

    Raises:
        CheckpointError: a damaged checkpoint, or one of another model; the device was not touched.
        SessionError: other data, another process in the folder, or no validation rows for `patience` or `keep`.
        Interrupted: Ctrl-C; the checkpoint is written.
        LinkError, DeviceError, ReplyError, DiskError: line, device or disk failed; the hint says how to go on.
        Diverged: the loss went astray at the end, or however often the rate was halved (guard.py); the checkpoints hold
            the best parameters.
    """
    folder = folder or run_folder(device.folder, device.url)
    first, in_vain = None, 0
    while True:
        with ExitStack() as held:
            session = _Session(device, data, folder, changes, restart, generation, held)
            session.start, session.checkpoint_steps = start, checkpoint_steps
            session.patience, session.keeps_best = patience or math.inf, keep == Generation.best
            if session.validation_rows is None and (session.keeps_best or patience):
                raise no_validation_rows(device.plan)
            session.report, session.on_upload, session.say = report, on_upload, say
            session.n_test_rows = test_rows or default_test_rows(device, data)
            held.enter_context(session.stop.listening())
            try:
                if first is not None:
                    device.greet()
                run = session.run()
                return replace(run, resumed_from=run.resumed_from if first is None else first)
            except KeyboardInterrupt:
                raise session.interrupted() from None
            except StartedAnew as error:
                first = session.resumed_from if first is None else first
                in_vain = in_vain + 1 if session.saved_step == session.resumed_from else 0
                if not device.reconnects or in_vain == MOST_IN_VAIN:
                    raise
                say(f"{error}; the run goes on from step {session.saved_step}")
            if session.begun:
                restart, generation = False, Generation.last


class _Session:
    """One call of `train`, which sets the attributes without a value here. What it opens, `held` closes."""

    start: Checkpoint | None
    checkpoint_steps: int | None
    report: Callable[[Progress], object]
    on_upload: Callable[[int, int], object]
    say: Callable[[str], object]
    n_test_rows: int
    patience: float  # looks without progress that end the run
    keeps_best: bool
    metrics: MetricsFile  # from _begin on
    begun = False
    recorded = -1  # the step up to which the metrics file is complete, while the device's state is that of its rows

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
        self.restart, self.has_folder = restart, found is not None
        exported = with_steps(device.plan, len(data.x_train), changes.get("steps"))
        self.settings = run_settings(found.settings if found else exported, changes)
        self._go_on_from(found)
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
        self.guard = guard_of(device.plan, data, self.settings, self.validation_rows)
        self.saved_at, self.save_cost = time.monotonic(), 0.0

    # ---- beginning

    def _go_on_from(self, found: Checkpoint | None) -> None:
        self.found = found
        self.resumed_from = self.saved_step = found.state.step if found else 0
        self.evaluations = found.state.evaluations if found else 0

    def _begin(self) -> None:
        """Brings the device to where the run stands. The folder changes only after the device has agreed."""
        self.kept, plan = KeptRun(self.device, self.say), self.device.plan
        start = self.start.parameters if self.start else plan.parameters
        self._go_on_from(self.kept.begin(self.found, start, self.settings, self.data.checksum, self.restart))
        self.device.reset()
        self.device.configure(self.settings)
        if self.found:
            self.device.load(self.found.parameters, self.found.moments, self.found.state)
        elif self.start:
            self.device.load(self.start.parameters, np.zeros(plan.n_moments, np.float32), self.device.state())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.is_alone:
                self.held.enter_context(alone_in(self.folder))
                self.is_alone = True
            self.generations.begin(goes_on=self.has_folder)
            self._save()
            if not self.has_folder:
                self.generations.start(self._read())
            run_model.save(self.folder, plan)
            run_data.save(self.folder, self.data.preparation)
            (self.folder / answers.NAME).unlink(missing_ok=True)  # they were of other parameters
            origin = f"model {model_hash(self.device.plan).hex()}, data {self.data.name}, {place(self.device.board, self.device.url)}"
            self.metrics = MetricsFile(self.folder / "metrics.csv", origin, self.settings, self.resumed_from, self.say)
            self.held.callback(self.metrics.close)
            self.begun, self.recorded = True, self.resumed_from
            self._replay()
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

    def _replay(self) -> None:
        """Brings the guard to where the run stands, and the device to what follows of its events."""
        if self.found is None:
            return
        self.guard.replay(self.metrics.done)
        if self.guard.events and rates_of(self.settings) != rates_of(self.found.settings):
            self._record(self.guard.happened(Kind.new_rate, self.resumed_from))
        self.device.configure(self._in_force())
        last, state = self.guard.events[-1:], self.found.state
        if last and last[0].step == state.step > state.phase_start and last[0].returns:
            self._load_kept()  # the run was cut between the event and the checkpoint

    def _upload(self) -> Region:
        """Puts the rows onto the device where they fit and pay; the region that the steps take their rows from."""

        def tell(done: int, total: int) -> None:
            self.on_upload(done, total)
            self.stop.check()

        return upload(self.device, self.data, self.settings.steps - self.device.step_count, tell)

    # ---- steps

    def run(self) -> Run:
        try:
            self._begin()
            region = self._upload()
            self.started_at = time.monotonic()
            times = MEASUREMENTS if self.device.plan.pde is None else SOLUTION_MEASUREMENTS
            every = max(1, self.settings.steps // times)
            while self.device.step_count < self.settings.steps and not self._has_ended():
                self.stop.check()
                self._step(region, every)
            self._end()
            self._require_convergence()
            test = self.test or self._measure_last()
            if self.answers is not None:
                answers.save(self.folder, asdict(self.answers))
        except (LinkError, DeviceError, ReplyError, MetricsError, CheckpointError, DiskError) as error:
            raise self._explained(error) from error
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
            events=tuple(self.guard.events),
        )

    def _step(self, region: Region, every: int) -> None:
        if region == Region.batch:
            self.device.write_batch(self._batch(self.device.step_count))
        before = self.device.instructions
        try:
            result = self.device.step(region, self.stop.check)
        except DeviceError as error:
            if error.name != "non_finite":
                raise
            self.guard.went_astray(self.device.step_count)
            self._return()
            return
        after = self.device.instructions
        if before is not None and after is not None:
            self.instructions = (self.instructions or 0) + after - before
        self.macs += result.macs
        self.loss = result.loss
        self.evaluations += result.evaluations
        test, validation = None, None
        is_last = result.step == self.settings.steps
        if is_due := result.step % every == 0 or is_last:
            test, validation = self._measure(is_last)
        judged = self._judged(result.step, as_kept(result.loss), is_due, validation)
        classes = self.device.plan.has_classes
        self.metrics.write(
            step=result.step,
            phase=result.phase,
            loss=result.loss,
            gradient_norm=result.gradient_norm,
            evaluations=self.evaluations,
            seconds=self._seconds(),
            validation_accuracy=validation.accuracy if validation and classes else None,
            validation_loss=validation.loss if validation else None,
            macs=self.macs or None,
            instructions=self.instructions,
            judged=judged,
            **test_columns(self.device.plan, test),
        )
        self._judge(result.step, judged)
        self.recorded = self.device.step_count
        if self._due(result.step):
            self._save()
        self._tell(result.step, result.loss)

    # ---- the guard

    def _judged(self, step: int, loss: float, is_due: bool, validation: Evaluation | None) -> float | None:
        """The loss that the guard looks at after this step; None: at none."""
        self.guard.add(loss)
        if self.validation_rows is None:
            found = self.guard.window_mean(step, step == self.settings.steps)
        else:
            found = None if not is_due else validation.loss if validation else math.inf
        return None if found is None else as_kept(found)

    def _judge(self, step: int, judged: float | None) -> None:
        if judged is None:
            return
        verdict = self.guard.judge(step, judged)
        if step == self.settings.steps and self.guard.is_lost and verdict not in ASTRAY:
            verdict = Verdict.give_up
            self.guard.happened(Kind.gave_up, step)
        if verdict in ASTRAY:
            self._return()
        else:
            self.generations.keep(judged, self._read)

    def _return(self) -> None:
        """Goes back, as the guard's last event says. Raises `Diverged` where it gives up."""
        event = self.guard.events[-1]
        self.recorded = -1
        self._record(replace(event, back_to=self.generations.kept().state.step))
        self.device.configure(self._in_force())
        self._load_kept()
        self._save()
        self.recorded = event.step
        if event.kind == Kind.gave_up:
            self._require_convergence(event.step)

    def _require_convergence(self, step: int | None = None) -> None:
        """Raises `Diverged` when the run came back from a hopeless loss after `step` steps (default: its last)."""
        if event := self.guard.divergence(step or self.settings.steps):
            raise diverged(event, self.generations.best, self.folder / Generation.best.value)

    def _load_kept(self) -> None:
        """Puts the best parameters onto the device. Moments begin anew; steps and evaluations go on counting."""
        kept, now = self.generations.kept(), self.device.state()
        state = replace(kept.state, step=now.step, phase_start=now.step, evaluations=now.evaluations)
        self.device.load(kept.parameters, np.zeros_like(kept.moments), state)

    def _in_force(self) -> Training:
        """The settings with the rates as often halved as the guard has said."""
        return slowed(self.settings, self.guard.rate)

    def _record(self, event: Event, test: Evaluation | None = None) -> None:
        values = test_columns(self.device.plan, test)
        values |= {"event": int(event.kind), "back_to": event.back_to, "judged": event.loss}
        self.metrics.write(step=event.step, **values)
        self.say(describe(event, ", ".join(f"{rate:g}" for rate in rates_of(self._in_force()))))

    def _has_ended(self) -> bool:
        return self.guard.has_ended or self.guard.looks_since_best >= self.patience

    def _end(self) -> None:
        """Says what the run has come to, and puts the best parameters in the place of the last where they are asked for."""
        step, known = self.device.step_count, {(event.kind, event.step) for event in self.guard.events}
        if self.guard.constant and self.guard.kept_step == 0 and self.resumed_from < step:
            told = f"{self.guard.constant:.4g}, which the best constant answer has"
            self.say(f"nothing was learned: the loss never fell below {told}; try another --lr, or more --steps")
        if step < self.settings.steps and (Kind.stopped_early, step) not in known:
            self.test = None
            self._record(self.guard.happened(Kind.stopped_early, step))
        if self.keeps_best and (Kind.kept_best, step) not in known and self.generations.kept().state.step != step:
            self._load_kept()
            self.test, self.validation = self._measure_last(), self._measure_validation()
            self._record(self.guard.happened(Kind.kept_best, step), self.test)
        self._save(is_last=True)

    def _batch(self, step: int) -> np.ndarray:
        chosen = batch_rows(self.settings.seed, step, self.device.plan.batch, len(self.data.x_train))
        return self.data.train_rows[chosen]

    def _measure(self, is_last: bool) -> tuple[Evaluation | None, Evaluation | None]:
        """What is measured now: validation rows where there are any, and test rows then at the end alone."""
        test, validation = None, self._measure_validation()
        self.validation = validation
        if is_last:
            test = self._measure_last()
        elif self.validation_rows is None:
            test = finite_evaluation(self.device, test_subset(self.data, self.n_test_rows), self.stop.check)
        self.test = test or self.test
        return test, validation

    def _measure_validation(self) -> Evaluation | None:
        rows = self.validation_rows
        return None if rows is None else finite_evaluation(self.device, rows, self.stop.check)

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
        return Checkpoint(
            parameters=self.device.parameters(),
            moments=self.device.moments(),
            state=self.device.state(),
            settings=self.settings,
            model_hash=model_hash(self.device.plan),
            data_checksum=self.data.checksum,
            measured=measured,
            measured_rows=measured_rows,
            run=self.kept.run,
        )

    def _save(self, is_last: bool = False) -> None:
        began = time.monotonic()
        checkpoints.save(self.path, saved := self._read())
        self.saved_step, self.saved_at = saved.state.step, time.monotonic()
        self.save_cost = self.saved_at - began
        self.kept.keep(at_once=is_last)

    # ---- endings

    def interrupted(self) -> Interrupted:
        """Saves what the device has done, where the metrics file holds all of it, and says so."""
        if self.begun and self.device.step_count == self.recorded:
            with suppress(LinkError, DeviceError, ReplyError, DiskError, KeyboardInterrupt):
                self._save(is_last=True)
        if not self.path.exists():
            return Interrupted("stopped before the first step; nothing has changed", "the same command starts again")
        held = f"the checkpoint in {self.folder} holds step {self.saved_step} of {self.settings.steps}"
        return Interrupted(f"stopped; {held}", f"{self.again} goes on from there")

    def _explained(self, error: TtzoError) -> TtzoError:
        """The same error, its hint ending with how to go on."""
        name = error.name if isinstance(error, DeviceError) else ""
        if name == "cancelled":
            raise KeyboardInterrupt
        if not self.begun:
            return error
        if name in ("wrong_step", "not_committed"):
            error = StartedAnew(f"{self.device.board} was restarted during training", "check its power supply")
        error.hint += f"; the checkpoint in {self.folder} holds step {self.saved_step}: {self.again} goes on from there"
        return error
