# SPDX-License-Identifier: MIT
"""The guard says when a run has gone astray, not when its losses are noisy, and says the same to whoever shows it the
same losses."""

import math

import numpy as np
import pytest

from ttzo.host_tools.training.guard import HALVINGS, WINDOW, Guard, Verdict


def shown(guard, losses, start=0):
    """Verdicts other than go_on, by step."""
    found = {}
    for step, loss in enumerate(losses, start + 1):
        verdict = guard.see(step, float(loss))
        if verdict != Verdict.go_on:
            found[step] = verdict
    return found


def falling(n=500, start=2.5, end=0.05, noise=0.5, seed=0):
    """Losses of a run that learns, each off by a factor whose logarithm is normal."""
    rng = np.random.default_rng(seed)
    return np.geomspace(start, end, n) * np.exp(noise * rng.standard_normal(n))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("constant", [None, math.log(10)])
def test_a_noisy_run_that_learns_is_left_alone_and_its_best_windows_are_kept(seed, constant):
    found = shown(Guard(constant), falling(seed=seed))
    assert set(found.values()) == {Verdict.keep} and max(found) == 500


def test_a_run_that_stands_still_is_left_alone():
    rng = np.random.default_rng(0)
    assert Verdict.go_back not in shown(Guard(math.log(10)), 2.4 + 0.3 * rng.standard_normal(2000)).values()


def test_a_loss_that_climbs_goes_back_to_the_best_window():
    """The README's first example: 1.2, then up to 4.5."""
    losses = [*np.geomspace(2.5, 1.2, 200), *np.linspace(1.2, 4.5, 400)]
    guard = Guard(math.log(10))
    found = shown(guard, losses)
    first = next(step for step, verdict in found.items() if verdict == Verdict.go_back)
    assert first <= 400 and guard.events[0].back_to == 200 and guard.events[0].loss < 3


def test_a_run_that_explodes_at_once_goes_back_to_its_start():
    guard = Guard(1.0)
    assert shown(guard, np.geomspace(1, 1e30, WINDOW)) == {WINDOW: Verdict.go_back}
    assert guard.events[0].back_to == 0 and guard.rate == 0.5


def test_it_gives_up_after_so_many_halvings():
    guard = Guard(1.0)
    found = shown(guard, [1.0] + [math.inf] * (WINDOW * (HALVINGS + 1) - 1))
    assert list(found.values()) == [Verdict.go_back] * HALVINGS + [Verdict.give_up]
    assert guard.rate == 0.5**HALVINGS


def test_a_step_that_is_not_finite_goes_back_wherever_it_comes():
    guard = Guard(2.0)
    shown(guard, falling(120))
    assert guard.went_astray(120) == Verdict.go_back and guard.events[0].back_to == 100 and guard.events[0].loss is None


def test_the_same_losses_shown_to_a_new_guard_give_the_same_events():
    losses = [*falling(170), *np.geomspace(0.2, 1e5, 130), *falling(200)]
    whole, again = Guard(1.0), Guard(1.0)
    shown(whole, losses)
    shown(again, losses[:260])
    shown(again, losses[260:], 260)
    assert whole.events == again.events and whole.events and whole.kept_step == again.kept_step
