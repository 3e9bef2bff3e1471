# SPDX-License-Identifier: MIT
"""A training run at rest: `checkpoint.npz` appears whole or not at all, and is believed only when its checksum is right."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import LIMIT, PhaseRecord, StateRecord, TrainingRecord, TtzoError
from ttzo.exporter.plan.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers.to_bundle import model_hash, training_from_records, training_records
from ttzo.host_tools.data import npz
from ttzo.host_tools.data.whole_file import write_atomically

FORMAT = 3
SETTINGS = (TrainingRecord, PhaseRecord, PhaseRecord)
EXPORT_AGAIN = "export the model again with this version, then train anew with --restart"
ANEW = "put a good copy in its place; or train anew with --restart, evaluate with --exported"


class CheckpointError(TtzoError):
    """A checkpoint that cannot be gone on from; nothing has been changed."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to go on to the same bits: float32 parameters and moments, the training state, the settings in
    force, the model's hash and the CRC-32 of the training rows."""

    parameters: np.ndarray
    moments: np.ndarray
    state: StateRecord
    settings: Training
    model_hash: bytes
    data_checksum: int


def _arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    settings = b"".join(record.pack() for record in training_records(checkpoint.settings))
    return {
        "parameters": checkpoint.parameters.astype("<f4"),
        "moments": checkpoint.moments.astype("<f4"),
        "state": np.frombuffer(checkpoint.state.pack(), np.uint8),
        "settings": np.frombuffer(settings, np.uint8),
        "origin": np.frombuffer(checkpoint.model_hash + struct.pack("<II", checkpoint.data_checksum, FORMAT), np.uint8),
    }


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    crc = 0
    for name, array in arrays.items():
        crc = zlib.crc32(array.tobytes(), zlib.crc32(f"{name}:{array.dtype.str}{array.shape}".encode(), crc))
    return crc


def save(path: Path, checkpoint: Checkpoint) -> None:
    arrays = _arrays(checkpoint)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays, checksum=np.uint32(_checksum(arrays)))
    write_atomically(path, content.getvalue())


def load(path: Path, plan: Plan) -> Checkpoint:
    """The checkpoint at `path`, of a run of `plan`. Raises `CheckpointError` when it is missing, damaged or of another
    model."""
    arrays = _read(path)
    origin = arrays["origin"].tobytes()
    n = LIMIT["hash_bytes"]
    if origin[:n] != model_hash(plan):
        raise CheckpointError(f"{path} belongs to another model than the bundle (it was exported again?)", ANEW)
    if (arrays["parameters"].size, arrays["moments"].size) != (plan.n_parameters, plan.n_moments):
        raise CheckpointError(f"{path} does not hold the model's parameters", ANEW)
    return Checkpoint(
        parameters=arrays["parameters"],
        moments=arrays["moments"],
        state=StateRecord.unpack(arrays["state"].tobytes()),
        settings=_settings(path, arrays["settings"].tobytes()),
        model_hash=origin[:n],
        data_checksum=struct.unpack_from("<I", origin, n)[0],
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file, once their checksum is right."""
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}", "name the folder of a run that `ttzo train` has written"
        )
    try:
        arrays = npz.read(path)
        checksum = int(arrays.pop("checksum"))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged ({error})", ANEW) from error
    if checksum != _checksum(arrays):
        raise CheckpointError(f"{path} is damaged (its checksum is wrong)", ANEW)
    if struct.unpack("<I", arrays["origin"].tobytes()[-4:])[0] != FORMAT:
        raise CheckpointError(f"{path} was written by another version of ttzo", EXPORT_AGAIN)
    return arrays


def _settings(path: Path, data: bytes) -> Training:
    phases = data[TrainingRecord.SIZE :]
    try:
        return training_from_records(
            TrainingRecord.unpack(data), PhaseRecord.unpack(phases), PhaseRecord.unpack(phases[PhaseRecord.SIZE :])
        )
    except (ValueError, PlanError) as error:
        raise CheckpointError(
            f"{path} holds settings that this version of ttzo does not know ({error})", ANEW
        ) from error
