# SPDX-License-Identifier: MIT
"""Augmentation: training rows that the device varies by the seed. The same bits in C and in NumPy, no memory, and never
what is evaluated."""

import dataclasses
import zlib

import numpy as np
import pytest
from devices import dense_plan
from firmware import needs_qemu
from plans import random_plan, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import DeviceError, Number, Part, Region, RowInfo, TtzoError
from ttzo.exporter.costs import memory
from ttzo.exporter.export import export
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import row_section
from ttzo.exporter.plan.augmentation import Augmentation, settings_of
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE
from ttzo.host_tools.reference.network.vary_rows import varied
from ttzo.host_tools.reference.number.random import batch_rows
from ttzo.host_tools.reference.train.trainer import Trainer

SEED = 11
IMAGE = Augmentation((1, 4, 5), shift=(1, 2))
WINDOW = Augmentation((3, 1, 7), shift=(0, 2))


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN, flags=("-fsanitize=undefined", "-fno-sanitize-recover=all"))


def drawn(rng: np.random.Generator, n: int) -> Augmentation:
    """A random augmentation of rows of n numbers."""
    shapes = [(c, h, n // c // h) for c in range(1, n + 1) for h in range(1, n + 1) if n % (c * h) == 0]
    channels, height, width = shapes[rng.integers(len(shapes))]
    shift = (int(rng.integers(height)), int(rng.integers(width)))
    return Augmentation((channels, height, width), shift, *map(float, rng.choice([0.0, 0.3], 2) * [1, 10]))


def plan_and_rows(seed: int) -> tuple[Plan, np.ndarray]:
    rng = np.random.default_rng(seed)
    training = Training((Phase(n_queries=3),), seed=SEED)
    while True:
        plan = random_plan(rng, training)
        if not plan.n_tokens:
            break
    made = dataclasses.replace(plan, augmentation=drawn(rng, plan.in_features))
    return to_bundle.read(to_bundle.write(made)), random_rows(rng, plan, 2 * plan.batch)


@pytest.mark.parametrize("seed", range(12))
def test_c_and_numpy_vary_rows_alike_and_those_on_the_device_as_those_that_are_sent(core, seed):
    plan, rows = plan_and_rows(seed)
    room = memory.work_bytes(plan) + rows.nbytes
    c, python, sent = Runtime(core, plan, room), Trainer(plan, work_capacity=room), Runtime(core, plan)
    for run in (c, python):
        run.write(Region.dataset, 0, rows.tobytes())
        run.commit(Region.dataset, rows.nbytes, zlib.crc32(rows.tobytes()))
    for step in range(3):
        losses = [run.step(Region.dataset).loss for run in (c, python)]
        order = batch_rows(SEED, step, plan.batch, len(rows))
        sent.put(Region.batch, rows[order].tobytes())
        assert losses == [sent.step(Region.batch).loss] * 2
        assert np.array_equal(c.theta.view(np.uint32), python.theta.view(np.uint32))
        assert np.array_equal(c.theta.view(np.uint32), sent.theta.view(np.uint32))
    assert memory.work_bytes(plan) == memory.work_bytes(dataclasses.replace(plan, augmentation=None))


def test_a_shift_moves_zeros_into_an_image_and_every_shift_comes():
    raw = np.arange(1, 21, dtype=np.uint8)[None].repeat(300, 0)
    image, seen = raw[0].reshape(4, 5), set()
    for row in varied(IMAGE, Number.uint8, raw, SEED, 0):
        expected = {}
        for down in (-1, 0, 1):
            for right in (-2, -1, 0, 1, 2):
                padded = np.pad(image, 2)
                expected[down, right] = padded[2 - down : 6 - down, 2 - right : 7 - right]
        seen |= {shift for shift, moved in expected.items() if np.array_equal(moved, row.reshape(4, 5))}
    assert len(seen) == 15


def test_a_shift_of_a_window_repeats_its_end_and_moves_all_channels_alike():
    raw = np.arange(21, dtype=np.int16)[None].repeat(60, 0)
    seen = set()
    for row in varied(WINDOW, Number.int16, raw, SEED, 3).reshape(-1, 3, 7):
        (right,) = {
            right
            for right in range(-2, 3)
            if np.array_equal(row, raw[0].reshape(3, 7)[:, np.clip(np.arange(7) - right, 0, 6)])
        }
        seen.add(right)
    assert seen == {-2, -1, 0, 1, 2}


def test_scaling_and_jitter_have_their_deviations_and_differ_in_every_step():
    raw = np.full((400, 20), 100, np.float32)
    scaled = varied(Augmentation((2, 1, 10), scaling=0.1), Number.float32, raw, SEED, 0).reshape(-1, 2, 10)
    assert (scaled == scaled[:, :, :1]).all()  # one factor for a channel
    factors = scaled[:, :, 0].ravel() / 100  # 800 of them: deviations of mean and deviation are 0.0035 and 0.0025
    assert abs(factors.mean() - 1) < 0.015 and abs(factors.std() - 0.1) < 0.01
    noise = varied(Augmentation((2, 1, 10), jitter=3.0), Number.float32, raw, SEED, 0) - 100
    assert abs(noise.mean()) < 0.15 and abs(noise.std() - 3) < 0.1  # 8,000: deviations 0.034 and 0.024
    assert np.unique(noise).size > 7900
    again = varied(Augmentation((2, 1, 10), jitter=3.0), Number.float32, raw, SEED, 1) - 100
    assert abs(np.corrcoef(noise.ravel(), again.ravel())[0, 1]) < 0.05


def test_integers_stay_within_their_type():
    for number, ends in ((Number.uint8, (0, 255)), (Number.int16, (-32768, 32767))):
        raw = np.tile(np.array(ends, NUMBER_DTYPE[number]), (50, 2))
        made = varied(Augmentation((1, 1, 4), jitter=50.0), number, raw, SEED, 0)
        assert made.min() == ends[0] and made.max() == ends[1] and made.dtype == raw.dtype
        assert ((made[:, ::2] - float(ends[0]) < 400) & (float(ends[1]) - made[:, 1::2] < 400)).all()


def test_what_is_evaluated_is_not_varied_and_rows_that_were_sent_are_used_up(core):
    plan, rows = plan_and_rows(1)
    plan = dataclasses.replace(plan, augmentation=dataclasses.replace(plan.augmentation, jitter=20.0))
    run, plain = Runtime(core, plan), Runtime(core, dataclasses.replace(plan, augmentation=None))
    batch = rows[: plan.batch].tobytes()
    for each in (run, plain):
        each.put(Region.batch, batch)
    assert run.evaluate(Region.batch, 0, plan.batch) == plain.evaluate(Region.batch, 0, plan.batch)
    assert run.step(Region.batch).loss != plain.step(Region.batch).loss
    with pytest.raises(DeviceError) as refused:
        run.step(Region.batch)
    assert refused.value.name == "not_committed"


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 2},
        {"height": 2},
        {"shift_width": 200},
        {"shift_height": 1},
        {"scaling": -1.0},
        {"jitter": np.nan},
        {"jitter": np.inf},
    ],
    ids=str,
)
def test_a_section_that_does_not_fit_is_refused(core, changes):
    plan = dataclasses.replace(dense_plan(6, 4, 2), augmentation=Augmentation((1, 1, 6), (0, 1)))
    data = bytearray(to_bundle.write(plan))
    section = row_section.info(plan).pack()
    at = bytes(data).index(section)
    data[at : at + RowInfo.SIZE] = dataclasses.replace(row_section.info(plan), **changes).pack()
    data[-4:] = zlib.crc32(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(DeviceError) as refused:
        Runtime(core, plan, bundle=bytes(data))
    assert refused.value.name == "bad_model"
    with pytest.raises(DeviceError):
        to_bundle.read(bytes(data))


def test_only_a_model_with_augmentation_needs_that_part_of_the_runtime():
    plan = dataclasses.replace(dense_plan(6, 4, 2), augmentation=Augmentation((1, 1, 6), (0, 1)))
    assert parts_of(plan) - parts_of(dense_plan(6, 4, 2)) == {Part.augmentation}


def test_the_option_takes_text_and_finds_the_shape_of_a_convolution(tmp_path):
    plan = export("mnist-conv", tmp_path / "m", augment="shift=1")
    assert plan.augmentation == Augmentation((1, 28, 28), (1, 1))
    watch = export("watch", tmp_path / "w", augment="shift=5,scaling=0.25,jitter=0.5")
    assert watch.augmentation == Augmentation((6, 1, 50), (0, 5), 0.25, 0.5 * 2048)  # int16 numbers in steps of 1/2048
    assert "has_row_section = 1" in (tmp_path / "w" / "model.c").read_text()
    assert to_bundle.read((tmp_path / "w" / "model.ttzo").read_bytes()).augmentation == watch.augmentation


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("turn=1", "'turn', which is none of shift, scaling, jitter, shape"),
        ("shift=many", "shift='many'"),
        ("shift=-1", "shift='-1'"),
        ("shift=1.5", "shift='1.5'"),
        ("shape=28x28", "shape='28x28'"),
        (7, "option augment is 7"),
    ],
)
def test_a_setting_that_means_nothing_is_named(words, said):
    with pytest.raises(PlanError) as refused:
        settings_of(words)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("digits", "shift=1", "a shift needs the shape of a row"),
        ("digits", "shift=1,shape=1x28x28", "rows 1x28x28, but a row has 64 numbers"),
        ("digits", "shift=8,shape=1x8x8", "a shift by 8 rows"),
        ("names", "jitter=1", "rows of tokens"),
        ("hjb20", "jitter=1", "points of an equation"),
        ("heater", "jitter=1", "a simulation has no option augment"),
    ],
)
def test_what_cannot_be_varied_is_refused(tmp_path, model, words, said):
    with pytest.raises(TtzoError) as refused:
        export(model, tmp_path / "m", augment=words)
    assert said in str(refused.value)


@needs_qemu
def test_an_emulated_board_varies_rows_to_the_same_bits(tmp_path):
    plan = export("digits", tmp_path, augment="shift=1,scaling=0.2,jitter=0.1,shape=1x8x8")
    rows = random_rows(np.random.default_rng(0), plan, plan.batch)
    found = []
    for url in ("native:", "qemu:netduinoplus2"):
        with open_device(url, tmp_path) as device:
            device.reset()
            for _ in range(2):
                device.write_batch(rows)
                device.step(Region.batch)
            found.append(device.parameters())
    assert np.array_equal(found[0].view(np.uint32), found[1].view(np.uint32))
