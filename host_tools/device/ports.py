# SPDX-License-Identifier: MIT
"""Serial ports and sockets: opening one, and finding the same board again under whatever name it comes back.

A port is named by its path (`/dev/ttyACM0`, `COM3`), or by what is plugged in: `usb:VID:PID` in hexadecimal, or
`usb:SERIAL`, the board's serial number. This is the one module that imports pyserial.
"""

import errno
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import serial
from serial.tools import list_ports as system

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.printable import printable
from ttzo.host_tools.device import unix_socket

READ_S = 0.05  # how long one look at the line waits for its first byte
WRITE_S = 10.0
USB = "usb:"
DEFAULT_BAUD = 115200


class LinkError(TtzoError):
    """The line to the device is missing, busy, silent or cut."""

    exit_code = ExitCode.device


class Stream(Protocol):
    """What the link needs of an open line."""

    port: str | None
    timeout: float | None

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int = 1, /) -> bytes: ...
    def write(self, data: bytes, /) -> int | None: ...
    def close(self) -> None: ...


class Board(NamedTuple):
    """What is plugged into a port, as USB tells it; it stays the same when the port's name does not."""

    vid: int
    pid: int
    serial_number: str | None


# ---- opening --------------------------------------------------------------------------------------------------------

_OPEN_ERRORS = {
    errno.ENOENT: ("there is no port {url}", "is the board plugged in? `ttzo boards` and the system's device list name ports"),
    errno.EACCES: ("no permission for port {url}", "add yourself to the port's group (often `dialout`) and log in again"),
    errno.EBUSY: ("port {url} is in use by {holder}", "close the other program (a serial monitor?) and try again"),
    errno.EAGAIN: ("port {url} is in use by {holder}", "close the other program (a serial monitor?) and try again"),
}  # fmt: skip


def open_stream(url: str, baud: int = DEFAULT_BAUD) -> Stream:
    """Opens a serial port, `unix:PATH` or `socket://HOST:PORT`. Raises `LinkError` when it is missing, busy or not one."""
    if url.startswith(unix_socket.SCHEME):
        return _open_unix(url)
    return open_port(url, baud)


def _open_unix(url: str) -> Stream:
    try:
        return unix_socket.UnixStream(url)
    except PermissionError as error:
        raise LinkError(f"{url} belongs to another user", "let its user run the command") from error
    except (OSError, AttributeError) as error:
        raise LinkError(f"nothing listens at {url}", "start the device first: `ttzo emulate`") from error


def open_port(url: str, baud: int = DEFAULT_BAUD) -> serial.Serial:
    """The same of a serial port or `socket://HOST:PORT`."""
    if url.startswith(USB):
        url = _port_of(url)
    is_socket = url.startswith("socket://")
    try:
        if is_socket and urlsplit(url).port is None:
            raise ValueError("it lacks the port's number")
        stream = serial.serial_for_url(url, do_not_open=True, baudrate=baud, timeout=READ_S, write_timeout=WRITE_S)
        if not is_socket:
            stream.exclusive = True
        stream.open()
    except (ValueError, TypeError) as error:
        raise LinkError(
            f"{url} is not a valid port: {error}", "use /dev/ttyACM0, COM3, usb:VID:PID or socket://HOST:PORT"
        ) from error
    except OSError as error:
        if is_socket:
            raise LinkError(f"nothing listens at {url}", "start the device first: `ttzo emulate`") from error
        what, hint = _OPEN_ERRORS.get(
            error.errno or 0, ("port {url} cannot be opened: {error}", "check that it is a serial port")
        )
        raise LinkError(what.format(url=url, error=error, holder=_holder(url)), hint) from error
    return stream


def in_use(url: str, process: int) -> LinkError:
    """What a client hears whom another one's process (0: unknown) keeps out."""
    return LinkError(
        f"{url} is in use by {_process(process)}", "one program uses a device at a time: end that one, or wait for it"
    )


def _process(number: int) -> str:
    """A process of this machine; with its name where the system shows it (Linux)."""
    try:
        return f"{printable(Path(f'/proc/{number}/comm').read_text().strip())} (process {number})"
    except OSError:
        return f"process {number}" if number else "another program"


def _holder(url: str) -> str:
    """The program that has the port open, where the system shows it (Linux)."""
    path = Path(url).resolve()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if descriptor.readlink() == path:
                return _process(int(descriptor.parts[2]))
        except OSError:  # another person's process, or one that has ended
            continue
    return "another program"


# ---- boards by what they are ----------------------------------------------------------------------------------------


def list_ports() -> list[tuple[str, str]]:
    """Serial ports of this machine that may lead to a board, each with what the system says of it."""
    return sorted((port.device, port.description) for port in system.comports() if port.description != "n/a")


def boards() -> dict[str, Board]:
    """The boards that are plugged in, by the name of their port."""
    return {
        port.device: Board(port.vid, port.pid, port.serial_number)
        for port in system.comports()
        if port.vid is not None and port.pid is not None
    }


def _port_of(url: str) -> str:
    """The port of `usb:VID:PID` or `usb:SERIAL`. Raises `LinkError` when none or several are plugged in."""
    wanted = url.removeprefix(USB)
    plugged = boards()
    named = {port: f"{board.vid:04x}:{board.pid:04x}" for port, board in plugged.items()}
    found = [port for port, board in plugged.items() if wanted.lower() == named[port] or wanted == board.serial_number]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"usb:{plugged[port].serial_number}" for port in found if plugged[port].serial_number)
        raise LinkError(
            f"{len(found)} boards are {url}", f"name one by its serial number: {numbers or 'or by its port'}"
        )
    there = ", ".join(f"usb:{name} at {port}" for port, name in sorted(named.items())) or "none"
    raise LinkError(f"no board {url} is plugged in", f"plugged in: {there}")


class Line:
    """Where a device is: opens it, and opens it again when it has come back under another name."""

    def __init__(self, url: str, baud: int = DEFAULT_BAUD):
        self.url, self._baud = url, baud
        self._board: Board | None = None

    def open(self) -> Stream:
        """Raises `LinkError` when the device is not there."""
        url = self.url
        plugged = {} if url.startswith(("socket://", unix_socket.SCHEME)) else boards()
        if self._board is not None and not url.startswith(USB):
            # not at the same name if another board has that now
            url = next((port for port, board in plugged.items() if board == self._board), url)
            if plugged.get(url, self._board) != self._board:
                raise LinkError(f"another board is plugged in at {url}", "plug the first one in again")
        stream = open_stream(url, self._baud)
        self._board = self._board or plugged.get(url)
        return stream
