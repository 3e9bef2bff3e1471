# SPDX-License-Identifier: MIT
"""The exported libraries: built as their build systems build them, and run; each trains to the NumPy twin's bits."""

import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from firmware import plan_for_firmware, write_bundle

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.data.data_set import pack_rows
from ttzo.host_tools.firmware import c_library
from ttzo.host_tools.firmware.c_library import Kind, LibraryError
from ttzo.host_tools.reference.train.trainer import Trainer

PLAN = plan_for_firmware()
STEPS = 20  # of the example


@pytest.fixture
def library(tmp_path):
    """`library(kind)`: the folder that is written."""
    return lambda kind: c_library.write(PLAN, write_bundle(tmp_path / "bundle", PLAN), kind)


@pytest.fixture(scope="module")
def expected():
    """CRC-32 of the parameters after the example's steps on the example's samples, by the NumPy twin."""
    trainer, batch = Trainer(PLAN), PLAN.batch
    for step in range(STEPS):
        count = np.arange(step * batch, (step + 1) * batch)
        labels = count % PLAN.n_classes
        raw = (np.arange(PLAN.in_features) * (labels[:, None] + 1) + count[:, None] // 16) % 16
        rows = pack_rows(raw.astype(np.uint8), labels).tobytes()
        trainer.write(Region.batch, 0, rows)
        trainer.commit(Region.batch, len(rows), zlib.crc32(rows))
        trainer.step(Region.batch)
    return f"{zlib.crc32(trainer.read(Region.parameters, 0, 4 * PLAN.n_parameters)):08x}"


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr  # QEMU sends a program's console to stderr


def last_line(text):
    return text.strip().splitlines()[-1].split()


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_the_cmake_examples_are_configured_built_and_run(library, tmp_path, expected):
    out = library(Kind.cmake)
    run("cmake", "-S", out, "-B", tmp_path / "made", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", tmp_path / "made")
    for name in ("train", "slices"):
        said = run(tmp_path / "made" / "examples" / name / name)
        assert last_line(said) == ["parameters", expected]
        assert len(re.findall(r"^step \d+ loss \d", said, re.MULTILINE)) == STEPS


@pytest.mark.skipif(not shutil.which("cmake"), reason="cmake is not installed")
def test_another_project_links_the_cmake_target(library, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(f"""
        cmake_minimum_required(VERSION 3.16)
        project(other C)
        include(FetchContent)
        FetchContent_Declare(ttzo SOURCE_DIR "{library(Kind.cmake)}")
        FetchContent_MakeAvailable(ttzo)
        add_executable(other main.c)
        target_link_libraries(other PRIVATE ttzo)
        """)
    (tmp_path / "main.c").write_text(
        '#include "model.h"\nint main(void) { return ttzo_check_model(&ttzo_model, &(uint32_t){ 0 }); }\n'
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "made")
    run("cmake", "--build", tmp_path / "made")
    run(tmp_path / "made" / "other")


ARDUINO_H = """
#include <stdint.h>
#include <stdio.h>
struct Console {
    void begin(unsigned long) {}
    void println(const char *text) { puts(text); }
    void println(double number, int) { printf("%s\\n", number > 0 ? "loss" : "no loss"); }
};
static Console Serial;
"""
RUNNER = """
int main()
{
    setup();
    while (trainer.state.step < STEPS)
        loop();
    printf("parameters %08lx\\n", (unsigned long)ttzo_crc32(0, (const uint8_t *)trainer.theta, 4 * TTZO_MODEL_N_PARAMETERS));
    return 0;
}
"""
ARM_MEMORY = ["0x00000000", "0x00400000", "0x20000000", "0x00400000"]
CORES = {  # compiler prefix, flags of the core, memory, emulator
    "m0+": (
        "arm-none-eabi",
        ["-mcpu=cortex-m0plus", "-mthumb"],
        ARM_MEMORY,
        ["qemu-system-arm", "-M", "mps2-an385"],
    ),
    "m4f": (
        "arm-none-eabi",
        ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"],
        ARM_MEMORY,
        ["qemu-system-arm", "-M", "mps2-an386"],
    ),
    "rv32f": (
        "riscv64-unknown-elf",
        ["-march=rv32imafc", "-mabi=ilp32f"],
        ["0x80000000", "0x00400000", "0x80400000", "0x00400000"],
        ["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
    ),
    "rv32": (
        "riscv64-unknown-elf",
        ["-march=rv32imac", "-mabi=ilp32"],
        ["0x80000000", "0x00400000", "0x80400000", "0x00400000"],
        ["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
    ),
}


@pytest.mark.parametrize(("core", "name"), [*((core, "Train") for core in CORES), ("m4f", "Slices")])
def test_the_arduino_layout_compiles_as_arduino_compiles_it_and_runs(library, tmp_path, expected, core, name):
    """Sketch by g++, sources of src/ by gnu11 C at -Os, src/ as include path, all without a flag of ours; the core's own
    libraries are played by picolibc, whose output goes through the emulator."""
    prefix, flags, memory, emulator = CORES[core]
    tools = [f"{prefix}-gcc", f"{prefix}-g++", emulator[0]]
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        pytest.skip(f"not found: {' '.join(missing)}")
    if not Path(f"/usr/lib/picolibc/{prefix}/picolibc.specs").is_file():
        pytest.skip(f"picolibc-{prefix} is not installed")
    out = library(Kind.arduino)
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    sketch = "#include <Arduino.h>\n" + (out / "examples" / name / f"{name}.ino").read_text() + RUNNER
    (tmp_path / "sketch.cpp").write_text(sketch)
    specs = [
        f"--specs=/usr/lib/picolibc/{prefix}/picolibc.specs",
        *flags,
        "-Os",
        "-ffunction-sections",
        "-fdata-sections",
    ]
    own = [f"-I{out / 'src'}", f"-I{tmp_path}", f"-DSTEPS={STEPS}"]
    sources = sorted((out / "src").rglob("*.c"))
    run(f"{prefix}-gcc", *specs, "-std=gnu11", f"-I{out / 'src'}", "-c", *sources, cwd=tmp_path)
    run(f"{prefix}-g++", *specs, "-std=gnu++17", "-fno-exceptions", "-fno-rtti", *own, "-c", "sketch.cpp", cwd=tmp_path)
    names = ("__flash", "__flash_size", "__ram", "__ram_size")
    symbols = [f"-Wl,--defsym={name}={value}" for name, value in zip(names, memory, strict=True)]
    link = ["--oslib=semihost", "--crt0=hosted", "-Wl,--gc-sections", *symbols]
    run(f"{prefix}-gcc", *specs, *link, *sorted(tmp_path.glob("*.o")), "-lm", "-o", tmp_path / "sketch.elf")
    said = run(*emulator, "-semihosting", "-nographic", "-monitor", "none", "-serial", "none",
               "-kernel", tmp_path / "sketch.elf")  # fmt: skip
    assert last_line(said) == ["parameters", expected]
    assert said.count("\nloss") + said.startswith("loss") == STEPS


@pytest.mark.parametrize("kind", Kind)
def test_each_library_has_its_manifest_sources_and_an_example(library, kind):
    out = library(kind)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    manifest = {
        "cmake": "CMakeLists.txt",
        "arduino": "library.properties",
        "platformio": "library.json",
        "zephyr": "zephyr/module.yml",
        "esp-idf": "idf_component.yml",
    }[kind]
    assert {manifest, "src/ttzo.h", "src/model.h", "src/model.c", "src/ttzo_config.h", "src/train/train.c"} <= names
    assert not any(name.startswith("src/equations/") and name.endswith(".c") for name in names)  # a part of others
    assert any(name.startswith(("examples/", "samples/")) and name.endswith((".c", ".ino")) for name in names)


def test_the_arduino_manifest_has_what_the_specification_asks_for(library):
    """Fields and values by the Arduino library specification, version 1.6.10 and later."""
    lines = (library(Kind.arduino) / "library.properties").read_text().splitlines()
    page = dict(line.split("=", 1) for line in lines)
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= page.keys()
    assert re.fullmatch(r"[A-Za-z0-9][\w .-]*", page["name"]) and re.fullmatch(r"\d+\.\d+\.\d+.*", page["version"])
    assert page["category"] == "Data Processing"  # one of the specification's nine
    assert not page["paragraph"].startswith(page["sentence"])


def test_the_yaml_manifests_name_what_their_build_systems_read(library):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    component = library(Kind.esp_idf)
    assert yaml.safe_load((component / "idf_component.yml").read_text())["dependencies"] == {"idf": ">=5.0"}
    assert yaml.safe_load((library(Kind.zephyr) / "zephyr" / "module.yml").read_text())["build"]["cmake"] == "zephyr"


def test_the_idf_component_is_packed_by_its_own_tool(library):
    pytest.importorskip(
        "idf_component_manager", reason="idf-component-manager, a package of the tests, is not installed"
    )
    component = library(Kind.esp_idf)
    pack = [sys.executable, "-c", "from idf_component_manager.cli import safe_cli; safe_cli()"]
    pack += ["component", "pack", "--name", "ttzo"]
    run(*pack, cwd=component)
    (component / "idf_component.yml").write_text("version: many\n")
    assert subprocess.run(pack, cwd=component, capture_output=True).returncode


def test_the_platformio_manifest_passes_its_own_schema(library):
    pytest.importorskip("platformio", reason="platformio, a package of the tests, is not installed")
    check = Path(__file__).parents[1] / "support" / "platformio_manifest.py"
    manifest = library(Kind.platformio) / "library.json"
    run(sys.executable, check, manifest)
    manifest.write_text(manifest.read_text().replace('"version": "', '"version": "many '))
    assert subprocess.run([sys.executable, check, manifest], capture_output=True).returncode


def test_a_folder_of_somebody_else_is_not_replaced(library, tmp_path):
    kept = tmp_path / "bundle" / "cmake" / "thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(LibraryError, match="is no library of ttzo"):
        library(Kind.cmake)
    assert kept.read_text() == "mine"
    shutil.rmtree(kept.parent)
    (library(Kind.cmake) / "src" / "old.c").write_text("")
    assert not (library(Kind.cmake) / "src" / "old.c").exists()
