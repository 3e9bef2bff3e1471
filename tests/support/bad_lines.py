# SPDX-License-Identifier: MIT
"""Trains over bad lines and counts: every run must end in the parameters, moments and metrics of a run over a clean line.

python tests/support/bad_lines.py [KIND ...] [--frames 10000] [--share 1%]
    each kind of fault, and all together, at 0.1, 0.5 and 1 % of bytes, or at that share alone
python tests/support/bad_lines.py --disconnects 100
    one run, cut so often; the port has another name each time
python tests/support/bad_lines.py --streaming
    share of a line of 11,520 bytes a second that carries rows; below 90 % is an error
"""

import argparse
import dataclasses
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from bundles import small_plan, write_bundle

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import emulated_device, ports
from ttzo.host_tools.device.device import Device, open_device, read_bundle
from ttzo.host_tools.device.faulty_line import KINDS, Faults
from ttzo.host_tools.training import metrics, session

SHARES = ("0.1%", "0.5%", "1%")
PATIENCE_S = 60.0
RATE = 11520  # bytes a second of a port at 115,200 baud
LEAST_SHARE = 0.9  # of such a line, while rows are sent


def bundle_of(folder: Path, steps: int) -> Path:
    plan = small_plan(0.002)
    return write_bundle(folder / "bundle", plan.with_training(dataclasses.replace(plan.training, steps=steps)))


def train(device: Device, bundle: Path, folder: Path) -> tuple:
    """What the run ends in: parameters, moments, and all numbers of the metrics except the times."""
    rows = data_set.load(bundle / "rows.npz", device.plan)
    session.train(device, rows, folder)
    steps = [{k: v for k, v in row.items() if k != "seconds"} for row in metrics.read(folder / "metrics.csv")]
    return device.parameters().tobytes(), device.moments().tobytes(), steps


def run(bundle: Path, folder: Path, spec: str) -> tuple[tuple, float, str]:
    """One run over the line: what it ends in, its seconds, its counts in words."""
    faults, began = Faults.parse(spec) if spec else None, time.monotonic()
    with open_device("native:", bundle, patience_s=PATIENCE_S, faults=faults) as device:
        end = train(device, bundle, folder)
        words = ", ".join(f"{count} {name}" for name, count in device.line_counts.items())
    n_faults = f"{sum(faults.counts.values())} faults, " if faults else ""
    return end, time.monotonic() - began, n_faults + words


def every_fault(n_frames: int, kinds: list[str], shares: tuple[str, ...]) -> int:
    """Prints each run; how many did not end as the clean one."""
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        bundle = bundle_of(Path(name), n_frames)
        clean, clean_s, words = run(bundle, Path(name) / "clean", "")
        print(f"clean: {clean_s:.1f} s; {words}", flush=True)
        for kind in kinds or (*KINDS, "all"):
            for share in shares:
                end, seconds, words = run(bundle, Path(name) / f"{kind}-{share[:-1]}", f"{kind}={share},seed=1")
                wrong += end != clean
                same = "same bits and metrics" if end == clean else "PARTED"
                print(f"{kind} {share}: {same}, {seconds / clean_s:.1f} times the time; {words}", flush=True)
    return wrong


class Renaming:
    """A port at `line` whose name is another one after each opening."""

    def __init__(self, line: str):
        self._line, self._open, self.count = line, ports.open_stream, 0

    @property
    def name(self) -> str:
        return f"ttyACM{self.count}"

    def boards(self) -> dict[str, ports.Board]:
        return {self.name: ports.Board(0x2E8A, 5, "E660")}

    def open_stream(self, url: str, baud: int) -> ports.Stream:
        if url != self.name:
            raise ports.LinkError(f"there is no port {url}")
        self.count += 1
        return self._open(self._line, baud)


def renamed_ports(n_disconnects: int) -> int:
    steps = 100 * n_disconnects
    with tempfile.TemporaryDirectory() as name, ExitStack() as owned:
        bundle = bundle_of(Path(name), steps)
        clean, _, _ = run(bundle, Path(name) / "clean", "")
        plan = read_bundle(bundle)
        line = emulated_device.start("native:", bundle / "model.ttzo", plan, owned, lambda text: None)
        port, faults = Renaming(line), Faults.parse("disconnect=1.1%,seed=1")
        owned.enter_context(mock.patch.object(ports, "boards", port.boards))
        owned.enter_context(mock.patch.object(ports, "open_stream", port.open_stream))
        with open_device("ttyACM0", bundle, patience_s=PATIENCE_S, faults=faults) as device:
            end = train(device, bundle, Path(name) / "renamed")
            cuts = device.line_counts["reconnections"]
    wrong = end != clean or cuts < n_disconnects
    print(f"{cuts} disconnections in {steps} steps, as many names of the port: {'PARTED' if wrong else 'same bits'}")
    return int(wrong)


def streaming() -> int:
    """Rows over a line that carries RATE bytes a second: the share of what it could have carried."""
    with tempfile.TemporaryDirectory() as name:
        bundle = bundle_of(Path(name), 10)
        with open_device("native:", bundle, faults=Faults.parse(f"rate={RATE}")) as device:
            content = np.random.default_rng(0).integers(1, 255, 100_000, np.uint8).tobytes()
            began = time.monotonic()
            device._link.write(Region.dataset, content)
            share = len(content) / RATE / (time.monotonic() - began)
    print(f"{100 * share:.1f} % of the line carries rows ({len(content):,} bytes)")
    if share < LEAST_SHARE:
        print(f"at least {100 * LEAST_SHARE:.0f} % are promised; next: run it while this machine does nothing else")
    return int(share < LEAST_SHARE)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join((*KINDS, "all")))
    options.add_argument("--frames", type=int, default=10_000)
    options.add_argument("--share", help="for example 1%%")
    options.add_argument("--disconnects", type=int, default=0)
    options.add_argument("--streaming", action="store_true")
    given = options.parse_args()
    if given.streaming:
        raise SystemExit(streaming())
    if given.disconnects:
        raise SystemExit(renamed_ports(given.disconnects))
    raise SystemExit(every_fault(given.frames, given.kinds, (given.share,) if given.share else SHARES))


if __name__ == "__main__":
    main()
