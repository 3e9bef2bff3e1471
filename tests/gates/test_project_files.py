# SPDX-License-Identifier: MIT
"""The project's files at the top: they name versions, commands, targets and files that are there."""

import re
import tomllib
from pathlib import Path

import pytest

from ttzo.host_tools.cli.commands import COMMANDS, main

ROOT = Path(__file__).parents[2]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_of_pages_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text_of(page))
    assert links and [link for link in links if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("name", [*PAGES, *(str(form.relative_to(ROOT)) for form in FORMS)])
def test_commands_and_targets_that_are_named_exist(name):
    text = text_of(name)
    targets = set(re.findall(r"^([a-z-]+):(?!=)", text_of("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"`ttzo ([a-z-]+)", text)) - {"--version", "--help"} <= set(COMMANDS)
    for command, rest in re.findall(r"`ttzo ([a-z-]+)([^`]*)", text):
        if rest and command in COMMANDS:
            options = {option for each in main.get_command(None, command).params for option in each.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= options, (command, rest)


def test_citation_and_changelog_know_the_version():
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert re.search(r"^version: (.*)$", text_of("CITATION.cff"), re.MULTILINE)[1] == version
    headings = re.findall(r"^## (\S+?)(, not released)?$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert version in [number for number, open_end in headings if not open_end]


def test_there_are_forms_and_each_has_what_a_form_must_have():
    assert [form.stem for form in FORMS] == ["board", "bug", "refused_model"]
    for form in FORMS:
        keys = re.findall(r"^([a-z]+):", form.read_text(encoding="utf-8"), re.MULTILINE)
        assert keys == ["name", "description", "labels", "body"]
