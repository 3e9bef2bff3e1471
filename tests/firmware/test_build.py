# SPDX-License-Identifier: MIT
"""Firmware builds: what is in the image, what it may take, when it is made again, and what is refused."""

import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import kept_objects
import pytest
from firmware import MAIN_BOARDS, needs_compiler, plan_for_firmware, small_plan, write_bundle

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.costs.memory import flash_items, forward_bytes, work_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.parts import firmware_parts, parts_of
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.firmware.chip_ports import CHIP_PORTS
from ttzo.host_tools.firmware.firmware_image import Image, ImageError

BOARD = boards.load("netduinoplus2")
PLAN = plan_for_firmware()


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", PLAN)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build.build(write_bundle(tmp_path_factory.mktemp("built"), PLAN), BOARD)


def with_main(monkeypatch, path, text):
    """Builds take this main instead of the port's."""
    path.write_text(text, encoding="utf-8")
    usual = build._firmware_sources
    monkeypatch.setattr(build, "_firmware_sources", lambda *a: [path if p.name == "main.c" else p for p in usual(*a)])


def builds():
    """Boards with the arithmetics that they support; on those of every test both, on the others the last."""
    for name in boards.names():
        if boards.load(name).not_built:
            continue
        supported = boards.load(name).arithmetics
        yield from ((name, Arithmetic[each]) for each in (supported if name in MAIN_BOARDS else supported[-1:]))


# ---- what is built --------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("name", "arithmetic"), list(builds()))
def test_firmware_compiles_without_a_warning_and_within_its_forecast(tmp_path, name, arithmetic):
    board, plan = boards.load(name), small_plan(arithmetic) if name == "microbit" else plan_for_firmware(arithmetic)
    if not shutil.which(f"{board.toolchain}-gcc"):
        pytest.skip(f"{board.toolchain}-gcc is not installed")
    report = build.build(write_bundle(tmp_path, plan), board, ["-Werror"])
    taken, code = report.flash_bytes - sum(flash_items(plan).values()), board.room.code(plan)
    assert code.expected == pytest.approx(taken, rel=0.04) and taken <= code.ceiling
    assert report.static_bytes <= board.static_bytes
    assert report.work_capacity >= board.room.ram_bytes
    assert report.stack_bytes <= board.stack_bytes


@pytest.mark.parametrize("name", [name for name in boards.names() if boards.load(name).not_built])
def test_a_board_without_firmware_says_why_and_what_to_do(tmp_path, name):
    with pytest.raises(build.BuildError, match="makes no firmware for it: its boot") as error:
        build.build(write_bundle(tmp_path, PLAN), boards.load(name))
    assert error.value.hint.startswith("take `ttzo export --library ")


@needs_compiler
def test_report_adds_up_to_the_ram_and_the_file(built):
    assert built.stack_capacity + built.static_bytes + built.work_capacity == BOARD.ram_bytes == built.ram_capacity
    assert built.flash_bytes == built.bin.stat().st_size
    assert built.work_needed == work_bytes(PLAN)


@needs_compiler
def test_only_what_the_model_needs_is_linked(tmp_path):
    """The zoo's first classifier, trained by environments over the link, stays within 50,000 bytes of flash."""
    folder = write_bundle(tmp_path, plan_of("digits"))
    least = build.build(folder, BOARD)
    small = build.build(folder, BOARD, size=True)
    # of parts that the model does not use, the deepest calls need a larger stack
    whole = build.build(folder, BOARD.model_copy(update={"stack_bytes": 8192}), all_parts=True)
    assert small.flash_bytes < least.flash_bytes <= 50_000 < whole.flash_bytes
    symbols = Image(whole.elf, BOARD.toolchain).symbols
    assert {"ttzo_estimate", "ttzo_link_poll", "ttzo_gauss_newton"} <= symbols.keys()


@needs_compiler
def test_image_begins_with_its_stack_pointer_and_reset_vector(built):
    words = [int.from_bytes(built.bin.read_bytes()[at : at + 4], "little") for at in (0, 4)]
    symbols = Image(built.elf, BOARD.toolchain).symbols
    assert words == [BOARD.ram_origin + BOARD.stack_bytes, symbols["Reset_Handler"] | 1]


@needs_compiler
def test_building_twice_gives_the_same_bytes(monkeypatch, tmp_path, built):
    """From objects that the tests share, and compiled anew from all sources."""
    monkeypatch.setattr(build, "_compile_all", kept_objects.ANEW)
    again = build.build(write_bundle(tmp_path / "elsewhere", PLAN), BOARD)
    assert again.rebuilt
    assert again.bin.read_bytes() == built.bin.read_bytes()
    assert again.elf.read_bytes() == built.elf.read_bytes()


@needs_compiler
def test_no_path_of_this_machine_is_in_the_image(built):
    content = built.elf.read_bytes()
    for path in (build.RUNTIME, built.elf.parent, Path(tempfile.gettempdir()), Path.home()):
        assert f"{path}{os.sep}".encode() not in content


# ---- up to date or not ----------------------------------------------------------------------------------------------


@needs_compiler
def test_an_unchanged_bundle_is_not_built_again(bundle):
    first = build.build(bundle, BOARD)
    second = build.build(bundle, BOARD)
    assert (first.rebuilt, second.rebuilt) == (True, False)
    assert {**first.as_json(), "rebuilt": False} == second.as_json()


@needs_compiler
def test_what_changed_is_built_again(bundle):
    report = build.build(bundle, BOARD)
    write_bundle(bundle, plan_for_firmware(seed=6))
    assert build.build(bundle, BOARD).rebuilt  # another model
    assert build.build(bundle, BOARD, ["-O1"]).rebuilt  # other flags
    board = BOARD.model_copy(update={"baud": 57600})
    assert build.build(bundle, board, ["-O1"]).rebuilt  # another number of the board's
    report.elf.write_bytes(report.elf.read_bytes()[:-1])
    assert build.build(bundle, board, ["-O1"]).rebuilt  # damaged firmware
    (report.elf.parent / "build.json").write_text("{")
    assert build.build(bundle, board, ["-O1"]).rebuilt  # damaged stamp
    assert not build.build(bundle, board, ["-O1"]).rebuilt


@needs_compiler
def test_a_failed_build_leaves_the_firmware_before(bundle):
    report = build.build(bundle, BOARD)
    before = {path.name: path.read_bytes() for path in report.elf.parent.iterdir()}
    (bundle / "model.c").write_text("this is no C")
    with pytest.raises(build.BuildError, match="error"):
        build.build(bundle, BOARD)
    assert {path.name: path.read_bytes() for path in report.elf.parent.iterdir()} == before


# ---- what is refused ------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("malloc", "result = malloc((size_t)result) != 0;"),
        ("printf", 'result = (float)printf("%d", (int)result);'),
        ("sinf", "result = sinf(result);"),
        ("log1pf", "result = log1pf(result);"),
    ],
)
def test_heap_stdio_and_libm_are_refused_with_their_caller(monkeypatch, tmp_path, bundle, name, statement):
    with_main(
        monkeypatch,
        tmp_path / "hungry.c",
        f"""
        #include <math.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include "ttzo.h"
        extern const struct ttzo_model ttzo_model;
        // what newlib asks of a system
        int _read(void), _write(void), _close(void), _lseek(void), _fstat(void), _isatty(void), _getpid(void), _kill(void);
        int _read(void) {{ return 0; }}
        int _write(void) {{ return 0; }}
        int _close(void) {{ return 0; }}
        int _lseek(void) {{ return 0; }}
        int _fstat(void) {{ return 0; }}
        int _isatty(void) {{ return 0; }}
        int _getpid(void) {{ return 0; }}
        int _kill(void) {{ return 0; }}
        void *_sbrk(int size);
        void *_sbrk(int size) {{ return size ? NULL : NULL; }}
        volatile float result;
        int main(void)
        {{
            result = ttzo_model.parameters[0];
            {statement}
            return 0;
        }}
        """,
    )
    with pytest.raises(
        build.BuildError, match=rf"firmware contains .*\b{name}, called by main.*: no heap, stdio or libm"
    ):
        build.build(bundle, BOARD)


@needs_compiler
def test_an_arithmetic_the_board_lacks_is_refused(tmp_path):
    board = BOARD.model_copy(update={"arithmetics": ("separate",)})
    with pytest.raises(build.BuildError, match="fused") as error:
        build.build(write_bundle(tmp_path, plan_for_firmware(Arithmetic.fused)), board)
    assert "separate" in error.value.hint


@needs_compiler
def test_a_model_too_large_for_the_ram_names_the_largest_consumer(bundle):
    board = BOARD.model_copy(update={"ram_bytes": BOARD.stack_bytes + BOARD.static_bytes + work_bytes(PLAN) - 8})
    with pytest.raises(TtzoError, match="largest part is moments of the update rule"):  # Adam: two for each parameter
        build.build(bundle, board)


@needs_compiler
def test_a_model_too_large_for_the_flash_names_the_largest_consumer(bundle):
    board = BOARD.model_copy(update={"flash_bytes": BOARD.room.code(PLAN).expected + 4 * PLAN.n_parameters})
    with pytest.raises(TtzoError, match="largest part is the firmware"):
        build.build(bundle, board)


@needs_compiler
def test_limits_hold_even_where_a_board_file_forecasts_too_little(bundle, built):
    flash = BOARD.model_copy(update={"flash_bytes": built.flash_bytes - 8, "code_bytes": 8})
    with pytest.raises(TtzoError, match="too large for the FLASH of netduinoplus2; the model's parameters take"):
        build.build(bundle, flash)
    ram = BOARD.stack_bytes + built.static_bytes + work_bytes(PLAN)
    fits = BOARD.model_copy(update={"ram_bytes": ram, "static_bytes": 8})
    assert build.build(bundle, fits).work_capacity == work_bytes(PLAN)
    with pytest.raises(TtzoError, match="bytes of RAM"):
        build.build(bundle, fits.model_copy(update={"ram_bytes": ram - 8}))


@needs_compiler
def test_a_stack_that_may_overflow_is_refused_with_the_calls_that_need_it(bundle):
    with pytest.raises(build.BuildError, match=r"stack may need .*Reset_Handler > main > .*512"):
        build.build(bundle, BOARD.model_copy(update={"stack_bytes": 512}))


@needs_compiler
def test_model_c_of_another_export_is_refused(bundle):
    (bundle / "model.ttzo").write_bytes(to_bundle.write(plan_for_firmware(seed=6)))
    with pytest.raises(build.BuildError, match="different exports"):
        build.build(bundle, BOARD)


@pytest.mark.parametrize("name", ["model.ttzo", "model.c", "model.h"])
def test_a_folder_without_its_files_is_no_bundle(bundle, name):
    (bundle / name).unlink()
    with pytest.raises(build.BuildError, match=f"it has no {name}") as error:
        build.build(bundle, BOARD)
    assert "ttzo export" in error.value.hint


def test_a_damaged_bundle_is_refused(bundle):
    path = bundle / "model.ttzo"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TtzoError, match="bundle is damaged"):
        build.build(bundle, BOARD)


def test_without_compilers_the_packages_are_named(monkeypatch, bundle, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="arm-none-eabi-gcc is not installed") as error:
        build.build(bundle, BOARD)
    assert "gcc-arm-none-eabi libnewlib-arm-none-eabi" in error.value.hint
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(build.BuildError, match="no C compiler") as error:
        build.build_native(Arithmetic.separate)
    assert "gcc libc6-dev" in error.value.hint


@needs_compiler
def test_a_compiler_without_its_library_is_told_with_the_package(bundle):
    board = BOARD.model_copy(update={"cpu_flags": (*BOARD.cpu_flags, "--specs=absent.specs")})
    with pytest.raises(build.BuildError, match="absent.specs") as error:
        build.build(bundle, board)
    assert "libnewlib-arm-none-eabi" in error.value.hint


# ---- how deep the stack gets ----------------------------------------------------------------------------------------


@pytest.fixture
def image_of(tmp_path):
    """The linked image of a C text; `main` and `other` are its roots."""

    def made(text, *flags):
        (tmp_path / "probe.c").write_text(text)
        command = (
            f"{BOARD.toolchain}-gcc -O2 -nostdlib -Wl,-e,main -Wl,--emit-relocs -fstack-usage -o probe.elf probe.c"
        )
        subprocess.run([*command.split(), *BOARD.cpu_flags, *flags, "-lgcc"], cwd=tmp_path, check=True)
        return Image(tmp_path / "probe.elf", BOARD.toolchain)

    return made


def gcc_stack_usage(folder):
    """Bytes of stack that gcc itself says, by function name: several where files have functions of one name."""
    usage = defaultdict(list)
    for path in folder.glob("*.su"):
        for line in path.read_text().splitlines():
            place, size, _ = line.split("\t")
            usage[place.rpartition(":")[2]].append(int(size))
    return usage


@needs_compiler
def test_frames_agree_with_what_gcc_says(tmp_path, built):
    parts = firmware_parts(PLAN, keeps_rows=False)
    sources = [source.resolve() for source in build._firmware_sources(parts, BOARD)]
    flags = [
        *BOARD.cpu_flags,
        *build.FLAGS,
        *build.FIRMWARE_FLAGS,
        *build._macros(PLAN, parts, BOARD),
        "-fstack-usage",
    ]
    folders = [f"-I{folder}" for folder in (build.RUNTIME, *CHIP_PORTS[BOARD.port].folders)]
    build._compile_all(tmp_path, f"{BOARD.toolchain}-gcc", sources, [*flags, *folders])
    usage = gcc_stack_usage(tmp_path)
    checked = 0
    for function in Image(built.elf, BOARD.toolchain).functions.values():
        if function.name in usage:
            # gcc leaves out the registers that carry arguments and that a function pushes to have them in a row: at most 4
            assert any(abs(size - function.frame_bytes) <= 16 for size in usage[function.name]), function
            checked += 1
    assert checked > 40


@needs_compiler
def test_an_indirect_call_counts_as_a_call_of_all_that_it_could_reach(image_of):
    image = image_of("""
        static __attribute__((noinline)) void small(void) { __asm volatile("" ::: "r4", "memory"); }
        static __attribute__((noinline)) void large(void) { volatile char room[400]; room[0] = 1; }
        void (*const table[2])(void) = { small, large };
        volatile int which;
        void other(void);
        void other(void) { }
        int main(void) { table[which](); return 0; }
        """)
    names = {image.functions[address].name for address in image.address_taken}
    assert names == {"small", "large"}
    assert image.worst_stack("main", "other")[0] >= 400


@needs_compiler
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int f(int n); int f(int n) { return n < 2 ? n : f(n - 1) + f(n - 2); }", "recursion: f -> f"),
        (
            "void g(char *); int f(int n); void g(char *p) { p[0] = 1; } int f(int n) { char a[n]; g(a); return a[0]; }",
            "f (allocates|sets)",
        ),
    ],
    ids=["recursion", "variable length"],
)
def test_a_stack_without_a_bound_is_refused(image_of, text, said):
    image = image_of(
        text + " void other(void) { } volatile int n; int main(void) { return f(n); }", "-fno-inline", "-fno-ipa-cp"
    )
    with pytest.raises(ImageError, match=said):
        image.worst_stack("main", "other")


# ---- this machine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def own_compiler(monkeypatch, tmp_path):
    """Makes `CC` a compiler of that name that writes what it is asked to link into a list; builds are kept in `tmp_path`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def chosen(name):
        path, calls = tmp_path / name, tmp_path / "calls"
        path.write_text(f"""#!/bin/sh
            case "$*" in
              --version) echo "{name} 1.0";;
              *"-o ttzo-native") echo "$*" >> {calls}; : > ttzo-native;;
              *) exec cc "$@";;
            esac""")
        path.chmod(0o755)
        monkeypatch.setenv("CC", str(path))
        return calls

    return chosen


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_native_program_is_compiled_once(own_compiler, arithmetic):
    calls = own_compiler("mycc")
    program = build.build_native(arithmetic)
    assert build.build_native(arithmetic) == program
    (call,) = calls.read_text().splitlines()
    assert all(f" {source} " in call for source in build.core_sources())
    assert [path.name for path in program.parent.iterdir()] == ["ttzo-native"]


def test_each_arithmetic_and_compiler_has_its_own_native_program(own_compiler):
    own_compiler("mycc")
    made = {build.build_native(arithmetic) for arithmetic in Arithmetic}
    assert len(made) == len(Arithmetic)
    own_compiler("another")
    assert build.build_native(Arithmetic.separate) not in made


@needs_compiler
def test_inference_alone_takes_8_kilobytes_of_code_and_its_forward_pass_s_arrays(tmp_path):
    plan = plan_of("digits")
    folder = write_bundle(tmp_path, plan)
    main = tmp_path / "main.c"
    main.write_text("""
        #include "model.h"
        static uint64_t scratch[(TTZO_MODEL_INFER_BYTES + 7u) / 8u];
        static uint8_t row[TTZO_MODEL_INPUT_BYTES];
        volatile float first;
        int main(void)
        {
            uint32_t detail;
            const float *outputs;
            if (!ttzo_infer(&ttzo_model, 0, row, scratch, sizeof scratch, &outputs, &detail))
                first = outputs[0];
            return 0;
        }
        """)
    parts = parts_of(plan)
    command = [
        f"{BOARD.toolchain}-gcc",
        *BOARD.cpu_flags,
        "-std=gnu11",
        "-O2",
        "-ffunction-sections",
        "-fdata-sections",
    ]
    command += ["--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", "-Wl,--gc-sections,-e,main"]
    command += [
        f"-DTTZO_PARTS={sum(parts):#x}u",
        f"-I{build.RUNTIME}",
        f"-I{folder}",
        *map(str, build.sources_of(parts)),
    ]
    subprocess.run([*command, str(folder / "model.c"), str(main), "-o", str(tmp_path / "infer.elf")], check=True)
    sizes = Image(tmp_path / "infer.elf", BOARD.toolchain).section_bytes
    assert sizes[".text"] + sizes[".rodata"] - 4 * plan.n_parameters <= 8 << 10
    assert sizes[".bss"] + sizes.get(".data", 0) <= forward_bytes(plan) + (1 << 10)
