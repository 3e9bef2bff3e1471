# SPDX-License-Identifier: MIT
"""How many threads `native:` trains with. Their number changes no bit: what is added to a coordinate is added in row order."""

import os

from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.device.ports import LinkError

MOST_THREADS = 256  # that the native port starts
WORTH_MACS = 10_000_000  # of a step, some milliseconds; shorter steps wait for the line more than they compute


def processors() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads(plan: Plan, url: str) -> int:
    """Where nobody names a number: this machine's processors for a step on `native:` that is worth it, else 1."""
    is_worth_it = max(macs_a_step(plan, phase) for phase in plan.training.phases) >= WORTH_MACS
    return min(processors(), MOST_THREADS) if url.startswith("native:") and is_worth_it else 1


def require_threads(url: str, threads: int) -> None:
    """Raises `LinkError` where the device cannot take so many threads."""
    if threads > 1 and not url.startswith("native:"):
        raise LinkError(f"{url} trains with one thread", "leave the number of threads out, or use native:")
