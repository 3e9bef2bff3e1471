# SPDX-License-Identifier: MIT
"""What a key costs a board: flash, RAM, stack, and instructions a frame, counted on the emulated board.

python tests/support/key_cost.py [--board netduinoplus2]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import export
from ttzo.host_tools.device.device import Device, open_device
from ttzo.host_tools.firmware import boards, build, key_file
from ttzo.host_tools.firmware.key_file import Lock

REQUESTS = 50


def instructions(device: Device, ask: Callable[[], object]) -> float:
    """Of a request and its answer, on the device: the fewest of some, because a board wakes more often for bytes that arrive one
    by one, as on a busy machine."""
    counts = []
    for _ in range(REQUESTS + 1):
        time.sleep(0.1)  # until the board sleeps
        counts.append(device.instructions or 0)
        ask()
    return min(after - before for before, after in pairwise(counts))


def of(folder: Path, board: str, key: Path | None) -> dict[str, float]:
    lock = Lock(key_file.read(key)) if key else None
    report = build.build(folder, boards.load(board), lock=lock)
    with open_device(f"qemu:{board}", folder, key=key, count_instructions=True) as device:
        content = bytes(1000)
        device._link.write(Region.batch, content[:1])
        return {
            "flash, bytes": report.flash_bytes,
            "static RAM, bytes": report.static_bytes,
            "stack, bytes": report.stack_bytes,
            "STATUS, instructions": instructions(device, lambda: device._ask("status")),
            "WRITE of 256 bytes, instructions": instructions(
                device, lambda: device._ask("write", content[:256], region=Region.batch, offset=0)
            ),
        }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--board", default="netduinoplus2")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, key = Path(name) / "digits", Path(name) / "key"
        export("digits", folder)
        key_file.make(key)
        without, with_key = (of(folder, given.board, each) for each in (None, key))
    for what, value in without.items():
        print(
            f"{what:34} {value:10,.0f} without a key {with_key[what]:10,.0f} with one, {with_key[what] - value:+,.0f}"
        )


if __name__ == "__main__":
    main()
