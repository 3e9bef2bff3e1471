# SPDX-License-Identifier: MIT
"""Cuts the power of a training device at random instants, and counts what it still holds then.

    python tests/support/power_cuts.py [--cuts 1000]                      the native port, killed (SIGKILL)
    python tests/support/power_cuts.py --board mps2-an386 --cuts 50       an emulated board, reset

The device keeps its run after each step. After each cut the run's folder is removed, so that the host knows nothing, and
training goes on from what the device has kept. A run ends when all its steps are done; its parameters, moments and state
are compared with those of a run that was never cut, and the next run begins, with another seed, until there were enough cuts.
"""

import argparse
import random
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np
from firmware import small_plan, write_bundle

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import qemu
from ttzo.host_tools.device.device import Device, open_device, read_bundle
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.training import checkpoint, session
from ttzo.host_tools.training.run import Progress

STEPS = 600  # of a run
CHANGES = {"lr": 0.003}
LONGEST_S = 0.4  # from the beginning of training to a cut


@dataclass
class Power:
    """A device whose power can be cut: `start()` gives its URL; `cut()` may come at any instant, from another thread."""

    start: Callable[[], str]
    cut: Callable[[], object]


@contextmanager
def native_power(bundle: Path, kept: Path) -> Iterator[Power]:
    """The native port with its memory for runs in the file `kept`; a cut kills it."""
    command = [build.build_native(Arithmetic.separate), bundle / "model.ttzo", "--storage", kept]
    running: list[subprocess.Popen[bytes]] = []

    def cut() -> None:
        for process in running:
            process.kill()

    def end() -> None:
        cut()
        while running:
            with running.pop():
                pass

    def start() -> str:
        end()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        running.append(process)
        assert process.stdout
        return "socket://" + process.stdout.readline().decode().split()[1]

    try:
        yield Power(start, cut)
    finally:
        end()


@contextmanager
def emulated_power(bundle: Path, name: str) -> Iterator[Power]:
    """An emulated board, reset at a cut: its program begins anew, its memory for runs stays."""
    board = boards.load(name)
    report = build.build(bundle, board, storage=True)
    with qemu.emulated(board, report.elf) as emulation:
        yield Power(lambda: emulation.url, lambda: emulation.ask("system_reset"))


def bundle_in(folder: Path) -> Path:
    """A small model with momentum, and rows of ten classes: each has six bright numbers of its own."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 12, (80, 64)).astype(np.uint8), rng.integers(0, 10, 80)
    for row, label in zip(x, y, strict=True):
        row[6 * label : 6 * label + 6] += 50
    write_bundle(folder, small_plan())
    np.savez(folder / "rows.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    return folder


class Cuts:
    """Runs of the bundle on a device whose power is cut. Counts the `cuts`; the `starts` of a device that had kept something
    of the run, and how many of them `held` the last state or the one before it; the `runs` that ended, and how many of them
    had the `same` bits as one without cuts."""

    def __init__(self, power: Power, bundle: Path, folder: Path, steps: int = STEPS, longest_s: float = LONGEST_S):
        self.power, self.bundle, self.folder, self.steps, self.longest_s = power, bundle, folder, steps, longest_s
        self.plan = read_bundle(bundle)
        self.rows = data_set.load(bundle / "rows.npz", self.plan)
        self.cuts = self.starts = self.held = self.runs = self.same = 0

    def run(self, seed: int, most: int) -> None:
        """One run to its end, through cuts until there were `most` in all."""
        rng, reached = random.Random(seed), 0
        while True:
            shutil.rmtree(self.folder, ignore_errors=True)
            cut = threading.Timer(rng.uniform(0, self.longest_s), self.power.cut)
            try:
                with open_device(self.power.start(), self.bundle) as device:
                    held = self._held(device, seed) if reached else 0
                    self.starts += reached > 0
                    self.held += reached > 0 and held in (reached - 1, reached)
                    if self.cuts < most:
                        cut.start()
                    self._train(device, self.folder, seed, held + 1)
                break
            except TtzoError:
                if not cut.is_alive() and not cut.ident:
                    raise
                self.cuts += 1
            finally:
                cut.cancel()
                if cut.ident:
                    cut.join()
            reached = self._reached(self.folder) or reached
        self.runs += 1
        self.same += self._end(self.folder) == self._clean(seed)

    def _train(self, device: Device, folder: Path, seed: int, first: int) -> None:
        """Goes on with the run; its first step must be `first`."""
        steps = count(first)

        def require_next(progress: Progress) -> None:
            if progress.step != (wanted := next(steps)):
                raise AssertionError(f"step {progress.step} was done, {wanted} is the next one")

        changes = CHANGES | {"seed": seed, "steps": self.steps}
        session.train(device, self.rows, folder, changes=changes, checkpoint_steps=1, report=require_next)

    def _held(self, device: Device, seed: int) -> int:
        """The step of this run that the device has kept; 0 where it still holds the run before."""
        found = device.restore()
        return device.step_count if found and found.generation and device.settings().seed == seed else 0

    def _reached(self, folder: Path) -> int:
        """The step of the run's checkpoint; 0 without one."""
        path = folder / checkpoint.Generation.last.value
        return checkpoint.load(path, self.plan).state.step if path.exists() else 0

    def _end(self, folder: Path) -> bytes:
        found = checkpoint.load(folder / checkpoint.Generation.last.value, self.plan)
        return found.parameters.tobytes() + found.moments.tobytes() + found.state.pack()

    def _clean(self, seed: int) -> bytes:
        folder = self.folder.with_name("clean")
        shutil.rmtree(folder, ignore_errors=True)
        with open_device("native:", self.bundle) as device:
            session.train(device, self.rows, folder, changes=CHANGES | {"seed": seed, "steps": self.steps})
        return self._end(folder)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cuts", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1, help="of the first run")
    options.add_argument("--board", help="an emulated board with a memory for runs (default: the native port)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bundle = bundle_in(Path(name) / "bundle")
        made = emulated_power(bundle, given.board) if given.board else native_power(bundle, Path(name) / "kept")
        # after each step, whatever the memory bears
        often = mock.patch("ttzo.host_tools.training.kept_run.period_s", lambda rated_erases: 0.0)
        with often, made as power:
            longest_s = 4.0 if given.board else LONGEST_S
            seen = Cuts(power, bundle, Path(name) / "run", 120 if given.board else STEPS, longest_s)
            for seed in count(given.seed):
                seen.run(seed, given.cuts)
                whole = f"{seen.held} of {seen.starts} starts with a whole generation, as new as it can be"
                print(f"{seen.cuts} cuts: {whole}; {seen.same} of {seen.runs} runs in the same bits", flush=True)
                if seen.cuts >= given.cuts:
                    break
    raise SystemExit(seen.same != seen.runs or seen.held != seen.starts)


if __name__ == "__main__":
    main()
