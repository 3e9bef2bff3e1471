# SPDX-License-Identifier: MIT
"""Small random networks on random tables, trained by the defaults and at a grid of rates: writes default_training.json.

    python tests/vectors/default_training.py [--first 0] [--cases 30] [--out FILE]

The rates and steps of the defaults were chosen on cases 0 to 29. default_training_fresh.json holds cases that chose nothing:
classes 31 to 59, numbers 60 to 88 (those of 30 to 58 had shown that numbers want more steps).

A case is drawn from its number: width and depth of a chain of dense and tensor-train layers, activation, loss; rows of a
noisy teacher (classes: of several Gaussian clouds each; numbers: sums of sines and products), columns of scales from 0.01
to 1000. Each is trained on `native:` as `ttzo export` and `ttzo train` do it when nothing is chosen, and at other rates.
Beside accuracy or RMSE on 1,000 test rows stand the loss of all training rows and that of the best constant answer.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training.measurement import best_constant_loss
from ttzo.host_tools.training.session import train

RESULT = Path(__file__).with_suffix(".json")
FRESH = RESULT.with_stem("default_training_fresh")
RATES = (0.01, 0.03, 0.3, 1.0)  # beside the default
TEST_ROWS = 1000
SOURCE = """\
import torch
from ttzo.nn import TTLinear


def make():
    nn = torch.nn
    return nn.Sequential({layers}), {{"loss": "{loss}"}}
"""


def draw(number: int) -> tuple[str, dict[str, np.ndarray]]:
    """The model's source and its table."""
    rng = np.random.default_rng([2026, number])
    features, n = int(rng.integers(2, 21)), int(np.exp(rng.uniform(np.log(100), np.log(3000))))
    classes = int(rng.integers(2, 7)) if number % 2 else 0
    rows = _clouds(rng, features, n, classes) if classes else _sums(rng, features, n)
    hidden = [int(rng.choice((8, 12, 16, 24, 32))) for _ in range(int(rng.integers(1, 3)))]
    activation = str(rng.choice(("ReLU", "Tanh")))
    layers, width = [], features
    for number_of_layer, units in enumerate(hidden):
        trains = number_of_layer > 0 and rng.random() < 0.5
        layers.append(f"TTLinear({width}, {units}, ranks=3)" if trains else f"nn.Linear({width}, {units})")
        layers.append(f"nn.{activation}()")
        width = units
    layers.append(f"nn.Linear({width}, {classes or 1})")
    return SOURCE.format(layers=", ".join(layers), loss="cross_entropy" if classes else "mse"), rows


def _table(x: np.ndarray, y: np.ndarray, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    scales = 10 ** rng.uniform(-2, 3, x.shape[1])
    x = (x * scales + rng.normal(0, 3, x.shape[1]) * scales).astype(np.float32)
    held = n // 10
    return {
        "x_train": x[: n - held],
        "y_train": y[: n - held],
        "x_validation": x[n - held : n],
        "y_validation": y[n - held : n],
        "x_test": x[n:],
        "y_test": y[n:],
    }


def _clouds(rng: np.random.Generator, features: int, n: int, classes: int) -> dict[str, np.ndarray]:
    """Two Gaussian clouds for each class, which overlap a little."""
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n + TEST_ROWS - classes)])
    centres = rng.normal(0, 1.5, (classes, 2, features))
    x = centres[y, rng.integers(0, 2, len(y))] + rng.normal(0, 1, (len(y), features))
    return _table(x, y, n, rng)


def _sums(rng: np.random.Generator, features: int, n: int) -> dict[str, np.ndarray]:
    x = rng.normal(0, 1, (n + TEST_ROWS, features))
    a, b, c = rng.normal(0, 1, (3, features)) / np.sqrt(features)
    y = np.sin(2 * x @ a) + (x @ b) * (x @ c) + rng.normal(0, 0.1, len(x))
    return _table(x, (50 * y + 200).astype(np.float32), n, rng)


def measured(number: int, folder: Path, rates: tuple[float, ...] = RATES) -> dict[str, Any]:
    """A case: what the defaults and each rate reach; None where a run ended by an error, with its sentence."""
    source, table = draw(number)
    (folder / "net.py").write_text(source)
    np.savez(folder / "rows.npz", **table)
    export(f"{folder / 'net.py'}:make", folder / "bundle", seed=number)
    page = {
        "case": number,
        "model": source.partition("nn.Sequential(")[2].partition("), {")[0],
        "rows": len(table["x_train"]),
    }
    for name, rate in (("default", None), *((f"{rate:g}", rate) for rate in rates)):
        page[name] = _run(folder, name, rate)
    return page


def _run(folder: Path, name: str, rate: float | None) -> dict[str, Any]:
    plan = read_bundle(folder / "bundle")
    rows = data_set.load(folder / "rows.npz", plan)
    with open_device("native:", folder / "bundle") as device:
        try:
            run = train(device, rows, folder / name, changes={} if rate is None else {"lr": rate}, test_rows=TEST_ROWS)
        except TtzoError as error:
            return {"ended": str(error)}
        loss = device.evaluate(rows.train_rows).loss
    reached = {"accuracy": run.test.accuracy} if plan.has_classes else {"rmse": run.answers.rmse[0]}
    events = [event.kind.name for event in run.events]
    return {**reached, "loss": loss, "constant": best_constant_loss(rows, plan), "steps": run.step, "events": events}


def verdict(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """Median distance to the best of the grid: of classes in points of accuracy, of numbers in parts of its RMSE; and the
    cases that the defaults leave above the best constant's loss."""
    points, parts, above = [], [], []
    for page in pages:
        found = [run for name, run in page.items() if isinstance(run, dict) and "loss" in run]
        default = page["default"]
        if "loss" not in default or default["loss"] > default["constant"]:
            above.append(page["case"])
        elif "accuracy" in default:
            points.append(100 * (max(run["accuracy"] for run in found) - default["accuracy"]))
        else:
            parts.append(default["rmse"] / min(run["rmse"] for run in found) - 1)
    return {
        "classes": len(points),
        "median_points": float(np.median(points)),
        "worst_points": float(max(points)),
        "numbers": len(parts),
        "median_part": float(np.median(parts)),
        "worst_part": float(max(parts)),
        "above_constant": above,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    pages = []
    for number in range(options.first, options.first + options.cases):
        with tempfile.TemporaryDirectory() as folder:
            pages.append(measured(number, Path(folder)))
        print(json.dumps(pages[-1]), flush=True)
    found = verdict(pages)
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps({"verdict": found, "cases": pages}, indent=1) + "\n")


if __name__ == "__main__":
    main()
