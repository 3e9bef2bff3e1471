# SPDX-License-Identifier: MIT
"""A training run at rest: a checkpoint appears whole or not at all, and is believed only when its checksum is right and
all that it holds is possible.

A run's folder holds three generations: `checkpoint.npz` is the last state that was saved, `good.npz` the last one whose
measured loss was near the best, `best.npz` the one with the lowest measured loss.
"""

import enum
import io
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import LIMIT, DeviceError, PhaseRecord, StateRecord, TrainingRecord, TtzoError
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.to_bundle import model_hash, training_from_records, training_records
from ttzo.host_tools.data import npz
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.device.replies import ReplyError, check_state
from ttzo.host_tools.reference.train.settings import check_fixed, check_settings

FORMAT = 3
SETTINGS = (TrainingRecord, PhaseRecord, PhaseRecord)
ROOM_BYTES = 64 << 10  # of a checkpoint's file besides parameters and moments
EXPORT_AGAIN = "export the model again with this version, then train anew with --restart"
NEAR = 2.0  # a loss of at most that many times the best one is good


class Generation(enum.Enum):
    """Which checkpoint of a run; the value is its file's name."""

    last = "checkpoint.npz"
    good = "good.npz"
    best = "best.npz"


class CheckpointError(TtzoError):
    """A checkpoint that cannot be gone on from; nothing has been changed."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to go on to the same bits: float32 parameters and moments, the training state, the settings in
    force, the model's hash and the CRC-32 of the training rows.

    `run` names it on a device that keeps runs (kept_run.run_number); 0 where nobody has named it. `measured` is the loss on the rows (or points) with the CRC-32 `measured_rows`, NaN where it was not measured.
    """

    parameters: np.ndarray
    moments: np.ndarray
    state: StateRecord
    settings: Training
    model_hash: bytes
    data_checksum: int
    measured: float = math.nan
    measured_rows: int = 0
    run: int = 0


def _arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    settings = b"".join(record.pack() for record in training_records(checkpoint.settings))
    measured = struct.pack("<dI", checkpoint.measured, checkpoint.measured_rows)
    return {
        "parameters": checkpoint.parameters.astype("<f4"),
        "moments": checkpoint.moments.astype("<f4"),
        "state": np.frombuffer(checkpoint.state.pack(), np.uint8),
        "settings": np.frombuffer(settings, np.uint8),
        "measured": np.frombuffer(measured, np.uint8),
        "origin": np.frombuffer(
            checkpoint.model_hash + struct.pack("<III", checkpoint.data_checksum, checkpoint.run, FORMAT), np.uint8
        ),
    }


def _shapes(plan: Plan) -> dict[str, tuple[str, int]]:
    """Type and length of each array in a checkpoint of the plan's model."""
    return {
        "parameters": ("<f4", plan.n_parameters),
        "moments": ("<f4", plan.n_moments),
        "state": ("|u1", StateRecord.SIZE),
        "settings": ("|u1", sum(record.SIZE for record in SETTINGS)),
        "measured": ("|u1", struct.calcsize("<dI")),
        "origin": ("|u1", LIMIT["hash_bytes"] + 12),
    }


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    crc = 0
    for name, array in arrays.items():
        crc = zlib.crc32(array.tobytes(), zlib.crc32(f"{name}:{array.dtype.str}{array.shape}".encode(), crc))
    return crc


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Raises `DiskError`."""
    arrays = _arrays(checkpoint)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, checksum=np.uint32(_checksum(arrays)))
    write_atomically(path, content.getvalue())


def load(path: Path, plan: Plan) -> Checkpoint:
    """The checkpoint at `path`, of a run of `plan`. Raises `CheckpointError` when it is missing, damaged, of another
    model, or holds what cannot be."""
    arrays = _read(path, plan)
    origin = arrays["origin"].tobytes()
    n = LIMIT["hash_bytes"]
    if len(origin) != _shapes(plan)["origin"][1] or struct.unpack_from("<I", origin, n + 8)[0] != FORMAT:
        raise CheckpointError(f"{path} was written by another version of ttzo", EXPORT_AGAIN)
    if origin[:n] != model_hash(plan):
        raise CheckpointError(
            f"{path} belongs to another model than the bundle (it was exported again?)",
            "train anew with --restart, or into another folder with --run; evaluate with --exported",
        )
    found = {name: (array.dtype.str, array.size) for name, array in arrays.items()}
    wrong = [name for name, wanted in _shapes(plan).items() if found[name] != wanted or arrays[name].ndim != 1]
    if wrong:
        raise CheckpointError(f"{path} does not hold the model's {wrong[0]}", _instead(path))
    settings = _settings(path, arrays["settings"].tobytes(), plan)
    measured, measured_rows = struct.unpack("<dI", arrays["measured"].tobytes())
    return Checkpoint(
        parameters=_finite(path, "parameter", arrays["parameters"]),
        moments=_finite(path, "moment", arrays["moments"]),
        state=_state(path, arrays["state"].tobytes(), settings),
        settings=settings,
        model_hash=origin[:n],
        data_checksum=struct.unpack_from("<I", origin, n)[0],
        run=struct.unpack_from("<I", origin, n + 4)[0],
        measured=measured,
        measured_rows=measured_rows,
    )


def _instead(path: Path) -> str:
    """What to do about a checkpoint that cannot be used: name the other generations that are there."""
    others = [each.name for each in Generation if each.value != path.name and path.with_name(each.value).is_file()]
    first = (
        f"go on from another one with --generation {' or '.join(others)}" if others else "put a good copy in its place"
    )
    return f"{first}; or train anew with --restart, evaluate with --exported"


def _read(path: Path, plan: Plan) -> dict[str, np.ndarray]:
    """The arrays of the file, once they are the ones of a checkpoint and their checksum is right."""
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}", "name the folder of a run that `ttzo train` has written"
        )
    try:
        arrays = npz.read(path, most_bytes=ROOM_BYTES + 4 * (plan.n_parameters + plan.n_moments))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error})", _instead(path)) from error
    checksum = arrays.pop("checksum", np.zeros(0))
    if checksum.shape != () or checksum.dtype != np.uint32 or checksum != _checksum(arrays):
        raise CheckpointError(f"{path} is damaged (its checksum is wrong)", _instead(path))
    if "origin" not in arrays or arrays["origin"].nbytes < 4 or set(arrays) != set(_shapes(plan)):
        raise CheckpointError(f"{path} was written by another version of ttzo", EXPORT_AGAIN)
    return arrays


def _finite(path: Path, what: str, values: np.ndarray) -> np.ndarray:
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise CheckpointError(f"{path}: {what} {wrong[0]} is {values[wrong[0]]}", _instead(path))
    return values


def _state(path: Path, data: bytes, settings: Training) -> StateRecord:
    state = StateRecord.unpack(data)
    try:
        check_state("state", state, settings)
    except ReplyError as error:
        raise CheckpointError(f"{path} holds a state that cannot be ({error.reason})", _instead(path)) from error
    return state


def _settings(path: Path, data: bytes, plan: Plan) -> Training:
    rest = data[TrainingRecord.SIZE :]
    training = TrainingRecord.unpack(data)
    phases = PhaseRecord.unpack(rest), PhaseRecord.unpack(rest[PhaseRecord.SIZE :])
    try:
        check_settings(training, phases)
        check_fixed(training, phases, plan)
        return training_from_records(training, *phases)
    except (ValueError, PlanError, DeviceError) as error:
        raise CheckpointError(
            f"{path} holds settings that this version of ttzo does not know ({error})", _instead(path)
        ) from error
