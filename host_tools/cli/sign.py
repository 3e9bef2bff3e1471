# SPDX-License-Identifier: MIT
"""Commands about signed bundles: sign, verify."""

from pathlib import Path

import click

from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.firmware import key_file, signature

FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))


@click.command("sign")
@FOLDER
@click.option(
    "--key",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the signing key, from `ttzo key make`; not that of a device.",
)
@command
def sign_command(screen: Screen, folder: Path, key: Path) -> dict:
    """Sign a bundle's files (Ed25519), so that others can check where they come from."""
    secret = key_file.read(key)
    files, signer = signature.sign(folder, secret), signature.public_half(secret)
    screen.table(f"{folder} is signed", [("files", ", ".join(files)), ("signer", signer)])
    screen.say(f"others check it by: ttzo verify DIR --signer {signer}")
    return {"files": files, "signer": signer}


@click.command("verify")
@FOLDER
@click.option(
    "--signer",
    metavar="DIGITS",
    required=True,
    envvar="TTZO_SIGNER",
    help="Whose signature it must be: the 64 digits that `ttzo sign` prints (default: TTZO_SIGNER).",
)
@command
def verify_command(screen: Screen, folder: Path, signer: str) -> dict:
    """Check that a bundle is as its signer left it (exit code 8 where it is not)."""
    files = signature.verify(folder, signer)
    screen.table(f"{folder} is as it was signed", [("files", ", ".join(files)), ("signer", signer)])
    return {"files": files, "signer": signer}
