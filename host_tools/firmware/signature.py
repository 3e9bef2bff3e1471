# SPDX-License-Identifier: MIT
"""Signed bundles: DIR/bundle.sig holds the SHA-256 of each of the bundle's files and an Ed25519 signature over all of them.

A signing key is a key file (key_file.py) of its own; what others check by is its public half, 64 hexadecimal digits. This is
the one module that imports PyNaCl.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.untrusted_file import json_page, read_bytes

NAME = "bundle.sig"
FORMAT = 1
MOST_BYTES = 1 << 16  # of a signature's file
MOST_FILE_BYTES = 1 << 30  # of a file of a bundle
READ = re.compile(r"(model|loss)\.[a-z]+")  # what ttzo reads of a bundle's folder
PUBLIC = re.compile(r"[0-9a-f]{64}")


class SignatureError(TtzoError):
    """A bundle that is not signed by whom it should be."""

    exit_code = ExitCode.key


def _nacl() -> Any:
    try:
        from nacl import exceptions, signing
    except ImportError as error:
        raise TtzoError("PyNaCl, which signs and checks, is not installed", "pip install 'ttzo[sign]'") from error
    return signing, exceptions


def _message(files: dict[str, str]) -> bytes:
    return b"ttzo bundle\0" + json.dumps(files, sort_keys=True, separators=(",", ":")).encode()


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, MOST_FILE_BYTES)).hexdigest()


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and READ.fullmatch(path.name))


def public_half(secret: bytes) -> str:
    """What others check the signatures of a signing key by."""
    signing, _ = _nacl()
    public: bytes = signing.SigningKey(secret).verify_key.encode()
    return public.hex()


def sign(folder: Path, secret: bytes) -> list[str]:
    """Writes DIR/bundle.sig; the names of the files that are signed."""
    signing, _ = _nacl()
    files = {name: _digest(folder / name) for name in _files(folder)}
    if "model.ttzo" not in files:
        raise SignatureError(f"there is no bundle in {folder}", "write one with `ttzo export MODEL -o DIR`")
    signature = signing.SigningKey(secret).sign(_message(files)).signature.hex()
    page = {"format": FORMAT, "signer": public_half(secret), "files": files, "signature": signature}
    (folder / NAME).write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    return list(files)


def verify(folder: Path, signer: str) -> list[str]:
    """The names of the files that `signer` has signed and that nobody has changed. Raises `SignatureError` when one that ttzo
    reads is not among them."""
    signing, exceptions = _nacl()
    if not PUBLIC.fullmatch(signer):
        raise TtzoError("a signer is 64 hexadecimal digits", "`ttzo sign` prints them", ExitCode.usage)
    try:
        page = json_page(read_bytes(folder / NAME, MOST_BYTES))
        files, signature = page["files"], bytes.fromhex(page["signature"])
        if page["format"] != FORMAT or not all(isinstance(item, str) for pair in files.items() for item in pair):
            raise ValueError("another format")
        signing.VerifyKey(bytes.fromhex(signer)).verify(_message(files), signature)
    except OSError as error:
        raise SignatureError(f"{folder} is not signed", "ask who made it for its bundle.sig") from error
    except exceptions.BadSignatureError as error:
        raise SignatureError(f"{folder} is not signed by {signer}", "ask who made it; do not use it") from error
    except (ValueError, KeyError, TypeError, AttributeError, exceptions.CryptoError) as error:
        raise SignatureError(f"{folder / NAME} is damaged ({error})", "get it again") from error
    for name in sorted({*_files(folder), *files}):
        if (
            not READ.fullmatch(name)
            or name not in files
            or not (folder / name).is_file()
            or _digest(folder / name) != files[name]
        ):
            raise SignatureError(f"{name} of {folder} is not as {signer[:8]}.. signed it", "get the bundle again")
    return sorted(files)
