# SPDX-License-Identifier: MIT
"""Trains names-gpt to its end on `native:`, and beside it by back-propagation: writes docs/results/names-gpt.json.

    python tests/vectors/names_gpt.py FOLDER        about a minute a seed on an idle machine

Back-propagation takes 1,000 steps of one row by the same rule (Adam, its betas, the rate falling to 0) from the same
parameters, in PyTorch. Losses are those of all 6,400 test rows. Runs lie in FOLDER; one that was cut goes on.
"""

import argparse
import json
import zlib
from pathlib import Path

import numpy as np
import torch

from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.exporter.plan.loss_options import NO_CLASS
from ttzo.exporter.zoo import names_gpt
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training.session import train

RESULT = Path(__file__).parents[2] / "docs/results/names-gpt.json"
SEEDS, STEPS_OF_BACKPROPAGATION, ROWS_OF_AN_EVALUATION = range(3), 1000, 32
Pairs = tuple[np.ndarray, np.ndarray]


def bigram_loss(rows: Pairs, test: Pairs) -> float:
    """Mean over test rows of the mean of -log p(next letter | letter) over a row's places, p counted on the training rows
    with 0.1 more of each pair."""
    counts = np.full((names_gpt.LETTERS, names_gpt.LETTERS), 0.1)
    known = rows[1] != NO_CLASS
    np.add.at(counts, (rows[0][known], rows[1][known]), 1)
    surprise = -np.log(counts / counts.sum(1, keepdims=True))
    known = test[1] != NO_CLASS
    losses = np.where(known, surprise[test[0], np.where(known, test[1], 0)], 0)
    return float((losses.sum(1) / known.sum(1)).mean())


def _row_losses(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    scores, classes = model(x).reshape(-1, names_gpt.LETTERS), y.reshape(-1)
    losses = torch.nn.functional.cross_entropy(scores, classes, ignore_index=NO_CLASS, reduction="none")
    return losses.reshape(y.shape).sum(1) / (y != NO_CLASS).sum(1)


def by_backpropagation(seed: int, rows: Pairs, test: Pairs) -> float:
    """The loss on the test rows."""
    x, y, x_test, y_test = (torch.from_numpy(each.astype(np.int64)) for each in (*rows, *test))
    model, steps = names_gpt.build(seed=seed), STEPS_OF_BACKPROPAGATION
    optimiser = torch.optim.Adam(model.parameters(), lr=names_gpt.RATE, betas=names_gpt.BETAS)
    chosen = torch.randint(0, len(x), (steps, 1), generator=torch.Generator().manual_seed(seed))
    for step, row in enumerate(chosen):
        optimiser.param_groups[0]["lr"] = names_gpt.RATE * (1 - step / steps)
        optimiser.zero_grad()
        _row_losses(model, x[row], y[row]).mean().backward()
        optimiser.step()
    with torch.no_grad():
        return _row_losses(model, x_test, y_test).mean().item()


def run(folder: Path, seed: int) -> dict[str, object]:
    """One training of the bundle in `folder`, or what is left of it."""
    plan = read_bundle(folder)
    rows = data_set.load("surnames", plan)
    with open_device("native:", folder) as device:
        found = train(device, rows)
        loss, parameters = device.evaluate(rows.test_rows).loss, zlib.crc32(device.parameters().tobytes())
    forward_passes = found.macs / plan.macs
    return {
        "seed": seed,
        "steps": found.step,
        "loss": round(loss, 4),
        "back_propagation": round(
            by_backpropagation(seed, (rows.x_train, rows.y_train), (rows.x_test, rows.y_test)), 4
        ),
        "macs": found.macs,
        "forward_passes_a_row": round(forward_passes / found.step),
        "loss_evaluations_of_32_rows": round(forward_passes / ROWS_OF_AN_EVALUATION),
        "parameters_crc32": f"{parameters:08x}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    runs = []
    for seed in SEEDS:
        place = folder / f"gpt{seed}"
        if not (place / "model.ttzo").is_file():
            export("names-gpt", place, seed=seed)
        runs.append(run(place, seed))
        print(runs[-1], flush=True)
    plan = read_bundle(folder / "gpt0")
    rows = data_set.load("surnames", plan)
    made = {
        "model": "names-gpt", "parameters": plan.n_parameters, "estimator": plan.training.phases[0].estimator.name,
        "batch": plan.batch, "work_bytes": memory.work_bytes(plan),
        "counted_pairs": round(bigram_loss((rows.x_train, rows.y_train), (rows.x_test, rows.y_test)), 4), "runs": runs,
    }  # fmt: skip
    RESULT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
