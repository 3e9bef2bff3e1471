# SPDX-License-Identifier: MIT
"""The model of a run: its folder holds the bundle that it was trained with, so that the trained model can be taken from it
wherever the bundle's own folder has gone, or whatever was exported there since."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ttzo.exporter.plan import constants
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data import run_data
from ttzo.host_tools.data.whole_file import write_atomically
from ttzo.host_tools.device.device import BUNDLE, bundle_path, read_bundle
from ttzo.host_tools.training import checkpoint
from ttzo.host_tools.training.checkpoint import Checkpoint, CheckpointError, Generation

OTHER_TENSORS = "take a run of a model whose parameters have the same names and shapes"


def save(folder: Path, plan: Plan) -> None:
    """Raises `DiskError`."""
    write_atomically(folder / BUNDLE, to_bundle.write(plan))


def is_run(path: Path) -> bool:
    """Whether it is a run's folder, or a checkpoint in one."""
    return (path / Generation.last.value).is_file() if path.is_dir() else path.suffix == ".npz" and path.is_file()


def is_of_another(run: Path, plan: Plan) -> bool:
    """Whether the run in this folder is of another model than `plan`; not where an earlier version kept no model there."""
    own = run / BUNDLE
    return own.is_file() and to_bundle.model_hash(read_bundle(own)) != to_bundle.model_hash(plan)


def all_of(bundle: Path) -> list[Path]:
    """The folders of the bundle's runs that have a checkpoint, by name."""
    return sorted(path.parent for path in (bundle_path(bundle).parent / "runs").glob(f"*/{Generation.last.value}"))


def load(run: Path, generation: Generation = Generation.last) -> tuple[Plan, Checkpoint]:
    """The model of a run (its folder, or a checkpoint in it) as it was exported, and the checkpoint. Where an earlier
    version kept no model in the folder, it is the one two levels above, as in DIR/runs/DEVICE. Raises `CheckpointError`,
    `BundleError`, `DeviceError`."""
    path = run if run.suffix == ".npz" else run / generation.value
    if not path.is_file():
        raise CheckpointError(
            f"there is no checkpoint {path}", "name the folder of a run that `ttzo train` has written"
        )
    folder = path.resolve().parent
    own = folder / BUNDLE
    plan = read_bundle(own if own.is_file() else folder.parent.parent)
    return plan, checkpoint.load(path, plan)


def trained(run: Path, generation: Generation = Generation.last) -> Plan:
    """The run's model at its trained parameters and settings. Its metadata tell the run, its step, which data it was
    trained on and what was done to their rows. Raises what `load` raises, and `DataError`."""
    plan, found = load(run, generation)
    preparation = run_data.load(run if run.is_dir() else run.parent)
    told: dict[str, Any] = {"trained": {"run": str(run), "step": found.state.step}}
    if preparation is not None:
        told |= {"preparation": preparation.as_json(), "data": preparation.source or plan.metadata.get("data", "")}
    return dataclasses.replace(
        plan, parameters=found.parameters, training=found.settings, metadata=plan.metadata | told
    )


def start_for(plan: Plan, run: Path, say: Callable[[str], object] = lambda text: None) -> Checkpoint:
    """The checkpoint of a run, its parameters in the order of `plan`: of any model whose tensors have the same names and
    shapes, whatever its estimator. Its moments mean nothing to the plan. Raises `CheckpointError`."""
    origin, found = load(run)
    there = _values(origin, found.parameters)
    made = [np.zeros(0, np.float32)]
    for tensor in plan.tensors:
        values = there.get(tensor.name)
        if values is None or values.shape != tensor.shape:
            has = "no such" if values is None else f"one of shape {list(values.shape)}"
            raise CheckpointError(
                f"the model has {tensor.name} of shape {list(tensor.shape)}, the run in {run} has {has}", OTHER_TENSORS
            )
        made.append(values.reshape(-1))
    frozen = _frozen(plan)
    other = [name for name, values in frozen.items() if name in there and not np.array_equal(values, there[name])]
    if other:
        say(
            f"{other[0]} is frozen here and has other values than in {run}: `ttzo export {run} --freeze` freezes those of the run"
        )
    return dataclasses.replace(found, parameters=np.concatenate(made))


def _values(plan: Plan, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor by its name, trained or frozen."""
    made = {t.name: theta[t.offset : t.offset + t.size].reshape(t.shape) for t in plan.tensors}
    return made | _frozen(plan)


def _frozen(plan: Plan) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}
    for node in plan.graph.nodes:
        if node.frozen and not node.shared:
            values = constants.unpacked(node, plan.constants)
            made |= {t.name: values[t.offset : t.offset + t.size].reshape(t.shape) for t in node.tensors}
    return made
