# SPDX-License-Identifier: MIT
"""Coverage-guided fuzzing of the C parsers by libFuzzer, under the address and undefined-behaviour sanitizers.

    python tests/support/fuzz_c.py [bundle] [frame] [program] [storage] [--inputs 10000000] [--seed 1] [--keep]

With --keep, the inputs that are needed to reach all that was reached are written into tests/vectors/fuzz_corpus, whose inputs
the tests feed again (tests/link/test_fuzz_corpus.py). Needs clang with its runtime (Debian: apt-get install clang libclang-rt-14-dev). The corpus begins with bundles, requests, programs
and slots that are sound, and with the kept inputs; what libFuzzer adds to it, and the input of a finding, lie in build/fuzz.
Another seed makes other inputs.
"""

import argparse
import dataclasses
import lzma
import struct
import subprocess
import tempfile
from collections.abc import Callable
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
from ttzo.exporter.pde.program_bytes import program_bytes
from ttzo.exporter.plan.packing import Packing
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.frames import hello

HERE = Path(__file__).parent / "fuzz"
OUT = Path(__file__).parents[2] / "build" / "fuzz"
KEPT = Path(__file__).parents[1] / "vectors" / "fuzz_corpus"
PACKING = Packing.of_bytes(bytes(range(256)) + bytes(40))
FLAGS = ["-std=c99", "-O2", "-g", "-ffp-contract=off", "-fno-sanitize-recover=all"]


def bundles() -> list[bytes]:
    packed = dataclasses.replace(small_plan(), packing=PACKING)
    return [to_bundle.write(plan) for plan in (small_plan(), packed, wave_plan(), plan_of("digits"))]


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
        (MESSAGE["write_packed"], REQUEST["write_packed"](Region.batch, 0, 32).pack() + PACKING.pack(bytes(32), 99)[1]),
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


def programs() -> list[bytes]:
    """The programs of a few equations, each after the numbers of its problem: fuzz/program.c."""
    equations = [plan.pde for plan in (wave_plan(), *map(plan_of, ("burgers", "black-scholes", "darcy"))) if plan.pde]
    return [
        bytes([(pde.n_space - 1) % 4, 15 | 16 * (program in pde.points[:1]), 0, 0, 0, 0, 0, 0]) + program_bytes(program)
        for pde in equations
        for program in pde.programs
    ]


CORPUS: dict[str, Callable[[], list[bytes]]] = {
    "bundle": bundles,
    "frame": lambda: [*requests(), b"".join(requests())],
    "program": programs,
    "storage": slots,
}


def small_model() -> str:
    """The model of `frame` and `storage`, an array in C."""
    words = ",".join(map(str, to_bundle.write(dataclasses.replace(small_plan(), packing=PACKING))))
    return f"#include <stdint.h>\nstatic const _Alignas(8) uint8_t small_model[] = {{ {words} }};\n"


def build(target: str) -> Path:
    """Compiles the target."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "small_model.h").write_text(small_model())
    program = OUT / f"fuzz-{target}"
    sources = [str(path) for path in core_sources()]
    command = ["clang", *FLAGS, "-fsanitize=fuzzer,address,undefined", f"-I{FOLDER}", f"-I{OUT}"]
    subprocess.run([*command, str(HERE / f"{target}.c"), *sources, "-lm", "-o", str(program)], check=True)
    return program


def run(target: str, n_inputs: int, seed: int) -> int:
    """Feeds the target; its exit code. A finding is printed by libFuzzer, its input kept."""
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate([*CORPUS[target](), *kept(target)]):
        (folder / f"sound-{number}").write_bytes(content)
    options = [f"-runs={n_inputs}", f"-seed={seed}", "-max_len=8192", "-timeout=600", "-print_final_stats=1"]
    command = [str(build(target)), *options, "-verbosity=0", f"-artifact_prefix={OUT}/", str(folder)]
    return subprocess.run(command).returncode


def keep(target: str) -> None:
    """Writes the kept corpus of the target: for each input u32 length, then its bytes; all compressed."""
    with tempfile.TemporaryDirectory() as least:
        options = ["-merge=1", least, str(OUT / target)]
        subprocess.run([str(OUT / f"fuzz-{target}"), *options], check=True, stderr=subprocess.DEVNULL)
        contents = sorted(
            (path.read_bytes() for path in Path(least).iterdir()), key=lambda content: (len(content), content)
        )
    packed = b"".join(struct.pack("<I", len(content)) + content for content in contents)
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{target}.xz").write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))


def kept(target: str) -> list[bytes]:
    packed, at, made = lzma.decompress((KEPT / f"{target}.xz").read_bytes()), 0, []
    while at < len(packed):
        size = struct.unpack_from("<I", packed, at)[0]
        made.append(packed[at + 4 : at + 4 + size])
        at += 4 + size
    return made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("targets", nargs="*", choices=[*CORPUS, []], metavar="TARGET", help=", ".join(CORPUS))
    options.add_argument("--inputs", type=int, default=10_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", action="store_true", help="write tests/vectors/fuzz_corpus")
    given = options.parse_args()
    codes = {target: run(target, given.inputs, given.seed) for target in given.targets or CORPUS}
    for target, code in codes.items():
        print(f"{target}: {given.inputs:,} inputs, {'nothing found' if code == 0 else 'A FINDING'}")
        if given.keep and code == 0:
            keep(target)
    raise SystemExit(max(codes.values()) != 0)


if __name__ == "__main__":
    main()
