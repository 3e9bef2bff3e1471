# SPDX-License-Identifier: MIT
"""Writes `depth_counts.json`: what a gradient costs after one to five hidden layers, in instructions a row.

    python tests/vectors/depth_counts.py

The networks take the rows of `digits`, have hidden layers of 64 units with ReLU and rank 3, and the batch of `digits`.
`forward` was counted once, on commit f720d3b with the same compiler: one forward pass of one row (`ttzo_predict`).
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import TTLinear, seeded, torch
from ttzo.host_tools.data import data_set
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure import bench
from ttzo.host_tools.measure.instruction_count import Machine

ESTIMATORS = ("node_cge", "chain_differences")
PATH = Path(__file__).with_suffix(".json")


def plan_of_depth(hidden_layers: int, estimator: str) -> Plan:
    """The network with that many hidden layers, with the settings of `digits`."""
    hidden: list[Any] = []
    with seeded(0):
        for _ in range(hidden_layers):
            hidden += [TTLinear(64, 64, (8, 8), (8, 8), 3), torch.nn.ReLU()]
        module = torch.nn.Sequential(*hidden, TTLinear(64, 10, (8, 8), (2, 5), 3))
    like = plan_of("digits", estimator=estimator)
    return plan_from_module(
        module,
        loss=like.loss,
        training=like.training,
        batch=like.batch,
        input_number=like.input_number,
        input_scale=like.input_scale,
        input_offset=like.input_offset,
    )


def instructions(plan: Plan, board_name: str) -> int:
    """Of the gradient estimate of a step on the first rows of `digits`, for each row."""
    board = boards.load(board_name)
    rows = data_set.load("digits", plan).train_rows[: plan.batch]
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(board, bench.firmware(Path(folder) / "made", plan, board))
        bench.put_batch(machine, rows)
        with machine.counting("ttzo_estimate", stops=True) as tally:
            machine.call("ttzo_step", machine.trainer, Region.batch, machine.host)
    return round(tally.instructions / plan.batch)


def main() -> None:
    stored = json.loads(PATH.read_text(encoding="utf-8"))
    for each in stored["depths"]:
        for estimator in ESTIMATORS:
            each[estimator] = instructions(plan_of_depth(each["hidden_layers"], estimator), stored["board"])
        print(each, file=sys.stderr, flush=True)
    lines = ",\n".join(json.dumps(each) for each in stored.pop("depths"))
    PATH.write_text(json.dumps(stored)[:-1] + f', "depths": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
