# SPDX-License-Identifier: MIT
"""The bundle file: what is written is read back, and nothing damaged is ever taken for a bundle."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Activation,
    Arithmetic,
    BundleHeader,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    ModelInfo,
    Number,
    Schedule,
    TtzoError,
    Update,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.printable import printable
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.emulated_device import other_work_size


def plan(**changes):
    layers = (
        Layer("a", LayerKind.tt_matrix, 6, 4, 0, True, Activation.relu, (2, 3), (2, 2), (1, 2, 1)),
        Layer("b", LayerKind.dense, 4, 3, 24, False),
    )
    theta = np.random.default_rng(0).standard_normal(36).astype(np.float32)
    theta[0] = -0.0
    return Plan.of_layers(layers, theta, Loss.cross_entropy, **{"metadata": {"name": "small"}} | changes)


def f32(value):
    return float(np.float32(value))


def same(a, b):
    values = [{f.name: getattr(p, f.name) for f in dataclasses.fields(Plan) if f.name != "parameters"} for p in (a, b)]
    return values[0] == values[1] and a.parameters.tobytes() == b.parameters.tobytes()


shown = st.text(max_size=5).map(printable)
positive = st.floats(2.0**-20, 1000.0, width=32)
phases = st.builds(
    Phase,
    estimator=st.sampled_from([Estimator.rge, Estimator.cge]),
    direction=st.sampled_from(Direction),
    difference=st.sampled_from(Difference),
    update=st.sampled_from(Update),
    n_queries=st.integers(1, 10**6),
    perturb_radius=positive,
    learning_rate=positive,
    beta1=positive,
    beta2=positive,
    epsilon=positive,
    clip_norm=positive,
    n_coordinates=st.integers(1, 10**6),
    stale_decay=positive,
    ridge=positive,
    trust_radius=positive,
)
trainings = st.builds(
    Training,
    phases=st.lists(phases, min_size=1, max_size=2).map(tuple),
    seed=st.integers(0, 2**64 - 1),
    steps=st.integers(0, 2**32 - 1),
    schedule=st.sampled_from(Schedule),
    warmup_steps=st.integers(0, 2**32 - 1),
    decay_every=st.integers(1, 2**32 - 1),
    decay_factor=positive,
    plateau_window=st.integers(1, 2**32 - 1),
    plateau_patience=st.integers(1, 2**16 - 1),
    plateau_tolerance=positive,
)


@settings(max_examples=50, deadline=None)
@given(
    trainings,
    st.integers(1, 4096),
    st.sampled_from(Arithmetic),
    st.sampled_from(Number),
    st.sampled_from([Loss.cross_entropy, Loss.mse]),
    positive,
    st.dictionaries(shown.filter(lambda key: key != "layers"), shown, max_size=3),
)
def test_a_bundle_gives_back_the_plan_it_was_made_from(training, batch, arithmetic, number, loss, scale, metadata):
    given = plan(
        training=training,
        batch=batch,
        arithmetic=arithmetic,
        input_number=number,
        input_scale=scale,
        input_offset=-scale,
        metadata=metadata,
    )
    given = dataclasses.replace(given, loss=loss)
    assert same(to_bundle.read(to_bundle.write(given)), given)


def test_names_in_a_bundle_come_without_what_a_terminal_obeys():
    made = to_bundle.read(to_bundle.write(plan(metadata={"title": "\x1b[31mred\n", "more": {"b": ["\u202eback", 1]}})))
    assert made.metadata == {"title": "\\x1b[31mred\\n", "more": {"b": ["\\u202eback", 1]}}


@pytest.mark.parametrize(
    "metadata",
    ["null", "[]", '{"layers":1}', '{"layers":[1,2]}', "{}", "[" * 100_000, '{"a":' * 50 + "1" + "}" * 50, "\xff"],
)
def test_metadata_that_are_none_are_a_damaged_bundle(metadata):
    content = to_bundle.write(plan())
    header = BundleHeader.unpack(content)
    body, told = content[BundleHeader.SIZE : len(content) - 4 - header.metadata_bytes], metadata.encode("latin-1")
    changed = {"total_bytes": header.total_bytes - header.metadata_bytes + len(told), "metadata_bytes": len(told)}
    made = dataclasses.replace(header, **changed).pack() + body + told
    with pytest.raises(DeviceError, match="damaged"):
        to_bundle.read(made + zlib.crc32(made).to_bytes(4, "little"))


def test_numbers_that_float32_cannot_hold_are_rounded_once():
    once = to_bundle.read(to_bundle.write(plan(input_scale=1 / 255)))
    assert once.input_scale == f32(1 / 255)
    assert to_bundle.write(once) == to_bundle.write(plan(input_scale=1 / 255))


def test_equal_plans_give_equal_bytes():
    assert to_bundle.write(plan()) == to_bundle.write(plan())


def test_metadata_are_no_part_of_the_hash_and_everything_else_is():
    base = to_bundle.model_hash(plan())
    assert to_bundle.model_hash(plan(metadata={"name": "other"})) == base
    assert to_bundle.model_hash(plan(batch=33)) != base
    assert to_bundle.model_hash(plan(training=Training(seed=1))) != base
    moved = plan()
    moved.parameters[0] = 0.0  # was -0.0: another bit
    assert to_bundle.model_hash(moved) != base


def test_every_truncation_is_a_named_error():
    data = to_bundle.write(plan())
    for size in range(len(data)):
        with pytest.raises(DeviceError, match="bundle"):
            to_bundle.read(data[:size])


def test_every_flipped_byte_is_a_named_error():
    data = to_bundle.write(plan())
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        with pytest.raises(DeviceError, match="bundle"):
            to_bundle.read(bytes(damaged))


def test_every_flipped_bit_of_the_fixed_part_is_a_named_error():
    data = to_bundle.write(plan())
    for bit in range(8 * (BundleHeader.SIZE + ModelInfo.SIZE)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DeviceError, match="bundle"):
            to_bundle.read(bytes(damaged))


def with_fresh_checksum(content):
    return content + struct.pack("<I", zlib.crc32(content))


def test_a_flipped_byte_under_a_matching_checksum_is_still_refused():
    data = to_bundle.write(plan())
    header = BundleHeader.unpack(data)
    for at in range(len(data) - 4 - header.metadata_bytes):
        damaged = bytearray(data[:-4])
        damaged[at] ^= 0xFF
        with pytest.raises(TtzoError):
            to_bundle.read(with_fresh_checksum(bytes(damaged)))


def test_trailing_bytes_are_refused():
    with pytest.raises(DeviceError, match="check 3"):
        to_bundle.read(to_bundle.write(plan()) + b"\0")


@pytest.mark.parametrize("number", [1, 2, 4])
def test_another_format_is_told_apart_from_damage(number):
    """Also an older one: it is exported again."""
    data = bytearray(to_bundle.write(plan()))
    data[4] = number
    with pytest.raises(DeviceError) as caught:
        to_bundle.read(bytes(data))
    assert (caught.value.name, caught.value.detail) == ("bad_bundle_format", number)
    assert "export the model again" in caught.value.hint


WORK_BYTES_AT = BundleHeader.SIZE + 8  # after n_parameters and batch


def test_a_bundle_that_states_another_work_buffer_is_told_apart_from_a_bad_model(c_library):
    """On the device and on the host alike: the error's number is what they compute themselves."""
    data = bytearray(to_bundle.write(plan())[:-4])
    wanted = memory.work_bytes(plan())
    assert struct.unpack_from("<I", data, WORK_BYTES_AT) == (wanted,)
    struct.pack_into("<I", data, WORK_BYTES_AT, wanted + 8)
    content = with_fresh_checksum(bytes(data))
    library = c_library(*CORE, extra=RUN)
    for read in (to_bundle.read, lambda content: Runtime(library, plan(), bundle=content)):
        with pytest.raises(DeviceError) as caught:
            read(content)
        assert (caught.value.name, caught.value.detail) == ("wrong_work_size", wanted)


def test_a_device_that_wants_another_work_buffer_is_reported_with_both_numbers():
    stated = memory.work_bytes(plan())
    text, hint = other_work_size("native:", plan(), stated + 1000)
    assert f"{stated + 1000:,} bytes" in text and f"states {stated:,}" in text
    assert "same version" in hint
