# SPDX-License-Identifier: MIT
"""Kills `ttzo train` at random instants and counts: the same command must go on to the bits of a run that nobody killed.

    python tests/support/kill_loop.py [--kills 100] [--steps 300]

An instant is one of the process's own processor time, so that kills fall alike on a busy machine. The signal (SIGPROF) ends the
process as SIGKILL does: nothing in it catches the signal.
"""

import argparse
import os
import random
import signal
import tempfile
from pathlib import Path

from power_cuts import CHANGES, bundle_in

from ttzo.device_runtime.contract import Arithmetic
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.firmware import build
from ttzo.host_tools.training import checkpoint, session

LONGEST_S = 0.25  # of processor time, from a process's start to its end


def train(bundle: Path, folder: Path, seed: int, steps: int) -> None:
    with open_device("native:", bundle) as device:
        rows = data_set.load(bundle / "rows.npz", device.plan)
        changes = CHANGES | {"seed": seed, "steps": steps}
        session.train(device, rows, folder, changes=changes, checkpoint_steps=5)


def killed(bundle: Path, folder: Path, seed: int, steps: int, after_s: float) -> bool:
    """Trains in a process of its own that is killed after so much processor time; whether that was before its end."""
    process = os.fork()
    if process == 0:
        signal.setitimer(signal.ITIMER_PROF, after_s)
        train(bundle, folder, seed, steps)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(process, 0)[1])


def end_of(bundle: Path, folder: Path) -> bytes:
    found = checkpoint.load(folder / checkpoint.Generation.last.value, read_bundle(bundle))
    return found.parameters.tobytes() + found.moments.tobytes() + found.state.pack()


def count(n_kills: int, steps: int) -> tuple[int, int, int]:
    """Kills, runs that ended, and how many of them had the same bits as one that nobody killed."""
    kills = runs = same = 0
    with tempfile.TemporaryDirectory() as name:
        build.build_native(Arithmetic.separate)  # first: a compiler that is killed begins anew
        bundle, rng = bundle_in(Path(name) / "bundle"), random.Random(1)
        while kills < n_kills:
            folder, clean = Path(name) / f"run-{runs}", Path(name) / f"clean-{runs}"
            while kills < n_kills and killed(bundle, folder, runs, steps, rng.uniform(0, LONGEST_S)):
                kills += 1
            train(bundle, folder, runs, steps)
            train(bundle, clean, runs, steps)
            same += end_of(bundle, folder) == end_of(bundle, clean)
            runs += 1
            print(f"{kills} kills: {same} of {runs} runs in the same bits", flush=True)
    return kills, runs, same


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--steps", type=int, default=300, help="of a run")
    given = options.parse_args()
    _, runs, same = count(given.kills, given.steps)
    raise SystemExit(runs != same)


if __name__ == "__main__":
    main()
