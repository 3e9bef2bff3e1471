# SPDX-License-Identifier: MIT
"""Instructions of training steps, counted on an emulated Cortex-M4F for models and estimators of the zoo.

    python -m ttzo.host_tools.measure.step_counts FILE      writes them as JSON; a quarter of an hour on an idle machine

A case trains `STEPS` steps from the exported parameters on the first rows of the model's own training data, or on an
equation's own points; the link's share of a step is included.
"""

import dataclasses
import json
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Region, TtzoError
from ttzo.exporter import zoo
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.build import build

BOARD = "mps2-an386"
STEPS = 20
BATCHES = {False: (4, 16), True: (4,)}  # rows of a step; of equations
ESTIMATORS = ("rge", "sign_rge", "cge", "node_cge", "block_rge", "cocd", "subspace_gn", "last_layer_gn")
MOST_PARAMETERS = 30_000  # of a model that is counted
MOST_MACS = 40_000_000  # of a step that is counted


@dataclasses.dataclass(frozen=True)
class StepCount:
    """One case: instructions of a step, in the mean and the most of the first STEPS."""

    model: str
    estimator: str
    batch: int
    mean: int
    most: int


def cases() -> Iterator[tuple[str, str, int]]:
    """Model, estimator and batch of each case, in a fixed order; not all of them can be exported."""
    for model in zoo.names():
        is_equation = zoo.get(model).problem is not None
        for estimator in ESTIMATORS:
            if estimator.endswith("_gn") <= is_equation:
                yield from ((model, estimator, batch) for batch in BATCHES[is_equation])


def plan_of_case(model: str, estimator: str, batch: int) -> Plan:
    """Raises `PlanError` where the model cannot be trained that way."""
    return plan_of(model, batch=batch, estimator=estimator)


def count(plan: Plan, case: tuple[str, str, int], rows: np.ndarray | None, objects: Path) -> StepCount:
    """Counts one case; compiled sources are kept in the folder `objects`. Raises what `build` and `open_device` raise."""
    board = boards.load(BOARD)
    with tempfile.TemporaryDirectory(prefix="ttzo-count-") as name:
        folder, counter = Path(name), Path(name) / "count"
        (folder / BUNDLE).write_bytes(to_bundle.write(plan))
        for file, text in c_files(plan).items():
            (folder / file).write_text(text, encoding="ascii")
        report = build(folder, board, all_parts=True, objects=objects)
        with (
            qemu.emulated(board, report.elf, counter=counter) as emulation,
            open_device(emulation.url, folder) as device,
        ):
            found = [_step(device, plan, rows, step, counter) for step in range(STEPS)]
    return StepCount(*case, mean=round(sum(found) / len(found)), most=max(found))


def _step(device: Any, plan: Plan, rows: np.ndarray | None, step: int, counter: Path) -> int:
    if rows is not None:
        device.write_batch(rows[np.arange(step * plan.batch, (step + 1) * plan.batch) % len(rows)])
    before = struct.unpack("<Q", counter.read_bytes())[0]
    device.step(Region.collocation if rows is None else Region.batch)
    return struct.unpack("<Q", counter.read_bytes())[0] - before


def count_all(say: Callable[[str], object]) -> list[StepCount]:
    """All cases; `say` gets a line for each, also for those that are left out."""
    found: list[StepCount] = []
    rows: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory(prefix="ttzo-objects-") as objects:
        for case in cases():
            started = time.monotonic()
            try:
                plan = plan_of_case(*case)
                if left_out := _left_out(plan):
                    say(f"{case}: {left_out}")
                    continue
                if plan.pde is None and case[0] not in rows:
                    rows[case[0]] = data_set.load(zoo.get(case[0]).data, plan).train_rows
                found.append(count(plan, case, rows.get(case[0]), Path(objects)))
                say(f"{found[-1]} in {time.monotonic() - started:.1f} s")
            except TtzoError as error:
                say(f"{case}: {error}")
    return found


def _left_out(plan: Plan) -> str:
    macs = macs_a_step(plan, plan.training.phases[0])
    if plan.n_parameters > MOST_PARAMETERS:
        return f"left out: {plan.n_parameters:,} parameters"
    return f"left out: {macs:,} multiply-accumulates a step" if macs > MOST_MACS else ""


def write(path: Path, counts: list[StepCount]) -> None:
    """One case a line, with the planned multiply-accumulates of its step beside the counts."""
    lines = []
    for each in counts:
        plan = plan_of_case(each.model, each.estimator, each.batch)
        macs = macs_a_step(plan, plan.training.phases[0])
        lines.append(json.dumps(dataclasses.asdict(each) | {"macs": macs}))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), count_all(lambda text: print(text, file=sys.stderr, flush=True)))
