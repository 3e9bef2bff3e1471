# SPDX-License-Identifier: MIT
"""Instructions of training steps in `fused` arithmetic beside those in `separate`, on an emulated Cortex-M4F.

    python -m ttzo.host_tools.measure.fused_counts FILE      writes them as JSON; some minutes

Steps, rows and board are those of step_counts.py. fit_instructions.py takes the shares from the file.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from ttzo.device_runtime.contract import Arithmetic
from ttzo.host_tools.measure import step_counts

CASES = (
    ("digits", "rge", 4),
    ("digits-conv", "sign_rge", 4),
    ("names", "rge", 4),
    ("digits", "cge", 4),
    ("vowels", "cge", 4),
    ("digits-conv", "cge", 4),
    ("names", "cge", 4),
    ("digits", "node_cge", 4),
    ("vowels", "node_cge", 4),
    ("digits", "block_rge", 4),
    ("motions", "cocd", 4),
    ("black-scholes", "subspace_gn", 4),
    ("burgers", "rge", 4),
    ("burgers", "coordinate_gn", 4),
)


@dataclasses.dataclass(frozen=True)
class FusedCount:
    """Instructions of a step, the mean of the first STEPS, in both arithmetics."""

    model: str
    estimator: str
    batch: int
    separate: int
    fused: int

    @property
    def share(self) -> float:
        return self.fused / self.separate


def count(case: tuple[str, str, int], objects: Path) -> FusedCount:
    """Counts one case in both arithmetics; compiled sources are kept in folders in `objects`."""
    plan = step_counts.plan_of_case(*case)
    rows, means = step_counts.rows_of_case(case[0], plan), {}
    for arithmetic in Arithmetic:
        kept = objects / arithmetic.name
        kept.mkdir(exist_ok=True)
        made = dataclasses.replace(plan, arithmetic=arithmetic)
        means[arithmetic.name] = step_counts.count(made, case, rows, kept).mean
    return FusedCount(*case, means[Arithmetic.separate.name], means[Arithmetic.fused.name])


def read(path: Path) -> list[FusedCount]:
    return [FusedCount(**each) for each in json.loads(path.read_text(encoding="utf-8"))]


def main(path: Path) -> None:
    lines = []
    with tempfile.TemporaryDirectory(prefix="ttzo-objects-") as objects:
        for case in CASES:
            found = count(case, Path(objects))
            print(f"{found} {found.share:.3f}", file=sys.stderr, flush=True)
            lines.append(json.dumps(dataclasses.asdict(found)))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
