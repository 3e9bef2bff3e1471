# SPDX-License-Identifier: MIT
"""The guard says when a run has gone astray, not when its losses are noisy, and says the same to whoever shows it the
same losses; a run goes back to its best parameters, and to the same bits when it is cut anywhere."""

import dataclasses
import math

import numpy as np
import pytest
from bundles import small_plan, write_bundle

from ttzo.device_runtime.contract import Activation, ExitCode, Loss
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.data_options import DataOptions
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import open_device, read_bundle
from ttzo.host_tools.training import checkpoint, metrics
from ttzo.host_tools.training.checkpoint import Generation
from ttzo.host_tools.training.guard import HALVINGS, WINDOW, Guard, Kind, Verdict
from ttzo.host_tools.training.measurement import guard_of
from ttzo.host_tools.training.run import Diverged, Interrupted, SessionError
from ttzo.host_tools.training.session import train


def shown(guard, losses, start=0):
    """Verdicts other than go_on, by step."""
    found = {}
    for step, loss in enumerate(losses, start + 1):
        guard.add(float(loss))
        mean = guard.window_mean(step, is_last=False)
        verdict = Verdict.go_on if mean is None else guard.judge(step, mean)
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


def test_validation_rows_alone_are_judged_where_there_are_any():
    guard = Guard(math.log(10))
    verdicts = []
    for step, (batch, validation) in enumerate([(2.3, 2.2), (0.5, 2.1), (90.0, 2.0), (0.1, 9.0)], 1):
        guard.add(batch)
        verdicts.append(guard.judge(step, validation))
    assert verdicts == [Verdict.keep, Verdict.keep, Verdict.keep, Verdict.go_back]
    assert (guard.events[0].back_to, guard.events[0].loss, guard.rate) == (3, 9.0, 0.5)


def row(step, loss=None, judged=None, event=None):
    return {"step": float(step), "loss": loss, "judged": judged, "event": event}


def rows_of(losses, non_finite_after=()):
    """A guard that has seen the losses, and what a metrics file would hold of it."""
    guard, rows = Guard(1.0), []
    for step, loss in enumerate(map(float, losses), 1):
        guard.add(loss)
        judged = guard.window_mean(step, is_last=False)
        before = len(guard.events)
        if judged is not None:
            guard.judge(step, judged)
        rows.append(row(step, loss, judged))
        if step in non_finite_after:
            guard.went_astray(step)
        rows += [row(event.step, judged=event.loss, event=float(event.kind)) for event in guard.events[before:]]
    return guard, rows


@pytest.mark.parametrize("cut", [1, 60, 180, 250, 251, 299, 300, 400])
def test_a_guard_that_is_shown_the_metrics_file_goes_on_as_the_one_that_wrote_it(cut):
    losses = [*falling(170), *np.geomspace(0.2, 1e5, 130), *falling(200)]
    whole, rows = rows_of(losses, non_finite_after=(120, 250, 310))
    again = Guard(1.0)
    again.replay([each for each in rows if each["step"] <= cut])
    again.replay([each for each in rows if each["step"] > cut])
    assert len(whole.events) > 3 and {event.loss is None for event in whole.events} == {True, False}
    assert vars(again) == vars(whole)


def judged(guard, losses):
    """Verdicts on looks at validation rows; None: one that is not asked for."""
    return [guard.judge(step, loss) for step, loss in enumerate(losses, 1)]


def test_a_loss_that_stands_still_above_what_can_be_learned_halves_a_constant_rate():
    """The README's first example at its second rate: it stood between 1.03 and 1.1 for half of the run."""
    losses = [2.0, 1.28, 1.20, 1.13, 1.12, 1.03, 1.03, 1.10, 1.10, 1.09, 1.03, 1.07]
    constant, falling_rate = Guard(math.log(10), may_stand_still=False), Guard(math.log(10))
    for guard in (constant, falling_rate):
        guard.add(2.3)
        judged(guard, losses)
    (event,) = constant.events
    assert (event.kind, event.back_to, constant.rate) == (Kind.stood_still, 7, 0.5) and not falling_rate.events


@pytest.mark.parametrize("rows", [10, 1000])
def test_fewer_rows_may_be_further_off_by_chance(rows):
    guard = Guard(1.0, rows=rows)
    guard.add(1.0)
    found = judged(guard, [0.5, 0.9])
    assert found == [Verdict.keep, Verdict.go_on if rows == 10 else Verdict.go_back]


def test_a_network_that_overfits_ends_at_its_best_and_one_that_is_lost_as_diverged():
    for climbed, ended in ((0.9, Kind.stopped_early), (3.0, Kind.gave_up)):
        guard = Guard(1.0)
        guard.add(1.0)
        judged(guard, [0.4] + [climbed] * (HALVINGS + 1))
        assert [event.kind for event in guard.events] == [Kind.halved] * HALVINGS + [ended]
        assert guard.events[-1].back_to == 1 and guard.has_ended == (ended == Kind.stopped_early)
        assert (guard.divergence(HALVINGS + 2) is None) == (ended == Kind.stopped_early)


# ---- runs ------------------------------------------------------------------------------------------------------------

STEPS = 40


def unbounded_plan(steps=STEPS):
    """6-8-3 whose loss has no bound: a large rate makes it climb."""
    plan = small_plan()
    last = dataclasses.replace(plan.layers[-1], activation=Activation.identity)
    plan = plan.with_layers((*plan.layers[:-1], last))
    return plan.with_training(dataclasses.replace(plan.training, steps=steps))


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", unbounded_plan())


def trained(bundle, folder, said=None, source="rows.npz", options=None, **settings):
    """A run on a fresh device: its result, and the parameters on the device."""
    rows = data_set.load(bundle / source, read_bundle(bundle), options)
    with open_device("numpy:", bundle) as device:
        run = train(device, rows, folder, say=(said if said is not None else []).append, **settings)
        return run, device.parameters(), device.settings()


def stop_at(step):
    def report(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return report


WILD = {"lr": (4.0,)}  # steps that throw this network's parameters far away; half of it twice does not


def test_a_run_that_goes_astray_goes_back_halves_its_rate_says_so_and_learns(bundle, tmp_path):
    said = []
    run, _, settings = trained(bundle, tmp_path / "run", said, changes=WILD)
    halved = [event for event in run.events if event.kind == Kind.halved]
    assert 0 < len(halved) < HALVINGS
    assert settings.phases[0].learning_rate == 4 * 0.5 ** len(halved)
    assert sum("on with half the learning rate" in text for text in said) == len(halved)
    kept = [row["step"] for row in metrics.read(tmp_path / "run" / "metrics.csv")]
    assert kept == list(range(1, STEPS + 1))  # events are no steps


@pytest.mark.parametrize("has_validation", [True, False])
def test_a_run_cut_before_at_or_after_an_event_ends_in_the_same_bits(bundle, tmp_path, has_validation):
    options = None if has_validation else DataOptions(validation=0.0)
    changes = WILD if has_validation else {"lr": 1.0}
    whole, parameters, settings = trained(bundle, tmp_path / "whole", options=options, changes=changes)
    (first, *_), text = whole.events, (tmp_path / "whole" / "metrics.csv").read_text()
    for cut in {max(1, first.step - 1), first.step, first.step + 1, whole.events[-1].step + 1}:
        folder = tmp_path / f"cut-{cut}"
        with pytest.raises(Interrupted):
            trained(bundle, folder, options=options, changes=changes, report=stop_at(cut))
        run, again, in_force = trained(bundle, folder, options=options, changes=changes)  # the same command
        assert np.array_equal(again, parameters) and in_force == settings and run.events == whole.events
        assert numbers((folder / "metrics.csv").read_text()) == numbers(text)


def numbers(text):
    """The lines of a metrics file without times, checksums and heads."""
    at = metrics.COLUMNS.index("seconds")
    lines = [line.split(",")[:-1] for line in text.splitlines() if not line.startswith("#")]
    return [line[:at] + line[at + 1 :] for line in lines]


def test_a_step_that_is_not_finite_goes_back_too_and_the_end_has_its_exit_code(bundle, tmp_path):
    said = []
    with pytest.raises(Diverged, match="the run has diverged") as caught:
        trained(bundle, tmp_path / "run", said, changes={"lr": 1e38})
    assert caught.value.exit_code == ExitCode.diverged and "smaller --lr" in caught.value.hint
    assert sum("back to the parameters" in text for text in said) == HALVINGS + 1 and "not finite" in said[0]
    run, _, _ = trained(bundle, tmp_path / "run", said, changes={"lr": 0.05})  # goes on from the parameters it kept
    assert run.step == STEPS and run.events[-1].kind == Kind.new_rate and "learning rate 0.05 from step" in said[-1]


def test_a_rate_that_the_same_command_names_again_stays_halved(bundle, tmp_path):
    with pytest.raises(Interrupted):
        trained(bundle, tmp_path / "run", changes=WILD, report=stop_at(STEPS - 1))
    run, _, settings = trained(bundle, tmp_path / "run", changes=WILD)
    assert settings.phases[0].learning_rate < 4 and Kind.new_rate not in {event.kind for event in run.events}


def test_patience_ends_a_run_early_and_the_same_command_leaves_it_there(bundle, tmp_path):
    said, slow = [], {"lr": 1e-9}  # too slow for the validation loss to fall
    run, parameters, _ = trained(bundle, tmp_path / "run", said, changes=slow, patience=3)
    losses = [row["validation_loss"] for row in metrics.read(tmp_path / "run" / "metrics.csv")]
    assert len([loss for loss in losses if loss is not None]) == 3 and run.step == 3 * (STEPS // 20)
    assert f"stopped after step {run.step}" in said[-1] and run.events[-1].kind == Kind.stopped_early
    again, same, _ = trained(bundle, tmp_path / "run", changes=slow, patience=3)
    assert (again.step, again.resumed_from) == (run.step, run.step) and np.array_equal(same, parameters)
    assert again.events == run.events


def test_the_best_parameters_are_kept_when_they_are_asked_for(bundle, tmp_path):
    settings = {"changes": {"lr": 0.2, "seed": 1}, "keep": Generation.best}
    run, parameters, _ = trained(bundle, tmp_path / "run", **settings)
    best = checkpoint.load(tmp_path / "run" / "best.npz", read_bundle(bundle))
    assert best.state.step < STEPS == run.step and run.events[-1].kind == Kind.kept_best
    assert np.array_equal(parameters, best.parameters)
    assert run.validation.loss == pytest.approx(best.measured, rel=1e-8)  # nine digits in the file
    again, same, _ = trained(bundle, tmp_path / "run", **settings)
    assert again.resumed_from == STEPS and np.array_equal(same, parameters) and again.test == run.test


@pytest.mark.parametrize("settings", [{"patience": 2}, {"keep": Generation.best}])
def test_without_validation_rows_nothing_is_chosen_by_them(bundle, tmp_path, settings):
    with pytest.raises(SessionError, match="no validation rows") as caught:
        trained(bundle, tmp_path / "run", options=DataOptions(validation=0.0), **settings)
    assert "--validation 0.1" in caught.value.hint and not (tmp_path / "run").exists()


def table_of(plan, y_train, y_validation):
    x, v = (np.zeros((len(y), plan.in_features), np.float32) for y in (y_train, y_validation))
    return DataSet("rows", x, y_train, v[:0], y_validation[:0], v, y_validation)


def test_the_constant_answer_is_judged_on_the_rows_that_the_guard_looks_at():
    """Eleven validation rows of a small table may lie far out: a network that has not begun to learn is not astray there."""
    plan = dataclasses.replace(small_plan(), loss=Loss.mse)
    near, far = np.tile(np.float32([[-1], [1]]), (1, plan.out_features)), np.full((2, plan.out_features), 3, np.float32)
    for validation, wanted in ((far, 9.0), (near / 2, 1.0)):  # squares of 3 and of the training rows
        data = table_of(plan, near, validation)
        assert guard_of(plan, data, plan.training, data.validation_rows).constant == wanted
    assert guard_of(plan, table_of(plan, near, far), plan.training, None).constant == 1.0


def test_the_shares_of_the_training_rows_answer_for_classes():
    plan = small_plan()
    train, rare = np.array([0, 0, 0, 1]), np.array([1, 1])
    data = table_of(plan, train, rare)
    assert math.isclose(guard_of(plan, data, plan.training, data.validation_rows).constant, math.log(4))
    own = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    unknown = table_of(plan, train, np.array([2]))  # a class that no training row has says nothing
    assert math.isclose(guard_of(plan, unknown, plan.training, unknown.validation_rows).constant, own)
