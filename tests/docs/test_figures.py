# SPDX-License-Identifier: MIT
"""Figures of the README are those of the stored table of results, and its links lead somewhere."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEPT = json.loads((ROOT / "docs" / "results" / "headline.json").read_text(encoding="utf-8"))
# a number and what it counts
FIGURE = re.compile(r"\d[\d,.]* (?:%|KB|parameters|steps)")


def headline():
    spec = importlib.util.spec_from_file_location("headline", ROOT / "docs" / "headline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_figure_is_a_stored_one():
    stored = {text for page in KEPT.values() for text in page["figures"].values()}
    assert set(FIGURE.findall(" ".join(README.split()))) - stored == set()


def test_every_stored_figure_names_its_command_date_and_commit():
    for page in KEPT.values():
        assert page["command"].startswith("python docs/headline.py ") and page["commit"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", page["date"])


def test_the_table_of_sizes_is_the_stored_one():
    module = headline()
    assert module.SIZES.sub(rf"\g<1>{module.size_table(KEPT['sizes']['figures'])}\g<2>", README) == README
    assert "<!-- sizes" in README


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", README))))
def test_every_link_leads_to_a_file(link):
    assert (ROOT / link).exists()
