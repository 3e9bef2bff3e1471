# SPDX-License-Identifier: MIT
"""The contract: C and Python are made from one page, records say no to what they cannot hold, errors speak in words."""

import copy
import dataclasses
import re
import struct

import pytest

from ttzo.device_runtime.contract import (
    HASH,
    MESSAGE_HASH,
    RANGE,
    RECORD,
    Arithmetic,
    DeviceError,
    Loss,
    PhaseRecord,
    TrainingRecord,
    TtzoError,
    write_micropython,
    write_protocol,
)
from ttzo.device_runtime.contract.generated import written_files
from ttzo.device_runtime.contract.hashes import contract_hash, message_hash
from ttzo.device_runtime.contract.page import PAGE, WORDS
from ttzo.device_runtime.contract.records import type_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.reference.train import settings


def test_what_is_generated_is_committed():
    for path, text in written_files().items():
        assert path.read_text() == text, f"{path.name}: run `python -m ttzo.device_runtime.contract`"


# ---- hashes ----------------------------------------------------------------------------------------------------------


def changed(change):
    """The page after `change(page)`."""
    page = copy.deepcopy(PAGE)
    change(page)
    return page


def reworded(page):
    for table in (*page["enum"].values(), page["limit"]):
        for entry in table.values():
            entry[1] = "other words"
    for entry in page["message"].values():
        entry["text"] = "other words"
        for tail in {"request_tail", "reply_tail"} & set(entry):
            entry[tail] = "other words"
    lists = [*page["layout"].values(), *(entry["fields"] for entry in page["struct"].values())]
    lists += [entry[side] for entry in page["message"].values() for side in ("request", "reply")]
    for fields in lists:
        for field in fields:
            field[2] = "other words"


def test_other_words_leave_the_hashes():
    page = changed(reworded)
    assert page != PAGE and contract_hash(page) == HASH
    assert {name: message_hash(page, name) for name in PAGE["message"]} == MESSAGE_HASH


def swapped(table, first, second):
    """Exchanges the places of two entries of a table, not what they say."""
    order = [{first: second, second: first}.get(name, name) for name in table]
    entries = {name: table[name] for name in order}
    table.clear()
    table.update(entries)


AGREED = {
    "version": lambda page: page.update(version=page["version"] + 1),
    "a limit": lambda page: page["limit"]["max_rank"].__setitem__(0, 7),
    "a limit's name": lambda page: page["limit"].update(most_layers=page["limit"].pop("max_layers")),
    "a code": lambda page: page["enum"]["update"]["adam"].__setitem__(0, 9),
    "a member's name": lambda page: page["enum"]["update"].update(adamw=page["enum"]["update"].pop("adam")),
    "a new member": lambda page: page["enum"]["update"].update(other=[5, ""]),
    "an error's code": lambda page: page["error"].update(bad_label=99),
    "a range": lambda page: page["range"]["phase"].update(beta1=[0.5, "below_one"]),
    "a field's type": lambda page: page["struct"]["state"]["fields"][0].__setitem__(0, "u64"),
    "a field's name": lambda page: page["struct"]["state"]["fields"][0].__setitem__(1, "steps"),
    "fields in another order": lambda page: page["struct"]["state"]["fields"].reverse(),
    "one field less": lambda page: page["struct"]["layer"]["fields"].pop(),
    "members in another order": lambda page: swapped(page["enum"]["part"], "equations", "link"),
    "a message's code": lambda page: page["message"]["predict"].update(code=44),
    "a message's field": lambda page: page["message"]["predict"]["request"].append(["u8", "region", ""]),
    "a layout": lambda page: page["layout"]["bundle"].insert(3, page["layout"]["bundle"].pop(4)),
    "a message's tail": lambda page: page["message"]["predict"].pop("reply_tail"),
}


@pytest.mark.parametrize("what", AGREED)
def test_what_both_sides_must_agree_on_changes_the_hash(what):
    page = changed(AGREED[what])
    assert contract_hash(page) != HASH


def test_a_message_has_the_hash_of_its_own_bytes():
    """It changes with the records inside it, and with nothing of other messages."""
    page = changed(lambda page: page["struct"]["state"]["fields"].pop())
    parted = {name for name in PAGE["message"] if message_hash(page, name) != MESSAGE_HASH[name]}
    assert parted == {"status", "set_state"}
    page = changed(AGREED["a message's code"])
    assert {name for name in PAGE["message"] if message_hash(page, name) != MESSAGE_HASH[name]} == {"predict"}
    assert len(set(MESSAGE_HASH.values())) == len(MESSAGE_HASH)


# ---- words -----------------------------------------------------------------------------------------------------------


def test_every_error_has_words_and_the_c_side_has_none():
    assert set(WORDS["error"]) == set(PAGE["error"])
    header = next(text for path, text in written_files().items() if path.suffix == ".h")
    assert not [text for text, _ in WORDS["error"].values() if len(text) > 10 and text in header]


# ---- ranges ----------------------------------------------------------------------------------------------------------


def test_ranges_are_those_of_the_field_and_of_the_page():
    phase, training = RANGE["phase"], RANGE["training"]
    assert list(phase) == [name for _, name in PhaseRecord.FIELDS]
    assert (phase["estimator"].least, phase["estimator"].most) == (0, 11)
    assert (phase["n_queries"].least, phase["n_queries"].most) == (1, 1_000_000)
    assert (training["seed"].least, training["seed"].most) == (0, 2**64 - 1)
    assert (training["plateau_patience"].least, training["plateau_patience"].most) == (1, 65_535)
    one_ulp_below_one = struct.unpack("<f", (0x3F7FFFFF).to_bytes(4, "little"))[0]
    assert (phase["beta1"].least, phase["beta1"].most) == (0, one_ulp_below_one)
    assert phase["perturb_radius"].least == struct.unpack("<f", struct.pack("<f", 1e-30))[0]
    for value in (float("nan"), float("inf"), -float("inf"), -1e-45):
        assert not phase["learning_rate"].holds(value)


# ---- layouts ---------------------------------------------------------------------------------------------------------


def end_of(layout, data, at, known):
    """Walks a layout through `data` from byte `at`: where it ends. `known` holds the fields met so far, by name."""
    for kind, count, _ in PAGE["layout"][layout]:
        for _ in range(int(eval(count, {}, known))):
            if kind in PAGE["layout"]:
                at = end_of(kind, data, at, known)
                continue
            if kind in RECORD:
                known |= vars(RECORD[kind].unpack(data[at:]))
            at += type_bytes(kind)
    return at


@pytest.mark.parametrize("model", ["digits", "names", "burgers", "hjb20", "black-scholes", "darcy", "battery"])
def test_the_layouts_lead_through_a_bundle_to_its_last_byte(model):
    data = to_bundle.write(plan_of(model))
    known = {name: number for name, (number, _) in PAGE["limit"].items()} | {
        "residual": Loss.residual,
        "simulation": Loss.simulation,
    }
    assert end_of("bundle", data, 0, known) == len(data) == known["total_bytes"]


def test_a_page_for_people_has_every_name():
    text = write_protocol.page_text()
    names = [field for entry in PAGE["struct"].values() for _, field, _ in entry["fields"]]
    names += [name for members in PAGE["enum"].values() for name in members]
    names += [*PAGE["error"], *PAGE["limit"]]
    assert not [name for name in names if f"`{name}`" not in text]
    assert not [name for name in PAGE["message"] if f"### {name.upper()} (" not in text]


# ---- MicroPython -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("enum.region.collocation", 4),
        ("error.non_finite", 14),
        ("limit.board_name_bytes", 24),
        ("offset.bundle_header.hash", 16),
        ("bytes.error_reply", 8),
    ],
)
def test_a_reference_to_the_contract_is_its_number(reference, number):
    assert write_micropython.number_of(reference) == number
    line = f"_X = const(77)  # contract: {reference}\n"
    assert write_micropython.with_numbers(line) == line.replace("77", str(number))


@pytest.mark.parametrize("reference", ["enum.region.nowhere", "limit.none", "bytes.none", "what"])
def test_a_reference_to_nothing_is_refused(reference):
    with pytest.raises(KeyError):
        write_micropython.number_of(reference)


# ---- records and errors ----------------------------------------------------------------------------------------------


def test_every_record_comes_back_from_its_bytes():
    for name, record in RECORD.items():
        data = bytes(range(1, record.SIZE + 1)) if record.SIZE < 255 else bytes(record.SIZE)
        assert record.unpack(data).pack() == data, name
        with pytest.raises(DeviceError):
            record.unpack(data[:-1])


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [
        (0, "steps", 1 << 32),
        (0, "steps", -1),
        (0, "seed", 1 << 64),
        (0, "plateau_patience", 1 << 16),
        (1, "n_queries", 1 << 32),
        (1, "learning_rate", 1e39),  # float32 ends at 3.4e38
    ],
)
def test_a_number_that_its_field_cannot_hold_is_a_sentence(record, field, value):
    made = dataclasses.replace(training_records(Training())[record], **{field: value})
    with pytest.raises(TtzoError, match=re.escape(f"{field} is {value}")) as caught:
        made.pack()
    assert caught.value.hint


def test_a_refused_setting_is_named():
    """Every field out of range, one by one, as the Python twin of settings.c numbers them."""
    training, phase, _ = training_records(Training(phases=(Phase(), Phase())))
    bad = {"steps": 0, "n_phases": 3, "schedule": 9, "plateau_patience": 0, "decay_every": 0, "decay_factor": -1.0}
    bad |= {"plateau_window": 0, "plateau_tolerance": -1.0}
    for field, value in bad.items():
        with pytest.raises(DeviceError, match=f"setting {field} is out of range"):
            settings.check_settings(dataclasses.replace(training, **{field: value}), (phase, phase))
    bad = {"estimator": 12, "direction": 9, "difference": 9, "update": 9, "n_queries": 0, "perturb_radius": 0.0}
    bad |= {"learning_rate": -1.0, "beta1": 1.0, "beta2": 1.0, "epsilon": -1.0, "clip_norm": -1.0}
    bad |= {"n_coordinates": 0, "stale_decay": 1.0, "ridge": -1.0, "trust_radius": float("inf")}
    for field, value in bad.items():
        with pytest.raises(DeviceError, match=f"setting {field} of phase 1 is out of range"):
            settings.check_settings(training, (phase, dataclasses.replace(phase, **{field: value})))


def test_settings_of_a_group_have_numbers_of_their_own():
    """`bad_setting` counts training from 0, phase p from 16 (p + 1)."""
    assert len(TrainingRecord.FIELDS) <= 16 and len(PhaseRecord.FIELDS) <= 16


def test_a_number_that_no_setting_has_stays_a_number():
    for number in (len(TrainingRecord.FIELDS), 16 + len(PhaseRecord.FIELDS)):
        assert f"setting {number} is" in str(DeviceError("bad_setting", number))


def test_the_wrong_arithmetic_is_named():
    assert "arithmetic fused" in str(DeviceError("wrong_arithmetic", Arithmetic.fused))
    assert "arithmetic 7" in str(DeviceError("wrong_arithmetic", 7))
