# SPDX-License-Identifier: MIT
"""Fits what the features of a step cost in instructions to counted steps (step_counts.py).

    python -m ttzo.host_tools.measure.fit_instructions COUNTS FUSED     writes exporter/costs/instruction_costs.json

For each family of steps the costs are those, none negative, that leave the smallest squared relative errors; errors of the
zoo's models count twice as much as those of the small networks of shapes.py, and more in rounds where they are large.
Beside them stand the worst error, the errors of models that were left out of a fit of their own, and the factor that keeps
the ceiling above every counted step. FUSED is what fused_counts.py wrote: the median share of a family's steps, and the
largest. A minute on one core.
"""

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Cache
from ttzo.exporter.costs import instructions
from ttzo.exporter.costs.forward_features import Features
from ttzo.exporter.costs.instructions import Executed
from ttzo.host_tools.measure import fused_counts, shapes, step_counts
from ttzo.host_tools.measure.fused_counts import FusedCount
from ttzo.host_tools.measure.step_counts import StepCount

MARGIN = 1.02  # of a ceiling over the dearest counted step
DIGITS = 4  # of a cost
OF_SHAPES = 0.5  # what an error of a small network counts
FAR, MORE, ROUNDS = 0.12, 1.25, 20  # an error of the zoo over FAR counts MORE in the next round
# Machine instructions of one of a residual program, counted in QEMU over a fit of `house`.
OF_SIMULATIONS = {
    "costs": {"program instruction": 145.0},
    "features": ["parameter", "program instruction", "step"],
    "ceiling": 1.0,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A counted step and its features: in the mean, and those whose cost is the ceiling."""

    count: StepCount
    is_narrow: bool  # its caches are of 16 bits
    mean: Features
    most: list[Features]


def case_of(count: StepCount) -> tuple[str, Case]:
    """A counted step with its family."""
    plan = step_counts.plan_of_case(count.model, count.estimator, count.batch)
    phase = plan.training.phases[0]
    mean, *_ = instructions.all_features(plan, phase, Executed(count.macs, count.evaluations))
    most = instructions.all_features(plan, phase, Executed.planned(plan, phase))
    is_narrow = plan.cache != Cache.float32
    return instructions.family(plan, phase), Case(count, is_narrow, mean, most)


def fitted(table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x >= 0 with the smallest |weights (table x - 1)|^2, by the active set of Lawson and Hanson (1974, chapter 23)."""
    n = table.shape[1]
    table = table * weights[:, None]
    scale = np.linalg.norm(table, axis=0)
    a = table / np.where(scale > 0, scale, 1.0)
    x, free = np.zeros(n), np.zeros(n, bool)
    while True:
        pull = np.where(free, -np.inf, a.T @ (weights - a @ x))
        if pull.max() <= 1e-9:
            return x / np.where(scale > 0, scale, 1.0)
        free[pull.argmax()] = True
        while True:
            target = np.zeros(n)
            target[free] = np.linalg.lstsq(a[:, free], weights, rcond=None)[0]
            if target[free].min() > 0:
                break
            falls = free & (target <= 0)
            share = (x[falls] / (x[falls] - target[falls])).min()
            x = x + share * (target - x)
            free &= x > 1e-12
        x = target


def _table(cases: Sequence[Case], names: Sequence[str]) -> np.ndarray:
    """The features of each case over its instructions."""
    return np.array([[case.mean.get(name, 0.0) / case.count.mean for name in names] for case in cases])


def fit(cases: Sequence[Case]) -> dict:
    """One family: the costs of its features, and how good they are."""
    names = sorted({name for case in cases for name in case.mean})
    table, models = _table(cases, names), np.array([case.count.model for case in cases])
    of_zoo = np.array([model not in shapes.INPUTS for model in models])
    weights = np.where(of_zoo, 1.0, OF_SHAPES)
    for _ in range(ROUNDS):
        costs = {name: float(f"{c:.{DIGITS}g}") for name, c in zip(names, fitted(table, weights), strict=True) if c > 0}
        errors = table @ [costs.get(name, 0.0) for name in names] - 1
        far = of_zoo & (abs(errors) > FAR)
        if not far.any():
            break
        weights = np.where(far, MORE * weights, weights)
    left_out = np.zeros(len(cases))
    for model in set(models):
        if not (models != model).any():
            left_out[:] = np.nan
            break
        others = models != model
        left_out[~others] = table[~others] @ fitted(table[others], weights[others]) - 1
    dearest = [max(sum(costs.get(n, 0.0) * v for n, v in each.items()) for each in case.most) for case in cases]
    ceiling = MARGIN * max(case.count.most / each for case, each in zip(cases, dearest, strict=True))
    return {
        "costs": costs,
        "features": names,
        "ceiling": round(max(1.0, ceiling), 3),
        "worst_error": round(float(abs(errors).max()), 4),
        "median_error_left_out": round(float(np.median(abs(left_out))), 4),
        "errors": {
            f"{case.count.model} {case.count.estimator} {case.count.batch}": round(float(error), 4)
            for case, error in zip(cases, errors, strict=True)
        },
    }


def fused_shares(counts: Sequence[FusedCount]) -> dict[str, dict[str, float]]:
    """By family: what a step in `fused` takes of one in `separate`, in the median and at most."""
    shares: dict[str, list[float]] = defaultdict(list)
    for each in counts:
        plan = step_counts.plan_of_case(each.model, each.estimator, each.batch)
        shares[instructions.family(plan, plan.training.phases[0])].append(each.share)
    return {
        family: {"fused_mean": round(float(np.median(all_of)), 3), "fused_most": round(max(all_of), 3)}
        for family, all_of in shares.items()
    }


def narrow_shares(counts: Sequence[StepCount]) -> dict[str, float]:
    """By cache: what a step of cge takes in it of one in float32, in the median and at most."""
    means = {(each.model, each.estimator, each.batch): each.mean for each in counts}
    found = {}
    for way, cache in step_counts.NARROW.items():
        shares = [each.mean / means[each.model, "cge", each.batch] for each in counts if each.estimator == way]
        found[f"{cache}_mean"], found[f"{cache}_most"] = round(float(np.median(shares)), 3), round(max(shares), 3)
    return found


def main(counts: Path, fused: Path) -> None:
    families: dict[str, list[Case]] = defaultdict(list)
    counted = step_counts.read(counts)
    for count in counted:
        name, case = case_of(count)
        if not (name == "coordinates" and case.is_narrow):
            families[name].append(case)
    shares = fused_shares(fused_counts.read(fused))
    made = {name: fit(cases) | shares.get(name, {}) for name, cases in sorted(families.items())}
    made["coordinates"] |= narrow_shares(counted)
    made["simulation"] = OF_SIMULATIONS
    about = {"board": step_counts.BOARD, "steps": step_counts.STEPS, "cases": sum(map(len, families.values()))}
    page = {"counted": about, "families": made}
    instructions.PATH.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    for name, each in made.items():
        if "worst_error" in each:
            worst, left_out = each["worst_error"], each["median_error_left_out"]
            print(f"{name}: worst {worst:.1%}, left out {left_out:.1%} in the median, ceiling x {each['ceiling']}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
