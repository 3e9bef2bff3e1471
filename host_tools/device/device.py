# SPDX-License-Identifier: MIT
"""Devices by URL: a board on a serial port, or an emulated one that starts and stops by itself.

    with open_device("native:", "digits") as device:
        device.write_batch(rows)
        print(device.step(Region.batch).loss)

| URL | device |
|---|---|
| `/dev/ttyACM0`, `COM3`, `unix:PATH`, `socket://HOST:PORT` | whatever answers there |
| `usb:VID:PID`, `usb:SERIAL` | the board with these USB numbers, whatever its port is called |
| `mpy:/dev/ttyACM0` | a MicroPython board with the module and the model on it, at its prompt |
| `native:` | the C runtime as a process on this machine |
| `native:FILE` | the same; it keeps its run in that file when it ends |
| `numpy:`, `onnx:` | the Python training loop, its losses from NumPy or onnxruntime |
| `qemu:BOARD` | the real firmware in an emulated board |
| `qemu:BOARD+storage` | the same; its run outlives a reset of the board |
"""

import math
import re
import sys
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    DeviceError,
    EvaluateReply,
    ExitCode,
    KeepReply,
    PhaseRecord,
    Region,
    RestoreReply,
    SolutionErrorReply,
    StateRecord,
    StatusReply,
    StepReply,
    TrainingRecord,
    TtzoError,
)
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.costs.memory import batch_capacity
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING, Training
from ttzo.exporter.plan.untrusted_file import read_bytes
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import DataSet, n_judged, pack_rows, packed_bytes, require_inputs
from ttzo.host_tools.device import emulated_device, micropython_board, replies
from ttzo.host_tools.device.faulty_line import Faults
from ttzo.host_tools.device.link import Link, StartedAnew
from ttzo.host_tools.device.ports import DEFAULT_BAUD, Line, Stream
from ttzo.host_tools.device.threads import require_threads
from ttzo.host_tools.firmware import key_file
from ttzo.host_tools.firmware.key_file import Lock
from ttzo.host_tools.reference.train.schedule import state_after_step
from ttzo.host_tools.reference.train.trainer import START

BUNDLE = "model.ttzo"
SILENCE_S = 10.0  # longest silence of a device that is not computing
SLOWEST_MACS_PER_S = 100_000  # of a slow core: some 16 MHz without floating-point unit
LIMIT_S = 60.0  # longest wait for an answer that takes no forward passes, whatever comes
WORK_MARGIN = 4  # how many times the work that the host counts a device may take, at the slowest
POINTS_AT_ONCE = 200  # validation points of one request
LEAVE_S = 3.0
OnProgress = Callable[[int, int], object]
Records = tuple[TrainingRecord, PhaseRecord, PhaseRecord]  # training, phase_0, phase_1


class BundleError(TtzoError):
    """A folder that holds no usable bundle."""


class WrongModel(TtzoError):
    """The device is well, but holds another model."""

    exit_code = ExitCode.device


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and hits over `n_rows` rows, measured on the device. `n_judged`: rows (of sequences: places) that could be
    hits; 0 without classes. `outputs`: float32 (n_rows, out_features), where somebody asked for them."""

    loss: float
    n_correct: int
    n_rows: int
    relative: float | None = None  # of a PDE's solution: sqrt(sum (u - exact)^2 / sum exact^2); `loss` is the MSE
    outputs: np.ndarray | None = field(default=None, compare=False, repr=False)
    n_judged: int = 0

    @property
    def accuracy(self) -> float:
        return self.n_correct / self.n_judged if self.n_judged else math.nan


def bundle_path(bundle: str | Path) -> Path:
    """The bundle file: of a folder that `ttzo export` wrote, or the file itself."""
    path = Path(bundle)
    return path / BUNDLE if path.is_dir() else path


def read_bundle(bundle: str | Path) -> Plan:
    """The plan in a bundle folder or file. Raises `BundleError` when there is none, `DeviceError` when it is damaged."""
    path = bundle_path(bundle)
    try:
        content = read_bytes(path, to_bundle.MOST_BYTES)
    except OSError as error:
        raise BundleError(
            f"there is no bundle {path} ({error.strerror})", "write one with `ttzo export MODEL -o DIR`"
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is no bundle ({error})", "write one with `ttzo export MODEL -o DIR`") from error
    try:
        return to_bundle.read(content)
    except DeviceError as error:
        error.exit_code = ExitCode.input
        raise


def slug(url: str) -> str:
    """The device URL as a folder name: `qemu:netduinoplus2` -> `qemu-netduinoplus2`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", url).strip("-")


def run_folder(bundle: str | Path, url: str, kind: str = "") -> Path:
    """Where runs of a bundle on a device, of that kind, are kept when nobody says."""
    return bundle_path(bundle).parent / "runs" / f"{slug(url)}{kind}"


# ---- the device ------------------------------------------------------------------------------------------------------


class Device:
    """One device that holds the bundle's model, ready for requests. A refusal is a `DeviceError`, a silent or broken
    line a `LinkError`; both leave the device as it was before the request. An answer that cannot be is a `ReplyError`.

    `url` is what the person gave, `line` the port that it stands for, `folder` the bundle's. How long an answer may take is
    counted from the bundle, never from what the device says.
    """

    def __init__(self, link: Link, plan: Plan, url: str, line: str, folder: Path):
        self.plan, self.url, self.line, self.folder = plan, url, line, folder
        self._link, self._owned = link, ExitStack()
        self.counter: Path | None = None
        self._counted: tuple[Training, int] | None = None  # multiply-accumulates of a step, and under which settings
        self.greet()

    def greet(self) -> None:
        """Asks who is there, as if for the first time. Raises `WrongModel` when it is not a device with the model."""
        self._settings = self.plan.training  # in force, as far as is known
        self.info = self._link.hello(limit=self._limit(self._step_macs()))
        self.board = replies.board_name(self.info)
        self._require_model()
        replies.check_hello(self.info, self.plan)
        self._link.fit(self.info.payload_bytes)
        self._expected: StateRecord | None = None  # the device's state, where it is known
        self._records: Records | None = None  # its settings, where they are known
        self.step_count = self.state().step

    @property
    def reconnects(self) -> bool:
        """Whether a connection that breaks off is opened again."""
        return self._link.reconnects

    @property
    def line_counts(self) -> dict[str, int]:
        """Frames that were sent, how many of them again, and connections that were opened again."""
        return {"frames": self._link.frames, "repeats": self._link.repeats, "reconnections": self._link.cuts}

    def _require_model(self) -> None:
        wanted = to_bundle.model_hash(self.plan)
        if self.info.model_hash != wanted:
            raise WrongModel(
                f"{self.board} at {self.url} holds another model ({self.info.model_hash.hex()[:8]}) than the bundle ({wanted.hex()[:8]})",
                "put this one onto it: `ttzo build DIR --board B`, then `ttzo flash DIR --board B`",
            )

    def close(self) -> None:
        """Ends the connection, and the emulator if there is one."""
        self._owned.close()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        message: str,
        tail: bytes = b"",
        on_progress: OnProgress | None = None,
        n_samples: int = 0,
        macs: int = 0,
        **fields: Any,
    ) -> tuple[Any, bytes]:
        """One request. A device is deaf while it computes `n_samples` forward passes; that long it may be silent. All
        that it computes for the answer takes `macs` multiply-accumulates."""
        silence = SILENCE_S + n_samples * self.plan.macs / SLOWEST_MACS_PER_S
        limit = self._limit(macs)
        try:
            return self._link.request(message, tail, timeout=silence, limit=limit, on_progress=on_progress, **fields)
        except DeviceError as error:
            if error.name == "wrong_work_size":
                raise WrongModel(
                    *emulated_device.other_work_size(f"{self.board} at {self.url}", self.plan, error.detail)
                ) from error
            raise

    def _limit(self, macs: int) -> float:
        """Seconds that an answer may take in all when it takes that many multiply-accumulates."""
        return LIMIT_S + WORK_MARGIN * macs / SLOWEST_MACS_PER_S

    def _step_macs(self) -> int:
        """The most that a step may take under the settings in force. Counting takes as long as a step of a small model."""
        if self._counted is None or self._counted[0] is not self._settings:
            self._counted = self._settings, max(macs_a_step(self.plan, phase) for phase in self._settings.phases)
        return self._counted[1]

    @property
    def instructions(self) -> int | None:
        """What an emulated board has executed since its start, its part of the link included; None when not counted."""
        return int.from_bytes(self.counter.read_bytes(), sys.byteorder) if self.counter else None

    # ---- state and settings

    def state(self) -> StateRecord:
        """The training state. Raises `StartedAnew` when the device has done other steps than it was asked for,
        `ReplyError` when its state is otherwise not the one that they lead to."""
        state, expected = self._status().state, self._expected
        if expected and state.step != expected.step:
            raise StartedAnew(
                f"{self.board} has started anew in mid-training (its steps: {state.step}, expected: {expected.step})",
                "see to its power supply, and that nobody else uses it",
            )
        if expected:
            replies.require_record("status", state, expected)
        self._expected, self.step_count = state, state.step
        return state

    def settings(self) -> Training:
        """The settings in force."""
        self._status()
        return self._settings

    def _status(self) -> StatusReply:
        status: StatusReply = self._ask("status")[0]
        self._settings = replies.check_settings_told(status, self.plan)
        told = status.training, status.phase_0, status.phase_1
        for record, known in zip(told, self._records or told, strict=True):
            replies.require_record("status", record, known)
        replies.check_state("status", status.state, self._settings)
        self._records = told
        return status

    def configure(self, settings: Training) -> None:
        training, phase_0, phase_1 = to_bundle.training_records(settings)
        self._ask("configure", training=training, phase_0=phase_0, phase_1=phase_1)
        self._take_settings(settings)

    def _take_settings(self, settings: Training) -> None:
        self._settings, self._records = settings, to_bundle.training_records(settings)

    def reset(self) -> None:
        """Back to the exported parameters and settings, step 0."""
        self._ask("reset")
        self.step_count, self._expected = 0, START
        self._take_settings(self.plan.training)

    # ---- what the device keeps over a reset

    def restore(self) -> RestoreReply | None:
        """Loads the newest run that the device keeps over a reset, settings included: its `generation` (0: there is none,
        and nothing has changed) and `run`. None when the device keeps nothing."""
        try:
            reply: RestoreReply = self._ask("restore")[0]
        except DeviceError as error:
            if error.name != "unknown_message":
                raise
            return None
        if reply.generation:
            self._expected, self._records = None, None
            self.state()
        return reply

    def keep(self, run: int) -> int:
        """Has the device keep its run over a reset, under the number `run`; the new generation. Raises `DeviceError`
        `not_stored` when its memory failed, `unknown_message` when it has none."""
        reply: KeepReply = self._ask("keep", run=run)[0]
        replies.require_range("keep", "generation", reply.generation, 1, 2**32 - 1)
        return reply.generation

    # ---- regions

    def parameters(self) -> np.ndarray:
        """theta, float32 (n_parameters,)."""
        return self._read(Region.parameters, "parameter", self.plan.n_parameters)

    def moments(self) -> np.ndarray:
        """The update rule's memory, float32 (n_moments,)."""
        return self._read(Region.moments, "moment", self.plan.n_moments)

    def _read(self, region: Region, what: str, n_numbers: int) -> np.ndarray:
        """A region, once the checksum that comes with its last piece is right and all its numbers are finite."""
        content, crc = b"", 0
        while len(content) < 4 * n_numbers:
            left = 4 * n_numbers - len(content)
            reply, part = self._link.read(region, len(content), left, SILENCE_S, self._limit(0))
            content, crc = content + part, reply.crc
        return replies.region_told(what, content, crc, n_numbers)

    def _write(self, region: Region, content: bytes, on_progress: OnProgress | None = None) -> None:
        """Writes the region in pieces, then has the device take it over as a whole."""
        self._link.write(region, content, SILENCE_S, self._limit(0), on_progress, self.plan.packing)
        self._commit(region, content)

    def _write_what_is_missing(self, region: Region, content: bytes, on_progress: OnProgress | None) -> None:
        """Writes the region unless that content stands there already."""
        try:
            self._commit(region, content)
        except DeviceError as error:
            if error.name != "bad_checksum":
                raise
            self._write(region, content, on_progress)

    def _commit(self, region: Region, content: bytes) -> None:
        self._ask("commit", region=region, count=len(content), crc=zlib.crc32(content))

    def load(self, parameters: np.ndarray, moments: np.ndarray, state: StateRecord) -> None:
        """Takes over a run: float32 parameters and moments of the plan's sizes, and the training state."""
        self._write(Region.parameters, parameters.astype("<f4").tobytes())
        if self.plan.n_moments:
            self._write(Region.moments, moments.astype("<f4").tobytes())
        self._ask("set_state", state=state)
        self.step_count, self._expected = state.step, state

    def write_batch(self, rows: np.ndarray) -> None:
        """Packed rows (n, row_bytes) uint8, n up to the plan's batch, for the next step or evaluation."""
        self._write(Region.batch, packed_bytes(self.plan, rows, batch_capacity(self.plan)))

    def write_dataset(self, rows: np.ndarray, on_progress: OnProgress | None = None) -> None:
        """Packed rows that stay on the device, at most `info.dataset_capacity`; not sent when they stand there."""
        self._write_what_is_missing(Region.dataset, packed_bytes(self.plan, rows), on_progress)

    def write_sparse(self, content: bytes, on_progress: OnProgress | None = None) -> None:
        """Sparse rows that stay on the device, at most `info.sparse_capacity` bytes; not sent when they stand there."""
        self._write_what_is_missing(Region.sparse, content, on_progress)

    # ---- work

    def step(self, region: Region, on_progress: OnProgress | None = None) -> StepReply:
        """One training step: `step` done, `phase`, `loss` before the update, `gradient_norm`, `evaluations` spent."""
        # it looks at the line after each loss evaluation, or after each row whose queries share its work
        passes = self.plan.batch * self.plan.passes
        if any(phase.estimator in REUSING for phase in self._settings.phases):
            passes = max(passes, -(-self._step_macs() // (self.plan.batch * self.plan.macs)))
        before, self._expected = self._expected, None  # of a step whose answer does not come, nobody knows
        try:
            result: StepReply
            result, _ = self._ask(
                "step", b"", on_progress, passes, self._step_macs(), step=self.step_count, region=region
            )
        except DeviceError:
            self._expected = before
            raise
        replies.check_step(result, self.step_count, self.plan, self._settings, self._step_macs())
        if before and self._records:
            self._expected = state_after_step(before, self._records[0], result.loss, result.evaluations)
        self.step_count = result.step
        return result

    def evaluate(
        self, rows: np.ndarray, on_progress: OnProgress | None = None, with_outputs: bool = False
    ) -> Evaluation:
        """Mean loss and hits over packed rows (n, row_bytes), a batch at a time; overwrites the region batch. With a PDE,
        the solution's error: at the device's own validation points where it knows the solution, else at the rows."""
        if self.plan.pde is not None:
            return self._solution_error(self.plan.pde.exact is not None, rows, on_progress)
        loss_sum, n_correct, judged = 0.0, 0, n_judged(self.plan, rows)
        outputs: list[np.ndarray] = []
        for at in range(0, len(rows), self.plan.batch):
            part = rows[at : at + self.plan.batch]
            self.write_batch(part)
            macs = self.plan.forward_macs(len(part))
            result: EvaluateReply
            result, _ = self._ask("evaluate", b"", None, 1, macs, region=Region.batch, first_row=0, n_rows=len(part))
            replies.check_evaluation(result, n_judged(self.plan, part))
            loss_sum += result.loss_sum
            n_correct += result.n_correct
            if with_outputs:
                outputs += self._outputs(len(part))
            if on_progress:
                on_progress(at + len(part), len(rows))
        found = np.array(outputs, np.float32).reshape(len(rows), self.plan.out_features) if with_outputs else None
        return Evaluation(loss_sum / len(rows), n_correct, len(rows), outputs=found, n_judged=judged)

    def _solution_error(self, known: bool, rows: np.ndarray, on_progress: OnProgress | None) -> Evaluation:
        error, exact, most = 0.0, 0.0, POINTS_AT_ONCE if known else batch_capacity(self.plan)
        for at in range(0, len(rows), most):
            part = rows[at : at + most]
            if not known:
                self.write_batch(part)
            region, first_row = (Region.collocation, at) if known else (Region.batch, 0)
            macs, n_rows = self.plan.forward_macs(len(part)), len(part)
            sums: SolutionErrorReply
            sums, _ = self._ask("solution_error", b"", None, 1, macs, region=region, first_row=first_row, n_rows=n_rows)
            replies.check_solution_error(sums)
            error, exact = error + sums.squared_error, exact + sums.squared_exact
            if on_progress:
                on_progress(at + len(part), len(rows))
        n = len(rows)
        relative = math.sqrt(error / exact) if exact else None
        return Evaluation(error / n if n else math.nan, 0, n, relative)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs float32 (n, out_features) for raw inputs (n, in_features) in the plan's input number."""
        plan, outputs = self.plan, []
        require_inputs(plan, x)
        for at in range(0, len(x), batch_capacity(plan)):
            part = x[at : at + batch_capacity(plan)]
            self.write_batch(pack_rows(part, plan.no_targets(len(part))))
            outputs += self._outputs(len(part))
        return np.array(outputs, np.float32).reshape(len(x), plan.out_features)

    def _outputs(self, n: int) -> list[np.ndarray]:
        """Outputs float32 (out_features,) of the first n rows of the region batch."""
        made, macs = [], self.plan.forward_macs(1)
        for row in range(n):
            content = b""
            while len(content) < 4 * self.plan.out_features:
                part = self._ask("predict", n_samples=1, macs=macs, row=row, first=len(content) // 4)[1]
                if not part:
                    break
                content += part
            made.append(replies.numbers_told("predict", "output", content, self.plan.out_features))
        return made


def _leave(link: Link) -> None:
    """Back to the board's prompt. A board that is gone has left already."""
    with suppress(TtzoError):
        link.request("leave", timeout=LEAVE_S)


def open_device(
    url: str,
    bundle: str | Path,
    *,
    baud: int | None = None,
    on_line: Callable[[str], object] | None = None,
    rows: DataSet | None = None,
    count_instructions: bool = False,
    patience_s: float = 0.0,
    faults: Faults | None = None,
    key: Path | None = None,
    threads: int = 1,
) -> Device:
    """The device at `url`, holding the model of `bundle` (a folder or file); emulated ones are started for it.

    `on_line(text)` hears what takes time: compiling, starting, a device that has not answered yet. An emulated board finds the
    training rows of `rows` in its memory for them, where it has one that they need; its instructions can be counted. A
    connection that breaks off is opened again within `patience_s` seconds (0: never; not of `mpy:`); `faults` are put between
    here and the device. `key` is the file of the key that the device asks for; one that is started here will. `native:` makes
    its estimates with so many `threads`. Raises `LinkError` when nobody answers, `WrongModel` when the device holds another
    model, and the reason of an emulator that does not start.
    """
    plan = read_bundle(bundle)
    require_threads(url, threads)
    secret = key_file.read(key) if key else None
    with ExitStack() as owned:
        counter = None
        if url.startswith(micropython_board.SCHEME):
            line = url.removeprefix(micropython_board.SCHEME)
            board = owned.enter_context(micropython_board.MicroPythonBoard(line, baud or DEFAULT_BAUD))
            served = board.serve(to_bundle.model_hash(plan))
            link = Link(faults.through(served) if faults else served, secret=secret)
            owned.callback(_leave, link)
        else:
            say = on_line or (lambda text: None)
            counter = emulated_device.counter_file(url, owned) if count_instructions else None
            lock = Lock(secret) if secret else None
            line = emulated_device.start(url, bundle_path(bundle), plan, owned, say, rows, counter, lock, threads)
            place = Line(line, baud or DEFAULT_BAUD)

            def open_it() -> Stream:
                return faults.through(place.open()) if faults else place.open()

            link = Link(open_it(), open_it if patience_s else None, patience_s, secret)
            owned.callback(link.close)
        link.on_wait = on_line or link.on_wait
        device = Device(link, plan, url, line, bundle_path(bundle).parent)
        device.counter = counter
        device._owned = owned.pop_all()  # only now: a device that is refused is closed here, with all that was started
        return device
