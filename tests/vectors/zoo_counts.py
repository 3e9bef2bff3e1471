# SPDX-License-Identifier: MIT
"""Writes `zoo_counts.json`: what the zoo's models cost on one board, in instructions, flash and RAM.

    python tests/vectors/zoo_counts.py      writes the file anew: when costs were changed on purpose, with both figures in
                                            the commit
    python tests/vectors/zoo_counts.py sizes        writes bytes alone anew, and keeps the instructions: when only
                                                    what is linked was changed; of the models named after it
    python tests/vectors/zoo_counts.py digits names   counts only the cases of these models anew

A case is a model with its default settings, or a small model with another estimator, cache, arithmetic or derivative.
Batches and numbers of directions are small, so that a step is counted in seconds. Instructions are counted exactly, so
they depend on the compiler: its version stands in the file. The first file was written on commit f720d3b.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from zoo_bits import OF_COORDINATES, rows_of

from ttzo.device_runtime.contract import Cache, Region
from ttzo.exporter import zoo
from ttzo.exporter.costs.memory import Room, require_room
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.train_defaults import UnreadSetting
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure import bench
from ttzo.host_tools.measure.instruction_count import Machine

PATH = Path(__file__).with_suffix(".json")
BOARD = "netduinoplus2"
BATCH, QUERIES = 2, 2
ESTIMATORS = ("sign_rge", "cge", "node_cge", "block_rge", "cocd", "hybrid")
FIELDS = ("flash_bytes", "static_bytes", "stack_bytes", "work_bytes")


def cases() -> Iterator[dict[str, str]]:
    """Arguments of `plan_of` for each case, in a fixed order."""
    newer = [recipe.name for recipe in (*zoo.SEQUENCES, *zoo.SENSORS, *zoo.AUTOENCODERS, *zoo.SMALL_MNIST)]
    yield from ({"model": model} for model in zoo.names() if model not in newer)
    for model in ("digits", "digits-conv", "names"):
        yield from ({"model": model, "estimator": name} for name in ESTIMATORS)
        yield from ({"model": model, "estimator": "cge", "cache": each.name} for each in list(Cache)[1:])
        yield {"model": model, "arithmetic": "fused"}
    for model in ("black-scholes", "burgers"):
        yield from ({"model": model, "derivative": each.name} for each in OF_COORDINATES)
    yield from ({"model": "burgers", "estimator": name} for name in ("subspace_gn", "last_layer_gn"))
    for model in ("digits-rnn", "motions"):  # a step of their own estimator, cge, is 24 and 48 million instructions
        yield {"model": model, "estimator": "cocd"}
    yield {"model": "names-gpt", "estimator": "rge"}  # of its own, node_cge, hundreds of millions
    yield from ({"model": model} for model in ("watch", "vowels", "power"))


def record(case: dict[str, str], sizes_alone: bool = False) -> dict[str, object]:
    """The case's costs: bytes of flash, variables, stack (deepest path of calls) and work buffer; instructions of a
    forward pass and of a step's gradient estimate, or of one residual. {"refused": class of the error} where the model
    cannot be exported or does not fit."""
    board = boards.load(BOARD)
    try:
        plan = _plan(case, board.room)
        require_room(plan, board.room)
    except PlanError as error:
        return {"refused": type(error).__name__}
    with tempfile.TemporaryDirectory() as folder:
        report = bench.firmware(Path(folder) / "made", plan, board)
        made = {name: getattr(report, "work_needed" if name == "work_bytes" else name) for name in FIELDS}
        if sizes_alone:
            return made
        machine = Machine(board, report)
        return made | (_residual(machine) if plan.pde else _step(machine, rows_of(plan)))


def _plan(case: dict[str, str], room: Room) -> Plan:
    """With few queries, or few coordinates, where its estimator asks such."""
    options = {"room": room, "batch": BATCH} | {name: value for name, value in case.items() if name != "model"}
    asked = "n_coordinates" if case.get("estimator") == "cocd" else "n_queries"
    try:
        return plan_of(case["model"], **options, **{asked: QUERIES})
    except UnreadSetting:
        return plan_of(case["model"], **options)


def _step(machine: Machine, rows: np.ndarray) -> dict[str, int]:
    bench.put_batch(machine, rows)
    with machine.counting() as forward:
        machine.call("ttzo_predict", machine.trainer, 0, machine.host)
    with machine.counting("ttzo_estimate") as gradient:
        machine.call("ttzo_step", machine.trainer, Region.batch, machine.host)
    return {"forward_instructions": forward.instructions, "gradient_instructions": gradient.instructions}


def _residual(machine: Machine) -> dict[str, int]:
    with machine.counting("ttzo_pde_residual", stops=True) as residual:
        machine.call("ttzo_step", machine.trainer, Region.collocation, machine.host)
    return {"residual_instructions": residual.instructions}


def compiler() -> str:
    """The first line of what the board's compiler says of its version."""
    command = [f"{boards.load(BOARD).toolchain}-gcc", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    sizes_alone = sys.argv[1:2] == ["sizes"]
    models = sys.argv[1 + sizes_alone :]
    kept = {json.dumps(each["case"]): each["costs"] for each in json.loads(PATH.read_text(encoding="utf-8"))["cases"]}
    found = []
    for case in cases():
        if models and case["model"] not in models:
            found.append({"case": case, "costs": kept[json.dumps(case)]})
            continue
        instructions = kept[json.dumps(case)] if sizes_alone else {}
        found.append({"case": case, "costs": instructions | record(case, sizes_alone)})
        print(case, found[-1]["costs"], file=sys.stderr, flush=True)
    head = {"commit": commit, "board": BOARD, "compiler": compiler(), "batch": BATCH, "n_queries": QUERIES}
    lines = ",\n".join(json.dumps(each) for each in found)
    PATH.write_text(f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
