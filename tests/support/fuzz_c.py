# SPDX-License-Identifier: MIT
"""Coverage-guided fuzzing of the C parsers by libFuzzer, under the address and undefined-behaviour sanitizers.

    python tests/support/fuzz_c.py [bundle] [frame] [storage] [--inputs 10000000]

Needs clang with its runtime (Debian: apt-get install clang libclang-rt-14-dev). The corpus begins with bundles and requests
that are sound; what libFuzzer adds to it, and the input of a finding, lie in build/fuzz.
"""

import argparse
import struct
import subprocess
from pathlib import Path

from bundles import small_plan, wave_plan

from ttzo.device_runtime import FOLDER, core_sources
from ttzo.device_runtime.contract import (
    LIMIT,
    MESSAGE,
    RECORD,
    REQUEST,
    PhaseRecord,
    Region,
    StateRecord,
    TrainingRecord,
)
from ttzo.exporter.costs.memory import saved_run_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.frames import hello

HERE = Path(__file__).parent / "fuzz"
OUT = Path(__file__).parents[2] / "build" / "fuzz"
FLAGS = ["-std=c99", "-O1", "-g", "-ffp-contract=off", "-fno-sanitize-recover=all"]


def bundles() -> list[bytes]:
    return [to_bundle.write(plan) for plan in (small_plan(), wave_plan(), plan_of("digits"))]


def requests() -> list[bytes]:
    """One request of each kind, with its byte of length; an odd payload gets a byte more where a tail may follow."""
    plan = small_plan()
    training, *phases = to_bundle.training_records(plan.training)
    assert isinstance(training, TrainingRecord) and all(isinstance(phase, PhaseRecord) for phase in phases)
    made = [(MESSAGE["hello"], hello(1)), (MESSAGE["write"], REQUEST["write"](Region.batch, 0).pack() + bytes(32))]
    made += [(MESSAGE[name], b"") for name in ("status", "reset", "cancel", "leave")]
    made += [
        (MESSAGE["configure"], REQUEST["configure"](training, *phases).pack()),
        (MESSAGE["commit"], REQUEST["commit"](Region.batch, 32, 0x190A55AD).pack()),
        (MESSAGE["set_state"], REQUEST["set_state"](StateRecord(3, 0, 0, 0, 0.0, float("inf"), 0, 9)).pack()),
        (MESSAGE["step"], REQUEST["step"](0, Region.batch).pack()),
        (MESSAGE["read"], REQUEST["read"](Region.parameters, 0, 64).pack()),
        (MESSAGE["evaluate"], REQUEST["evaluate"](Region.batch, 0, 4).pack()),
    ]
    return [struct.pack("BB", 1 + len(payload), code) + payload for code, payload in made]


def slots() -> list[bytes]:
    """Two slots with the first generation of a run, all checksums to be put right."""
    plan = small_plan()
    training, *phases = to_bundle.training_records(plan.training)
    state, hashed = StateRecord(3, 0, 0, 0, 0.0, float("inf"), 0, 9), to_bundle.model_hash(plan)
    total = saved_run_bytes(plan)
    head = RECORD["saved_run"](
        LIMIT["saved_run_magic"], LIMIT["saved_run_format"], total, hashed, training, *phases, state
    )
    numbers = plan.parameters.astype("<f4").tobytes() + bytes(4 * plan.n_moments)
    slot = head.pack() + numbers + bytes(4) + RECORD["seal"](LIMIT["seal_magic"], 1, 7, 0, 0).pack()
    return [bytes([0x3F]) + slot + slot]


def corpus(target: str) -> list[bytes]:
    if target == "storage":
        return slots()
    return bundles() if target == "bundle" else [*requests(), b"".join(requests())]


def build(target: str) -> Path:
    """Compiles the target; the small model of `frame` is an array in a header."""
    OUT.mkdir(parents=True, exist_ok=True)
    words = ",".join(map(str, to_bundle.write(small_plan())))
    array = f"static const _Alignas(8) uint8_t small_model[] = {{ {words} }};\n"
    (OUT / "small_model.h").write_text(f"#include <stdint.h>\n{array}")
    program = OUT / f"fuzz-{target}"
    sources = [str(path) for path in core_sources()]
    command = ["clang", *FLAGS, "-fsanitize=fuzzer,address,undefined", f"-I{FOLDER}", f"-I{OUT}"]
    subprocess.run([*command, str(HERE / f"{target}.c"), *sources, "-lm", "-o", str(program)], check=True)
    return program


def run(target: str, n_inputs: int) -> int:
    """Feeds the target; its exit code. A finding is printed by libFuzzer, its input kept."""
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(corpus(target)):
        (folder / f"sound-{number}").write_bytes(content)
    options = [f"-runs={n_inputs}", "-max_len=8192", "-timeout=10", "-print_final_stats=1", "-verbosity=0", "-seed=1"]
    return subprocess.run([str(build(target)), *options, f"-artifact_prefix={OUT}/", str(folder)]).returncode


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("targets", nargs="*", choices=["bundle", "frame", "storage", []], help="default: all")
    options.add_argument("--inputs", type=int, default=10_000_000)
    given = options.parse_args()
    codes = {target: run(target, given.inputs) for target in given.targets or ("bundle", "frame", "storage")}
    for target, code in codes.items():
        print(f"{target}: {given.inputs:,} inputs, {'nothing found' if code == 0 else 'A FINDING'}")
    raise SystemExit(max(codes.values()) != 0)


if __name__ == "__main__":
    main()
