# SPDX-License-Identifier: MIT
"""The documentation builds as a site without a warning, and its references are whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ttzo.exporter.export import MODEL_OPTIONS
from ttzo.exporter.plan.train_defaults import SETTINGS
from ttzo.host_tools.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built strictly: a warning is an error."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("mkdocs_click")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    return out


def test_it_builds_without_a_warning_and_holds_every_command(site):
    page = (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    assert {name for name in COMMANDS if f'<h3 id="ttzo-{name}">ttzo {name}' not in page} == set()


def test_the_python_reference_holds_the_front_names(site):
    page = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in ("export", "open_device", "train", "identify", "TTLinear", "Problem", "Unknown"):
        assert re.search(rf'id="ttzo\.[\w.]*\.{name}"', page), name


def test_every_option_of_a_model_is_described():
    text = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    described = set(
        re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|")))
    )
    assert {*MODEL_OPTIONS, *SETTINGS} - described == set()
