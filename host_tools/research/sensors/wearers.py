# SPDX-License-Identifier: MIT
"""The watch and its wearers: a model of nine persons, before and after a few windows of the tenth, each left out in turn."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.exporter import adaptation
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set, watch
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import Device, open_device
from ttzo.host_tools.training import adapt, run_model, session
from ttzo.host_tools.training.adapt import Adaptation

ROWS = 100  # labelled windows of the new person
ALL = 1 << 30  # test rows


@dataclass(frozen=True)
class Wearer:
    """One person left out. Shares of the person's test windows that are right: before, after all layers have learnt, after
    the last one alone has; of the other nine's validation windows the same, and what it went back to."""

    person: int
    test_rows: int
    before: float
    after: float
    last_layer: float
    others_before: float
    others_after: float
    others_last_layer: float
    went_back: str | None
    last_layer_went_back: str | None
    macs: int
    macs_last_layer: int


def run(
    folder: Path, url: str = "native:", seed: int = 0, persons: Iterable[int] = watch.PERSONS,
    show: Callable[[str], object] = lambda text: None,
) -> list[Wearer]:  # fmt: skip
    """Trains and adapts in `folder`, which keeps all runs. Raises what export and training raise."""
    found = []
    for person in persons:
        show(f"person {person}: training on the others")
        found.append(_left_out(folder / str(person), url, seed, person))
        show(f"person {person}: {found[-1].before:.1%} before, {found[-1].after:.1%} after")
    return found


def _left_out(folder: Path, url: str, seed: int, person: int) -> Wearer:
    plan = export("watch", folder, data=f"{watch.NAME}:without-{person}", seed=seed)
    others, own = data_set.load(None, plan), data_set.load(f"{watch.NAME}:{person}", plan)
    with open_device(url, folder) as device:
        session.train(device, others, folder / "run", restart=True, test_rows=ALL)
        whole = again(device, folder, own, others)
    made = adaptation.last_layer_alone(run_model.trained(folder / "run"))
    write_files(made, folder / "last-layer")
    with open_device(url, folder / "last-layer") as device:
        last = adapt.adapt(
            device, adapt.labelled(own, ROWS, seed), None, folder / "adapted-last-layer", old=others, changes={},
            test_rows=ALL,
        )  # fmt: skip
    return _row(person, whole, last)


def again(device: Device, folder: Path, own: DataSet, others: DataSet | None) -> Adaptation:
    """The adaptation of all layers of the run in `folder`, as `ttzo adapt` does it."""
    _, start = run_model.load(folder / "run")
    rate = [adapt.SHARE_OF_RATE * phase.learning_rate for phase in start.settings.phases]
    rows = adapt.labelled(own, ROWS, start.settings.seed)
    return adapt.adapt(
        device, rows, start, folder / "adapted", old=others, changes={"lr": rate}, test_rows=ALL
    )  # fmt: skip


def _row(person: int, whole: Adaptation, last: Adaptation) -> Wearer:
    assert whole.before.old and whole.after.old and last.after.old  # `others` has validation rows
    return Wearer(
        person=person,
        test_rows=whole.before.test.n_rows,
        before=whole.before.test.accuracy,
        after=whole.after.test.accuracy,
        last_layer=last.after.test.accuracy,
        others_before=whole.before.old.accuracy,
        others_after=whole.after.old.accuracy,
        others_last_layer=last.after.old.accuracy,
        went_back=whole.went_back,
        last_layer_went_back=last.went_back,
        macs=whole.run.macs,
        macs_last_layer=last.run.macs,
    )


def same_bits(folder: Path, person: int, urls: tuple[str, str]) -> bool:
    """Whether the adaptation of all layers, of the run in `folder` / person, ends in the same parameters on two devices."""
    ends: list[np.ndarray] = []
    for url in urls:
        with open_device(url, folder / str(person)) as device:
            own = data_set.load(f"{watch.NAME}:{person}", device.plan)
            again(device, folder / str(person), own, None)
            ends.append(device.parameters().view(np.uint32))
    return np.array_equal(ends[0], ends[1])
