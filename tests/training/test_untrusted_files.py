# SPDX-License-Identifier: MIT
"""Files that somebody else wrote: limits are looked at before anything is read, and every parser refuses with its own error.
A few hundred changed inputs for each parser here; 100,000 by `python tests/support/parser_fuzz.py`."""

import io
import json
import zipfile

import numpy as np
import parser_fuzz
import pytest
from bundles import small_plan

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.plan import untrusted_file
from ttzo.host_tools.data import data_set, npz
from ttzo.host_tools.device.device import BundleError, read_bundle
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.training import checkpoint
from ttzo.host_tools.training.checkpoint import CheckpointError

INPUTS = 150


@pytest.mark.parametrize("name", parser_fuzz.PARSERS)
def test_a_changed_input_is_taken_or_refused_by_name(name, tmp_path):
    count = parser_fuzz.fuzz(name, INPUTS, 1, tmp_path)
    assert not count.findings
    assert count.taken + count.refused == INPUTS and (count.refused or name == "frames")


# ---- archives --------------------------------------------------------------------------------------------------------


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(shape, kind="<f4", content=b"") -> bytes:
    """An .npy file that announces `shape`, and holds `content`."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def test_an_archive_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    bomb = archive(tmp_path / "bomb.npz", x_train=npy((1 << 24,), "|u1", bytes(1 << 24)))
    assert bomb.stat().st_size < 1 << 15
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match=r"unpacks to 16,777,3\d\d bytes, at most 1,048,576"):
        npz.read(bomb, most_bytes=1 << 20)


@pytest.mark.parametrize(
    "member",
    [
        npy((1 << 40,)),
        npy((1 << 62, 1 << 62)),
        npy((4,), "<f4", bytes(12)),
        npy((4,), "<f4", bytes(17)),
        npy((-1,), "<f4", b""),
        npy((1,) * 9, "<f4", bytes(4)),
        npy((1,), "|O", bytes(8)),
        npy((1,), "|V0", b""),
        b"\x93NUMPY\x09\x00" + bytes(40),
    ],
)
def test_an_array_that_is_not_what_it_announces_is_refused(tmp_path, member):
    with pytest.raises(ValueError):
        npz.read(archive(tmp_path / "made.npz", x_train=member))


def test_an_archive_of_many_members_is_refused(tmp_path):
    made = archive(tmp_path / "many.npz", **{f"a{k}": npy((0,)) for k in range(65)})
    with pytest.raises(ValueError, match="up to 64 arrays"):
        npz.read(made)


def test_arrays_of_all_kinds_are_read_as_numpy_reads_them(tmp_path):
    made = {
        "a": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "z": np.zeros((0, 3)),
        "s": np.uint8(7),
        "t": np.array(["ab", "c"]),
    }
    np.savez_compressed(tmp_path / "made.npz", **made)
    found = npz.read(tmp_path / "made.npz")
    assert all(np.array_equal(found[name], made[name]) and found[name].dtype == made[name].dtype for name in made)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(parser_fuzz._saved(tmp_path / "checkpoint.npz"))
    return tmp_path / "checkpoint.npz"


def rewritten(path, **changes):
    """The checkpoint with other arrays (None: without it), and the checksum that fits them."""
    with np.load(path) as file:
        held = {name: file[name] for name in file if name != "checksum"}
    held = {name: array for name, array in (held | changes).items() if array is not None}
    np.savez(path, **held, checksum=np.uint32(checkpoint._checksum(held)))


def broken(n, k, value):
    made = np.zeros(n, np.float32)
    made[k] = value
    return made


N = small_plan().n_parameters
SETTINGS_BYTES = sum(record.SIZE for record in checkpoint.SETTINGS)
WRONG = {
    "a missing array": ({"moments": None}, "another version"),
    "an array too many": ({"more": np.zeros(3)}, "another version"),
    "parameters of another type": ({"parameters": np.zeros(N)}, "parameters"),
    "parameters of another shape": ({"parameters": np.zeros((1, N), np.float32)}, "parameters"),
    "too few parameters": ({"parameters": np.zeros(N - 1, np.float32)}, "parameters"),
    "a parameter that is not finite": ({"parameters": broken(N, 3, np.nan)}, "parameter 3 is nan"),
    "a moment that is not finite": ({"moments": broken(2 * N, 5, np.inf)}, "moment 5 is inf"),
    "a short state": ({"state": np.zeros(8, np.uint8)}, "state"),
    "a state that cannot be": ({"state": np.full(36, 255, np.uint8)}, r"state that cannot be \(\w+ is "),
    "settings that cannot be": ({"settings": np.full(SETTINGS_BYTES, 255, np.uint8)}, "holds settings"),
    "a long origin": ({"origin": np.zeros(100, np.uint8)}, "version"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_checkpoint_with_a_right_checksum_is_believed_only_when_it_can_be(saved, name):
    changes, says = WRONG[name]
    rewritten(saved, **changes)
    with pytest.raises(CheckpointError, match=says) as caught:
        checkpoint.load(saved, small_plan())
    assert str(saved) in str(caught.value) and "--restart" in caught.value.hint


def test_a_bad_checkpoint_names_the_other_generations(saved):
    saved.with_name("best.npz").write_bytes(saved.read_bytes())
    saved.write_bytes(b"nothing")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved, small_plan())
    assert "--generation best" in caught.value.hint


# ---- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a = " + "[" * 3000, "a = " + "{b = " * 3000, "a" + ".b" * 3000 + " = 1"])
def test_a_board_that_is_nested_deep_is_no_board(tmp_path, text):
    (tmp_path / "deep.toml").write_text(text)
    with pytest.raises(boards.BoardError, match="nested"):
        boards.load(tmp_path / "deep.toml")


def test_brackets_in_a_string_do_not_count():
    assert untrusted_file.json_page(json.dumps({"title": "[" * 99 + '\\"{'}).encode())["title"][0] == "["


def test_files_that_are_too_large_are_refused_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr("ttzo.exporter.writers.to_bundle.MOST_BYTES", 100)
    (tmp_path / "model.ttzo").write_bytes(bytes(101))
    with pytest.raises(BundleError, match="more than 100 bytes"):
        read_bundle(tmp_path)
    monkeypatch.setattr(boards, "MOST_BYTES", 100)
    (tmp_path / "large.toml").write_text("#" * 101)
    with pytest.raises(boards.BoardError, match="more than 100 bytes"):
        boards.load(tmp_path / "large.toml")


def test_a_table_of_binary_rubbish_is_a_sentence(tmp_path):
    (tmp_path / "rows.csv").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(TtzoError):
        data_set.load(tmp_path / "rows.csv", small_plan())


def test_an_onnx_file_with_a_name_that_is_no_text_is_a_sentence(tmp_path):
    content = parser_fuzz._onnx_files()[0]
    assert b"layer0.weight" in content
    (tmp_path / "bad.onnx").write_bytes(content.replace(b"layer0.weight", b"layer0.w\xffight"))
    with pytest.raises(TtzoError, match="bad.onnx is not a valid ONNX model"):
        parser_fuzz._read_onnx(tmp_path / "bad.onnx")


def test_a_quote_that_is_never_closed_is_a_sentence(tmp_path):
    (tmp_path / "rows.csv").write_text("".join(f"{k},2,3,4,5,6,1\n" for k in range(20)) + '9,"2,3,4,5,6,1\n')
    with pytest.raises(TtzoError) as caught:
        data_set.load(tmp_path / "rows.csv", small_plan())
    assert caught.value.hint
