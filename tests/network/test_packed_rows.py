# SPDX-License-Identifier: MIT
"""Packed rows: the code by hand, C and Python take apart alike what the host packs, and refuse the same damage."""

import ctypes
import random

import numpy as np
import pytest

from ttzo.device_runtime.contract import DeviceError
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan import packing
from ttzo.exporter.plan.packing import LONGEST, SYMBOLS, Packing
from ttzo.exporter.zoo import mnist_packing
from ttzo.host_tools.reference.network import packed_rows

EVEN = Packing((8,) * 241 + (9,) * 30)  # 241 / 2^8 + 30 / 2^9 = 1: symbol s < 241 is the number s in 8 bits


@pytest.fixture(scope="module")
def core(c_library):
    library = c_library("network/packed_rows.c", flags=("-fsanitize=undefined", "-fno-sanitize-recover=all"))
    library.ttzo_unpack_rows.restype = library.ttzo_packing_is_sound.restype = ctypes.c_bool
    return library


def pointer(table: np.ndarray) -> ctypes.c_void_p:
    return table.ctypes.data_as(ctypes.c_void_p)


def unpacked(core, code: Packing, packed: bytes, count: int) -> bytes | None:
    """What the C makes of it, None where it refuses."""
    table = code.table()
    assert core.ttzo_packing_is_sound(pointer(table))
    out = ctypes.create_string_buffer(count + 1)
    if not core.ttzo_unpack_rows(pointer(table), packed, len(packed), None, count):
        return None
    assert core.ttzo_unpack_rows(pointer(table), packed, len(packed), out, count) and out.raw[count] == 0
    return out.raw[:count]


def of_twin(code: Packing, packed: bytes, count: int) -> bytes | None:
    try:
        return packed_rows.unpack(code, packed, count)
    except DeviceError as error:
        assert (error.name, error.detail) == ("bad_packed_rows", count)
        return None


@pytest.mark.parametrize(
    ("content", "packed"),
    [
        (b"", b""),
        (b"\x05", b"\x05"),
        (b"\x05\x00\xf0", b"\x05\x00\xf0"),  # one zero is a byte like others
        (b"\xf1", bytes([0b11110001, 0b0_0000000])),  # the first code of 9 bits: 482
        (bytes(5), bytes([0b11111001, 0b0_01_00000])),  # symbol 257, the 17th of 9 bits: 498; then 5 - 4 in two bits
        (bytes(2**15), bytes([0b11111111, 0b1_0000000, 0, 0])[:3]),  # the last symbol, and 15 bits of 0
    ],
)
def test_the_code_is_the_contracts(core, content, packed):
    assert EVEN.pack(content, 100) == (len(content), packed)
    assert unpacked(core, EVEN, packed, len(content)) == of_twin(EVEN, packed, len(content)) == content


def rows_of(rng: random.Random) -> bytes:
    """Bytes of which some are rare, with runs of zeros of all lengths."""
    parts = [rng.choice([bytes(rng.choice([1, 2, 3, 40, 500])), rng.randbytes(5), b"\x07" * 9]) for _ in range(12)]
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_packed_comes_back_whatever_the_pieces(core, seed):
    rng = random.Random(seed)
    content, code = rows_of(rng), Packing.of_bytes(rows_of(rng))
    made, at = b"", 0
    while at < len(content):
        most = rng.choice([5, 15, 100, 1000])
        n, packed = code.pack(content[at:], most)
        assert 0 < len(packed) <= most
        assert of_twin(code, packed, n) == content[at : at + n]
        made, at = made + unpacked(core, code, packed, n), at + n
    assert made == content


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_refused_by_both_or_read_alike(core, seed):
    rng = random.Random(seed)
    content = rows_of(rng)[:300]
    code = Packing.of_bytes(content)
    count, packed = code.pack(content, 1000)
    packed = bytearray(packed[: rng.choice([len(packed), len(packed), rng.randrange(len(packed))])])
    for _ in range(rng.randrange(3) if packed else 0):
        packed[rng.randrange(len(packed))] = rng.randrange(256)
    count += rng.choice([0, 0, 0, 1, -1, 5000])
    assert unpacked(core, code, bytes(packed), count) == of_twin(code, bytes(packed), count)


def test_a_code_is_complete_however_unlike_the_bytes_are(core):
    fibonacci = [1, 1]
    while sum(fibonacci) < 200_000:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for content in (b"", b"\x01", bytes(10**5), b"".join(bytes([k + 1]) * n for k, n in enumerate(fibonacci))):
        code = Packing.of_bytes(content)
        assert code.is_sound and max(code.lengths) <= LONGEST
        assert Packing.of_table(code.table()) == Packing.of_text(code.text) == code
        assert unpacked(core, code, b"", 0) == b""


def test_a_damaged_code_is_refused(core):
    rng = np.random.default_rng(0)
    for _ in range(200):
        table = EVEN.table()
        at, before = int(rng.integers(len(table))), 0
        before, table[at] = int(table[at]), rng.integers(1 << 16)
        taken = core.ttzo_packing_is_sound(pointer(table))
        assert taken == (at >= LONGEST and table[at] < SYMBOLS or table[at] == before)


def test_a_code_comes_near_the_entropy():
    """Of independent bytes whose shares are powers of 1/2 but for the last, no code takes fewer bits than the entropy."""
    rng = np.random.default_rng(1)
    shares = 0.5 ** np.arange(1, 9)
    content = rng.choice(np.arange(1, 9, dtype=np.uint8), 20_000, p=shares / shares.sum()).tobytes()
    share = np.bincount(np.frombuffer(content, np.uint8), minlength=9)[1:] / len(content)
    entropy = -(share * np.log2(share)).sum() * len(content) / 8
    assert entropy <= Packing.of_bytes(content).packed_bytes(content) <= 1.05 * entropy


def test_rows_that_would_not_shrink_are_not_packed():
    rng = np.random.default_rng(0)
    assert packing.worth_packing(rng.integers(0, 256, (50, 40), np.uint8)) == {}
    sparse = rng.integers(0, 256, (50, 40), np.uint8) * (rng.random((50, 40)) < 0.2).astype(np.uint8)
    made = packing.worth_packing(sparse)
    assert made[packing.ROW_BYTES] < 0.5 * 40 and Packing.of_text(made[packing.CODE]).is_sound


def test_mnists_models_are_packed_by_its_code_and_say_the_bytes_of_a_batch():
    plan = plan_of("mnist-3898")
    assert plan.packing == mnist_packing.CODE[0] and packing.CODE not in plan.metadata
    assert packing.batch_bytes(plan) == round(64 * mnist_packing.CODE[1]) < 12_000 < plan.batch * plan.row_bytes
    assert plan_of("mnist-3898", data="rows.npz").packing is None
