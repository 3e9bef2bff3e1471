# SPDX-License-Identifier: MIT
"""Trains the zoo's small MNIST networks by forward queries: writes docs/results/mnist.json.

    python tests/vectors/mnist_runs.py FOLDER --data MNIST [--models MODEL ...] [--as-found]

The data set lies in the run's memory, and the C runtime is called without a line: mnist-100 and mnist-196 take seconds a seed.
mnist-99 takes half an hour a seed or more, so it is trained by `ttzo train` on `native:`, in FOLDER/mnist-99-SEED; a run that
was cut goes on. Both ways leave the same bits. Accuracy is that of all 10,000 test rows after the last step that was measured.
`--as-found` trains nothing and records what is in FOLDER. A model without runs there keeps what is recorded of it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Region
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export, plan_of
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training import metrics
from ttzo.host_tools.training.session import train

sys.path.append(str(Path(__file__).parents[1] / "support"))
from c_library import library_opener
from runtime import CORE, RUN, Runtime

RESULT = Path(__file__).parents[2] / "docs/results/mnist.json"
SMALL, LARGE = ("mnist-100", "mnist-196"), "mnist-99"
SEEDS, TEST_ROWS = (0, 1, 2), 10_000


def run_small(model: str, seed: int, data: str) -> dict[str, object]:
    """A whole training in this process."""
    plan = plan_of(model, seed=seed)
    rows, library = data_set.load(data, plan), library_opener()(*CORE, extra=RUN)
    trained, measured = (
        Runtime(library, plan, memory.work_bytes(plan) + part.nbytes) for part in (rows.train_rows, rows.test_rows)
    )
    trained.put(Region.dataset, np.ascontiguousarray(rows.train_rows).tobytes())
    results = [trained.step(Region.dataset) for _ in range(plan.training.steps)]
    measured.put(Region.dataset, np.ascontiguousarray(rows.test_rows).tobytes())
    measured.put(Region.parameters, trained.theta.tobytes())
    _, hits = measured.evaluate(Region.dataset, 0, TEST_ROWS)
    return {
        "seed": seed, "accuracy": hits / TEST_ROWS, "step": len(results),
        "evaluations": sum(each.evaluations for each in results), "macs": trained.macs,
    }  # fmt: skip


def run_large(seed: int, folder: Path, data: str) -> None:
    """Trains the run in `folder` to its end, or what is left of it."""
    if not (folder / "model.ttzo").is_file():
        export(LARGE, folder, seed=seed)
    rows = data_set.load(data, read_bundle(folder))
    with open_device("native:", folder) as device:
        train(device, rows, test_rows=TEST_ROWS)


def found(seed: int, folder: Path) -> dict[str, object] | None:
    """What the last measurement of the run in `folder` says; None where there is none."""
    path = folder / "runs/native/metrics.csv"
    measured = [row for row in metrics.read(path) if row["accuracy"] is not None] if path.is_file() else []
    if not measured:
        return None
    row = measured[-1]
    return {"seed": seed, "accuracy": row["accuracy"]} | {
        name: int(row[name] or 0) for name in ("step", "evaluations", "macs")
    }


def heading(model: str) -> dict[str, object]:
    plan = plan_of(model)
    return {
        "parameters": plan.n_parameters, "estimator": plan.training.phases[0].estimator.name, "batch": plan.batch,
        "work_bytes": memory.work_bytes(plan), "steps": plan.training.steps,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--data", default="mnist", help="a folder with MNIST's four files (default: they are downloaded)"
    )
    parser.add_argument("--models", nargs="+", default=(*SMALL, LARGE), choices=(*SMALL, LARGE))
    parser.add_argument("--as-found", action="store_true")
    given = parser.parse_args()
    for model in given.models:
        runs = given.folder / f"{model}.json"
        for seed in SEEDS if not given.as_found else ():
            if model == LARGE:
                run_large(seed, given.folder / f"{model}-{seed}", given.data)
                continue
            kept = json.loads(runs.read_text("utf-8")) if runs.is_file() else []
            if all(each["seed"] != seed for each in kept):
                kept.append(run_small(model, seed, given.data))
                runs.write_text(json.dumps(kept), encoding="utf-8")
    made = json.loads(RESULT.read_text("utf-8")) | {"test_rows": TEST_ROWS}
    for model in SMALL:
        if (runs := given.folder / f"{model}.json").is_file():
            made[model] = heading(model) | {"runs": json.loads(runs.read_text("utf-8"))}
    large = [run for seed in SEEDS if (run := found(seed, given.folder / f"{LARGE}-{seed}"))]
    if large:
        made[LARGE] = heading(LARGE) | {"runs": large}
    RESULT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
