# SPDX-License-Identifier: MIT
"""A device that lies: every lie has its sentence or is harmless, and no checkpoint holds what the device did not hold.
Every 25th lie here; all of them by `python tests/support/lying_device.py`."""

import itertools

import lying_device
import pytest
from bundles import small_plan, wave_plan

EVERY = 25
PLANS = {"small": small_plan, "wave": wave_plan}
LIES = [(plan, lie) for plan, make in PLANS.items() for lie in lying_device.all_lies(make())]
NAMED = {  # those that did harm once, and the words of their sentences
    "read every number = nan": "READ",
    "read every number = 0.0": "READ",
    "status.state.step = 4294967295": "4294967295",
    "evaluate.n_correct = 4294967295": "n_correct",
    "step PROGRESS 1/2 for ever": "without an end",
    "step PROGRESS that goes on for ever": "without an end",
    "error.error = 9999 for STEP": "9999",
    "hello.n_parameters = 4294967295": "n_parameters",
}


@pytest.fixture(autouse=True)
def impatient():
    with lying_device.impatient():
        yield


@pytest.mark.parametrize(("plan", "lie"), LIES[::EVERY], ids=lambda value: str(value))
def test_a_lie_reaches_no_checkpoint_and_has_its_sentence(plan, lie, tmp_path):
    outcome = lying_device.try_lie(lie, PLANS[plan](), tmp_path)
    assert not outcome.faults, outcome


@pytest.mark.parametrize("name", NAMED)
def test_a_lie_that_did_harm_once_is_refused_by_name(name, tmp_path):
    lie = next(lie for plan, lie in LIES if str(lie) == name and plan == "small")
    outcome = lying_device.try_lie(lie, small_plan(), tmp_path)
    assert not outcome.faults and NAMED[name] in outcome.sentence, outcome


@pytest.mark.parametrize("name", lying_device.BOARDS[:2])
def test_a_board_whose_name_holds_control_codes_trains_and_writes_readable_metrics(name, tmp_path):
    lie = next(lie for _, lie in LIES if repr(name) in str(lie))
    outcome = lying_device.try_lie(lie, small_plan(), tmp_path)
    assert outcome.told and not outcome.sentence and not outcome.faults, outcome
    metrics = (tmp_path / "run" / "metrics.csv").read_text()
    assert "\x1b" not in metrics and ("\\x1b" in metrics or "\\n" in metrics)


def test_an_honest_line_changes_nothing(tmp_path):
    honest = lying_device.Lie("nothing", "", "", lambda frame: [])
    outcome = lying_device.try_lie(honest, small_plan(), tmp_path)
    assert (outcome.told, outcome.sentence, outcome.faults) == (0, "", ())


def test_every_field_of_every_answer_is_lied_about():
    about = {(lie.message, lie.field) for _, lie in LIES if lie.field}
    told = {"hello", "status", "step", "read", "evaluate", "solution_error"}
    wanted = {(message, name) for message in told for name, _, _ in lying_device.fields(lying_device.REPLY[message])}
    assert wanted <= about
    assert len(LIES) > 400 and len(list(itertools.groupby(LIES, lambda pair: pair[0]))) == 2
