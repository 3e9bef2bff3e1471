# SPDX-License-Identifier: MIT
"""What a device may answer. The host knows the model, the settings and what it asked; an answer outside of what follows
from them is refused with a sentence that names the reply and the field, and nothing of it is kept."""

import math
import zlib
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import (
    LIMIT,
    MESSAGE_HASH,
    REPLY,
    DeviceError,
    EvaluateReply,
    ExitCode,
    HelloReply,
    ProgressReply,
    Record,
    SolutionErrorReply,
    StateRecord,
    StatusReply,
    StepReply,
    TtzoError,
    error_page,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.cost import evaluations_by_definition
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.printable import printable_name
from ttzo.exporter.plan.training import Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.train.settings import check_fixed, check_settings

SPARSE_BYTES = 1 << 30  # more than any board has for training rows
MACS_MARGIN = (
    8  # the count that the host makes for a step is of the work where nothing is zero, and not to the last one
)
WITH_TAIL = ("read", "predict")  # whose replies go on behind their record
LAST_STEP = 2**32 - 1  # a step counter that stands here does not count on


class ReplyError(TtzoError):
    """An answer that no device with this model and these settings can give. Nothing of it has been kept."""

    exit_code = ExitCode.device

    def __init__(self, message: str, field: str, value: Any, possible: str):
        self.reason = f"{field} is {value}, {possible}"
        super().__init__(
            f"the device's answer to {message.upper()} is not believed: {self.reason}",
            "reset the device and run the same command again; if it goes on, flash it again or look at what else is on the line",
        )


# ---- the parts of a check -------------------------------------------------------------------------------------------


def require_range(message: str, field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ReplyError(message, field, value, f"{least} to {most} is possible" if least < most else f"not {least}")


def require_finite(message: str, field: str, value: float, least: float = -math.inf) -> None:
    if not math.isfinite(value) or value < least:
        raise ReplyError(message, field, value, "a finite number is possible" + (" from 0 on" if least == 0 else ""))


def require_length(message: str, count: int, wanted: int) -> None:
    if count != wanted:
        raise ReplyError(message, "its length", f"{count} bytes", f"not {wanted}")


def require_record(message: str, told: Record, known: Record) -> None:
    """A record that the host knows already must be told bit for bit."""
    known = type(known).unpack(known.pack())  # its numbers as the line carries them
    for _, field in known.FIELDS:
        value, wanted = getattr(told, field), getattr(known, field)
        if value != wanted:
            raise ReplyError(message, field, value, f"not {wanted}")


# ---- replies ---------------------------------------------------------------------------------------------------------


def check_hello(reply: HelloReply, plan: Plan) -> None:
    """A device that holds the model has these sizes; its capacities follow from its work buffer."""
    wanted = {
        "hello_hash": MESSAGE_HASH["hello"],
        "leave_hash": MESSAGE_HASH["leave"],
        "n_parameters": plan.n_parameters,
        "n_moments": plan.n_moments,
        "row_bytes": plan.row_bytes,
        "batch": plan.batch,
        "macs_per_sample": plan.macs,
        "work_bytes": memory.work_bytes(plan),
    }
    for field, value in wanted.items():
        require_range("hello", field, getattr(reply, field), value, value)
    require_range("hello", "work_capacity", reply.work_capacity, reply.work_bytes, 2**32 - 1)
    most = memory.dataset_capacity(plan, reply.work_capacity)
    require_range("hello", "dataset_capacity", reply.dataset_capacity, 0, most)
    require_range("hello", "sparse_capacity", reply.sparse_capacity, 0, SPARSE_BYTES)
    require_range("hello", "payload_bytes", reply.payload_bytes, LIMIT["min_payload"], LIMIT["max_payload"])


def check_settings_told(reply: StatusReply, plan: Plan) -> Training:
    """The settings in a STATUS, once they are ones that a device with the model takes."""
    try:
        check_settings(reply.training, (reply.phase_0, reply.phase_1))
        check_fixed(reply.training, (reply.phase_0, reply.phase_1), plan)
        return to_bundle.training_from_records(reply.training, reply.phase_0, reply.phase_1)
    except (DeviceError, ValueError) as error:
        raise ReplyError("status", "its settings", f"such that {error}", "other settings are possible") from error


def check_state(message: str, state: StateRecord, settings: Training) -> None:
    """A training state under these settings."""
    require_range(message, "step", state.step, 0, LAST_STEP - 1)
    require_range(message, "phase", state.phase, 0, len(settings.phases) - 1)
    require_range(message, "phase_start", state.phase_start, 0, state.step)
    watched = len(settings.phases) > 1  # the plateau, for the next phase
    require_range(message, "window_count", state.window_count, 0, watched * min(state.step, settings.plateau_window))
    require_finite(message, "window_sum", state.window_sum)
    if math.isnan(state.best_window):
        raise ReplyError(message, "best_window", state.best_window, "a number is possible")
    patience = watched * min(state.step, settings.plateau_patience)
    require_range(message, "windows_without_progress", state.windows_without_progress, 0, patience)
    require_range(message, "evaluations", state.evaluations, 0, 2**63)


def check_step(reply: StepReply, asked: int, plan: Plan, settings: Training, most_macs: int) -> None:
    """The answer to a STEP after `asked` steps. An estimate of any phase takes at most `most_macs`."""
    require_range("step", "step", reply.step, asked + 1, asked + 1)
    require_range("step", "phase", reply.phase, 0, len(settings.phases) - 1)
    require_finite("step", "loss", reply.loss)
    phase = settings.phases[reply.phase]
    if not phase.is_gauss_newton:  # which stays where it is after steps of any length
        require_finite("step", "gradient_norm", reply.gradient_norm, 0)
    evaluations = evaluations_by_definition(plan, phase)
    require_range("step", "evaluations", reply.evaluations, 1, evaluations)
    plain = evaluations * plan.forward_macs(plan.batch) * plan.passes
    require_range("step", "macs", reply.macs, 0, MACS_MARGIN * max(plain, most_macs))


def check_evaluation(reply: EvaluateReply, n_judged: int) -> None:
    """The answer to an EVALUATE of rows with so many classes to be right about."""
    require_finite("evaluate", "loss_sum", reply.loss_sum)
    require_range("evaluate", "n_correct", reply.n_correct, 0, n_judged)


def check_solution_error(reply: SolutionErrorReply) -> None:
    require_finite("solution_error", "squared_error", reply.squared_error, 0)
    require_finite("solution_error", "squared_exact", reply.squared_exact, 0)


def numbers_told(message: str, what: str, content: bytes, n_numbers: int) -> np.ndarray:
    """float32 (n_numbers,) that a device sent, once all are finite."""
    require_length(message, len(content), 4 * n_numbers)
    values = np.frombuffer(content, "<f4").astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ReplyError(message, f"{what} {wrong[0]}", values[wrong[0]], "a finite number is possible")
    return values


def region_told(what: str, content: bytes, crc: int, n_numbers: int) -> np.ndarray:
    """float32 (n_numbers,) of a region that was read piece by piece, once its checksum is right and all are finite."""
    if zlib.crc32(content) != crc:
        raise ReplyError("read", "crc", f"0x{crc:08x}", f"not the checksum of its {what}s")
    return numbers_told("read", what, content, n_numbers)


# ---- frames' contents -------------------------------------------------------------------------------------------------


def board_name(reply: HelloReply) -> str:
    """The name that a device gives itself, made fit for terminals and files."""
    return printable_name(reply.board.rstrip(b"\0").decode(errors="replace"))


def other_contract(reply: HelloReply) -> DeviceError:
    """Says which board it is where the device has the same HELLO."""
    error = DeviceError("bad_contract")
    if reply.hello_hash == MESSAGE_HASH["hello"]:
        error.hint = f"the device is {board_name(reply)}: {error.hint}"
    return error


def open_reply(message: str, payload: bytes) -> tuple[Any, bytes]:
    """A reply's record, and the bytes behind it where it may have some."""
    record = REPLY[message]
    if len(payload) < record.SIZE or message not in WITH_TAIL:
        require_length(message, len(payload), record.SIZE)
    return record.unpack(payload), payload[record.SIZE :]


def progress_told(payload: bytes) -> ProgressReply:
    progress: ProgressReply
    progress, _ = open_reply("progress", payload)
    require_range("progress", "done", progress.done, 0, progress.total)
    return progress


def holder_told(payload: bytes) -> int | None:
    """The process that has the device, where an ERROR frame without a request says so."""
    if len(payload) != REPLY["error"].SIZE:
        return None
    error = REPLY["error"].unpack(payload)
    return error.detail if error.error == DeviceError("in_use").code else None


def refusal_told(message: str, payload: bytes) -> TtzoError:
    """The error that an ERROR frame means. What answers a HELLO may be of another contract, and its errors unknown."""
    if message != "hello":
        require_length("error", len(payload), REPLY["error"].SIZE)
    error = REPLY["error"].unpack(payload.ljust(REPLY["error"].SIZE, b"\0"))
    if message != "hello" and (error.error not in error_page() or error.error == 0):
        return ReplyError("error", "error", error.error, "the contract has no such error")
    return DeviceError.from_code(error.error or DeviceError("bad_contract").code, error.detail)
