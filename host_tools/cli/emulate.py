# SPDX-License-Identifier: MIT
"""`ttzo emulate`: an emulated device that stays open."""

import shlex
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.cli.bundle import BUNDLE
from ttzo.host_tools.cli.device import DEVICE
from ttzo.host_tools.cli.key import KEY, READING, lock_of
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.device import emulated_device, front_door
from ttzo.host_tools.device.device import bundle_path, read_bundle
from ttzo.host_tools.device.pty_bridge import PtyBridge
from ttzo.host_tools.training.stop import stop_signals


@click.command("emulate")
@BUNDLE
@DEVICE
@click.option(
    "--socket",
    "path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where the Unix socket is made (default: in a folder of its own).",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Listen on a TCP port of the loopback interface, 0 for any; with --key or --open.",
)
@click.option("--pty", is_flag=True, help="Open a pseudo-terminal instead of a socket, for programs that need a tty.")
@KEY
@READING
@click.option(
    "--open", "is_open", is_flag=True, help="With --port: no key; every user of this machine may use the device."
)
@command
def emulate_command(
    screen: Screen,
    bundle: Path,
    url: str,
    path: Path | None,
    port: int | None,
    pty: bool,
    key: Path | None,
    reading: str,
    is_open: bool,
) -> dict:
    """Keep an emulated device open until Ctrl-C, on a Unix socket that only you may open.

    One program uses it at a time; another one hears who that is. A program that has sent nothing for half a minute gives
    way to the next.
    """
    plan = read_bundle(bundle)
    if not emulated_device.is_emulated(url):
        raise DataError(f"{url} is not an emulated device", "use native:, numpy:, onnx: or qemu:BOARD")
    if port is not None and not (key or is_open):
        raise TtzoError(
            "every user of this machine can reach a TCP port",
            "give --key FILE too, or --open to let them all in",
            ExitCode.usage,
        )
    if port is None and is_open:
        raise TtzoError("no other user can reach a Unix socket", "--open goes with --port", ExitCode.usage)
    ended = threading.Event()
    with ExitStack() as owned:
        for number in stop_signals():
            owned.callback(signal.signal, number, signal.signal(number, lambda *_: ended.set()))
        lock = lock_of(key, reading)
        inner = emulated_device.start(url, bundle_path(bundle), plan, owned, screen.say, lock=lock)
        line = owned.enter_context(front_door.opened(inner, port, path)).url
        terminal = owned.enter_context(PtyBridge(line)).path if pty else None
        who = "you" if port is None else "every user of this machine"
        rows = [("open at", terminal or line), ("for", f"{who}{', with the key' if key else ''}")]
        screen.table(f"{url} holds {bundle}", rows)
        words = ["ttzo", "train", str(bundle), "--device", terminal or line, *(["--key", str(key)] if key else [])]
        screen.say(f"for example: {shlex.join(words)}    Ctrl-C ends it")
        screen.emit({"ok": True, "device": url, "url": terminal or line})
        while not ended.wait(0.5):
            pass
    raise SystemExit(0)
