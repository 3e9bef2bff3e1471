# SPDX-License-Identifier: MIT
"""What version 0.2.0 wrote is read, and written again to the same bytes (tests/vectors/formats.py says what it holds).

Where one of these tests fails, the formats have moved: that is version 0.3, by the rule in CHANGELOG.md.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import MESSAGE
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import frames
from ttzo.host_tools.training import checkpoint, metrics

sys.path.append(str(Path(__file__).parents[1] / "vectors"))
import formats

STORED = json.loads((formats.FOLDER / "formats.json").read_text(encoding="utf-8"))


def bundle(name):
    return (formats.FOLDER / f"{name}.ttzo").read_bytes()


def test_the_contract_is_that_of_0_2():
    assert formats.contract() == STORED["contract"], "this is version 0.3: CHANGELOG.md has the rule"
    changes = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"contract {PAGE['version']} (hash `0x{STORED['contract']['hash']}`)" in changes


@pytest.mark.parametrize("name", formats.MODELS)
def test_a_bundle_is_read_and_written_again_to_its_bytes(name):
    data = bundle(name)
    magic, version, size, _, begin = struct.unpack_from("<4sIII16s", data)
    assert (magic, version, size) == (b"TTZO", STORED["contract"]["bundle_format"], len(data))
    assert struct.unpack("<I", data[-4:]) == (zlib.crc32(data[:-4]),)
    plan = to_bundle.read(data)
    assert plan.n_parameters == STORED["bundles"][name]["parameters"] and begin.hex() == STORED["bundles"][name]["hash"]
    assert to_bundle.write(plan) == data


def test_the_c_runtime_takes_a_bundle_and_holds_its_parameters(c_library):
    plan = to_bundle.read(bundle("digits"))
    run = Runtime(c_library(*CORE, extra=RUN), plan, bundle=bundle("digits"))
    assert run.theta.tobytes() == plan.parameters.tobytes()


def test_a_checkpoint_is_read_and_written_again_to_its_arrays(tmp_path):
    plan = to_bundle.read(bundle("digits"))
    found, wanted = checkpoint.load(formats.FOLDER / "checkpoint.npz", plan), formats.made(plan)
    assert np.array_equal(found.parameters, wanted.parameters) and np.array_equal(found.moments, wanted.moments)
    names = ("state", "settings", "model_hash", "data_checksum", "measured", "measured_rows", "run")
    assert {name: getattr(found, name) for name in names} == {name: getattr(wanted, name) for name in names}
    checkpoint.save(tmp_path / "again.npz", wanted)
    old, new = np.load(formats.FOLDER / "checkpoint.npz"), np.load(tmp_path / "again.npz")
    assert {name: old[name].tobytes() for name in old} == {name: new[name].tobytes() for name in new}


def test_metrics_are_read_and_written_again_to_their_text(tmp_path):
    path = formats.FOLDER / "metrics.csv"
    found = metrics.read(path)
    assert [{name: row[name] for name in step} for row, step in zip(found, formats.STEPS, strict=True)] == list(
        formats.STEPS
    )
    assert metrics.origin(path) == formats.ORIGIN
    again = metrics.MetricsFile(tmp_path / "m.csv", formats.ORIGIN, to_bundle.read(bundle("digits")).training, 0)
    for step in formats.STEPS:
        again.write(**step)
    again.close()
    assert (tmp_path / "m.csv").read_text() == path.read_text()


def unstuffed(line):
    """COBS by its definition: each block's first byte says how far the next zero is; 255: 254 bytes and no zero."""
    out, at = b"", 0
    while at < len(line):
        step = line[at]
        out += line[at + 1 : at + step] + (b"\0" if step < 255 and at + step < len(line) else b"")
        at += step
    return out


@pytest.mark.parametrize("number", range(len(formats.sent())))
def test_a_frame_is_read_and_written_again_to_its_bytes(number):
    line, (sequence, name, payload) = bytes.fromhex(STORED["frames"][number]), formats.sent()[number]
    raw = bytes([sequence, MESSAGE[name]]) + payload
    assert line[-1] == 0 and 0 not in line[:-1] and unstuffed(line[:-1]) == raw + struct.pack("<I", zlib.crc32(raw))
    assert frames.encode(frames.Frame(sequence, MESSAGE[name], payload)) == line
    assert frames.decode(line[:-1]) == (sequence, MESSAGE[name], payload)
