# SPDX-License-Identifier: MIT
"""The core under other people's compiler options: it trains to the contract's bits, or it is refused by name."""

import os
import platform
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from firmware import needs_compiler, plan_for_firmware, write_bundle
from plans import random_rows

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import core_sources
from ttzo.device_runtime.contract import Part, Region
from ttzo.exporter.plan.parts import parts_of
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.build import sources_of
from ttzo.host_tools.reference.train.trainer import Trainer

PLAN = plan_for_firmware()
STEPS = 6
PROGRAM = Path(__file__).parent / "own_program.c"
WINDOWS = shutil.which("x86_64-w64-mingw32-gcc")
WINE = shutil.which("wine64") or "/usr/lib/wine/wine64"
on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="options of x86 processors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.c and model.h, and one batch as a C array."""
    made = write_bundle(tmp_path_factory.mktemp("own"), PLAN)
    rows = random_rows(np.random.default_rng(3), PLAN, PLAN.batch).tobytes()
    (made / "rows.h").write_text(f"static const uint8_t rows[] = {{ {', '.join(map(str, rows))} }};\n")
    return made


@pytest.fixture(scope="module")
def expected():
    """CRC-32 of the parameters that the NumPy twin ends in."""
    trainer = Trainer(PLAN)
    rows = random_rows(np.random.default_rng(3), PLAN, PLAN.batch).tobytes()
    trainer.write(Region.batch, 0, rows)
    trainer.commit(Region.batch, len(rows), zlib.crc32(rows))
    for _ in range(STEPS):
        trainer.step(Region.batch)
    return f"{zlib.crc32(trainer.read(Region.parameters, 0, 4 * PLAN.n_parameters)):08x}"


def compiled(folder, out, compiler, *flags):
    """What the compiler says when it makes the program `out`."""
    sources = [*sources_of(parts_of(PLAN)), folder / "model.c", PROGRAM]
    macros = [f"-DTTZO_PARTS={sum(parts_of(PLAN)):#x}u", f"-DSTEPS={STEPS}", f"-I{RUNTIME}", f"-I{folder}"]
    command = [compiler, *macros, *flags, *map(str, sources), "-lm", "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def missing(compiler, *flags):
    """Why this machine cannot make such a program."""
    if not shutil.which(compiler):
        return f"{compiler} is not installed"
    made = subprocess.run([compiler, *flags, "-x", "c", "-", "-o", "/dev/null"], input="#include <stdio.h>\nint main(void){return 0;}",
                          capture_output=True, text=True)  # fmt: skip
    return f"{compiler} {' '.join(flags)} makes no program here" if made.returncode else ""


EXACT = [
    ("gcc", "-std=gnu11", "-O2"),
    ("gcc", "-std=gnu11", "-Os"),
    ("gcc", "-std=gnu17", "-O3", "-march=native"),
    ("gcc", "-std=gnu11", "-O0"),
    ("gcc", "-std=gnu11", "-O1", "-flto"),
    ("gcc", "-std=gnu11", "-O2", "-m32", "-msse2", "-mfpmath=sse"),
    ("clang", "-std=gnu11", "-O2", "-march=native"),
    ("clang", "-std=gnu11", "-O2", "-fno-signed-zeros"),
    ("clang", "-std=gnu11", "-O2", "-fassociative-math"),  # without the options that it needs it does nothing
]


@on_x86
@pytest.mark.parametrize("options", EXACT, ids=" ".join)
def test_other_options_give_the_same_bits(folder, tmp_path, expected, options):
    if reason := missing(*options):
        pytest.skip(reason)
    made = compiled(folder, tmp_path / "own", *options)
    assert made.returncode == 0, made.stderr
    ran = subprocess.run([tmp_path / "own"], capture_output=True, text=True)
    assert ran.stdout.split() == ["ok", "0", expected]


@on_x86
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("gcc", "-Ofast"), "fast-math"),
        (("gcc", "-O2", "-ffast-math"), "fast-math"),
        (("gcc", "-O2", "-freciprocal-math"), "fast-math"),
        (("gcc", "-O2", "-fno-signed-zeros"), "fast-math"),
        (("gcc", "-O2", "-m32", "-mfpmath=387"), "x87"),
        (("clang", "-O2", "-ffast-math"), "fast-math"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_change_results_are_refused_by_name(options, said):
    if not shutil.which(options[0]):
        pytest.skip(f"{options[0]} is not installed")
    command = [*options, f"-I{RUNTIME}", "-fsyntax-only", str(RUNTIME / "number" / "real.c")]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode and f"ttzo: {'float' if said == 'x87' else '-ffast-math'}" in made.stderr
    assert said in made.stderr


@on_x86
@pytest.mark.skipif(not WINDOWS or not shutil.which(WINE), reason="not found: mingw-w64, or wine64")
def test_a_windows_program_trains_to_the_same_bits(folder, tmp_path, expected):
    made = compiled(folder, tmp_path / "own.exe", WINDOWS, "-std=gnu11", "-O2", "-static")
    assert made.returncode == 0, made.stderr
    quiet = {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all", "HOME": str(tmp_path)}
    ran = subprocess.run([WINE, tmp_path / "own.exe"], capture_output=True, text=True, env=os.environ | quiet)
    subprocess.run([shutil.which("wineserver") or f"{WINE[:-2]}server", "--kill"], env=os.environ | quiet)
    assert ran.stdout.split() == ["ok", "0", expected]


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
@pytest.mark.parametrize("target", ["arm64-apple-darwin", "x86_64-pc-windows-msvc"])
def test_the_core_is_accepted_for_other_systems(target):
    sources = map(str, sources_of(parts_of(PLAN)))
    command = ["clang", f"--target={target}", "-std=c99", "-ffreestanding", "-fsyntax-only", "-Wall", "-Wextra"]
    made = subprocess.run([*command, "-Werror", f"-I{RUNTIME}", *sources], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


@needs_compiler
@pytest.mark.parametrize("level", ["-O0", "-Os", "-O3"])
def test_the_tiles_in_assembler_find_their_registers(tmp_path, level):
    """Every file with assembler for the Cortex-M4F; builds of the tests take -O2."""
    files = [path for path in sources_of(frozenset(Part)) if "asm" in path.read_text(encoding="utf-8")]
    assert any(path.name == "column_product.c" for path in files)
    board = boards.load("netduinoplus2")
    for path in files:
        command = [f"{board.toolchain}-gcc", *board.cpu_flags, level, f"-I{RUNTIME}", "-c", str(path)]
        made = subprocess.run([*command, "-o", str(tmp_path / "made.o")], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr


def test_a_big_endian_processor_is_refused_by_name():
    command = ["gcc", "-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__", f"-I{RUNTIME}", "-fsyntax-only"]
    made = subprocess.run([*command, str(RUNTIME / "number" / "real.c")], capture_output=True, text=True)
    assert made.returncode and "a big-endian processor is not supported" in made.stderr


@on_x86
@pytest.mark.parametrize(("mode", "check"), [("upward", "1"), ("flush", "2")])
def test_a_processor_in_another_mode_is_refused_when_a_model_is_opened(folder, tmp_path_factory, mode, check):
    program = folder / "modes"
    if not program.exists():
        made = compiled(folder, program, "gcc", "-O1")
        assert made.returncode == 0, made.stderr
    ran = subprocess.run([program, mode], capture_output=True, text=True)
    assert ran.stdout.split() == ["inexact_build", check]


@on_x86
def test_options_that_no_header_sees_are_refused_when_a_model_is_opened(tmp_path):
    """What the guard in the source keeps away, tried without it: the self-test sees it."""
    main = '#include <stdio.h>\n#include "number/self_test.h"\nint main(void) { printf("%u", (unsigned)ttzo_self_test()); }\n'
    source = tmp_path / "main.c"
    source.write_text(main)
    files = [source, RUNTIME / "number" / "self_test.c"]
    tried = {
        "4": ["-O2", "-mfma", "-ffp-contract=fast"],
        "3": ["-O2", "-m32", "-mfpmath=387"],
        "5": [
            "-O2",
            "-ffp-contract=off",
            "-DTTZO_FUSED=1",
            "-mno-fma",
            "-D__builtin_fmaf(a,b,c)=(float)((double)(a)*(b)+(c))",
        ],
        "0": ["-O2", "-DTTZO_FUSED=1", "-mfma", "-ffp-contract=off"],
    }  # check -> options
    if "fma" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("the processor has no fused multiply-add")
    for check, flags in tried.items():
        if "-m32" in flags and missing("gcc", "-m32"):
            continue
        command = ["gcc", "-std=gnu11", "-DTTZO_EXACT_H", f"-I{RUNTIME}", *flags, *map(str, files), "-lm"]
        subprocess.run([*command, "-o", str(tmp_path / "try")], check=True)
        assert subprocess.run([tmp_path / "try"], capture_output=True, text=True).stdout == check, flags


@on_x86
@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
def test_clang_s_sums_in_another_order_are_refused_when_a_model_is_opened(tmp_path):
    """clang has no macro for these three options, which together let it reorder sums."""
    source = tmp_path / "main.c"
    source.write_text(
        '#include <stdio.h>\n#include "number/self_test.h"\nint main(void) { printf("%u", (unsigned)ttzo_self_test()); }\n'
    )
    options = ["-O2", "-std=gnu11", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", f"-I{RUNTIME}"]
    files = [str(source), str(RUNTIME / "number" / "self_test.c")]
    for flags, check in ((options, "3"), (["-O2", f"-I{RUNTIME}"], "0")):
        subprocess.run(["clang", *flags, *files, "-lm", "-o", str(tmp_path / "try")], check=True)
        assert subprocess.run([tmp_path / "try"], capture_output=True, text=True).stdout == check


@needs_compiler
def test_no_fused_instruction_is_made_of_a_product_and_a_sum(tmp_path):
    """gcc contracts by itself at -std=gnu11; the sources must keep it from that on a core that has the instruction."""
    board = boards.load("netduinoplus2")
    gcc = [f"{board.toolchain}-gcc", *board.cpu_flags, "-std=gnu11", "-O2", f"-I{RUNTIME}", "-S", "-o", "-"]
    ours = {
        f"{path.parent.name}/{path.name}": subprocess.run([*gcc, str(path)], check=True, capture_output=True, text=True)
        .stdout.count("vfm")
        for path in core_sources()
    }  # fmt: skip
    assert ours.pop("network/moments.c") == 12  # written by hand, of squares that no result is made of
    assert not any(ours.values())
    unguarded = subprocess.run(
        [*gcc, "-DTTZO_EXACT_H", str(RUNTIME / "number" / "real.c")], check=True, capture_output=True, text=True
    ).stdout
    assert unguarded.count("vfm") > 50  # the test can fail


@pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")
def test_a_c_plus_plus_program_links_the_core(folder, tmp_path, expected):
    flags = [f"-DTTZO_PARTS={sum(parts_of(PLAN)):#x}u", f"-DSTEPS={STEPS}", f"-I{RUNTIME}", f"-I{folder}"]
    sources = [*sources_of(parts_of(PLAN)), folder / "model.c"]
    for number, source in enumerate(sources):
        subprocess.run(["gcc", "-O1", *flags, "-c", str(source), "-o", str(tmp_path / f"{number}.o")], check=True)
    objects = [str(tmp_path / f"{number}.o") for number in range(len(sources))]
    program = [
        "g++",
        "-std=gnu++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        *flags,
        "-include",
        "link/link.h",
        "-x",
        "c++",
        str(PROGRAM),
        "-x",
        "none",
    ]
    subprocess.run([*program, *objects, "-o", str(tmp_path / "own")], check=True)
    ran = subprocess.run([tmp_path / "own"], capture_output=True, text=True)
    assert ran.stdout.split() == ["ok", "0", expected]
