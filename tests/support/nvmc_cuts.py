# SPDX-License-Identifier: MIT
"""Cuts the power of the emulated micro:bit after every byte that is written into a slot of its flash, and counts.

    python tests/support/nvmc_cuts.py [--every 1] [--slots 2]

The firmware is the real one with its driver of the nRF51's flash controller; QEMU's debugger stops the core at the store of
each word, the bytes of the word that were not yet written are set back to 0xFF, and the board is reset. After the reset the
newest whole generation must be there, with the parameters of its step, and the next step must lead to the parameters of a
device that was never cut.
"""

import argparse
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from devices import dense_plan, fill, native, request, rows
from firmware import write_bundle

from ttzo.device_runtime.contract import RECORD, Arithmetic, Region, Update
from ttzo.exporter.costs.memory import saved_run_bytes
from ttzo.exporter.plan.training import Phase
from ttzo.host_tools.device import qemu, unix_socket
from ttzo.host_tools.device.frames import encode
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import open_stream
from ttzo.host_tools.firmware import boards, build

PLAN = dense_plan(16, 5, 3, phases=(Phase(n_queries=3, update=Update.momentum),))
BATCH = rows(PLAN, PLAN.batch)
ERASE_PAGE = 0x4001E508  # a write into this register of the flash controller erases a page
RUN = 7
BOOT_S = 0.1  # what arrives before a reset is done is lost, and would be sent again after a second


class Debugger:
    """QEMU's debugger of an emulation, by the remote protocol of gdb. The core stands still from here on."""

    def __init__(self, emulation: qemu.Emulation, path: Path):
        said = emulation.ask("human-monitor-command", **{"command-line": f"gdbserver unix:{path},server=on,wait=off"})
        assert path.is_socket(), said
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        self._socket.connect(str(path))
        self._buffer = b""
        self.answer()  # that the core stands still

    def close(self) -> None:
        self._socket.close()

    def ask(self, packet: str) -> str:
        self._socket.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        return self.answer()

    def answer(self) -> str:
        """The next packet of the other side."""
        while True:
            start, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if 0 <= start < end and len(self._buffer) >= end + 3:
                packet, self._buffer = self._buffer[start + 1 : end], self._buffer[end + 3 :]
                self._socket.sendall(b"+")
                return packet.decode()
            received = self._socket.recv(4096)
            if not received:
                raise ConnectionError("QEMU's debugger has ended")
            self._buffer += received

    def go(self) -> None:
        self._socket.sendall(b"$c#63")

    def halt(self) -> None:
        self._socket.sendall(b"\x03")
        self.answer()

    def watch(self, address: int) -> None:
        """Stops the core after its next store there."""
        assert self.ask(f"Z2,{address:x},4") == "OK"

    def ignore(self, address: int) -> None:
        assert self.ask(f"z2,{address:x},4") == "OK"

    def fill(self, address: int, count: int) -> None:
        """Sets bytes to those of erased flash."""
        if count:
            assert self.ask(f"M{address:x},{count:x}:{'ff' * count}") == "OK"
            assert self.ask(f"m{address:x},{count:x}") == "ff" * count


def parameters(link: Link) -> bytes:
    made = b""
    while len(made) < 4 * PLAN.n_parameters:
        made += link.read(Region.parameters, len(made), 4 * PLAN.n_parameters - len(made))[1]
    return made


def expected(steps: int, folder: Path) -> list[bytes]:
    """Parameters after 0, 1, ... `steps` steps on the native port."""
    with native(build.build_native(Arithmetic.separate), PLAN, folder) as url, Link(open_stream(url)) as link:
        link.fit(link.hello().payload_bytes)
        fill(link, Region.batch, BATCH)
        made = [parameters(link)]
        for step in range(steps):
            link.request("step", step=step, region=Region.batch)
            made.append(parameters(link))
    return made


class Board:
    """The emulated board under cuts. Counts them; `whole`: the newest whole generation was there, `same`: the step after it
    led to the parameters of a device that was never cut."""

    def __init__(self, emulation: qemu.Emulation, debugger: Debugger, right: list[bytes], origins: tuple[int, ...]):
        self._emulation, self._debugger, self._right, self._origins = emulation, debugger, right, origins
        self.cuts = self.whole = self.same = 0
        self.generation = 0
        self._go_on()

    def _go_on(self) -> None:
        """Lets the board run, and does the step that follows its generation."""
        self._debugger.go()
        time.sleep(BOOT_S)
        with Link(open_stream(self._emulation.url)) as link:
            link.fit(link.hello().payload_bytes)
            held = link.request("restore")[0]
            state = link.request("status")[0].state
            self.held = held.generation
            self.is_whole = (
                held.run == (RUN if held.generation else 0)
                and state.step == held.generation
                and parameters(link) == self._right[state.step]
            )
            fill(link, Region.batch, BATCH)
            link.request("step", step=state.step, region=Region.batch)
            self.leads_on = parameters(link) == self._right[state.step + 1]
        self._debugger.halt()

    def keep(self) -> None:
        """A generation that nothing cuts."""
        self._debugger.go()
        with Link(open_stream(self._emulation.url)) as link:
            link.fit(link.hello().payload_bytes)
            self.generation = link.request("keep", run=RUN)[0].generation
        self._debugger.halt()
        self._emulation.ask("system_reset")
        self._go_on()
        assert self.held == self.generation and self.is_whole and self.leads_on

    def cut(self, address: int, unwritten: int, may_be: tuple[int, ...]) -> None:
        """Keeps the next generation and cuts the power after the store at `address`, less its last bytes."""
        self._debugger.watch(address)
        self._debugger.go()
        with unix_socket.connect(self._emulation.url) as line:
            line.sendall(b"\0" + encode(request(9, "keep", run=RUN)))
            assert self._debugger.answer().startswith("T05")
        self._debugger.fill(address + 4 - unwritten, unwritten)
        self._debugger.ignore(address)
        self._emulation.ask("system_reset")
        self._go_on()
        self.cuts += 1
        self.whole += self.is_whole and self.held in may_be
        self.same += self.leads_on

    def cut_everywhere(self, every: int) -> None:
        """Cuts after the erase and after each byte of the next generation, or each one of so many."""
        old, total = self.generation, saved_run_bytes(PLAN) + RECORD["seal"].SIZE
        origin = self._origins[old % 2]
        self.cut(ERASE_PAGE, 0, (old,))
        for written in range(0, total, every):
            self.cut(origin + written // 4 * 4, 4 - written % 4, (old,))
            if written % 256 < every:
                print(f"{written} of {total} bytes of a slot: {self}", flush=True)
        self.keep()

    def __str__(self) -> str:
        return f"{self.cuts} cuts: {self.whole} starts with the newest whole generation, {self.same} went on in the same bits"


def run(every: int, n_slots: int) -> Board:
    board = boards.load("microbit")
    with tempfile.TemporaryDirectory() as name, ExitStack() as owned:
        folder = Path(name)
        right = expected(n_slots + 3, folder)
        report = build.build(write_bundle(folder / "bundle", PLAN), board, storage=True)
        emulation = owned.enter_context(qemu.emulated(board, report.elf, path=folder / "serial"))
        debugger = Debugger(emulation, folder / "gdb")
        owned.callback(debugger.close)
        seen = Board(emulation, debugger, right, tuple(board.slot_origins))
        seen.keep()
        for _ in range(n_slots):
            seen.cut_everywhere(every)
    return seen


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--every", type=int, default=1, help="cut after one of so many bytes")
    options.add_argument("--slots", type=int, default=2, help="1: the second slot, 2: then the first one")
    given = options.parse_args()
    seen = run(given.every, given.slots)
    print(seen)
    raise SystemExit(not seen.cuts == seen.whole == seen.same)


if __name__ == "__main__":
    main()
