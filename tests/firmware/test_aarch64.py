# SPDX-License-Identifier: MIT
"""A 64-bit Arm machine (newer Macs, Raspberry Pi) ends in the bits recorded on x86-64: `native:`, compiled for it and run
under user-mode emulation."""

import json
import shutil
from pathlib import Path

import pytest

from ttzo.host_tools.firmware import build

VECTORS = Path(__file__).parents[1] / "vectors"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
MISSING = [name for name in (COMPILER, EMULATOR) if not shutil.which(name)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not found: {' '.join(MISSING)} (gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"
)
CASES = (  # a multiply-add of each kind, roots (adam), environments, a convolution, two equations
    {"model": "digits", "estimator": "rge", "update": "adam"},
    {"model": "digits", "estimator": "cge"},
    {"model": "digits", "estimator": "node_cge", "arithmetic": "fused"},
    {"model": "digits-conv", "estimator": "cge"},
    {"model": "burgers", "estimator": "subspace_gn"},
    {"model": "black-scholes", "estimator": "rge", "derivative": "sparse_grid"},
)


@pytest.fixture
def emulated_native(monkeypatch, tmp_path):
    """`native:` becomes the program for the other machine, started through the emulator."""
    monkeypatch.setenv("CC", f"{COMPILER} -static")
    compiled = build.build_native

    def build_emulated(arithmetic):
        script = tmp_path / f"native-{arithmetic.name}"
        script.write_text(f'#!/bin/sh\nexec {EMULATOR} {compiled(arithmetic)} "$@"\n')
        script.chmod(0o755)
        return script

    monkeypatch.setattr(build, "build_native", build_emulated)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()))
def test_the_same_bits_on_64_bit_arm(case, emulated_native, monkeypatch):
    monkeypatch.syspath_prepend(VECTORS)
    import zoo_bits

    recorded = {json.dumps(each["case"]): each["left"] for each in json.loads(zoo_bits.PATH.read_text())["cases"]}
    expected = recorded[json.dumps(case)]
    assert "parameters" in expected  # neither refused nor an error
    left = zoo_bits.record(case)
    bits = ("parameters", "moments", "loss", "evaluated", "macs")
    assert {name: left.get(name) for name in bits} == {name: expected.get(name) for name in bits}
