# SPDX-License-Identifier: MIT
"""Writes `zoo_bits.json`: CRC-32 of what training leaves, for every zoo model, estimator, cache mode and arithmetic.

    python tests/vectors/zoo_bits.py              writes the file anew: only when bits may change, with the reason in the
                                                  commit
    python tests/vectors/zoo_bits.py watch house  records the cases of these models alone anew

Each case trains `STEPS` steps on `native:` on rows drawn from a seed (an equation draws its own points). Recorded are the
parameters, the moments, the loss of the last step and the answer to one row (of data) at the end. A case that the exporter
refuses is recorded with the error's class. The first file was written on commit f720d3b, before the rooms were moved;
models that are newer stand after it, with their own settings and with the estimators that work on every model of data.
"""

import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Cache, Derivative, DeviceError, LogRow, Loss, Number, Region
from ttzo.exporter import zoo
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.zoo.simulations import SIMULATIONS
from ttzo.host_tools.data.data_set import pack_rows, random_targets
from ttzo.host_tools.device.device import open_device

PATH = Path(__file__).with_suffix(".json")
LATER = [recipe.name for recipe in (*zoo.SEQUENCES, *zoo.SENSORS)]  # than the recorded commit
NEWER = (*zoo.SEQUENCES, *zoo.SENSORS, *zoo.AUTOENCODERS, *zoo.SMALL_MNIST)
OLDER = [name for name in zoo.names() if zoo.get(name) not in NEWER]
MODELS = [*OLDER, *LATER, *SIMULATIONS]
STEPS, BATCH = 2, 3
MOST_PARAMETERS = 1300  # of a case that asks every coordinate by a whole loss evaluation
MOST_OF_SHARING = 20_000  # of one that is not a plain random direction: the dense HJB net has 608,257
DIRECTIONS = ("rge", "sign_rge")
SHARING = ("cge", "node_cge", "block_rge", "cocd", "hybrid")
GAUSS_NEWTON = ("subspace_gn", "last_layer_gn")
OF_LATER = ("cge", "node_cge", "block_rge", "cocd")
LOG_ROWS = 5  # of a simulation
LATER_ESTIMATORS = ("coordinate_gn", "chain_differences", "frozen_features")  # than the recorded commit
OF_COORDINATES = [each for each in Derivative if each != Derivative.sampled_jet]  # sampled_jet is later


def cases() -> Iterator[dict[str, str]]:
    """Arguments of `plan_of` for each case, in a fixed order."""
    for model in OLDER:
        is_equation = zoo.get(model).problem is not None
        for estimator in train_defaults.ESTIMATORS:
            if estimator in LATER_ESTIMATORS:
                continue
            if (estimator in GAUSS_NEWTON) != is_equation and estimator not in (*DIRECTIONS, "cge_plain"):
                continue
            yield {"model": model, "estimator": estimator}
            if estimator in SHARING:
                yield from ({"model": model, "estimator": estimator, "cache": c.name} for c in list(Cache)[1:])
        for estimator in ("rge", "subspace_gn") if is_equation else ("rge", "cge", "node_cge"):
            yield {"model": model, "estimator": estimator, "arithmetic": "fused"}
        for update in ("adam", "ema_momentum", "sgd"):
            yield {"model": model, "estimator": "rge", "update": update}
        if is_equation:
            yield from ({"model": model, "estimator": "rge", "derivative": d.name} for d in OF_COORDINATES)
            yield {"model": model, "estimator": "rge", "derivative": "compensated_jet", "arithmetic": "fused"}
    for model in LATER:
        yield {"model": model}
        yield from ({"model": model, "estimator": estimator} for estimator in ("rge", *OF_LATER))
        yield {"model": model, "estimator": "cge", "arithmetic": "fused"}
    yield from ({"model": model} for model in SIMULATIONS)


def rows_of(plan: Plan) -> np.ndarray:
    """Packed rows of one batch, from a seed."""
    rng = np.random.default_rng(20)
    shape = (plan.batch, plan.in_features)
    if plan.n_tokens:
        x = rng.integers(0, plan.n_tokens, shape)
    elif plan.input_number == Number.uint8:
        x = rng.integers(0, round(1 / plan.input_scale) + 1, shape)
    else:
        x = rng.standard_normal(shape)
    x = x.astype({Number.uint8: np.uint8, Number.int16: np.int16, Number.float32: np.float32}[plan.input_number])
    if plan.loss == Loss.cross_entropy:
        return pack_rows(x, rng.integers(0, plan.out_features, plan.batch))
    if plan.has_classes:
        return pack_rows(x, random_targets(plan, rng, plan.batch))
    return pack_rows(x, rng.standard_normal((plan.batch, plan.out_features)).astype(np.float32))


def log_rows(plan: Plan) -> np.ndarray:
    """A log for a simulation, from a seed: rows a second apart, inputs and measured numbers between 0 and 1."""
    rows = np.random.default_rng(21).random((LOG_ROWS, plan.row_bytes // 4), np.float32)
    rows[:, 0], rows[:, 1] = LogRow.fitted, 1.0
    return rows.view(np.uint8)


def record(case: dict[str, str], threads: int = 1) -> dict[str, object]:
    """What the case leaves on `native:` with so many threads; {"refused": class of the error} where it cannot be exported."""
    n = {"n_queries": 4} if case.get("estimator") in (*DIRECTIONS, "block_rge") else {}
    try:
        plan = plan_of(case["model"], batch=BATCH, **n, **{k: v for k, v in case.items() if k != "model"})
    except PlanError as error:
        return {"refused": type(error).__name__}
    most = MOST_PARAMETERS if case.get("estimator") == "cge_plain" else MOST_OF_SHARING
    if plan.n_parameters > most and (
        case.get("estimator") not in DIRECTIONS or "arithmetic" in case or "derivative" in case
    ):
        return {"refused": "TooSlow"}
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "model.ttzo"
        bundle.write_bytes(to_bundle.write(plan))
        with open_device("native:", bundle, threads=threads) as device:
            region, loss = Region.collocation, 0.0
            if plan.simulation:
                region = Region.dataset
                device.write_dataset(log_rows(plan))
            elif plan.pde is None:
                region = Region.batch
            error = ""
            try:
                for _ in range(STEPS):
                    if region == Region.batch:
                        device.write_batch(rows_of(plan))  # a step uses up rows that it varies
                    loss = device.step(region).loss
            except DeviceError as refused:
                error = refused.name
            made = {
                "parameters": _crc(device.parameters()),
                "moments": _crc(device.moments()),
                "loss": np.float32(loss).tobytes().hex(),
                "work_bytes": device.info.work_bytes,
                "macs": device.info.macs_per_sample,
            } | ({"error": error} if error else {})
            if plan.pde is None and not plan.simulation:
                made["evaluated"] = np.float32(device.evaluate(rows_of(plan)[:1]).loss).tobytes().hex()
    return made


def _crc(numbers: np.ndarray) -> str:
    return f"{zlib.crc32(numbers.astype('<f4').tobytes()):08x}"


def main() -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    stored, found = json.loads(PATH.read_text(encoding="utf-8")), []
    kept = {json.dumps(each["case"]): each for each in stored["cases"]}
    commit = stored["commit"] if sys.argv[1:] else commit
    for case in cases():
        if sys.argv[1:] and case["model"] not in sys.argv[1:]:
            found.append(kept[json.dumps(case)])
            continue
        found.append({"case": case, "left": record(case)})
        print(case, found[-1]["left"], file=sys.stderr, flush=True)
    lines = ",\n".join(json.dumps(each) for each in found)
    PATH.write_text(f'{{"commit": "{commit}", "steps": {STEPS}, "batch": {BATCH}, "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
