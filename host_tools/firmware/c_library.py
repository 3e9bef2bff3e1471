# SPDX-License-Identifier: MIT
"""A model with the runtime's sources as a library for somebody's own firmware.

    write(plan, bundle_dir, Kind.arduino)   ->  BUNDLE/arduino/

All kinds share `src/`: the rooms of the parts that the model needs, ttzo.h, model.h, model.c, and `ttzo_config.h`, which
says which parts there are, so that no build system has to pass a flag. Each adds its manifest and two examples: `train`
makes a step when a sensor loop has filled the batch, `slices` takes the same steps in slices.
"""

import json
import shutil
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime import core_headers
from ttzo.device_runtime.contract import Arithmetic, Part, TtzoError
from ttzo.exporter.plan.parts import SMALL, parts_of
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
    parts = parts_of(plan) | SMALL | {Part.link}
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
    files: dict[str, str] = {}
    for name, text in _examples(plan).items():
        files |= _example(kind, name, text)
    match kind:
        case Kind.cmake:
            return files | {"CMakeLists.txt": library_texts.CMAKE % number}
        case Kind.arduino:
            return files | {
                "library.properties": library_texts.ARDUINO % number,
                "keywords.txt": library_texts.KEYWORDS,
            }
        case Kind.platformio:
            page = library_texts.PLATFORMIO | {"version": number}
            return files | {"library.json": json.dumps(page, indent=2) + "\n"}
        case Kind.zephyr:
            return files | {
                "zephyr/module.yml": library_texts.ZEPHYR_MODULE,
                "zephyr/CMakeLists.txt": library_texts.ZEPHYR_CMAKE,
                "zephyr/Kconfig": library_texts.ZEPHYR_KCONFIG,
            }
        case Kind.esp_idf:
            folders = " ".join(f'"src/{room}"' for room in rooms)
            return files | {
                "idf_component.yml": library_texts.ESP_MANIFEST % number,
                "CMakeLists.txt": library_texts.ESP_CMAKE % folders,
            }
    raise AssertionError(kind)


def _examples(plan: Plan) -> dict[str, str]:
    """What each example does in a turn of its main loop."""
    if plan.pde:
        return {"train": library_texts.TRAIN_EQUATION, "slices": library_texts.SLICES_EQUATION}
    return {"train": library_texts.TRAIN, "slices": library_texts.SLICES}


def _example(kind: Kind, name: str, text: str) -> dict[str, str]:
    """The files of one example, by name."""
    main, named = library_texts.main(text), {"name": name}
    match kind:
        case Kind.arduino:
            return {f"examples/{name.capitalize()}/{name.capitalize()}.ino": library_texts.sketch(text)}
        case Kind.zephyr:
            return {
                f"samples/{name}/CMakeLists.txt": library_texts.ZEPHYR_SAMPLE % named,
                f"samples/{name}/prj.conf": library_texts.ZEPHYR_CONFIG,
                f"samples/{name}/src/main.c": main,
            }
        case Kind.esp_idf:
            main = main.replace("int main(void)", "void app_main(void)").replace("return 1;", "return;")
            return {
                f"examples/{name}/CMakeLists.txt": library_texts.ESP_PROJECT % named,
                f"examples/{name}/main/CMakeLists.txt": library_texts.ESP_MAIN,
                f"examples/{name}/main/idf_component.yml": library_texts.ESP_DEPENDENCY,
                f"examples/{name}/main/main.c": main.replace("    return 0;\n", ""),
            }
    files = {f"examples/{name}/main.c": main}
    if kind == Kind.cmake:
        files[f"examples/{name}/CMakeLists.txt"] = library_texts.CMAKE_EXAMPLE % named
    return files
