# SPDX-License-Identifier: MIT
"""A Raspberry Pi Pico in the npm emulator rp2040js: `npm install rp2040js` in the home folder, or a folder in RP2040JS.

    with emulated(board, report.bin) as pico:
        open_device(pico.url, folder)

About 20 million instructions a second on a processor of its own; no boot ROM.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.firmware.boards import Board

BRIDGE = Path(__file__).with_name("rp2040.mjs")


class Rp2040Error(TtzoError):
    """The emulator is missing, or ended."""

    exit_code = ExitCode.device


class Pico:
    """A running emulated board: its serial port is at `url`."""

    def __init__(self, to_it: IO[bytes], from_it: IO[bytes]):
        self._to, self._from = to_it, from_it
        self.url = f"socket://127.0.0.1:{int(self._line())}"

    def instructions(self) -> int:
        """Executed so far."""
        return int(self._ask("count"))

    def memory(self, origin: int, size: int) -> bytes:
        """`size` bytes from the address `origin`."""
        return bytes.fromhex(self._ask(f"memory {origin} {size}"))

    def _ask(self, line: str) -> str:
        self._to.write(f"{line}\n".encode())
        self._to.flush()
        return self._line()

    def _line(self) -> str:
        if not (line := self._from.readline()):
            raise Rp2040Error("rp2040js ended", "run it by hand: host_tools/device/rp2040.mjs says how")
        return line.decode().strip()


def emulates(board: Board) -> bool:
    """Whether the board has the chip of this emulator."""
    return board.uart == "rp2040"


def package() -> Path:
    """The folder of rp2040js. Raises `Rp2040Error` where it or Node.js is missing."""
    folder = Path(os.environ.get("RP2040JS", Path.home() / "node_modules" / "rp2040js"))
    if not shutil.which("node") or not folder.is_dir():
        raise Rp2040Error(
            "rp2040js, which emulates the Raspberry Pi Pico, is not installed",
            "install Node.js, run `npm install rp2040js` in the home folder, or name its folder in RP2040JS",
        )
    return folder


@contextmanager
def emulated(board: Board, image: Path) -> Iterator[Pico]:
    """Starts the board with the firmware `image`, which begins with its vector table at the board's flash_origin. Raises
    `Rp2040Error`."""
    command = ["node", str(BRIDGE), str(package()), str(image), hex(board.flash_origin)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin and process.stdout
            yield Pico(process.stdin, process.stdout)
        finally:
            process.kill()
