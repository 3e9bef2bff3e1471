# SPDX-License-Identifier: MIT
"""Many steps over the link to `native:`, and whether the host's process or the device's grows meanwhile.

    python tests/support/many_steps.py [--steps 1000000]

Memory is what is resident (VmRSS), read after a tenth of the steps and at the end; Linux only. Every 10,000 steps the
connection is opened anew, as after a cable that was pulled.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from devices import SMALL, fill, native, rows

from ttzo.device_runtime.contract import Arithmetic, Region
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.firmware import build

STEPS_OF_A_CONNECTION = 10_000
MOST_GROWTH = 256 << 10  # bytes; a leak of one byte a step would be 900,000


def resident_bytes(process: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) << 10


def process_of(program: Path) -> int:
    """The child of this process that runs the program."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return next(int(child) for child in children if Path(f"/proc/{child}/exe").readlink() == program.resolve())


def run(steps: int, program: Path, folder: Path) -> tuple[list[int], list[int]]:
    """Resident bytes of host and device after a tenth of the steps, and at the end."""
    early: list[int] = []
    with native(program, SMALL, folder) as url:
        both = (os.getpid(), process_of(program))
        for first in range(0, steps, STEPS_OF_A_CONNECTION):
            with Link(open_stream(url)) as link:
                link.hello()
                fill(link, Region.batch, rows(SMALL, SMALL.batch))
                for step in range(first, min(first + STEPS_OF_A_CONNECTION, steps)):
                    assert link.request("step", step=step, region=Region.batch)[0].step == step + 1
            if not early and first >= steps // 10:
                early = [resident_bytes(process) for process in both]
        return early, [resident_bytes(process) for process in both]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=1_000_000)
    steps, began = options.parse_args().steps, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        early, late = run(steps, build.build_native(Arithmetic.separate), Path(folder))
    for name, before, after in zip(("host", "device"), early, late, strict=True):
        print(f"{name}: {before >> 10:,} KiB after a tenth of {steps:,} steps, {after >> 10:,} KiB at their end")
    print(f"{time.monotonic() - began:.0f} s")
    raise SystemExit(any(after - before > MOST_GROWTH for before, after in zip(early, late, strict=True)))


if __name__ == "__main__":
    main()
