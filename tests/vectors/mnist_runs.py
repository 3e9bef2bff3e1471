# SPDX-License-Identifier: MIT
"""Trains the zoo's small MNIST networks on `native:` by forward queries: writes docs/results/mnist.json.

    python tests/vectors/mnist_runs.py FOLDER --data MNIST [--models MODEL ...] [--as-found]

Runs lie in FOLDER/MODEL-SEED; one that was cut goes on. Accuracy is that of all 10,000 test rows, at the last step that was
measured. `--as-found` trains nothing and records what the runs in FOLDER have reached. Settings were chosen on the last 10,000
training rows, held back, of mnist-99 with exact gradients in PyTorch.
"""

import argparse
import json
from pathlib import Path

from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training import metrics
from ttzo.host_tools.training.session import train

RESULT = Path(__file__).parents[2] / "docs/results/mnist.json"
MODELS, SEEDS, TEST_ROWS = ("mnist-100", "mnist-196", "mnist-99"), (0, 1, 2), 10_000


def train_run(model: str, seed: int, folder: Path, data: str) -> None:
    """Trains the run in `folder` to its end, or what is left of it."""
    if not (folder / "model.ttzo").is_file():
        export(model, folder, seed=seed)
    rows = data_set.load(data, read_bundle(folder))
    with open_device("native:", folder) as device:
        train(device, rows, test_rows=TEST_ROWS)


def found(folder: Path, seed: int) -> dict[str, object] | None:
    """What the last measurement of the run in `folder` says; None where there is none."""
    path = folder / "runs/native/metrics.csv"
    measured = [row for row in metrics.read(path) if row["accuracy"] is not None] if path.is_file() else []
    if not measured:
        return None
    row, whole = measured[-1], ("step", "evaluations", "macs")
    return {"seed": seed, "accuracy": row["accuracy"]} | {name: int(row[name] or 0) for name in whole}


def record(folder: Path) -> dict[str, object]:
    """The results of all runs in `folder`, by model."""
    made: dict[str, object] = {"test_rows": TEST_ROWS}
    for model in MODELS:
        runs = [run for seed in SEEDS if (run := found(folder / f"{model}-{seed}", seed))]
        if runs:
            plan = read_bundle(folder / f"{model}-{runs[0]['seed']}")
            made[model] = {
                "parameters": plan.n_parameters, "estimator": plan.training.phases[0].estimator.name, "batch": plan.batch,
                "work_bytes": memory.work_bytes(plan), "steps": plan.training.steps, "runs": runs,
            }  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--data", default="mnist", help="a folder with MNIST's four files (default: they are downloaded)"
    )
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--as-found", action="store_true")
    given = parser.parse_args()
    for model in () if given.as_found else given.models:
        for seed in SEEDS:
            train_run(model, seed, given.folder / f"{model}-{seed}", given.data)
    RESULT.write_text(json.dumps(record(given.folder), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
