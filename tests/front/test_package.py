# SPDX-License-Identifier: MIT
"""The wheel has every file of the four folders and works outside the checkout; an editable install sees new files."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")

ROOT = Path(__file__).parents[2]
FOLDERS = ("boards", "device_runtime", "exporter", "host_tools")
FRONT = "host_tools/front"
LEFT_OUT = (".pyc", ".pt")  # .pt: states of unfinished cells of the paper's tables


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Made from the source archive, as for those who have no wheel for their system."""
    out = tmp_path_factory.mktemp("package")
    build(ROOT, "sdist", out)
    (sources,) = out.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        archive.extractall(out, filter="data")
    build(out / sources.name.removesuffix(".tar.gz"), "wheel", out)
    (made,) = out.glob("*.whl")
    return made


def build(folder: Path, kind: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def repository_files(folder: str) -> list[str]:
    found = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return [path.as_posix() for path in found if "__pycache__" not in path.parts and path.suffix not in LEFT_OUT]


def test_the_wheel_has_every_file_once_and_nothing_else(wheel):
    files = [name for folder in FOLDERS for name in repository_files(folder)]
    wanted = [f"ttzo/{name.removeprefix(FRONT + '/')}" if name.startswith(FRONT) else f"ttzo/{name}" for name in files]
    with zipfile.ZipFile(wheel) as archive:
        packed = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(packed) == sorted(wanted)
    assert {"ttzo/__init__.py", "ttzo/py.typed", "ttzo/boards/netduinoplus2.toml"} <= set(packed)
    assert {"ttzo/device_runtime/ttzo.h", "ttzo/device_runtime/ports/native/main.c"} <= set(packed)


def test_the_wheel_exports_and_trains_outside_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = f"""
import ttzo, ttzo.device_runtime
assert ttzo.__file__.startswith({str(site)!r}) and str(ttzo.device_runtime.FOLDER).startswith({str(site)!r})
ttzo.export("digits", "digits", steps=3)
with ttzo.open_device("native:", "digits") as device:
    run = ttzo.train(device, ttzo.load_data(None, device.plan))
    assert device.state().step == 3
"""
    place = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_editable_install_sees_a_new_file_and_forgets_a_removed_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import hatch_build

    room = tmp_path / "checkout" / "exporter"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("")
    front = tmp_path / "checkout" / "__init__.py"
    front.write_text("")
    package = tmp_path / "editable" / "ttzo"
    package.mkdir(parents=True)
    (package / "removed.py").write_text("")
    hatch_build.link(package, [front, room])
    (room / "later.py").write_text("value = 7")
    code = "import ttzo.exporter.later as later; print(later.value)"
    place = os.environ | {"PYTHONPATH": str(package.parent)}
    assert subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, text=True).stdout == "7\n"
    assert sorted(path.name for path in package.iterdir() if path.name != "__pycache__") == ["__init__.py", "exporter"]
