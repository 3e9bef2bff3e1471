# SPDX-License-Identifier: MIT
"""A step taken in slices ends in the bits of a whole step, whatever is done between two slices."""

import sys
from pathlib import Path

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime, aligned

from ttzo.device_runtime.contract import DeviceError, Region
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export import plan_of

sys.path.append(str(Path(__file__).parents[1] / "vectors"))
from zoo_bits import rows_of

STEPS, BATCH, QUERIES = 2, 3, 4
# model, settings of the export, rows in the slices of a step
CASES = [
    ("digits", {"estimator": "cge"}, BATCH),
    ("digits", {"estimator": "cge", "cache": "int16"}, BATCH),
    ("digits", {"estimator": "node_cge", "update": "adam"}, BATCH),
    ("digits", {"estimator": "block_rge", "n_queries": QUERIES}, BATCH),
    ("digits", {"estimator": "cocd"}, BATCH),
    ("digits", {"estimator": "rge", "n_queries": QUERIES, "difference": "antithetic"}, BATCH * (1 + 2 * QUERIES)),
    ("digits", {"estimator": "rge", "n_queries": QUERIES, "difference": "one_sided"}, BATCH * (1 + QUERIES)),
    ("digits-conv", {"estimator": "cge"}, BATCH),
    ("digits-rnn", {"estimator": "cge"}, BATCH),  # a graph
    ("black-scholes", {"estimator": "rge", "n_queries": QUERIES, "difference": "one_sided"}, BATCH * (1 + QUERIES)),
    ("black-scholes", {"estimator": "subspace_gn"}, -1),  # one slice
]


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


def opened(core, plan, spare_rows=0):
    run = Runtime(core, plan, work_bytes(plan) + spare_rows * plan.row_bytes)
    if plan.pde is None:
        run.put(Region.batch, rows_of(plan).tobytes())
    return run, Region.batch if plan.pde is None else Region.collocation


def in_slices(run, region):
    """A step's result, and how many slices it took."""
    count, result = 0, None
    while result is None:
        result, count = run.slice(region), count + 1
    return result, count


def fields(result):
    return [getattr(result, name) for name, _ in result._fields_]


def left(run):
    return run.theta.tobytes(), run.moments.tobytes(), run.state


@pytest.mark.parametrize(("model", "settings", "rows"), CASES, ids=lambda each: str(each).replace(" ", ""))
def test_slices_end_in_the_bits_of_whole_steps(core, model, settings, rows):
    plan = plan_of(model, batch=BATCH, **settings)
    whole, region = opened(core, plan)
    cut, _ = opened(core, plan)
    for _ in range(STEPS):
        expected = whole.step(region)
        result, count = in_slices(cut, region)
        assert (fields(result), count) == (fields(expected), rows + 2)
        assert left(cut) == left(whole)


@pytest.mark.parametrize("estimator", ["cge", "rge"])
def test_parameters_may_be_read_and_other_rows_written_between_slices(core, estimator):
    plan = plan_of("digits", batch=BATCH, estimator=estimator)
    whole, region = opened(core, plan, spare_rows=1)
    cut, _ = opened(core, plan, spare_rows=1)
    before = cut.theta.tobytes()
    expected, result, count = whole.step(region), None, 0
    while result is None:
        assert cut.theta.tobytes() == before
        cut.put(Region.dataset, rows_of(plan)[:1].tobytes())
        result, count = cut.slice(region), count + 1
    assert count == 2 + BATCH * (1 if estimator == "cge" else result.evaluations)
    assert (fields(result), left(cut)) == (fields(expected), left(whole))


def disturbances(plan):
    rows = rows_of(plan).tobytes()
    return {
        "evaluate": lambda run: run.evaluate(Region.batch, 0, 1),
        "predict": lambda run: run.predict(0),
        "the batch again": lambda run: run.put(Region.batch, rows),
        "parameters": lambda run: run.put(Region.parameters, plan.parameters.tobytes()),
        "a staged write": lambda run: run.write(Region.moments, 0, bytes(4)),
        "the state": lambda run: run.set_state(run.state),
        "reset": lambda run: run.reset(),
        "another memory": lambda run: run.slice(Region.batch, aligned(run._running.size)),
    }


@pytest.mark.parametrize("name", disturbances(plan_of("digits")))
def test_what_disturbs_a_step_makes_it_begin_anew(core, name):
    """A disturbed step that went on would end in other bits: each disturbance writes where the estimate is made."""
    plan = plan_of("digits", batch=BATCH, estimator="cge")
    whole, region = opened(core, plan)
    cut, _ = opened(core, plan)
    whole.step(region)
    assert cut.slice(region) is None and cut.slice(region) is None
    disturbances(plan)[name](cut)
    count = in_slices(cut, region)[1]
    assert count == (BATCH + (1 if name == "another memory" else 2))
    assert left(cut) == left(whole)


def test_other_parameters_between_slices_count(core):
    plan = plan_of("digits", batch=BATCH, estimator="node_cge")
    other = (plan.parameters * np.float32(0.5)).tobytes()
    whole, region = opened(core, plan)
    cut, _ = opened(core, plan)
    whole.put(Region.parameters, other)
    whole.step(region)
    cut.slice(region)
    cut.put(Region.parameters, other)
    in_slices(cut, region)
    assert left(cut) == left(whole)


def test_a_whole_step_between_slices_is_a_step_of_its_own(core):
    plan = plan_of("digits", batch=BATCH, estimator="cge")
    whole, region = opened(core, plan)
    cut, _ = opened(core, plan)
    cut.slice(region)
    for each in (cut, whole, whole):
        each.step(region)
    in_slices(cut, region)
    assert left(cut) == left(whole) and cut.state.step == 2


def test_a_region_without_rows_is_refused_at_the_first_slice(core):
    run, _ = opened(core, plan_of("digits", batch=BATCH, estimator="cge"))
    run.write(Region.batch, 0, bytes(4))
    for region in (Region.dataset, Region.batch):
        with pytest.raises(DeviceError) as refused:
            run.slice(region)
        assert refused.value.name == "not_committed"
    assert run.theta.tobytes() == run.plan.parameters.tobytes()
