# SPDX-License-Identifier: MIT
"""Figures in README and docs are stored ones, and the README's links lead somewhere.

docs/results/sources.json says for each page which files of results its figures come from, which figures are given (what was
chosen or asked for, limits of a part) and which were recorded by hand, with the command that measures them.
"""

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ttzo.host_tools.firmware import boards
from ttzo.host_tools.firmware.machines import MACHINES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEPT = json.loads((DOCS / "results" / "headline.json").read_text(encoding="utf-8"))
SOURCES = json.loads((DOCS / "results" / "sources.json").read_text(encoding="utf-8"))
# a number and what it counts
FIGURE = re.compile(r"\d[\d,.]* (?:%|KB|parameters|steps)")
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?"
LIST = rf"(?<![\w.]){NUMBER}(?:(?:,| and| to| or) {NUMBER})*"
UNIT = "%|bytes|KB|KiB|MB|instructions|million|evaluations|parameters"
MEASURED = re.compile(rf"({LIST}) ?({UNIT})")
FACTORS = {"%": 0.01, "KB": 1e3, "KiB": 1024.0, "MB": 1e6, "million": 1e6}
# results are tables of their own, the protocol comes from the contract, the journal tells what was found on one day
PAGES = sorted(
    str(path.relative_to(DOCS))
    for path in DOCS.rglob("*.md")
    if path.parent.name not in ("results", "journal", "reference") and path.name != "protocol.md"
)
CODE = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)


def figures(page: str) -> set[str]:
    """Each number with its unit; "7,432 and 15,648 bytes" are two."""
    text = " ".join(CODE.sub("", (DOCS / page).read_text(encoding="utf-8")).split())
    return {f"{number} {found[2]}" for found in MEASURED.finditer(text) for number in re.findall(NUMBER, found[1])}


def numbers(stored: Any) -> Iterator[float]:
    if isinstance(stored, dict | list):
        for each in stored.values() if isinstance(stored, dict) else stored:
            yield from numbers(each)
    elif isinstance(stored, str):
        for text in re.findall(NUMBER, stored):
            yield float(text.replace(",", ""))
    elif not isinstance(stored, bool) and stored is not None:
        yield float(stored)


def is_stored(figure: str, stored: list[float]) -> bool:
    """Whether one of the numbers is the figure, to as many digits as it shows."""
    text, unit = figure.split(" ")
    mantissa, _, exponent = text.replace(",", "").partition("e")
    shown = float(f"{mantissa}e{exponent or 0}")
    half = 0.5000001 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return any(
        abs(number / factor - shown) <= half
        for number in stored
        for factor in {1.0, FACTORS.get(unit, 1.0)}
        if math.isfinite(number)
    )


def emulated_boards() -> list[str]:
    return [name for name in boards.names() if boards.load(name).qemu_machine]


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_of_a_page_has_its_source(page):
    source = SOURCES.get(page, {})
    known = {*source.get("given", ()), *source.get("recorded", {})}
    stored = [
        each for name in source.get("stored", ()) for each in numbers(json.loads((ROOT / name).read_text("utf-8")))
    ]
    typed = {figure for figure in figures(page) if figure not in known and not is_stored(figure, stored)}
    assert not typed, f"say in docs/results/sources.json where {page} has these figures from"


@pytest.mark.parametrize("page", sorted(SOURCES))
def test_no_source_is_left_of_a_figure_that_is_gone(page):
    source = SOURCES[page]
    assert {*source.get("given", ()), *source.get("recorded", {})} - figures(page) == set()
    assert all(re.search(r"`.+`|tests/", how) for how in source.get("recorded", {}).values())


def test_a_figure_that_nobody_stored_is_found():
    assert (
        is_stored("62.1 million", [62123456.0])
        and is_stored("98.11 %", [0.981081])
        and is_stored("4.2e8 instructions", [421e6])
    )
    assert not is_stored("62.2 million", [62123456.0]) and not is_stored("98.12 %", [0.981081])
    assert not is_stored("15,741 bytes", [15740.0])


def test_every_figure_of_the_readme_is_a_stored_one():
    stored = {text for page in KEPT.values() for text in page["figures"].values()}
    assert set(FIGURE.findall(" ".join(README.split()))) - stored == set()


def test_every_stored_figure_names_its_command_date_and_commit():
    for page in KEPT.values():
        assert page["command"].startswith("python docs/headline.py ") and page["commit"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", page["date"])


def test_the_table_of_sizes_is_the_stored_one():
    module = script("headline")
    assert module.SIZES.sub(rf"\g<1>{module.size_table(KEPT['sizes']['figures'])}\g<2>", README) == README
    assert "<!-- sizes" in README


def test_the_table_of_boards_is_the_stored_one_and_all_its_bits_are_equal():
    module = script("boards_table")
    stored = json.loads(module.STORED.read_text(encoding="utf-8"))
    page = module.PAGE.read_text(encoding="utf-8")
    assert f"{module.table(stored)}<!-- end -->" in page
    assert stored["checks"] and all(check["equal"] for check in stored["checks"])
    models = {check["model"] for check in stored["checks"]}
    seen = {(check["model"], check.get("board") or check["machine"]) for check in stored["checks"]}
    for board in (*emulated_boards(), *MACHINES):
        refused = {each["model"] for each in stored["refusals"] if each["board"] == board}
        assert {(model, board) for model in models - refused} <= seen


def test_the_table_of_modules_is_the_stored_one():
    module = script("modules_table")
    stored = json.loads(module.STORED.read_text(encoding="utf-8"))
    assert f"{module.table(stored)}<!-- end -->" in module.PAGE.read_text(encoding="utf-8")
    assert stored["bytes"].keys() == set(module.BUILT) == set(module.BOARDS)


def test_the_table_of_trained_steps_is_the_stored_one():
    stored = json.loads((DOCS / "results" / "trained_steps.json").read_text(encoding="utf-8"))["steps"]
    page = (DOCS / "results" / "speed.md").read_text(encoding="utf-8")
    shown = [
        re.findall(r"\d[\d,]*", line.split("|")[-2])
        for line in page.split("<!-- steps:")[1].splitlines()
        if " batch " in line
    ]
    assert shown == [[f"{each['instructions']:,}"] for each in stored]


def test_the_table_of_forward_passes_is_the_stored_one_and_ours_take_the_fewest_instructions():
    module = script("forward_table")
    stored = json.loads(module.STORED.read_text(encoding="utf-8"))
    assert f"{module.table(stored)}<!-- end -->" in module.PAGE.read_text(encoding="utf-8")
    counted = dict(stored["instructions"])
    own = counted.pop(module.OURS)
    assert "onnx2c" in counted
    for theirs in counted.values():
        assert all(own[each][model] < n for each, by_model in theirs.items() for model, n in by_model.items())
    costs = json.loads((ROOT / "tests" / "vectors" / "zoo_counts.json").read_text(encoding="utf-8"))["cases"]
    for each in costs:  # of another M4F, whose clock and ports take no part in a forward pass
        if (
            set(each["case"]) == {"model"}
            and each["case"]["model"] in own["separate"]
            and "refused" not in each["costs"]
        ):
            assert each["costs"]["forward_instructions"] == pytest.approx(
                own["separate"][each["case"]["model"]], rel=0.02
            )


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!https?:)[^)#]+)\)", README))))
def test_every_link_leads_to_a_file(link):
    assert (ROOT / link).exists()
