# SPDX-License-Identifier: MIT
"""Devices by URL: a board on a serial port, or an emulated one that starts and stops by itself.

    with open_device("native:", "digits") as device:
        device.write_batch(rows)
        print(device.step(Region.batch).loss)

| URL | device |
|---|---|
| `/dev/ttyACM0`, `COM3`, `socket://HOST:PORT` | whatever answers there |
| `mpy:/dev/ttyACM0` | a MicroPython board with the module and the model on it, at its prompt |
| `native:` | the C runtime as a process on this machine |
| `numpy:`, `onnx:` | the Python training loop, its losses from NumPy or onnxruntime |
| `qemu:BOARD` | the real firmware in an emulated board |
"""

import math
import re
import sys
import tempfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    LIMIT,
    REQUEST,
    DeviceError,
    EvaluateReply,
    ExitCode,
    Loss,
    Region,
    SolutionErrorReply,
    StateRecord,
    StatusReply,
    StepReply,
    TtzoError,
)
from ttzo.exporter.costs.memory import batch_capacity
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import DataSet, pack_rows
from ttzo.host_tools.device import emulated_device, micropython_board
from ttzo.host_tools.device.link import Link, LinkError, open_stream

BUNDLE = "model.ttzo"
DEFAULT_BAUD = 115200
SILENCE_S = 10.0  # longest silence of a device that is not computing
SLOWEST_MACS_PER_S = 100_000  # of a slow core: some 16 MHz without floating-point unit
WRITE_BYTES = LIMIT["max_payload"] - REQUEST["write"].SIZE
POINTS_AT_ONCE = 200  # validation points of one request
LEAVE_S = 3.0
OnProgress = Callable[[int, int], object]


class BundleError(TtzoError):
    """A folder that holds no usable bundle."""


class WrongModel(TtzoError):
    """The device is well, but holds another model."""

    exit_code = ExitCode.device


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and hits over `n_rows` rows, measured on the device. `outputs`: float32 (n_rows, out_features), where
    somebody asked for them."""

    loss: float
    n_correct: int
    n_rows: int
    relative: float | None = None  # of a PDE's solution: sqrt(sum (u - exact)^2 / sum exact^2); `loss` is the MSE
    outputs: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        return self.n_correct / self.n_rows


def bundle_path(bundle: str | Path) -> Path:
    """The bundle file: of a folder that `ttzo export` wrote, or the file itself."""
    path = Path(bundle)
    return path / BUNDLE if path.is_dir() else path


def read_bundle(bundle: str | Path) -> Plan:
    """The plan in a bundle folder or file. Raises `BundleError` when there is none, `DeviceError` when it is damaged."""
    path = bundle_path(bundle)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"there is no bundle {path} ({error.strerror})", "write one with `ttzo export MODEL -o DIR`"
        ) from error
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
    line a `LinkError`; both leave the device as it was before the request.

    `url` is what the person said, `line` the port behind it, `folder` the bundle's.
    """

    def __init__(self, link: Link, plan: Plan, url: str, line: str, folder: Path):
        self.plan, self.url, self.line, self.folder = plan, url, line, folder
        self._link, self._owned = link, ExitStack()
        self.info = link.hello()
        self.board = self.info.board.rstrip(b"\0").decode(errors="replace")
        self._require_model()
        self.step_count = self.state().step
        self.counter: Path | None = None

    def _require_model(self) -> None:
        wanted = to_bundle.model_hash(self.plan)
        if self.info.model_hash != wanted:
            raise WrongModel(
                f"{self.board} at {self.url} holds another model ({self.info.model_hash.hex()[:8]}) than the bundle ({wanted.hex()[:8]})",
                "put this one onto it: `ttzo build DIR --board B`, then `ttzo flash DIR --board B`",
            )

    def close(self) -> None:
        """Ends the connection, and the emulator behind it."""
        self._owned.close()

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, message: str, tail: bytes = b"", on_progress: OnProgress | None = None, n_samples: int = 0, **fields: Any
    ) -> tuple[Any, bytes]:
        """One request. A device is deaf while it computes `n_samples` forward passes; that long it may be silent."""
        silence = SILENCE_S + n_samples * self.info.macs_per_sample / SLOWEST_MACS_PER_S
        try:
            return self._link.request(message, tail, timeout=silence, on_progress=on_progress, **fields)
        except DeviceError as error:
            if error.name == "wrong_work_size":
                raise WrongModel(
                    *emulated_device.other_work_size(f"{self.board} at {self.url}", self.plan, error.detail)
                ) from error
            raise

    @property
    def instructions(self) -> int | None:
        """What an emulated board has executed since its start, its part of the link included; None when not counted."""
        return int.from_bytes(self.counter.read_bytes(), sys.byteorder) if self.counter else None

    # ---- state and settings

    def state(self) -> StateRecord:
        state = self._status().state
        self.step_count = state.step
        return state

    def settings(self) -> Training:
        """The settings in force."""
        status = self._status()
        return to_bundle.training_from_records(status.training, status.phase_0, status.phase_1)

    def _status(self) -> StatusReply:
        status: StatusReply = self._ask("status")[0]
        return status

    def configure(self, settings: Training) -> None:
        training, phase_0, phase_1 = to_bundle.training_records(settings)
        self._ask("configure", training=training, phase_0=phase_0, phase_1=phase_1)

    def reset(self) -> None:
        """Back to the exported parameters and settings, step 0."""
        self._ask("reset")
        self.step_count = 0

    # ---- regions

    def parameters(self) -> np.ndarray:
        """theta, float32 (n_parameters,)."""
        return self._read(Region.parameters, self.plan.n_parameters)

    def moments(self) -> np.ndarray:
        """The update rule's memory, float32 (n_moments,)."""
        return self._read(Region.moments, self.plan.n_moments)

    def _read(self, region: Region, n_numbers: int) -> np.ndarray:
        content = b""
        while len(content) < 4 * n_numbers:
            count = min(LIMIT["max_payload"], 4 * n_numbers - len(content))
            part = self._ask("read", region=region, offset=len(content), count=count)[1]
            if len(part) != count:
                raise DeviceError("bad_contract")
            content += part
        return np.frombuffer(content, "<f4").astype(np.float32)

    def _write(self, region: Region, content: bytes, on_progress: OnProgress | None = None) -> None:
        """Writes the region in pieces, then has the device take it over as a whole."""
        for at in range(0, len(content), WRITE_BYTES):
            self._ask("write", content[at : at + WRITE_BYTES], region=region, offset=at)
            if on_progress:
                on_progress(min(at + WRITE_BYTES, len(content)), len(content))
        self._commit(region, content)

    def _commit(self, region: Region, content: bytes) -> None:
        self._ask("commit", region=region, count=len(content), crc=zlib.crc32(content))

    def load(self, parameters: np.ndarray, moments: np.ndarray, state: StateRecord) -> None:
        """Takes over a run: float32 parameters and moments of the plan's sizes, and the training state."""
        self._write(Region.parameters, parameters.astype("<f4").tobytes())
        if self.plan.n_moments:
            self._write(Region.moments, moments.astype("<f4").tobytes())
        self._ask("set_state", state=state)
        self.step_count = state.step

    def write_batch(self, rows: np.ndarray) -> None:
        """Packed rows (n, row_bytes) uint8, n up to the plan's batch, for the next step or evaluation."""
        self._write(Region.batch, rows.tobytes())

    def write_dataset(self, rows: np.ndarray, on_progress: OnProgress | None = None) -> None:
        """Packed rows that stay on the device; at most `info.dataset_capacity`."""
        self._write(Region.dataset, rows.tobytes(), on_progress)

    def write_sparse(self, content: bytes, on_progress: OnProgress | None = None) -> None:
        """Sparse rows that stay on the device, at most `info.sparse_capacity` bytes; not sent when they stand there."""
        try:
            self._commit(Region.sparse, content)
        except DeviceError as error:
            if error.name != "bad_checksum":
                raise
            self._write(Region.sparse, content, on_progress)

    # ---- work

    def step(self, region: Region, on_progress: OnProgress | None = None) -> StepReply:
        """One training step: `step` done, `phase`, `loss` before the update, `gradient_norm`, `evaluations` spent."""
        # it looks at the line after each loss evaluation
        passes = self.plan.batch * self.plan.passes
        result: StepReply = self._ask("step", b"", on_progress, passes, step=self.step_count, region=region)[0]
        self.step_count = result.step
        return result

    def evaluate(
        self, rows: np.ndarray, on_progress: OnProgress | None = None, with_outputs: bool = False
    ) -> Evaluation:
        """Mean loss and hits over packed rows (n, row_bytes), a batch at a time; overwrites the region batch. With a PDE,
        the solution's error: at the device's own validation points where it knows the solution, else at the rows."""
        if self.plan.pde is not None:
            return self._solution_error(self.plan.pde.exact is not None, rows, on_progress)
        loss_sum, n_correct = 0.0, 0
        outputs: list[np.ndarray] = []
        for at in range(0, len(rows), self.plan.batch):
            part = rows[at : at + self.plan.batch]
            self.write_batch(part)
            result: EvaluateReply
            result, _ = self._ask("evaluate", n_samples=1, region=Region.batch, first_row=0, n_rows=len(part))
            loss_sum += result.loss_sum
            n_correct += result.n_correct
            if with_outputs:
                outputs += self._outputs(len(part))
            if on_progress:
                on_progress(at + len(part), len(rows))
        found = np.array(outputs, np.float32).reshape(len(rows), self.plan.out_features) if with_outputs else None
        return Evaluation(loss_sum / len(rows), n_correct, len(rows), outputs=found)

    def _solution_error(self, known: bool, rows: np.ndarray, on_progress: OnProgress | None) -> Evaluation:
        error, exact, most = 0.0, 0.0, POINTS_AT_ONCE if known else batch_capacity(self.plan)
        for at in range(0, len(rows), most):
            part = rows[at : at + most]
            if not known:
                self.write_batch(part)
            region, first_row = (Region.collocation, at) if known else (Region.batch, 0)
            sums: SolutionErrorReply
            sums, _ = self._ask("solution_error", n_samples=1, region=region, first_row=first_row, n_rows=len(part))
            error, exact = error + sums.squared_error, exact + sums.squared_exact
            if on_progress:
                on_progress(at + len(part), len(rows))
        n = len(rows)
        relative = math.sqrt(error / exact) if exact else None
        return Evaluation(error / n if n else math.nan, 0, n, relative)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs float32 (n, out_features) for raw inputs (n, in_features) in the plan's input number."""
        plan, outputs = self.plan, []
        for at in range(0, len(x), batch_capacity(plan)):
            part = x[at : at + batch_capacity(plan)]
            unused = (
                np.zeros(len(part), int)
                if plan.loss == Loss.cross_entropy
                else np.zeros((len(part), plan.out_features))
            )
            self.write_batch(pack_rows(part, unused))
            outputs += self._outputs(len(part))
        return np.array(outputs, np.float32).reshape(len(x), plan.out_features)

    def _outputs(self, n: int) -> list[np.ndarray]:
        """Outputs float32 (out_features,) of the first n rows of the region batch."""
        return [np.frombuffer(self._ask("predict", n_samples=1, row=row)[1], "<f4") for row in range(n)]


def _leave(link: Link) -> None:
    """Back to the board's prompt. A board that is gone has left already."""
    with suppress(TtzoError):
        link.request("leave", timeout=LEAVE_S)


def _counter_file(url: str, owned: ExitStack) -> Path:
    if not url.startswith("qemu:"):
        raise LinkError(f"nobody counts the instructions of {url}", "they are counted on emulated boards: qemu:BOARD")
    folder = owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-count-"))
    return Path(folder) / "instructions"


def open_device(
    url: str,
    bundle: str | Path,
    *,
    baud: int | None = None,
    on_line: Callable[[str], object] | None = None,
    rows: DataSet | None = None,
    count_instructions: bool = False,
) -> Device:
    """The device at `url`, holding the model of `bundle` (a folder or file); emulated ones are started for it.

    `on_line(text)` hears what takes time: compiling, starting. An emulated board finds the training rows of `rows` in
    its memory for them, where it has one that they need; its instructions can be counted. Raises `LinkError` when nobody answers, `WrongModel`
    when the device holds another model, and the reason of an emulator that does not start.
    """
    plan = read_bundle(bundle)
    with ExitStack() as owned:
        counter = None
        if url.startswith(micropython_board.SCHEME):
            line = url.removeprefix(micropython_board.SCHEME)
            board = owned.enter_context(micropython_board.MicroPythonBoard(line, baud or DEFAULT_BAUD))
            link = Link(board.serve(to_bundle.model_hash(plan)))
            owned.callback(_leave, link)
        else:
            say = on_line or (lambda text: None)
            counter = _counter_file(url, owned) if count_instructions else None
            line = emulated_device.start(url, bundle_path(bundle), plan, owned, say, rows=rows, counter=counter)
            link = Link(open_stream(line, baud or DEFAULT_BAUD))
            owned.callback(link.close)
        device = Device(link, plan, url, line, bundle_path(bundle).parent)
        device.counter = counter
        device._owned = owned.pop_all()  # only now: a device that is refused is closed here, with all that was started
        return device
