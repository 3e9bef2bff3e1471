# SPDX-License-Identifier: MIT
"""Boards in QEMU: the real firmware in an emulated board, its serial port on a socket.

    with emulated(board, report.elf) as emulation:
        link = Link(open_stream(emulation.url))

The listening socket is opened here and handed to QEMU, so that the port is there from the first moment and no other
program can take it. QEMU ends with `close()`; on Linux also when this process dies, by whatever cause.
"""

import contextlib
import json
import queue
import select
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.device import unix_socket
from ttzo.host_tools.device.pipes import pipes_of
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.build import build_plugin
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS

START_S = 30.0


class QemuError(TtzoError):
    """QEMU is missing, does not know the machine, or died."""

    exit_code = ExitCode.device


class Emulation:
    """A running emulated board: its serial port is at `url`, its memory can be read through QEMU's monitor (QMP).

    A thread of its own starts QEMU and stays until it ends: Linux ties a child's life to the thread that made it.
    """

    def __init__(self, program: str, arguments: list[str], listener: socket.socket, url: str):
        # setpriv (util-linux): the kernel ends QEMU when the thread that started it is gone
        dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [*dies_with_us, program, *arguments]
        self._program = program
        self.url = url
        self._complaints: list[str] = []
        started: queue.SimpleQueue[subprocess.Popen | Exception] = queue.SimpleQueue()
        self._keeper = threading.Thread(target=self._keep, args=(command, listener, started), daemon=True)
        self._keeper.start()
        process = started.get()
        if isinstance(process, Exception):
            raise QemuError(f"{program} cannot be started: {process}", _package(program)) from process
        self.process, self._pipes = process, pipes_of(process)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _keep(self, command: list[str], listener: socket.socket, started: queue.SimpleQueue) -> None:
        pipe = subprocess.PIPE
        try:
            # a process group of its own: Ctrl-C in the terminal is for the host, which then saves the run
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=[listener.fileno()], process_group=0
            )
        except Exception as error:  # whatever it is: who waits for the start must hear of it
            started.put(error)
            return
        started.put(process)
        for line in pipes_of(process).stderr:
            if len(self._complaints) < 3 and b"warning:" not in line:  # the first say what; a dump of registers follows
                self._complaints.append(line.decode(errors="replace").strip())
        process.wait()

    def _greet(self) -> None:
        """Waits until the machine is made and the firmware loaded: QEMU's monitor sends its greeting then."""
        if not select.select([self._pipes.stdout], [], [], START_S)[0]:
            raise QemuError(f"QEMU was silent for {START_S:.0f} s after its start", "try again on a less busy machine")
        if not self._pipes.stdout.readline():
            raise self._died()
        self.ask("qmp_capabilities")

    def _died(self) -> QemuError:
        self._keeper.join(START_S)
        words = " / ".join(self._complaints)
        if "unsupported machine" in words:
            return QemuError(
                f"QEMU does not know the machine: {words}",
                f"`{self._program} -M help` lists the machines; correct qemu_machine in the board's file",
            )
        return QemuError(
            f"QEMU ended: {words or 'it printed nothing'}", "build the firmware again, or run the command by hand"
        )

    def ask(self, command: str, **arguments: Any) -> Any:
        """Carries out one QMP command, and gives its result. Raises `QemuError` when QEMU refuses it or has died."""
        try:
            self._pipes.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            self._pipes.stdin.flush()
        except OSError as error:
            raise self._died() from error
        for line in self._pipes.stdout:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QemuError(f"QEMU refuses {command}: {answer['error']['desc']}")
        raise self._died()

    def close(self) -> None:
        """Ends QEMU; once is enough, more does no harm."""
        self.process.kill()
        self.process.wait()
        self._keeper.join()
        for pipe in (self._pipes.stdin, self._pipes.stdout, self._pipes.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def __enter__(self) -> "Emulation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def emulated(
    board: Board, elf: Path, rows: Path | None = None, counter: Path | None = None, path: Path | None = None
) -> Emulation:
    """Starts the board with the firmware; its serial port listens on the Unix socket `path`, or on any free port of
    127.0.0.1. What stands in the file `rows` stands in the board's memory for training rows. The instructions that the board has executed so
    far stand in the file `counter`, a u64 (see qemu_plugin.c).

    Raises:
        QemuError: the board has no QEMU machine, QEMU is missing or died at once, the firmware or the port is not available.
    """
    if not board.qemu_machine:
        raise QemuError(
            f"QEMU has no machine for {board.name}", "choose a board whose file has a qemu_machine, or use native:"
        )
    if not elf.is_file():
        raise QemuError(f"there is no firmware {elf}", f"run `ttzo build` for {board.name}")
    program = CHIP_PORTS[board.port].emulator
    if not shutil.which(program):
        raise QemuError(f"{program} is not installed", _package(program))
    with unix_socket.listen(path) if path else socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        url = f"unix:{path}" if path else f"socket://127.0.0.1:{listener.getsockname()[1]}"
        extra = ["-device", f"loader,file={rows},addr={board.rows_origin:#x},force-raw=on"] if rows else []
        extra += ["-plugin", f"{build_plugin()},out={counter}"] if counter else []
        return Emulation(program, [*_arguments(board, elf, listener.fileno()), *extra], listener, url)


def _arguments(board: Board, elf: Path, listener: int) -> list[str]:
    return [
        *("-M", board.qemu_machine, *board.qemu_arguments, "-kernel", str(elf)),
        *("-chardev", f"socket,id=c0,fd={listener},server=on,wait=off", "-serial", "chardev:c0"),
        *("-display", "none", "-qmp", "stdio"),
    ]


def _package(program: str) -> str:
    package = "qemu-system-misc" if program == "qemu-system-riscv32" else program
    return f"on Debian or Ubuntu: apt-get install {package}"
