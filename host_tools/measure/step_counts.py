# SPDX-License-Identifier: MIT
"""Instructions of training steps, counted on an emulated Cortex-M4F for models and estimators of the zoo, and for the
small networks of shapes.py.

    python -m ttzo.host_tools.measure.step_counts FILE      writes them as JSON; half an hour on an idle machine
    python -m ttzo.host_tools.measure.step_counts FILE digits vowels    counts the cases of these models alone anew
    python -m ttzo.host_tools.measure.step_counts FILE mnist-100 --mnist FOLDER     with MNIST's four files from there

A case trains `STEPS` steps from the exported parameters on the first rows of the model's own training data, on random rows
(shapes), or on an equation's own points; the link's share of a step is included. fit_instructions.py makes the forecasts of
`ttzo plan` from the file.
"""

import argparse
import dataclasses
import itertools
import json
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
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
from ttzo.host_tools.measure import shapes

BOARD = "mps2-an386"
STEPS = 20
RANDOM_ROWS = 100
BATCHES = (4, 16)  # rows of a step
BATCHES_OF_EQUATIONS = {"coordinate_gn": (4, 16)}  # of other estimators: 4
BATCHES_OF_SHAPES = (2, 8)
OF_DATA = ("rge", "sign_rge", "cge", "node_cge", "block_rge", "cocd")
OF_EQUATIONS = ("rge", "sign_rge", "subspace_gn", "last_layer_gn", "coordinate_gn")
OF_SHAPES = ("rge", "cge", "node_cge", "block_rge", "cocd")
# Ways that a default does not take, and their arguments.
OTHER_WAYS: dict[str, dict[str, Any]] = {
    "rge core by core": {"estimator": "rge", "contractions": "0"},
    "node_cge in int16": {"estimator": "node_cge", "cache": "int16"},
    "cge in int16": {"estimator": "cge", "cache": "int16"},
    "cge in int16_least": {"estimator": "cge", "cache": "int16_least"},
}
# What the features of a step do not tell apart; counted as a share of the same step by cge in float32.
NARROW = {"cge in int16": "int16", "cge in int16_least": "int16_least"}
IN_OTHER_WAYS = {"digits": BATCHES} | dict.fromkeys(
    ("tt_64_64_10_rank_6", "tt_32_32_6_tanh", "tt_256_128_8"), BATCHES_OF_SHAPES
)
# In batches of one too: four rows are too many multiply-accumulates.
BY_ROW = {"hjb20-rank10": ("rge", "sign_rge", "subspace_gn"), "names-gpt": ("cge", "node_cge")}
MOST_PARAMETERS = 30_000  # of a model that is counted
MOST_MACS = 110_000_000  # of a step that is counted


@dataclasses.dataclass(frozen=True)
class StepCount:
    """One case: instructions of a step, in the mean and the most of the first STEPS; multiply-accumulates and loss
    evaluations in the mean, as the device reports them."""

    model: str
    estimator: str
    batch: int
    mean: int
    most: int
    macs: float
    evaluations: float


def cases() -> Iterator[tuple[str, str, int]]:
    """Model, estimator and batch of each case, in a fixed order; not all of them can be exported."""
    for model in zoo.names():
        if zoo.get(model).problem is None:
            yield from itertools.product([model], OF_DATA, BATCHES)
            continue
        for estimator in OF_EQUATIONS:
            yield from ((model, estimator, batch) for batch in BATCHES_OF_EQUATIONS.get(estimator, (4,)))
    yield from itertools.product(shapes.INPUTS, OF_SHAPES, BATCHES_OF_SHAPES)
    for model, batches in IN_OTHER_WAYS.items():
        yield from itertools.product([model], OTHER_WAYS, batches)
    for model, estimators in BY_ROW.items():
        yield from ((model, estimator, 1) for estimator in estimators)


def plan_of_case(model: str, estimator: str, batch: int) -> Plan:
    """Raises `PlanError` where the model cannot be trained that way."""
    changes = {"batch": batch} | OTHER_WAYS.get(estimator, {"estimator": estimator})
    if model in shapes.INPUTS:
        return plan_of(f"{Path(shapes.__file__)}:{model}", input_shape=(shapes.INPUTS[model],), **changes)
    return plan_of(model, **changes)


def rows_of_case(model: str, plan: Plan, mnist: str = "mnist") -> np.ndarray | None:
    """Packed training rows, MNIST's from that source; None for an equation."""
    if plan.pde is not None:
        return None
    if model not in shapes.INPUTS:
        source = zoo.get(model).data
        return data_set.load(mnist if source == "mnist" else source, plan).train_rows
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((RANDOM_ROWS, plan.in_features)).astype(np.float32)
    return data_set.pack_rows(inputs, data_set.random_targets(plan, rng, RANDOM_ROWS))


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
    instructions, macs, evaluations = zip(*found, strict=True)
    mean = round(sum(instructions) / STEPS)
    return StepCount(*case, mean, max(instructions), sum(macs) / STEPS, sum(evaluations) / STEPS)


def _step(device: Any, plan: Plan, rows: np.ndarray | None, step: int, counter: Path) -> tuple[int, int, int]:
    """Instructions, multiply-accumulates and loss evaluations."""
    if rows is not None:
        device.write_batch(rows[np.arange(step * plan.batch, (step + 1) * plan.batch) % len(rows)])
    before = struct.unpack("<Q", counter.read_bytes())[0]
    result = device.step(Region.collocation if rows is None else Region.batch)
    return struct.unpack("<Q", counter.read_bytes())[0] - before, result.macs, result.evaluations


def count_all(models: Collection[str], mnist: str, say: Callable[[str], object]) -> list[StepCount]:
    """All cases of these models, of all where none is named; `say` gets a line for each, also for those left out."""
    found: list[StepCount] = []
    rows: dict[str, np.ndarray | None] = {}
    without_data: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="ttzo-objects-") as objects:
        for case in cases():
            started = time.monotonic()
            if models and case[0] not in models or case[0] in without_data:
                continue
            try:
                plan = plan_of_case(*case)
                if left_out := _left_out(plan):
                    say(f"{case}: {left_out}")
                    continue
                if case[0] not in rows:
                    rows[case[0]] = rows_of_case(case[0], plan, mnist)
                found.append(count(plan, case, rows[case[0]], Path(objects)))
                say(f"{found[-1]} in {time.monotonic() - started:.1f} s")
            except TtzoError as error:
                say(f"{case}: {error}")
                if isinstance(error, data_set.DataError):
                    without_data.add(case[0])
    return found


def _left_out(plan: Plan) -> str:
    macs = macs_a_step(plan, plan.training.phases[0])
    if plan.n_parameters > MOST_PARAMETERS:
        return f"left out: {plan.n_parameters:,} parameters"
    return f"left out: {macs:,} multiply-accumulates a step" if macs > MOST_MACS else ""


def read(path: Path) -> list[StepCount]:
    return [StepCount(**each) for each in json.loads(path.read_text(encoding="utf-8"))]


def write(path: Path, counts: list[StepCount]) -> None:
    """One case a line."""
    lines = [json.dumps(dataclasses.asdict(each)) for each in counts]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--mnist", default="mnist", metavar="FOLDER", help="MNIST's files (default: downloaded)")
    given = parser.parse_args()
    counted = count_all(given.models, given.mnist, lambda text: print(text, file=sys.stderr, flush=True))
    kept = [each for each in read(given.file) if each.model not in given.models] if given.models else []
    places = {case: place for place, case in enumerate(cases())}
    write(given.file, sorted(kept + counted, key=lambda each: places[each.model, each.estimator, each.batch]))


if __name__ == "__main__":
    main()
