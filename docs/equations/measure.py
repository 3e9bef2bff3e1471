# SPDX-License-Identifier: MIT
"""Trains the equations of `textbook.py` with default settings on `native:`, seeds 0 to 2, and writes docs/results/equations.md.

python docs/equations/measure.py        about two minutes
"""

import tempfile
from pathlib import Path

import numpy as np
import textbook

from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import solution_at
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.equations.pde import unknown_values, validation_points
from ttzo.host_tools.training import session

HERE = Path(__file__).parent
OUT = HERE.parent / "results" / "equations.md"
NAMES = {
    "helmholtz": "Helmholtz, hard walls",
    "helmholtz_soft": "Helmholtz, soft walls",
    "poisson_neumann": "Poisson, Neumann walls",
    "sine_gordon": "sine-Gordon, a kink",
    "fitzhugh_nagumo": "FitzHugh-Nagumo, a system",
    "diffusivity": "diffusion, k from 50 noisy readings",
}
SEEDS = (0, 1, 2)
ONE_FIELD = ("helmholtz", "helmholtz_soft", "poisson_neumann", "sine_gordon")  # that coordinate_gn trains too
HEAD = """# Equations with default settings

Written by `python docs/equations/measure.py`; the equations are in `docs/equations/textbook.py`. One hidden layer of 32 tanh
units, {steps} steps, float32 on `native:`. Errors are relative L2 errors in percent at 1,000 points, seeds {seeds}. The second
pair of columns is `--estimator coordinate_gn`, which takes problems of one function without unknown constants.
The weights of soft walls (40) and of early times in FitzHugh-Nagumo (exp(-0.5 t)) were chosen by these errors.

| equation | default: error | evaluations | coordinate_gn: error | evaluations |
|---|---|---|---|---|
"""


def trained(name: str, seed: int, folder: Path, **options) -> tuple[float, int, int, float]:
    """Relative error, loss evaluations, steps, and the unknown constant's relative error (0 without one)."""
    export(f"{HERE / 'textbook.py'}:{name}", folder / "bundle", seed=seed, **options)
    with open_device("native:", folder / "bundle") as device:
        plan = device.plan
        run = session.train(device, data_set.load(None, plan), folder / "run")
        theta, spent = device.parameters(), device.state().evaluations
    reference = getattr(textbook, f"{name}_reference", None)
    if reference is None:
        error = run.test.relative
    else:
        points = validation_points(plan, 0, 1000).T
        exact = reference(points)
        error = float(np.linalg.norm(solution_at(plan, theta, points) - exact) / np.linalg.norm(exact))
    off = abs(float(unknown_values(plan, theta)[0]) / textbook.DIFFUSIVITY - 1) if plan.unknowns else 0.0
    return error, spent, plan.training.steps, off


def column(name: str, **options) -> tuple[list[str], int]:
    """Two cells of the table, and the steps of a run."""
    with tempfile.TemporaryDirectory() as folder:
        found = [trained(name, seed, Path(folder) / str(seed), **options) for seed in SEEDS]
    errors = ", ".join(f"{100 * error:.2g}" for error, *_ in found)
    if any(off for *_, off in found):
        errors += "; of k " + ", ".join(f"{100 * off:.2g}" for *_, off in found)
    return [errors, f"{round(np.mean([spent for _, spent, *_ in found])):,}"], found[0][2]


def main() -> None:
    lines, steps = [], 0
    for name, title in NAMES.items():
        cells, steps = column(name)
        other = column(name, estimator="coordinate_gn", steps=steps)[0] if name in ONE_FIELD else ["", ""]
        lines.append("| " + " | ".join([title, *cells, *other]) + " |")
        print(lines[-1], flush=True)
    OUT.write_text(HEAD.format(steps=steps, seeds=", ".join(map(str, SEEDS))) + "\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
