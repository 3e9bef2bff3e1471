# SPDX-License-Identifier: MIT
"""A run as TensorBoard reads it: an event file in the run's folder."""

from pathlib import Path
from typing import Any

from ttzo.host_tools.device.device import Evaluation
from ttzo.host_tools.report.pictures import ReportError
from ttzo.host_tools.training.run import Progress


class EventFile:
    """Called after each step, it writes what the step has measured; a run that goes on replaces its later steps."""

    def __init__(self, folder: Path):
        """Raises `ReportError` without tensorboardX."""
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ReportError(
                "TensorBoard's files are written with tensorboardX, which is not installed",
                "pip install 'ttzo[tensorboard]'",
            ) from error
        self._make, self._folder = SummaryWriter, folder
        self._writer: Any = None
        self._seen: dict[str, Evaluation | None] = {}

    def __call__(self, now: Progress) -> None:
        if self._writer is None:
            suffix = f".{now.step:09d}"  # two starts within one second have two files
            self._writer = self._make(str(self._folder), purge_step=now.step, filename_suffix=suffix)
        values = {"loss/batch": now.loss, "cost/loss_evaluations": now.evaluations}
        for kind, measured in (("test", now.test), ("validation", now.validation)):
            if measured is not None and self._seen.get(kind) is not measured:  # it stays until the next one
                self._seen[kind] = measured
                values |= self._measured(kind, measured)
        for name, value in values.items():
            self._writer.add_scalar(name, value, now.step)

    def _measured(self, kind: str, measured: Evaluation) -> dict[str, float]:
        if measured.relative is not None:
            return {f"relative_error/{kind}": measured.relative}
        made = {f"loss/{kind}": measured.loss}
        return made | ({f"accuracy/{kind}": measured.accuracy} if measured.n_judged else {})

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
