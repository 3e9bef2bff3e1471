# SPDX-License-Identifier: MIT
"""A step asks its caller often enough for a watchdog, and can be given up at each question without a trace."""

import pytest
from devices import dense_plan, rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import DeviceError, Difference, Estimator, Region
from ttzo.exporter.plan.training import Phase

QUERIES = 5
PLANS = {
    "one_sided": dense_plan(3, 5, 2, phases=(Phase(n_queries=QUERIES),)),
    "antithetic": dense_plan(3, 5, 2, phases=(Phase(n_queries=QUERIES, difference=Difference.antithetic),)),
    "cge": dense_plan(3, 5, 2, phases=(Phase(Estimator.cge),)),
}
# after each loss evaluation, then after each direction that is added; `cge`: after each layer of a row, and after the row
QUESTIONS = {"one_sided": 1 + QUERIES + QUERIES, "antithetic": 1 + 2 * QUERIES + QUERIES, "cge": 4 * (2 + 1)}


def opened(c_library, name):
    plan = PLANS[name]
    run = Runtime(c_library(*CORE, extra=RUN), plan)
    run.put(Region.batch, rows(plan, plan.batch))
    return run


def left(run):
    return run.theta.tobytes(), run.moments.tobytes(), run.state


@pytest.mark.parametrize("name", PLANS)
def test_a_step_that_is_given_up_at_any_question_is_as_if_never_begun(c_library, name):
    clean, run = opened(c_library, name), opened(c_library, name)
    clean.step(Region.batch)
    before, asked = left(run), []
    for given_up_at in range(1, QUESTIONS[name] + 1):
        asked.clear()
        run.poll_with(lambda *question, at=given_up_at: asked.append(question) or len(asked) < at)
        with pytest.raises(DeviceError, match="cancel"):
            run.step(Region.batch)
        assert len(asked) == given_up_at and left(run) == before
    asked.clear()
    run.poll_with(lambda *question: asked.append(question) or True)
    run.step(Region.batch)
    assert len(asked) == QUESTIONS[name] and left(run) == left(clean)
    assert all(0 <= done <= total for done, total in asked)
