# SPDX-License-Identifier: MIT
"""Trains digits-rnn to its end on an emulated board and on `native:`: writes docs/results/digits-rnn.json.

    python tests/vectors/digits_rnn.py FOLDER        about 12 minutes a seed in QEMU on an idle machine

Batch 16 and 800 steps, chosen on `native:` by validation rows (a fifth of the training rows, seeds 0 to 2, accuracy in the
mean 95.2 %; batch 8 and 1,000 steps: 93.4 %). Here all training rows train. Runs lie in FOLDER; one that was cut goes on.
"""

import argparse
import json
import zlib
from pathlib import Path

from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training.session import train

RESULT = Path(__file__).parents[2] / "docs/results/digits-rnn.json"
BOARD, HOST = "qemu:netduinoplus2", "native:"
BATCH, STEPS, SEEDS = 16, 800, range(3)


def run(folder: Path, url: str) -> dict[str, object]:
    """One training of the bundle in `folder`, or what is left of it; all 360 test rows at its end."""
    plan = read_bundle(folder)
    rows = data_set.load("digits", plan)
    with open_device(url, folder) as device:
        found = train(device, rows, test_rows=len(rows.test_rows))
        parameters = zlib.crc32(device.parameters().tobytes())
    return {
        "device": url,
        "steps": found.step,
        "accuracy": found.test.accuracy,
        "test_rows": found.test.n_rows,
        "loss": found.test.loss,
        "evaluations": found.evaluations,
        "parameters_crc32": f"{parameters:08x}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    runs = []
    for seed in SEEDS:
        place = folder / f"rnn{seed}"
        if not (place / "model.ttzo").is_file():
            export("digits-rnn", place, batch=BATCH, steps=STEPS, seed=seed)
        found = [{"seed": seed} | run(place, url) for url in (BOARD, HOST)]
        assert found[0]["parameters_crc32"] == found[1]["parameters_crc32"], f"seed {seed}: the bits part"
        runs += found
        print(*found, sep="\n", flush=True)
    plan, board = read_bundle(folder / "rnn0"), [each for each in runs if each["device"] == BOARD]
    made = {
        "model": "digits-rnn", "parameters": plan.n_parameters, "estimator": plan.training.phases[0].estimator.name,
        "batch": BATCH, "work_bytes": memory.work_bytes(plan),
        "mean_accuracy": round(sum(each["accuracy"] for each in board) / len(board), 4), "runs": runs,
    }  # fmt: skip
    RESULT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
