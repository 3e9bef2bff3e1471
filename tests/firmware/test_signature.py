# SPDX-License-Identifier: MIT
"""Signed bundles: what nobody has changed passes, and nothing else does."""

import json

import pytest
from click.testing import CliRunner

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.firmware import key_file, signature
from ttzo.host_tools.firmware.signature import SignatureError

pytest.importorskip("nacl")

# RFC 8032, 7.1, test 1
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
FILES = {"model.ttzo": b"TTZO", "model.c": b"int x;", "model.h": b"", "loss.onnx": b"o"}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "rows.npz").write_bytes(b"not of the bundle")
    assert signature.sign(tmp_path, SECRET) == sorted(FILES)
    return tmp_path


def refuse(folder, signer=PUBLIC) -> str:
    with pytest.raises(SignatureError) as refused:
        signature.verify(folder, signer)
    assert refused.value.exit_code == ExitCode.key
    return str(refused.value)


def test_the_public_half_is_that_of_the_standard():
    assert signature.public_half(SECRET) == PUBLIC


def test_a_bundle_as_it_was_signed_passes_also_beside_other_files(folder):
    (folder / "rows.npz").write_bytes(b"others")
    assert signature.verify(folder, PUBLIC) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_changed_or_removed_is_named(folder, name):
    (folder / name).write_bytes(FILES[name] + b"x")
    assert name in refuse(folder)
    (folder / name).unlink()
    assert name in refuse(folder)


def test_a_file_that_was_added_is_named(folder):
    (folder / "model.onnx").write_bytes(b"")
    assert "model.onnx" in refuse(folder)


def test_another_signer_is_refused(folder):
    assert "is not signed by" in refuse(folder, signature.public_half(bytes(32)))
    signature.sign(folder, bytes(32))
    assert "is not signed by" in refuse(folder)


def test_every_bit_of_the_signature_counts(folder):
    path = folder / signature.NAME
    page = json.loads(path.read_text())
    good = bytes.fromhex(page["signature"])
    for bit in range(8 * len(good)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_text(json.dumps(page | {"signature": changed.hex()}))
        refuse(folder)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", "[" * 60_000, '{"format":1,"files":{"../x":"00"},"signature":""}',
     '{"format":1,"files":[1],"signature":"00"}', '{"format":2,"files":{},"signature":"00"}'],
)  # fmt: skip
def test_what_is_no_signature_ends_in_a_sentence(folder, text):
    (folder / signature.NAME).write_text(text)
    refuse(folder)


def test_a_bundle_without_a_signature_is_refused(folder):
    (folder / signature.NAME).unlink()
    assert "is not signed" in refuse(folder)


def test_a_signer_that_cannot_be_is_wrong_usage(folder):
    with pytest.raises(TtzoError) as refused:
        signature.verify(folder, PUBLIC[:-1])
    assert refused.value.exit_code == ExitCode.usage


def test_the_commands_sign_and_verify(folder, tmp_path):
    key_file.write(tmp_path / "key", SECRET)
    run = CliRunner()
    assert PUBLIC in run.invoke(main, ["sign", str(folder), "--key", str(tmp_path / "key")]).output
    assert run.invoke(main, ["verify", str(folder), "--signer", PUBLIC]).exit_code == 0
    (folder / "model.c").write_bytes(b"int y;")
    assert run.invoke(main, ["verify", str(folder), "--signer", PUBLIC]).exit_code == ExitCode.key
