# SPDX-License-Identifier: MIT
"""Flash by the parts of the runtime: forecasts against recorded builds that the fit has not seen, on every core."""

import json
from pathlib import Path

import pytest

from ttzo.device_runtime.contract import Arithmetic, Part
from ttzo.exporter.costs import part_sizes
from ttzo.exporter.costs.memory import flash_items, require_room
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.measure import fit_part_sizes, part_builds

TESTS = Path(__file__).parents[1]
BUILDS = part_builds.read(TESTS / "vectors" / "part_builds.json")
ZOO = json.loads((TESTS / "vectors" / "zoo_counts.json").read_text(encoding="utf-8"))
CHECKED = json.loads((TESTS.parent / "docs" / "results" / "boards.json").read_text(encoding="utf-8"))["checks"]
NEAR = 0.03  # of what is counted anew whenever sizes move
NEAR_OLDER = 0.05  # the boards' table may be of another day
# Each with other parts.
CASES = (
    {"model": "digits"},
    {"model": "mnist-3898"},
    {"model": "names"},
    {"model": "digits-conv"},
    {"model": "black-scholes"},
    {"model": "hjb20"},
    {"model": "digits", "estimator": "node_cge"},
    {"model": "digits", "estimator": "hybrid"},
    {"model": "digits", "estimator": "sign_rge"},
    {"model": "digits", "estimator": "cge", "cache": "int16"},
    {"model": "digits", "arithmetic": "fused"},
    {"model": "motions", "estimator": "cocd"},
    {"model": "names-gpt", "estimator": "rge"},
)


def holds(plan, board, taken, near=NEAR):
    """The forecast against bytes of an image."""
    code, own = board.room.code(plan), sum(flash_items(plan).values())
    assert code.expected + own == pytest.approx(taken, rel=near)
    assert taken <= code.ceiling + own


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.values()))
def test_a_forecast_is_near_the_zoos_firmware_and_its_ceiling_above(case):
    (taken,) = (each["costs"]["flash_bytes"] for each in ZOO["cases"] if each["case"] == case)
    changes = {name: value for name, value in case.items() if name != "model"}
    board = boards.load(ZOO["board"])
    holds(plan_of(case["model"], room=board.room, batch=2, **changes), board, taken)


@pytest.mark.parametrize("model", ["digits", "names", "digits-conv", "black-scholes"])
def test_a_forecast_is_near_the_firmware_of_every_core_that_was_checked(model):
    checks = [each for each in CHECKED if each["model"] == model and "board" in each]
    assert len({boards.load(each["board"]).core for each in checks}) >= 7
    for each in checks:
        board = boards.load(each["board"])
        plan = plan_of(model, room=board.room, batch=4, arithmetic=each["arithmetic"])
        holds(plan, board, each["flash_bytes"], NEAR_OLDER)


def test_the_stored_sizes_are_what_the_fit_makes_of_the_stored_builds():
    main = None
    for board in map(boards.load, part_builds.BOARDS):
        made = fit_part_sizes.fit([each for each in BUILDS if each.core == board.core], main)
        assert part_sizes.stored()["cores"][board.core] == {"board": board.name} | made
        main = main or made["sizes"]


def test_no_counted_build_is_above_its_ceiling_and_each_part_was_counted_on_each_core():
    for board in map(boards.load, part_builds.BOARDS):
        own = [each for each in BUILDS if each.core == board.core]
        for each in own:
            parts = frozenset(Part[part] for part in each.parts)
            code = part_sizes.code_bytes(board.core, parts, Arithmetic[each.arithmetic])
            assert each.code_bytes <= code.ceiling
            assert code.expected == pytest.approx(each.code_bytes, rel=NEAR)
        counted = {part for each in own for part in each.parts}
        assert {part.name for part in set(Part) - {Part.key, Part.storage, Part.sparse}} - part_sizes.ALWAYS <= counted


def test_a_core_that_was_not_counted_takes_the_sizes_of_a_larger_one():
    assert boards.load("pico").core == "cortex-m0plus soft"
    assert part_sizes.counted_core("cortex-m0plus soft") == "cortex-m0 soft"
    assert part_sizes.counted_core("rv32imc soft") == "rv32imac soft"
    assert part_sizes.counted_core("cortex-m4 hard") == "cortex-m4 hard"
    hard = [name for name in part_sizes.stored()["cores"] if name.startswith("cortex") and name.endswith("hard")]
    assert part_sizes.counted_core("cortex-a5 hard") == max(hard, key=part_sizes.base_bytes)


def test_a_flash_too_small_for_the_firmware_says_how_to_make_it_smaller():
    board, plan = boards.load("netduinoplus2"), plan_of("digits")
    taken = board.room.code(plan).expected + sum(flash_items(plan).values())
    require_room(plan, board.model_copy(update={"flash_bytes": taken}).room)
    with pytest.raises(PlanError, match="largest part is the firmware") as error:
        require_room(plan, board.model_copy(update={"flash_bytes": taken - 1}).room)
    assert "--estimator rge" in error.value.hint
    smaller = board.room.code(plan_of("digits", estimator="rge")).expected
    assert smaller < 0.8 * board.room.code(plan).expected


def test_a_board_file_that_knows_its_firmware_better_is_believed():
    board = boards.load("netduinoplus2").model_copy(update={"code_bytes": 70_000})
    assert board.room.code(plan_of("digits")) == part_sizes.CodeBytes(70_000, 70_000)
