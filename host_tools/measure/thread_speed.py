# SPDX-License-Identifier: MIT
"""Times of a training step on `native:` with one thread and with two.

    python -m ttzo.host_tools.measure.thread_speed FILE      writes them as JSON; a minute on an idle machine

Steps of both alternate, so that another program's load falls on both alike; what is kept is the tenth part of the shortest.
A step's time includes the line to the device, which is most of it for the smallest models: `line_ms` is that of a request
that computes nothing.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Region, StepReply
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.data_set import DTYPES, pack_rows, random_targets
from ttzo.host_tools.device.device import BUNDLE, open_device

CASES = (
    ("mnist-mlp", "cge", 64), ("mnist-mlp", "node_cge", 64), ("mnist-mlp", "rge", 64),
    ("mnist-conv", "cge", 64), ("mnist-conv", "rge", 64), ("names", "cge", 64), ("names", "rge", 64),
    ("digits", "cge", 48), ("digits", "node_cge", 48), ("digits", "rge", 48),
    ("digits-rnn", "cge", 16), ("black-scholes", "rge", 160), ("hjb20", "rge", 64),
)  # fmt: skip
N_QUERIES = 16  # of rge
PAIRS = 40
THREADS = (1, 2)


def measured(model: str, estimator: str, batch: int) -> dict[str, object]:
    """A case's times in milliseconds, and whether losses, norms of gradients and operations are the same bits. The learning rate is 0, so that all steps are
    alike."""
    options: dict[str, Any] = {"n_queries": N_QUERIES} if estimator == "rge" else {}
    plan = plan_of(model, estimator=estimator, batch=batch, lr=0.0, **options)
    region = Region.collocation if plan.pde else Region.dataset
    replies: list[StepReply] = []
    times: dict[int, list[float]] = {threads: [] for threads in THREADS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as held:
        (Path(folder) / BUNDLE).write_bytes(to_bundle.write(plan))
        devices = {n: held.enter_context(open_device("native:", folder, threads=n)) for n in THREADS}
        for device in devices.values():
            if not plan.pde:
                device.write_dataset(_rows(plan))
        for _ in range(PAIRS):
            for threads, device in devices.items():
                before = time.perf_counter()
                replies.append(device.step(region))
                times[threads].append(1e3 * (time.perf_counter() - before))
        line = [_milliseconds(devices[1].state) for _ in range(PAIRS)]
        same = [reply.pack() for reply in replies[::2]] == [reply.pack() for reply in replies[1::2]]
    one, two = (_short(times[threads]) for threads in THREADS)
    names = {"model": model, "estimator": estimator, "batch": batch}
    return names | {"one_ms": one, "two_ms": two, "line_ms": _short(line), "ratio": round(one / two, 2), "same": same}


def _rows(plan: Plan) -> np.ndarray:
    rng, shape = np.random.default_rng(0), (plan.batch, plan.in_features)
    kind = np.dtype(DTYPES[plan.input_number])
    x = rng.integers(0, plan.n_tokens or 17, shape) if kind.kind != "f" else rng.standard_normal(shape)
    return pack_rows(x.astype(kind), random_targets(plan, rng, plan.batch))


def _milliseconds(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - before)


def _short(times: list[float]) -> float:
    return round(sorted(times)[len(times) // 10], 3)


def main(path: Path) -> None:
    found = []
    for case in CASES:
        found.append(measured(*case))
        print(found[-1], file=sys.stderr, flush=True)
    path.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
