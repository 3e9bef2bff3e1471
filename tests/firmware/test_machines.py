# SPDX-License-Identifier: MIT
"""Other machines end in the bits recorded on x86-64: `native:`, compiled for them and run in user-mode emulation."""

import json
from pathlib import Path

import pytest

from ttzo.host_tools.firmware import build
from ttzo.host_tools.firmware.machines import MACHINES

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = (  # a multiply-add of each kind, roots (adam), environments, a convolution, two equations
    {"model": "digits", "estimator": "rge", "update": "adam"},
    {"model": "digits", "estimator": "cge"},
    {"model": "digits", "estimator": "node_cge", "arithmetic": "fused"},
    {"model": "digits-conv", "estimator": "cge"},
    {"model": "burgers", "estimator": "subspace_gn"},
    {"model": "black-scholes", "estimator": "rge", "derivative": "sparse_grid"},
)


SHORT = CASES[1::3]  # of machines other than the first
EVERY = [(name, case) for name in MACHINES for case in (CASES if name == "aarch64" else SHORT)]


@pytest.fixture
def emulated_native(monkeypatch, tmp_path):
    """`native:` becomes the program for another machine, started through the emulator."""

    def become(machine):
        def build_emulated(arithmetic):
            script = tmp_path / f"native-{arithmetic.name}"
            script.write_text(f'#!/bin/sh\nexec {" ".join(machine.command(arithmetic))} "$@"\n')
            script.chmod(0o755)
            return script

        monkeypatch.setattr(build, "build_native", build_emulated)

    return become


@pytest.mark.parametrize(
    ("name", "case"), EVERY, ids=lambda value: value if isinstance(value, str) else "-".join(value.values())
)
def test_the_same_bits_on_another_machine(name, case, emulated_native, monkeypatch):
    machine = MACHINES[name]
    if machine.missing:
        pytest.skip(f"not found: {' '.join(machine.missing)} ({machine.packages})")
    monkeypatch.syspath_prepend(VECTORS)
    import zoo_bits

    recorded = {json.dumps(each["case"]): each["left"] for each in json.loads(zoo_bits.PATH.read_text())["cases"]}
    expected = recorded[json.dumps(case)]
    assert "parameters" in expected  # neither refused nor an error
    emulated_native(machine)
    left = zoo_bits.record(case)
    bits = ("parameters", "moments", "loss", "evaluated", "macs")
    assert {name: left.get(name) for name in bits} == {name: expected.get(name) for name in bits}
