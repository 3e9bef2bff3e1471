# SPDX-License-Identifier: MIT
"""`ttzo sensors`: the tables of docs/sensors.md, measured again."""

import dataclasses
import datetime
import json
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.unread import refuse_unread
from ttzo.host_tools.data.whole_file import write_atomically

READ = {  # the parameters that mean something to a TABLE, besides those of all
    "watch": ("seed", "also", "persons"),
    "scratch": ("seeds", "models"),
    "anomaly": ("seeds", "models"),
}
READ_BY_ALL = ("table", "url", "folder", "out")


@click.command("sensors")
@click.argument("table", metavar="TABLE", type=click.Choice(list(READ)))
@click.option(
    "--device", "url", metavar="URL", default="native:", show_default=True, help="The device, as in `ttzo --help`."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of `watch`.")
@click.option(
    "--seeds", type=click.IntRange(1), default=3, show_default=True, help="Seeds of `scratch` and `anomaly`, from 0 on."
)
@click.option(
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    help="With `scratch` and `anomaly`: this one alone. May be repeated.",
)
@click.option(
    "--also", metavar="URL", help="With `watch`: adapt the first person on this device too, and compare the bits."
)
@click.option(
    "--persons",
    metavar="N",
    type=click.IntRange(1, 10),
    default=10,
    show_default=True,
    help="With `watch`: how many persons, from 1 on.",
)
@click.option("--folder", metavar="DIR", type=click.Path(path_type=Path), help="Keep bundles and runs here.")
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the results as JSON.")
@command
def sensors_command(
    screen: Screen,
    table: str,
    url: str,
    seed: int,
    seeds: int,
    models: tuple[str, ...],
    also: str | None,
    persons: int,
    folder: Path | None,
    out: Path | None,
) -> dict:
    """Train the models of sensor data and print their table.

    \b
    TABLE is one of
      watch    a smartwatch learns its wearer: each of ten
               persons left out in turn, before and after
               100 windows of that person
      scratch  motions, vowels, power and appliances from
               their start, several seeds
      anomaly  heartbeats and bleeding: autoencoders,
               beside scikit-learn's IsolationForest and
               OneClassSVM on the same windows
    """
    refuse_unread(table, (*READ_BY_ALL, *READ[table]))
    with ExitStack() as owned:
        folder = folder or Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="ttzo-sensors-")))
        made = (
            _watch(screen, folder, url, seed, persons, also)
            if table == "watch"
            else (_scratch if table == "scratch" else _anomaly)(screen, folder, url, seeds, models)
        )
    page = {"table": table, "device": url, "date": datetime.date.today().isoformat(), "commit": _commit(), **made}
    if out:
        write_atomically(out, (json.dumps(page, indent=1) + "\n").encode())
        screen.say(f"written: {out}")
    return page


def _watch(screen: Screen, folder: Path, url: str, seed: int, persons: int, also: str | None) -> dict[str, Any]:
    from ttzo.host_tools.research.sensors import wearers

    found = wearers.run(folder, url, seed, range(1, persons + 1), screen.say)
    rows: list[tuple] = [
        (
            each.person,
            each.test_rows,
            *(f"{100 * share:.1f} %" for share in (each.before, each.after, each.last_layer)),
            f"{100 * each.others_before:.1f} -> {100 * each.others_after:.1f} %",
        )
        for each in found
    ]

    def mean(name: str) -> float:
        return sum(getattr(each, name) for each in found) / len(found)

    means = {
        name: mean(name)
        for name in ("before", "after", "last_layer", "others_before", "others_after", "others_last_layer")
    }
    before, after, last, others, forgetting, _ = (f"{100 * share:.1f}" for share in means.values())
    rows.append(("mean", "", f"{before} %", f"{after} %", f"{last} %", f"{others} -> {forgetting} %"))
    heading = (
        "person left out",
        "test windows",
        "before",
        f"after {wearers.ROWS} windows",
        "last layer alone",
        "the other nine",
    )
    screen.table(f"watch on {url}, seed {seed}", rows, heading)
    better = sum(each.after > each.before for each in found)
    screen.tell(f"better for {better} of {len(found)} persons")
    made = {
        "seed": seed,
        "rows": wearers.ROWS,
        "persons": [dataclasses.asdict(each) for each in found],
        "mean": means,
        "better": better,
    }
    if also:
        same = wearers.same_bits(folder, 1, (url, also))
        screen.tell(f"person 1, adapted on {also}: {'the same bits' if same else 'OTHER BITS'} as on {url}")
        made["same_bits"] = {"devices": [url, also], "person": 1, "same": same}
    return made


def _scratch(screen: Screen, folder: Path, url: str, seeds: int, models: tuple[str, ...]) -> dict[str, Any]:
    from ttzo.host_tools.research.sensors import scratch

    found = scratch.run(folder, url, range(seeds), models or scratch.MODELS, screen.say)
    rows = [
        (
            each.model,
            f"{each.parameters:,}",
            f"{each.work_bytes:,}",
            ", ".join(f"{100 * share:.2f}" for share in each.accuracies),
            f"{100 * each.mean:.2f} %",
            f"{each.macs:.2g}",
        )
        for each in found
    ]
    screen.table(
        f"from scratch on {url}, all test rows, last step",
        rows,
        ("model", "parameters", "work buffer", "seeds", "mean", "MAC a run"),
    )
    return {"models": [dataclasses.asdict(each) | {"mean": each.mean} for each in found]}


def _anomaly(screen: Screen, folder: Path, url: str, seeds: int, models: tuple[str, ...]) -> dict[str, Any]:
    from ttzo.host_tools.research.sensors import anomalies

    found = anomalies.run(folder, url, range(seeds), models or anomalies.MODELS, screen.say)
    rows = [
        (
            each.model,
            f"{each.parameters:,}",
            f"{each.work_bytes:,}",
            f"{each.anomalous:,} of {each.test:,}",
            ", ".join(f"{auc:.3f}" for auc in each.device),
            f"{each.mean:.3f}",
            f"{sum(each.isolation_forest) / len(each.isolation_forest):.3f}",
            f"{each.one_class_svm:.3f}",
        )
        for each in found
    ]
    heading = (
        "model",
        "parameters",
        "work buffer",
        "anomalous",
        "AUC, seeds",
        "mean",
        "IsolationForest",
        "OneClassSVM",
    )
    screen.table(f"anomalies on {url}, all test windows", rows, heading)
    return {"models": [dataclasses.asdict(each) | {"mean": each.mean} for each in found]}


def _commit() -> str | None:
    """The commit that the source is on; None outside a repository."""
    here = Path(__file__).resolve().parent
    done = subprocess.run(["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None
