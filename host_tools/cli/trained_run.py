# SPDX-License-Identifier: MIT
"""Whose parameters `ttzo eval` and `ttzo predict` use: which run, and what of it is put onto the device."""

from pathlib import Path

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.cli.screen import Screen
from ttzo.host_tools.device.device import Device, run_folder
from ttzo.host_tools.training import checkpoint, run_model
from ttzo.host_tools.training.checkpoint import Generation


def trained_run(screen: Screen, bundle: Path, url: str, exported: bool) -> Path:
    """The device's run; where it has none, the only one that another device has trained. That is said, unless the
    `exported` parameters are used and the run tells only how its rows were prepared."""
    run = run_folder(bundle, url)
    if (run / Generation.last.value).exists():
        return run
    others = run_model.all_of(bundle)
    if len(others) == 1:
        if not exported:
            screen.say(f"{url} has no run of its own: {others[0]} answers")
        return others[0]
    if others:
        names = ", ".join(map(str, others))
        screen.say(f"note: {url} has no run of its own, and there are {len(others)} others; --run names one: {names}")
    return run


def choose_parameters(
    device: Device, folder: Path, exported: bool, must_exist: bool = False, generation: Generation | None = None
) -> str:
    """Puts the parameters to measure onto the device, and names them. A run without a checkpoint is as exported, unless
    it `must_exist`. A `generation` that is asked for by name replaces what the device has trained. Raises `TtzoError` where
    one of the `exported` parameters is asked for."""
    if exported and generation:
        raise TtzoError("exported parameters are no generation of a run", "leave out --exported or --generation")
    if exported:
        device.reset()
        return "as exported"
    path = folder / (generation or Generation.last).value
    if generation or (device.step_count == 0 and (must_exist or path.exists())):
        found = checkpoint.load(path, device.plan)
        device.configure(found.settings)
        device.load(found.parameters, found.moments, found.state)
        return f"checkpoint {path}, step {found.state.step}"
    if device.step_count:
        return f"of the device, step {device.step_count}"
    trained = device.plan.metadata.get("trained")
    if isinstance(trained, dict):  # the bundle was exported from a run
        return f"as exported from {trained.get('run')}, step {trained.get('step')}"
    return "as exported (no step was trained)"
