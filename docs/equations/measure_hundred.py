# SPDX-License-Identifier: MIT
"""Trains the equations of `hundred.py` on `native:`, seeds 0 to 2, counts what derivatives cost over the dimension, and writes
docs/results/hundred.json, hundred.md and hundred.png. Runs that are stored already are not repeated, except with --anew.

python docs/equations/measure_hundred.py [EQUATION ..] [--anew]        about 15 minutes for all
"""

import argparse
import json
import tempfile
from pathlib import Path

import hundred
import numpy as np
from matplotlib.figure import Figure

from ttzo import pde
from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.equations import pde as reference
from ttzo.host_tools.training import session

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
OUT = RESULTS / "hundred.json"
NAMES = {
    "heat": "heat, bumps that spread",
    "hjb": "Hamilton-Jacobi-Bellman, linear system, quadratic cost",
    "allen_cahn": "Allen-Cahn, interactions of neighbours",
}
SEEDS = (0, 1, 2)
DIMENSIONS = (10, 20, 50, 100, 200, 500, 1000)
HEAD = """# Equations in 100 dimensions

Written by `python docs/equations/measure_hundred.py`; the equations and their networks are in `docs/equations/hundred.py`. Sampled
derivatives (`--derivative sampled_jet`), subspace_gn, float32 on `native:`; relative L2 errors in percent at 1,000 points,
seeds {seeds}. The solutions have a mean of about 0, so that constants do not look good. An affine function is compared in the place of
the whole solution, and in the place of the network, where known parts of the solution help it: each by least squares at
20,000 points. Steps, units, weights of walls and what weighs at the start were chosen by the error of seed 0; of Allen-Cahn units
and tensor train by a float64 simulation of the training with other draws.

| equation | error | affine | affine as network | parameters | directions | work buffer, bytes | steps | evaluations |
|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
Walls are soft: their rows hold the exact solution at points with one coordinate at a bound. In 100 dimensions such points lie
close to all others, so they tell much; the equations alone do not determine these solutions.

Allen-Cahn's 99 places are weighed by a tensor train of rank 1 (3·3·11 places, 17 numbers), so that 100 queries span all 83
parameters. With 99 weights in its place and 10 units (141 parameters) the errors were 1.99, 2.07 and 2.08 %.

![Memory and cost of derivatives over the dimension](hundred.png)

Of `allen_cahn`'s network, trained by last_layer_gn: the work memory of a row's derivatives and residual, and the multiply-adds of
a row's residual lap u + u - u^3. The network itself has D weights and looks at D - 1 pairs, so both follow D once; with
derivatives in all coordinates they follow its square. Two directions are exact where no more than neighbours interact.
"""


def affine_errors(plan: Plan) -> tuple[float, float]:
    """Relative errors of the best affine function, in the place of the solution and of the network's first output."""

    def parts(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        outputs = np.zeros((2, plan.out_features, points.shape[1]), np.float32)
        outputs[1, 0] = 1
        base, one = (reference.solution(plan, each, points)[0].astype(float) for each in outputs)
        return reference.exact(plan, points)[0].astype(float), base, one - base

    many, few = reference.validation_points(plan, 1000, 20000), reference.validation_points(plan, 0, 1000)
    (wanted, *of_many), (exact, *of_few) = parts(many), parts(few)
    columns = [np.vstack([np.ones(points.shape[1]), points]).T for points in (many, few)]
    alone = [np.zeros(20000), np.ones(20000)], [np.zeros(1000), np.ones(1000)]
    return tuple(
        fitted(columns, [wanted, *far], [exact, *near]) / float(np.linalg.norm(exact))
        for far, near in (alone, (of_many, of_few))
    )


def fitted(columns: list[np.ndarray], far: list[np.ndarray], near: list[np.ndarray]) -> float:
    """Length of what base + factor * columns @ (the best numbers at the points far off) leaves at the near ones."""
    (wanted, base, factor), (exact, own_base, own_factor) = far, near
    best = np.linalg.lstsq(factor[:, None] * columns[0], wanted - base, rcond=None)[0]
    return float(np.linalg.norm(own_base + own_factor * (columns[1] @ best) - exact))


def trained(name: str, seed: int) -> dict[str, float]:
    """What a run gives."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export(f"{HERE / 'hundred.py'}:{name}", bundle, seed=seed)
        with open_device("native:", bundle) as device:
            plan = device.plan
            run = session.train(device, data_set.load(None, plan), Path(folder) / "run")
            spent = device.state().evaluations
    solution, network = affine_errors(plan)
    return {
        "error": run.test.relative,
        "affine": solution,
        "affine_as_network": network,
        "parameters": plan.n_parameters,
        "directions": plan.equation.n_sampled,
        "work_bytes": memory.work_bytes(plan),
        "steps": plan.training.steps,
        "evaluations": spent,
    }


# ---- over the dimension ----------------------------------------------------------------------------------------------


def costs(dimension: int, **options) -> dict[str, int]:
    """Bytes that the derivatives of a row take, and multiply-adds of a residual."""
    problem = pde.Problem(space=[(-1, 1)] * dimension, residual=lambda p: p.lap + p.u - p.u**3, rows=32)
    made = pde.trace(problem, **options)
    training = Training(train_defaults.default_phases("last_layer_gn"))
    module = hundred.network(dimension, 0, kernel=2, units=16)
    plan = plan_from_module(
        module, loss=Loss.residual, pde=made, batch=made.batch, input_number=Number.float32, training=training
    )
    return {
        "bytes": memory.work_items(plan)["derivatives and residual program"],
        "multiply_adds": plan.macs * plan.passes,
    }


WAYS = {
    "jet": {"derivative": "jet"},
    "sampled_jet, 16 directions": {"derivative": "sampled_jet", "n_sampled": 16},
    "sampled_jet, 2 directions": {"derivative": "sampled_jet", "n_sampled": 2},
}


def draw(counted: dict[str, list[dict[str, int]]]) -> None:
    """Both costs over the dimension, with axes of powers."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, what, title in zip(
        panels,
        ("bytes", "multiply_adds"),
        ("memory of a row's derivatives and residual, bytes", "multiply-adds of a residual"),
        strict=True,
    ):
        for (way, costs_of_way), colour in zip(counted.items(), ("#5b7ba8", "#e0a070", "#c8551b"), strict=True):
            axes.loglog(DIMENSIONS, [each[what] for each in costs_of_way], "o-", color=colour, label=way)
        axes.set(xlabel="coordinates D", title=title)
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(RESULTS / "hundred.png", dpi=120)


# ---- the page --------------------------------------------------------------------------------------------------------


def table(runs: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = []
    for name, title in NAMES.items():
        made = [runs[name][str(seed)] for seed in SEEDS if str(seed) in runs.get(name, {})]
        if not made:
            continue
        errors = ", ".join(f"{100 * each['error']:.2f}" for each in made)
        first, spent = made[0], np.mean([each["evaluations"] for each in made])
        known = f"{100 * first['affine']:.0f} | {100 * first['affine_as_network']:.1f} | {first['parameters']}"
        rest = f"{first['directions']} | {first['work_bytes']:,} | {first['steps']} | {spent:,.0f}"
        lines.append(f"| {title} | {errors} | {known} | {rest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("equations", nargs="*", metavar="EQUATION", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--anew", action="store_true", help="repeat stored runs of these equations")
    asked = parser.parse_args()
    chosen = asked.equations or list(NAMES)
    if unknown := [name for name in chosen if name not in NAMES]:
        parser.error(f"there is no equation {unknown[0]}; choose of {', '.join(NAMES)}")
    stored = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {"runs": {}}
    for name in chosen if asked.anew else ():
        stored["runs"].pop(name, None)
    for name in chosen:
        for seed in SEEDS:
            if str(seed) in stored["runs"].setdefault(name, {}):
                continue
            stored["runs"][name][str(seed)] = trained(name, seed)
            print(name, seed, stored["runs"][name][str(seed)], flush=True)
            write_atomically(OUT, json.dumps(stored, indent=1).encode())
    stored["over_dimension"] = {way: [costs(d, **options) for d in DIMENSIONS] for way, options in WAYS.items()}
    write_atomically(OUT, (json.dumps(stored, indent=1) + "\n").encode())
    draw(stored["over_dimension"])
    page = HEAD.format(seeds=", ".join(map(str, SEEDS))) + table(stored["runs"]) + "\n" + TAIL
    write_atomically(RESULTS / "hundred.md", page.encode())


if __name__ == "__main__":
    main()
