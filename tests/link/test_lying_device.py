# SPDX-License-Identifier: MIT
"""A device that lies: every lie has its sentence or is harmless, and no checkpoint holds what the device did not hold.
Every 25th lie here; all of them by `python tests/support/lying_device.py`."""

import dataclasses
import itertools

import lying_device
import pytest
from bundles import small_plan, wave_plan

from ttzo.host_tools.device import round_trips

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
    "hello.n_parameters = 0": "n_parameters",
    "hello.n_parameters = 4294967295": "n_parameters",
}


@pytest.fixture(scope="module")
def honest():
    return {plan: lying_device.waits_of_an_honest_run(make()) for plan, make in PLANS.items()}


@pytest.mark.parametrize(("plan", "lie"), LIES[::EVERY], ids=lambda value: str(value))
def test_a_lie_reaches_no_checkpoint_and_has_its_sentence(plan, lie, tmp_path, honest):
    outcome = lying_device.try_lie(lie, PLANS[plan](), tmp_path, honest[plan])
    assert not outcome.faults, outcome


@pytest.mark.parametrize("name", NAMED)
def test_a_lie_that_did_harm_once_is_refused_by_name(name, tmp_path, honest):
    lie = next(lie for plan, lie in LIES if str(lie) == name and plan == "small")
    outcome = lying_device.try_lie(lie, small_plan(), tmp_path, honest["small"])
    assert not outcome.faults and NAMED[name] in outcome.sentence, outcome


@pytest.mark.parametrize("name", lying_device.BOARDS[:2])
def test_a_board_whose_name_holds_control_codes_trains_and_writes_readable_metrics(name, tmp_path):
    lie = next(lie for _, lie in LIES if repr(name) in str(lie))
    outcome = lying_device.try_lie(lie, small_plan(), tmp_path)
    assert outcome.told and not outcome.sentence and not outcome.faults, outcome
    metrics = (tmp_path / "run" / "metrics.csv").read_text()
    assert "\x1b" not in metrics and ("\\x1b" in metrics or "\\n" in metrics)


def test_a_wait_that_does_not_end_is_seen(tmp_path, monkeypatch, honest):
    """Of a host that lets each PROGRESS prolong its wait."""
    monkeypatch.setattr(round_trips.Wait, "begin_anew", lambda wait: vars(wait).update(until=float("inf")))
    lie = next(lie for _, lie in LIES if str(lie) == "step PROGRESS that goes on for ever")
    outcome = lying_device.try_lie(lie, small_plan(), tmp_path, honest["small"])
    assert any("longer than its time" in fault for fault in outcome.faults), outcome


def test_more_time_or_more_requests_than_an_honest_run_has_are_seen(honest):
    kept = honest["small"]
    lying = dataclasses.replace(kept, limit=kept.limit + 1, count=4 * kept.count)
    assert len(list(lying_device.waited_too_long(lying, kept))) == 2
    assert not list(lying_device.waited_too_long(kept, kept))


def test_every_field_of_every_answer_is_lied_about():
    about = {(lie.message, lie.field) for _, lie in LIES if lie.field}
    told = {"hello", "status", "step", "read", "evaluate", "solution_error"}
    wanted = {(message, name) for message in told for name, _, _ in lying_device.fields(lying_device.REPLY[message])}
    assert wanted <= about
    assert len(LIES) > 400 and len(list(itertools.groupby(LIES, lambda pair: pair[0]))) == 2
