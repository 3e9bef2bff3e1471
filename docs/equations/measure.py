# SPDX-License-Identifier: MIT
"""Trains the equations of `textbook.py` with default settings on `native:`, seeds 0 to 5, and writes docs/results/equations.json and .md.

python docs/equations/measure.py [EQUATION ..]        about five minutes for all
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import textbook

from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import solution_at
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.equations.pde import unknown_values, validation_points
from ttzo.host_tools.training import session

HERE = Path(__file__).parent
STORED = HERE.parent / "results" / "equations.json"
NAMES = {
    "helmholtz": "Helmholtz, hard walls",
    "helmholtz_soft": "Helmholtz, soft walls",
    "poisson_neumann": "Poisson, Neumann walls",
    "sine_gordon": "sine-Gordon, a kink",
    "fitzhugh_nagumo": "FitzHugh-Nagumo, a system",
    "diffusivity": "diffusion, k from 50 noisy readings",
}
SEEDS = (0, 1, 2)
FRESH = (3, 4, 5)  # no setting was chosen by their errors
COLUMNS = {
    "default": (SEEDS, {}),
    "default, fresh": (FRESH, {}),
    "subspace_gn": (SEEDS, {"estimator": "subspace_gn", "steps": 300}),
}
HEAD = """# Equations with default settings

Written by `python docs/equations/measure.py`; the equations are in `docs/equations/textbook.py`. One hidden layer of 32 tanh
units, {steps} steps, float32 on `native:`. Errors are relative L2 errors in percent at 1,000 points. The default is
`coordinate_gn`; the last columns are `--estimator subspace_gn` on seeds {seeds}. The weights of soft walls (40) and of early
times in FitzHugh-Nagumo (exp(-0.5 t)) were chosen by the errors of `subspace_gn` on seeds {seeds}.

| equation | seeds {seeds} | seeds {fresh} | evaluations | subspace_gn | evaluations |
|---|---|---|---|---|---|
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


def measured(name: str) -> dict[str, dict]:
    """What the default reaches on both sets of seeds, and subspace_gn on the first."""
    found = {}
    for column, (seeds, options) in COLUMNS.items():
        with tempfile.TemporaryDirectory() as folder:
            runs = [trained(name, seed, Path(folder) / str(seed), **options) for seed in seeds]
        errors, evaluations, steps, off = (list(each) for each in zip(*runs, strict=True))
        found[column] = {"errors": errors, "evaluations": evaluations, "steps": steps[0], "of_k": off}
    return found


# ---- the page --------------------------------------------------------------------------------------------------------


def row(title: str, found: dict[str, dict]) -> str:
    cells = [title]
    for column, each in found.items():
        errors = ", ".join(f"{100 * error:.2g}" for error in each["errors"])
        if any(each["of_k"]):
            errors += "; of k " + ", ".join(f"{100 * off:.2g}" for off in each["of_k"])
        cells += [errors] if column == "default" else [errors, f"{round(np.mean(each['evaluations'])):,}"]
    return "| " + " | ".join(cells) + " |"


def page(found: dict[str, dict[str, dict]]) -> str:
    """The page in Markdown, of the equations that were measured."""
    steps = next(iter(found.values()))["default"]["steps"]
    head = HEAD.format(steps=steps, seeds=", ".join(map(str, SEEDS)), fresh=", ".join(map(str, FRESH)))
    return head + "".join(row(title, found[name]) + "\n" for name, title in NAMES.items() if name in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("equations", nargs="*", metavar="EQUATION", help=f"of {', '.join(NAMES)}; the others are kept (default: all)")  # fmt: skip
    chosen = parser.parse_args().equations or list(NAMES)
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"there is no equation {unknown[0]}; choose of {', '.join(NAMES)}")
    found = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}
    for name in chosen:
        found[name] = measured(name)
        print(row(NAMES[name], found[name]), flush=True)
        write_atomically(STORED, (json.dumps(found, indent=1) + "\n").encode())
        write_atomically(STORED.with_suffix(".md"), page(found).encode())


if __name__ == "__main__":
    main()
