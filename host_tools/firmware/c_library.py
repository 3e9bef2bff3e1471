# SPDX-License-Identifier: MIT
"""A model with the runtime's sources as a library for somebody's own firmware.

    write(plan, bundle_dir, Kind.arduino)   ->  BUNDLE/arduino/

All kinds share `src/`: the rooms of the parts that the model needs, ttzo.h, model.h, model.c, and `ttzo_config.h`, which
says which parts there are, so that no build system has to pass a flag. Each adds its manifest and an example that trains
from a sensor loop.
"""

import json
import shutil
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import core_headers
from ttzo.device_runtime.contract import Arithmetic, Part, TtzoError
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.firmware import library_texts
from ttzo.host_tools.firmware.build import sources_of


class Kind(StrEnum):
    """Build systems that a library is written for."""

    cmake = "cmake"
    arduino = "arduino"
    platformio = "platformio"
    zephyr = "zephyr"
    esp_idf = "esp-idf"


class LibraryError(TtzoError):
    """A library that cannot be written."""


def write(plan: Plan, bundle_dir: Path, kind: Kind) -> Path:
    """Writes the library into a folder of its own in the bundle folder; an earlier one is replaced. The folder.

    Raises `LibraryError` for a folder that is no library, and `OSError`."""
    out = bundle_dir / kind.value
    if plan.simulation or plan.n_places > 1:
        raise LibraryError(
            "the example of a library has rows with one class or numbers; this model has others",
            "export without --library and build the sources of ttzo with model.c",
        )
    if out.exists() and not (out / "src" / "ttzo_config.h").is_file():
        raise LibraryError(f"{out} exists and is no library of ttzo", "remove it, or choose another folder with -o")
    shutil.rmtree(out, ignore_errors=True)
    parts = parts_of(plan) | {Part.link}
    sources = sources_of(parts)
    rooms = {path.parent.name for path in sources}
    taken = [*sources, *core_headers()]  # headers of rooms that are left out hold stubs of what is not there
    files = {f"src/{path.relative_to(RUNTIME).as_posix()}": path.read_text(encoding="utf-8") for path in taken}
    files |= {f"src/{name}": text for name, text in c_files(plan).items()}
    files["src/ttzo_config.h"] = _config(plan, parts)
    files |= _manifest(kind, plan, sorted(rooms))
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    return out


def _config(plan: Plan, parts: frozenset[Part]) -> str:
    fused = "#define TTZO_FUSED 1\n" if plan.arithmetic == Arithmetic.fused else ""
    names = ", ".join(part.name for part in sorted(parts))
    return f"""\
// SPDX-License-Identifier: MIT
// What of the runtime this library holds: {names}.
#ifndef TTZO_PARTS
#define TTZO_PARTS {sum(parts):#x}u
{fused}#endif
"""


def _manifest(kind: Kind, plan: Plan, rooms: list[str]) -> dict[str, str]:
    """The files besides src/, by name."""
    number = version("ttzo")
    example = library_texts.EQUATION if plan.pde else library_texts.SENSOR
    main = library_texts.main(example)
    match kind:
        case Kind.cmake:
            return {
                "CMakeLists.txt": library_texts.CMAKE % number,
                "examples/train/CMakeLists.txt": library_texts.CMAKE_EXAMPLE,
                "examples/train/main.c": main,
            }
        case Kind.arduino:
            return {
                "library.properties": library_texts.ARDUINO % number,
                "keywords.txt": library_texts.KEYWORDS,
                "examples/Train/Train.ino": library_texts.sketch(example),
            }
        case Kind.platformio:
            page = library_texts.PLATFORMIO | {"version": number}
            return {"library.json": json.dumps(page, indent=2) + "\n", "examples/train/main.c": main}
        case Kind.zephyr:
            return {
                "zephyr/module.yml": library_texts.ZEPHYR_MODULE,
                "zephyr/CMakeLists.txt": library_texts.ZEPHYR_CMAKE,
                "zephyr/Kconfig": library_texts.ZEPHYR_KCONFIG,
                "samples/train/CMakeLists.txt": library_texts.ZEPHYR_SAMPLE,
                "samples/train/prj.conf": library_texts.ZEPHYR_CONFIG,
                "samples/train/src/main.c": main,
            }
        case Kind.esp_idf:
            folders = " ".join(f'"src/{room}"' for room in rooms)
            return {
                "idf_component.yml": library_texts.ESP_MANIFEST % number,
                "CMakeLists.txt": library_texts.ESP_CMAKE % folders,
                "examples/train/CMakeLists.txt": library_texts.ESP_PROJECT,
                "examples/train/main/CMakeLists.txt": library_texts.ESP_MAIN,
                "examples/train/main/idf_component.yml": library_texts.ESP_DEPENDENCY,
                "examples/train/main/main.c": main.replace("int main(void)", "void app_main(void)").replace("return 1;", "return;").replace("    return 0;\n", ""),
            }  # fmt: skip
    raise AssertionError(kind)
