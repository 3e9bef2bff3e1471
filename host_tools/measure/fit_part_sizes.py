# SPDX-License-Identifier: MIT
"""Fits what the parts of the runtime take of flash to counted builds (part_builds.py).

    python -m ttzo.host_tools.measure.fit_part_sizes BUILDS      writes exporter/costs/part_sizes.json

The parts of the main core are counted one by one, and their sizes leave the smallest squared relative errors. Of another
core a few builds are counted: its sizes are those of the main core times one ratio, with the least changes that bring them
to these builds. Beside the sizes stand the error of each build, and the factor that keeps the ceiling above every one.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Arithmetic
from ttzo.exporter.costs import part_sizes
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure import part_builds
from ttzo.host_tools.measure.part_builds import PartBuild

MARGIN = 0.02  # of a ceiling over the largest counted build: ports differ by some hundred bytes, compilers by more
STIFF = 0.02  # how much less a change of a part's size by itself weighs than as much of a build's


def fit(builds: Sequence[PartBuild], main: dict[str, int] | None) -> dict:
    """One core: its sizes, and how good they are. `main`: the sizes of the main core, None for itself."""
    separate = [each for each in builds if each.arithmetic == Arithmetic.separate.name]
    names = sorted(main or {term for each in separate for term in part_sizes.terms(each.parts)})
    table = np.array([[name in part_sizes.terms(each.parts) for name in names] for each in separate], float)
    counted = np.array([each.code_bytes for each in separate], float)
    found = _of_main(table, counted) if main is None else _beside(table, counted, np.array([main[n] for n in names]))
    sizes = {name: round(float(size)) for name, size in zip(names, found, strict=True) if round(float(size))}
    errors = table @ [sizes.get(name, 0) for name in names] / counted - 1
    return {
        "sizes": sizes,
        "ceiling": round(1 + MARGIN + max(0.0, float(-errors.min())), 3),
        "worst_error": round(float(abs(errors).max()), 4),
        "errors": {" ".join(each.parts): round(float(error), 4) for each, error in zip(separate, errors, strict=True)},
    } | _fused(builds)


def _of_main(table: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(table / counted[:, None], np.ones(len(counted)), rcond=None)[0]


def _beside(table: np.ndarray, counted: np.ndarray, main: np.ndarray) -> np.ndarray:
    """The sizes nearest to the main core's times a ratio that give what was counted."""
    share = table @ main / counted
    start = share.sum() / (share @ share) * main
    weights = np.abs(start)
    rows = np.vstack([table * weights / counted[:, None], STIFF * np.eye(len(main))])
    missing = np.concatenate([1 - table @ start / counted, np.zeros(len(main))])
    return start + weights * np.linalg.lstsq(rows, missing, rcond=None)[0]


def _fused(builds: Sequence[PartBuild]) -> dict:
    """What code for `fused` arithmetic takes of that for `separate`, in the mean."""
    separate = {each.parts: each.code_bytes for each in builds if each.arithmetic == Arithmetic.separate.name}
    shares = [each.code_bytes / separate[each.parts] for each in builds if each.arithmetic == Arithmetic.fused.name]
    return {"fused": round(float(np.mean(shares)), 4)} if shares else {}


def main(path: Path) -> None:
    builds = part_builds.read(path)
    made: dict[str, dict] = {}
    for board in map(boards.load, part_builds.BOARDS):
        own = [each for each in builds if each.core == board.core]
        made[board.core] = {"board": board.name} | fit(own, next(iter(made.values()))["sizes"] if made else None)
        print(f"{board.core}: worst {made[board.core]['worst_error']:.1%}, ceiling {made[board.core]['ceiling']}")
    part_sizes.PATH.write_text(json.dumps({"cores": made}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
