# SPDX-License-Identifier: MIT
"""The C training run as a Python object, through ctypes: the same calls as the reference's `Trainer`."""

import ctypes
import zlib
from collections.abc import Callable

import numpy as np

from ttzo.device_runtime import FOLDER, core_sources
from ttzo.device_runtime.contract import RECORD, DeviceError, Region, StateRecord
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle

CORE = [str(path.relative_to(FOLDER)) for path in core_sources() if path.parent.name != "link"]

# All of a run in one block, so that Python need not know the layout of the structs.
RUN = """
#include "ttzo.h"
#include "train/update.h"
struct run { struct ttzo_layer layers[TTZO_MAX_LAYERS]; struct ttzo_model model; struct ttzo_trainer trainer; };
size_t run_bytes(void);
size_t running_step_bytes(void);
size_t running_step_bytes(void) { return sizeof(struct ttzo_running_step); }
int run_open(struct run *r, const uint8_t *bundle, size_t size, void *work, size_t work_bytes, uint32_t *detail);
struct ttzo_trainer *run_trainer(struct run *r);
uint64_t run_macs(const struct run *r);
void run_state(const struct run *r, uint8_t *out);
int run_set_state(struct run *r, const uint8_t *in, uint32_t *detail);
int run_configure(struct run *r, const uint8_t *in, uint32_t *detail);
void run_set_poll(struct run *r, bool (*poll)(void *context, uint32_t done, uint32_t total));
size_t run_bytes(void) { return sizeof(struct run); }
int run_open(struct run *r, const uint8_t *bundle, size_t size, void *work, size_t work_bytes, uint32_t *detail)
{
    int error = (int)ttzo_read_bundle(bundle, size, r->layers, &r->model, detail);
    return error ? error : (int)ttzo_open(&r->trainer, &r->model, work, work_bytes, detail);
}
struct ttzo_trainer *run_trainer(struct run *r) { return &r->trainer; }
void run_set_poll(struct run *r, bool (*poll)(void *context, uint32_t done, uint32_t total)) { r->trainer.poll = poll; }
uint64_t run_macs(const struct run *r) { return r->trainer.macs; }
void run_state(const struct run *r, uint8_t *out) { ttzo_pack_state(&r->trainer.state, out); }
int run_set_state(struct run *r, const uint8_t *in, uint32_t *detail)
{
    struct ttzo_state state;
    ttzo_unpack_state(in, &state);
    return (int)ttzo_set_state(&r->trainer, &state, detail);
}
int run_configure(struct run *r, const uint8_t *in, uint32_t *detail)
{
    struct ttzo_configure_request request;
    ttzo_unpack_configure_request(in, &request);
    const struct ttzo_phase phases[] = { request.phase_0, request.phase_1 };
    return (int)ttzo_configure(&r->trainer, &request.training, phases, detail);
}
"""


class StepResult(ctypes.Structure):
    _fields_ = [(name, kind) for name, kind in zip(
        ("phase", "loss", "gradient_norm", "evaluations", "macs"),
        (ctypes.c_uint32, ctypes.c_float, ctypes.c_float, ctypes.c_uint32, ctypes.c_uint64), strict=True)]  # fmt: skip


def aligned(size: int) -> np.ndarray:
    """A zeroed byte buffer that begins at a multiple of 8."""
    return np.zeros(size // 8 + 1, np.float64).view(np.uint8)[:size]


class Runtime:
    """A run of `plan` in the C library `c_library(*CORE, extra=RUN)`. `bundle` replaces the plan's own bytes."""

    def __init__(self, library: ctypes.CDLL, plan: Plan, work_capacity: int | None = None, bundle: bytes | None = None):
        self.plan, self._library = plan, library
        library.run_bytes.restype = ctypes.c_size_t
        library.run_macs.restype = ctypes.c_uint64
        library.run_trainer.restype = ctypes.c_void_p
        self._run = aligned(library.run_bytes())
        data = to_bundle.write(plan) if bundle is None else bundle
        self._bundle = aligned(len(data))
        self._bundle[:] = np.frombuffer(data, np.uint8)
        capacity = memory.work_bytes(plan) if work_capacity is None else work_capacity
        self._work = aligned(capacity)
        self._check(library.run_open, self._pointer(self._run), self._pointer(self._bundle), ctypes.c_size_t(len(data)),
                    self._pointer(self._work), ctypes.c_size_t(capacity))  # fmt: skip
        self._trainer = ctypes.c_void_p(library.run_trainer(self._pointer(self._run)))

    @staticmethod
    def _pointer(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def _check(self, function: Callable, *arguments) -> None:
        detail = ctypes.c_uint32()
        error = function(*arguments, ctypes.byref(detail))
        if error:
            raise DeviceError.from_code(error, detail.value)

    @property
    def state(self) -> StateRecord:
        out = aligned(StateRecord.SIZE)
        self._library.run_state(self._pointer(self._run), self._pointer(out))
        return RECORD["state"].unpack(out.tobytes())

    @property
    def macs(self) -> int:
        """Multiply-adds of training steps."""
        return self._library.run_macs(self._pointer(self._run))

    def set_state(self, state: StateRecord) -> None:
        self._check(self._library.run_set_state, self._pointer(self._run), state.pack())

    def configure(self, training, phase_0, phase_1) -> None:
        request = training.pack() + phase_0.pack() + phase_1.pack()
        self._check(self._library.run_configure, self._pointer(self._run), request)

    def write(self, region: int, offset: int, data: bytes) -> None:
        self._check(self._library.ttzo_write, self._trainer, region, offset, data, len(data))

    def commit(self, region: int, count: int, crc: int) -> None:
        self._check(self._library.ttzo_commit, self._trainer, region, count, crc)

    def put(self, region: int, data: bytes) -> None:
        """Writes and commits the whole of `data`."""
        self.write(region, 0, data)
        self.commit(region, len(data), zlib.crc32(data))

    def read(self, region: int, offset: int, count: int) -> bytes:
        place = ctypes.c_void_p()
        self._check(self._library.ttzo_read, self._trainer, region, offset, count, ctypes.byref(place))
        return ctypes.string_at(place, count) if count else b""

    @property
    def theta(self) -> np.ndarray:
        return np.frombuffer(self.read(Region.parameters, 0, 4 * self.plan.n_parameters), "<f4")

    @property
    def moments(self) -> np.ndarray:
        return np.frombuffer(self.read(Region.moments, 0, 4 * self.plan.n_moments), "<f4")

    def poll_with(self, wanted: Callable[[int, int], bool]) -> None:
        """Asks `wanted(done, total)` between the pieces of a step's work; False cancels the step."""
        kind = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
        self._poll = kind(lambda _, done, total: wanted(done, total))  # it stays as long as the run
        self._library.run_set_poll(self._pointer(self._run), self._poll)

    def step(self, region: int) -> StepResult:
        result = StepResult()
        self._check(self._library.ttzo_step, self._trainer, region, ctypes.byref(result))
        return result

    def slice(self, region: int, memory: np.ndarray | None = None) -> StepResult | None:
        """One slice of a step; its result where the step is done. `memory` is another one than the run's own."""
        self._library.running_step_bytes.restype = ctypes.c_size_t
        if not hasattr(self, "_running"):
            self._running = aligned(self._library.running_step_bytes())
        self._running = self._running if memory is None else memory
        result, stepped = StepResult(), ctypes.c_bool()
        self._check(self._library.ttzo_step_slice, self._trainer, self._pointer(self._running), region,
                    ctypes.byref(result), ctypes.byref(stepped))  # fmt: skip
        return result if stepped.value else None

    def evaluate(self, region: int, first: int, count: int) -> tuple[float, int]:
        total, hits = ctypes.c_float(), ctypes.c_uint32()
        self._check(
            self._library.ttzo_evaluate, self._trainer, region, first, count, ctypes.byref(total), ctypes.byref(hits)
        )
        return total.value, hits.value

    def solution_error(self, region: int, first: int, count: int) -> tuple[float, float]:
        sums = ctypes.c_float(), ctypes.c_float()
        self._check(
            self._library.ttzo_solution_error, self._trainer, region, first, count, *(ctypes.byref(s) for s in sums)
        )
        return sums[0].value, sums[1].value

    def predict(self, row: int) -> np.ndarray:
        place = ctypes.c_void_p()
        self._check(self._library.ttzo_predict, self._trainer, row, ctypes.byref(place))
        return np.frombuffer(ctypes.string_at(place, 4 * self.plan.out_features), "<f4")

    def reset(self) -> None:
        self._library.ttzo_reset(self._trainer)
