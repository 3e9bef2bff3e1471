# SPDX-License-Identifier: MIT
"""What a trained model makes of images from another domain, and what a few labelled ones of them mend, on the device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.domain_shifts import SHIFTS
from ttzo.host_tools.device.device import Device, Evaluation
from ttzo.host_tools.training import measurement, session
from ttzo.host_tools.training.checkpoint import Checkpoint
from ttzo.host_tools.training.run import Progress, Run
from ttzo.host_tools.training.stop import Stop

PASSES = 20  # over the labelled samples, when nobody says how many steps


@dataclass(frozen=True)
class Adaptation:
    """One domain: what the model got right there before, and the run that followed."""

    shift: str
    before: Evaluation
    run: Run


def shifted(rows: DataSet, shift: str, n_samples: int) -> DataSet:
    """The first `n_samples` training rows and all test rows, all in the domain `shift`."""
    change = SHIFTS[shift]
    return DataSet(
        f"{rows.name}, {shift}",
        change(rows.x_train[:n_samples]),
        rows.y_train[:n_samples],
        change(rows.x_test),
        rows.y_test,
    )


def adapt(
    device: Device,
    rows: DataSet,
    shift: str,
    start: Checkpoint,
    folder: Path,
    *,
    n_samples: int,
    changes: Mapping[str, Any],
    test_rows: int,
    report: Callable[[Progress], object] = lambda progress: None,
) -> Adaptation:
    """Measures the parameters of `start` on shifted test rows, trains on shifted training rows in `folder` (anew), and
    measures again. Raises what `session.train` raises."""
    there, stop = shifted(rows, shift, n_samples), Stop()
    if changes.get("steps") is None:
        changes = {**changes, "steps": -(-PASSES * n_samples // device.plan.batch)}
    device.reset()
    device.load(start.parameters, start.moments, start.state)
    with stop.listening():
        before = device.evaluate(measurement.test_subset(there, test_rows), stop.check)
    run = session.train(
        device, there, folder, changes=changes, start=start, restart=True, test_rows=test_rows, report=report
    )
    return Adaptation(shift, before, run)
