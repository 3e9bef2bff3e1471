# SPDX-License-Identifier: MIT
"""Keys of devices: the options that name them, and `ttzo key`."""

from pathlib import Path

import click

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.unread import was_given
from ttzo.host_tools.firmware import key_file
from ttzo.host_tools.firmware.key_file import Lock

KEY = click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="TTZO_KEY",
    help="File of the key that the device asks for, from `ttzo key make` (default: TTZO_KEY).",
)
READING = click.option(
    "--reading",
    type=click.Choice(["closed", "open"]),
    default="closed",
    show_default=True,
    help="With a key: whether state and parameters may be read without it.",
)


def lock_of(key: Path | None, reading: str) -> Lock | None:
    """What the options --key and --reading say. Raises `TtzoError` for a reading that is given without a key."""
    if key is None and was_given("reading"):
        raise TtzoError("without a key a device lets everybody read and write", "add --key FILE", ExitCode.usage)
    return Lock(key_file.read(key), reading == "open") if key else None


@click.group("key")
def key_command() -> None:
    """Make and show the keys without which a device takes no orders."""


FILE = click.argument("file", type=click.Path(path_type=Path))


@key_command.command("make")
@FILE
@command
def make_command(screen: Screen, file: Path) -> dict:
    """Write a new key into FILE, which only you may read.

    Then `ttzo build` and `ttzo flash` with --key FILE put it into firmware, `ttzo emulate` into an emulated device.
    """
    return _tell(screen, file, key_file.make(file))


@key_command.command("show")
@FILE
@click.option("--secret", "is_told", is_flag=True, help="Print the key itself, in hexadecimal.")
@command
def show_command(screen: Screen, file: Path, is_told: bool) -> dict:
    """Name the key in FILE by its fingerprint, which tells nothing of it."""
    secret = key_file.read(file)
    return _tell(screen, file, secret) | ({"secret": _told(screen, secret)} if is_told else {})


def _tell(screen: Screen, file: Path, secret: bytes) -> dict:
    screen.table("", [("key", str(file)), ("fingerprint", key_file.fingerprint(secret))])
    return {"file": file, "fingerprint": key_file.fingerprint(secret)}


def _told(screen: Screen, secret: bytes) -> str:
    if not screen.as_json:
        screen.tell(secret.hex())
    return secret.hex()
