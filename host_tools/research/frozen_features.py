# SPDX-License-Identifier: MIT
"""frozen_features on linear equations of the zoo beside FastLSQ (PyPI `fastlsq`) with as many features, in the same run:
docs/results/equation_steps.md.

    python -m ttzo.host_tools.research.frozen_features [EQUATION ...]      of these (all) the seeds that are not stored yet

Both fit the same rows of the same equation and have 16 draws of features in a run, two of each of eight scales; both keep the
draw whose residuals at the next step's rows are smallest. FastLSQ has double precision, its own features, exact derivatives
and solver (`SinusoidalBasis`, `solve_lstsq`), and the ridge of RIDGES that is best on seed 0. Rows, ridge and draws of
frozen_features were chosen on seeds 0 to 2, nothing on the others.
"""

import argparse
import dataclasses
import importlib
import json
import os
import tempfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import Region, Schedule
from ttzo.exporter.export import plan_of
from ttzo.exporter.pde.problem import Problem
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import solution_at
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.equations import pde
from ttzo.host_tools.research import equation_steps

UNITS = {"darcy": 174, "black-scholes": 296, "heat10": 139}
MODULES = {"darcy": "darcy", "black-scholes": "black_scholes", "heat10": "heat"}
ROWS, STEPS, TUNED_ON, SEEDS = 3000, 16, 0, range(8)
SCALES = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # deviation of FastLSQ's frequencies, the box being 2 wide
RIDGES = (0.0, 1e-12, 1e-10, 1e-8)


def plan_with(name: str, units: int, seed: int) -> Plan:
    """The equation with one hidden layer of so many units, trained by frozen_features."""
    from ttzo.exporter.readers.from_torch import plan_from_module
    from ttzo.exporter.zoo.pde_network import dense

    like = plan_of(name, seed=seed, batch=ROWS)
    phases = train_defaults.default_phases("frozen_features")
    training = Training(phases, steps=STEPS, seed=seed, schedule=Schedule.constant)
    module = dense((like.in_features, units, 1), seed=seed)
    return dataclasses.replace(
        plan_from_module(module, loss=like.loss, training=training, batch=like.batch, input_number=like.input_number,
                         pde=like.pde),
        metadata=like.metadata,
    )  # fmt: skip


def ours(plan: Plan, x: np.ndarray) -> tuple[np.ndarray, int]:
    """The solution at points (n, inputs) and the evaluations after all steps on `native:`."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device("native:", equation_steps._bundle(folder, plan)) as device,
    ):
        evaluations = sum(device.step(Region.collocation).evaluations for _ in range(plan.training.steps))
        return solution_at(plan, device.parameters(), x).reshape(len(x)), evaluations


# ---- FastLSQ ---------------------------------------------------------------------------------------------------------


def fastlsq() -> Any:
    """The package. It would make float64 torch's default type."""
    os.environ.setdefault("FASTLSQ_KEEP_DEFAULT_DTYPE", "1")
    try:
        return SimpleNamespace(
            basis=importlib.import_module("fastlsq.basis").SinusoidalBasis,
            solve=importlib.import_module("fastlsq.linalg").solve_lstsq,
        )
    except ImportError:
        raise SystemExit("FastLSQ is not installed: pip install fastlsq") from None


@dataclasses.dataclass(frozen=True)
class Jet:
    """A function at n points, float64: value [n, k], first and unmixed second derivatives [inputs, n, k]."""

    value: Any
    first: Any
    second: Any

    def __add__(self, other: "Jet") -> "Jet":
        return Jet(self.value + other.value, self.first + other.first, self.second + other.second)

    def __mul__(self, other: "Jet") -> "Jet":
        crossed = self.second * other.value + 2 * self.first * other.first + self.value * other.second
        return Jet(self.value * other.value, self.first * other.value + self.value * other.first, crossed)


def jet_of(function: Callable, points: Any) -> Jet:
    """Of a function of one point [inputs], by torch."""
    import torch

    value, first, second = (
        torch.func.vmap(how(function))(points)
        for how in (lambda f: f, torch.func.jacrev, lambda f: torch.func.hessian(f))
    )
    diagonal = torch.diagonal(second, dim1=1, dim2=2)
    return Jet(value[:, None], first.T[..., None], diagonal.T[..., None])


@dataclasses.dataclass(frozen=True)
class Rows:
    """Points [n, inputs] and the known parts of the solution there: known + factor * network."""

    points: Any
    known: Jet
    factor: Jet


def rows_at(problem: Problem, points: np.ndarray) -> Rows:
    """`points`: float32 [inputs, n]."""
    import torch

    def solution(network: float) -> Callable:
        def at(p: Any) -> Any:
            x, t = (p, 0.0) if problem.time is None else (p[:-1], p[-1])
            return problem.solution(torch.as_tensor(network, dtype=torch.float64) + 0 * p[0], x, t)

        return at

    at = torch.tensor(points.T.astype(float))
    known = jet_of(solution(0.0), at)
    return Rows(at, known, jet_of(lambda p: solution(1.0)(p) - solution(0.0)(p), at))


def features_at(basis: Any, points: Any) -> Jet:
    first, second = (part.permute(1, 0, 2) for part in (basis.gradient(points), basis.hessian_diag(points)))
    return Jet(basis.evaluate(points), first, second)


def residuals(problem: Problem, plan: Plan, points: Any, u: Jet) -> Any:
    """Weighted residuals [n, k] of the functions u."""
    import torch

    made, at, n = [], 0, len(problem.space)
    holds: list[Any] = [problem.residual, *(condition.holds for condition in problem.conditions)]
    for group, hold in zip(plan.equation.groups, holds, strict=True):
        own = slice(at, at + group.count)
        at += group.count
        x, first, second = points[own].T[..., None], u.first[:, own], u.second[:, own]
        names = {"x": x[:n], "u": u.value[own], "grad": first[:n], "second": second[:n], "lap": second[:n].sum(0)}
        timed = {} if problem.time is None else {"t": x[n], "u_t": first[n]}
        held = hold(SimpleNamespace(**names, **timed))
        made.append(group.root_weight * held.expand(-1, u.value.shape[1]))
    return torch.cat(made)


def fast_lsq(name: str, plan: Plan, seed: int, ridge: float, x: np.ndarray) -> tuple[float, np.ndarray]:
    """The smallest mean squared residual at fresh rows, and that draw's solution at points (n, inputs)."""
    import torch

    package = fastlsq()
    problem = importlib.import_module(f"ttzo.exporter.zoo.{MODULES[name]}").RECIPE.problem
    fitted, fresh = (rows_at(problem, pde.training_points(plan, seed, step)) for step in (0, 1))
    asked = rows_at(problem, x.T)
    width = torch.tensor(plan.equation.high, dtype=torch.float64) - torch.tensor(plan.equation.low)
    tried = []
    torch.manual_seed(seed)
    for scale in SCALES * 2:
        drawn = package.basis.random_anisotropic(len(width), plan.layers[0].out_features, 2 * scale / width)
        basis = package.basis(drawn.W.double(), drawn.b.double())
        base, columns, left, of_fresh = (
            residuals(problem, plan, rows.points, u)
            for rows in (fitted, fresh)
            for u in (rows.known, rows.known + rows.factor * features_at(basis, rows.points))
        )
        weights = package.solve(columns - base, -base, mu=ridge)
        mean_square = float(((left + (of_fresh - left) @ weights) ** 2).mean())
        found = asked.known.value + asked.factor.value * basis.evaluate(asked.points) @ weights
        tried.append((mean_square, found[:, 0].numpy()))
    return min(tried, key=lambda each: each[0])


# ---- the page --------------------------------------------------------------------------------------------------------


def measured(name: str, seed: int, ridge: float) -> dict[str, Any]:
    """Errors of both in percent."""
    points = data_set.load(None, plan_of(name))
    x, y = points.x_test[: equation_steps.POINTS], points.y_test[: equation_steps.POINTS].reshape(-1)
    plan = plan_with(name, UNITS[name], seed)
    found, evaluations = ours(plan, x)
    solutions = {"ours": found, "fast_lsq": fast_lsq(name, plan, seed, ridge, x)[1]}
    percent = {which: 100 * float(np.linalg.norm(u - y) / np.linalg.norm(y)) for which, u in solutions.items()}
    return {"seed": seed, "evaluations": evaluations, **percent}


def best_ridge(name: str) -> float:
    """FastLSQ's, by the residuals at fresh rows."""
    plan = plan_with(name, UNITS[name], TUNED_ON)
    nowhere = np.zeros((1, plan.in_features), np.float32)
    return min(RIDGES, key=lambda each: fast_lsq(name, plan, TUNED_ON, each, nowhere)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("equations", nargs="*", choices=[*UNITS, []], metavar="EQUATION", help=f"of {', '.join(UNITS)}")
    chosen = parser.parse_args().equations or list(UNITS)
    stored = equation_steps.PAGE.with_suffix(".json")
    found = json.loads(stored.read_text(encoding="utf-8"))
    made = found.setdefault(equation_steps.FROZEN, {})
    for name in chosen:
        if name not in made:
            made[name] = {"units": UNITS[name], "steps": STEPS, "rows": ROWS, "ridge": best_ridge(name), "runs": []}
        for seed in SEEDS:
            if seed in (each["seed"] for each in made[name]["runs"]):
                continue
            made[name]["runs"].append(measured(name, seed, made[name]["ridge"]))
            made[name]["runs"].sort(key=lambda each: each["seed"])
            print(name, seed, flush=True)
            stored.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            equation_steps.PAGE.write_text(equation_steps.page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
