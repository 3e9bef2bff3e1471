# SPDX-License-Identifier: MIT
"""Training rows without their zeros: nothing is lost, the same bits as rows that are sent, damage is named."""

import zlib

import numpy as np
import pytest
from bundles import STEPS, small_plan, write_bundle
from devices import native
from firmware import needs_compiler, needs_qemu
from firmware import write_bundle as write_firmware_bundle
from plans import random_plan, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import RECORD, DeviceError, Loss, Number, Region, Update
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import Tokens, torch
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.device.device import Device, open_device
from ttzo.host_tools.device.link import Link
from ttzo.host_tools.device.ports import LinkError, open_stream
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.reference.network import sparse_rows
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE
from ttzo.host_tools.reference.number.random import sample_rows
from ttzo.host_tools.training.session import train

SEED, N = 11, 13


@pytest.fixture(scope="module")
def core(c_library):
    """Under a sanitizer that stops at the first undefined behaviour."""
    return c_library(*CORE, extra=RUN, flags=("-fsanitize=undefined", "-fno-sanitize-recover=all"))


def plan_and_rows(seed: int) -> tuple[Plan, np.ndarray]:
    """A random plan, and rows for it of whose inputs about four in five are zero."""
    rng = np.random.default_rng(seed)
    training = Training((Phase(update=Update.sgd, n_queries=3),), seed=SEED)
    plan = random_plan(rng, training, loss=Loss.cross_entropy if seed % 2 else Loss.mse)
    rows, width = random_rows(rng, plan, N), NUMBER_DTYPE[plan.input_number].itemsize
    inputs = rows[:, : plan.in_features * width].reshape(N, plan.in_features, width)
    inputs[rng.random((N, plan.in_features)) < 0.8] = 0
    return plan, rows


def packed(plan: Plan, rows: np.ndarray) -> bytes:
    return sparse_rows.pack(rows, plan.in_features, NUMBER_DTYPE[plan.input_number].itemsize)


class Lent(Runtime):
    """A run that was lent a memory for sparse rows."""

    def __init__(self, library, plan: Plan, capacity: int):
        super().__init__(library, plan)
        self.memory = np.zeros(capacity, np.uint8)
        library.ttzo_lend_sparse(self._trainer, self._pointer(self.memory), capacity)


@pytest.mark.parametrize("seed", range(20))
def test_packing_and_unpacking_gives_the_rows_back(seed):
    plan, rows = plan_and_rows(seed)
    content = packed(plan, rows)
    width = NUMBER_DTYPE[plan.input_number].itemsize
    assert np.array_equal(sparse_rows.unpack(content, plan.in_features, width, plan.row_bytes), rows)


def test_the_layout_is_the_contracts():
    rows = np.array([[0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0], [0] * 10 + [2, 0]], np.uint8)
    wanted = bytes([2, 0, 0, 0, 18, 0, 0, 0, 22, 0, 0, 0, 0b10, 0b10, 7, 9, 1, 0, 0, 0, 2, 0])
    assert sparse_rows.pack(rows, 10, 1) == wanted


def test_a_negative_zero_keeps_its_sign():
    rows = np.array([[-0.0, 0.0, 1.0]], "<f4").view(np.uint8)
    assert np.array_equal(sparse_rows.unpack(sparse_rows.pack(rows, 2, 4), 2, 4, 12), rows)


@pytest.mark.parametrize("seed", range(10))
def test_sparse_rows_and_rows_sent_train_to_the_same_bits(core, seed):
    plan, rows = plan_and_rows(seed)
    content = packed(plan, rows)
    kept, sent = Lent(core, plan, len(content)), Runtime(core, plan)
    kept.put(Region.sparse, content)
    for step in range(6):
        sent.put(Region.batch, rows[sample_rows(SEED, step * plan.batch + np.arange(plan.batch), N)].tobytes())
        a, b = kept.step(Region.sparse), sent.step(Region.batch)
        assert (a.loss, a.gradient_norm, a.macs) == (b.loss, b.gradient_norm, b.macs)
    assert kept.theta.tobytes() == sent.theta.tobytes()


def test_rows_that_stand_there_already_count_once_they_are_committed(core):
    plan, rows = plan_and_rows(1)
    content = packed(plan, rows)
    device = Lent(core, plan, len(content) + 5)
    device.memory[: len(content)] = np.frombuffer(content, np.uint8)
    with pytest.raises(DeviceError, match="no complete data"):
        device.step(Region.sparse)
    device.commit(Region.sparse, len(content), zlib.crc32(content))
    device.step(Region.sparse)
    device.write(Region.sparse, 0, b"\0")
    with pytest.raises(DeviceError, match="no complete data"):
        device.step(Region.sparse)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_sparse_rows_are_refused_by_name_and_never_read_beyond(core, seed):
    """Any byte flipped: the checksum tells. Under a mended checksum the structure does, or the row is just another."""
    plan, rows = plan_and_rows(seed)
    content = packed(plan, rows)
    device = Lent(core, plan, len(content))
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        device.write(Region.sparse, 0, bytes(damaged))
        with pytest.raises(DeviceError) as caught:
            device.commit(Region.sparse, len(content), zlib.crc32(content))
        assert caught.value.name == "bad_checksum"
        try:
            device.commit(Region.sparse, len(content), zlib.crc32(bytes(damaged)))
            device.step(Region.sparse)
        except DeviceError as error:
            assert error.name in ("bad_sparse_rows", "bad_label", "bad_token", "non_finite")


def test_tokens_are_looked_at_in_sparse_rows_too(core):
    module = torch.nn.Sequential(Tokens(6), torch.nn.Embedding(24, 6), torch.nn.Flatten(), torch.nn.Linear(36, 5))
    plan = plan_from_module(module, input_number=Number.int16, batch=4)
    rows = random_rows(np.random.default_rng(0), plan, 8)
    rows[5, 2:4] = (24, 0)  # the second token, of a vocabulary of 24
    device = Lent(core, plan, len(packed(plan, rows)))
    with pytest.raises(DeviceError) as caught:
        device.put(Region.sparse, packed(plan, rows))
    assert (caught.value.name, caught.value.detail) == ("bad_token", 5)


def test_lengths_that_lie_are_refused(core):
    plan, rows = plan_and_rows(1)
    content = packed(plan, rows)
    device = Lent(core, plan, len(content) + 8)
    header = RECORD["sparse_rows"]
    for wrong in (b"", content[:3], content[:-1], content + b"\0", header(2**32 - 1).pack() + content[4:]):
        with pytest.raises(DeviceError) as caught:
            device.put(Region.sparse, wrong)
        assert caught.value.name == "bad_sparse_rows"
    with pytest.raises(DeviceError) as caught:
        device.write(Region.sparse, len(content), bytes(9))
    assert caught.value.name == "out_of_range"


# ---- a run ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True], ids=["sent once", "there already"])
def test_a_run_keeps_its_rows_where_only_the_sparse_ones_fit(native_executable, tmp_path, there):
    plan = small_plan()
    bundle = write_bundle(tmp_path / "bundle", plan)
    rows = data_set.load(bundle / "rows.npz", plan)
    arguments = ("--work-bytes", str(memory.work_bytes(plan)), "--sparse-bytes", str(len(rows.sparse_rows)))
    with native(native_executable, plan, tmp_path, *arguments) as url:
        device = Device(Link(open_stream(url)), plan, url, url, bundle)
        if there:
            device.write_sparse(rows.sparse_rows)
        sent = []
        run = train(device, rows, tmp_path / "run", on_upload=lambda done, total: sent.append(done))
        assert run.resident and run.step == STEPS and bool(sent) != there
        kept = device.parameters()
    with open_device("numpy:", bundle) as device:
        train(device, rows, tmp_path / "numpy")
        assert np.array_equal(device.parameters(), kept)


@needs_compiler
@needs_qemu
def test_an_emulated_board_finds_its_rows_in_memory_and_its_instructions_are_counted(tmp_path):
    plan = small_plan()
    folder = write_firmware_bundle(tmp_path / "bundle", plan)
    many = 1 + boards.load("mps2-an386").ram_bytes // plan.row_bytes
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (many, 6)) // 7, rng.integers(0, 3, many)
    np.savez(folder / "rows.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    rows = data_set.load(folder / "rows.npz", plan, DataOptions(validation=0.0))
    with open_device("qemu:mps2-an386", folder, rows=rows, count_instructions=True) as device:
        device._write = None  # nothing is written: a commit takes over what stands there
        device.write_sparse(rows.sparse_rows)
        before = device.instructions
        result = device.step(Region.sparse)
        # a step of 4 evaluations of 4 rows takes at least one instruction for each multiply-accumulate
        assert result.macs == 4 * 4 * plan.macs < device.instructions - before
    with pytest.raises(LinkError, match="cannot be counted"):
        open_device("native:", folder, count_instructions=True)
