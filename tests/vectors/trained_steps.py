# SPDX-License-Identifier: MIT
"""Writes `docs/results/trained_steps.json`, and the table of it in `docs/results/speed.md`: instructions of one step after so
many steps on this machine, counted in Unicorn on an emulated Cortex-M4F.

    python tests/vectors/trained_steps.py MNIST [MODEL ...]     MNIST: the folder of its files; of these models alone

Figures of `FIRST` are those of commit f720d3b, and stay.
"""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import plan_of
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure import bench
from ttzo.host_tools.measure.instruction_count import Machine
from ttzo.host_tools.measure.step_counts import rows_of_case
from ttzo.host_tools.reference.number.random import batch_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STORED, PAGE = RESULTS / "trained_steps.json", RESULTS / "speed.md"
BOARD = "mps2-an386"
TABLE = re.compile(r"(<!-- steps: [^>]*-->\n).*?(?=<!-- end -->)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Case:
    """A step of `batch` rows (points of an equation) after `steps`; `first`: instructions a row on commit f720d3b."""

    model: str
    estimator: str
    batch: int
    steps: int
    arithmetic: str = "separate"
    first: int | None = None


CASES = [
    Case("digits", "cge", 24, 60, first=293_274),
    Case("digits", "cge", 24, 60, "fused"),
    Case("digits", "node_cge", 24, 60, first=70_051),
    Case("digits", "node_cge", 24, 60, "fused"),
    Case("names", "cge", 64, 20, first=384_175),
    Case("mnist-mlp", "cge", 4, 600, "fused", first=2_337_138),
    Case("mnist-conv", "cge", 4, 60, first=6_238_520),
    Case("black-scholes", "subspace_gn", 160, 0, first=883_900),
]


def count(case: Case, mnist: str) -> int:
    """Instructions of the step for each row."""
    plan = plan_of(case.model, batch=case.batch, estimator=case.estimator, arithmetic=case.arithmetic)
    with tempfile.TemporaryDirectory() as folder:
        if plan.pde:
            machine = Machine(boards.load(BOARD), bench.firmware(Path(folder) / "made", plan, boards.load(BOARD)))
            region = Region.collocation
        else:
            rows = rows_of_case(case.model, plan, mnist)
            plan = bench.trained(plan, rows, case.steps)
            machine = Machine(boards.load(BOARD), bench.firmware(Path(folder) / "made", plan, boards.load(BOARD)))
            bench.put_batch(machine, rows[batch_rows(plan.training.seed, case.steps, plan.batch, len(rows))])
            region = Region.batch
        with machine.counting() as step:
            machine.call("ttzo_step", machine.trainer, region, machine.host)
    return round(step.instructions / case.batch)


def table(stored: list[dict]) -> str:
    lines = ["| step | at first | now |", "|---|---|---|"]
    for each in stored:
        after = f", after {each['steps']}" if each["steps"] else ""
        first = f"{each['first']:,}" if each["first"] else ""
        name = f"{each['model']}, `{each['estimator']}`, batch {each['batch']}{after}, {each['arithmetic']}"
        lines.append(f"| {name} | {first} | {each['instructions']:,} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    mnist, models = sys.argv[1], sys.argv[2:]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    kept = json.loads(STORED.read_text(encoding="utf-8"))["steps"] if models else []
    found = []
    for case in CASES:
        old = [each for each in kept if {**each, "instructions": 0} == dataclasses.asdict(case) | {"instructions": 0}]
        known = old[0]["instructions"] if old and case.model not in models else None
        found.append(dataclasses.asdict(case) | {"instructions": known or count(case, mnist)})
        print(found[-1], flush=True)
    STORED.write_text(json.dumps({"commit": commit, "board": BOARD, "steps": found}, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda to: to[1] + "\n" + table(found) + "\n", page), encoding="utf-8")


if __name__ == "__main__":
    main()
