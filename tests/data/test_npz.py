# SPDX-License-Identifier: MIT
"""A damaged .npz file is unreadable for one reason only: ValueError."""

import contextlib

import numpy as np
import pytest

from ttzo.host_tools.data import npz

ARRAYS = {"parameters": np.arange(40, dtype="<f4"), "state": np.arange(9, dtype=np.uint8)}


@pytest.fixture(params=[np.savez, np.savez_compressed])
def path(request, tmp_path):
    request.param(tmp_path / "arrays.npz", **ARRAYS)
    return tmp_path / "arrays.npz"


def test_what_was_written_is_read(path):
    found = npz.read(path)
    assert set(found) == set(ARRAYS) and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    assert set(npz.read(path, ("state", "nothing"))) == {"state"}


def test_a_flipped_bit_or_a_missing_end_is_a_value_error_or_harmless(path):
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            npz.read(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError):
            npz.read(path)


def test_another_kind_of_file_is_a_value_error(tmp_path):
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "objects.npz", x=np.array([{}]))
    for name in ("one.npy", "objects.npz", "nothing.npz"):
        with pytest.raises(ValueError):
            npz.read(tmp_path / name)
