# SPDX-License-Identifier: MIT
"""Long work tells its progress, answers who asks meanwhile, and can be cancelled."""

import itertools
import time

import devices
import pytest
from devices import CODE, HELLO, LONG_STEP, STEP, Line, connect, error, fill, read_parameters, request, rows

from ttzo.device_runtime.contract import (
    LIMIT,
    MESSAGE,
    REPLY,
    Estimator,
    PhaseRecord,
    Region,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.training import Phase
from ttzo.exporter.writers.to_bundle import training_records
from ttzo.host_tools.device import link as link_module
from ttzo.host_tools.device.frames import BAD_FRAME, Frame, encode

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def busy(start):
    """A device with a step of LONG_STEP before it."""
    with start(LONG_STEP, memory.work_bytes(LONG_STEP)) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(LONG_STEP, LONG_STEP.batch))
        yield url


def until(line: Line, wanted) -> list[Frame]:
    """Frames up to the first that is `wanted`."""
    got = [line.frame()]
    while not wanted(got[-1]):
        got.append(line.frame())
    return got


def test_long_work_tells_its_progress(busy):
    with Line(busy) as line:
        line.send(encode(STEP))
        frames = [line.frame() for _ in range(3)]
        done = [REPLY["progress"].unpack(frame.payload) for frame in frames]
        assert {frame[:2] for frame in frames} == {(STEP.sequence, MESSAGE["progress"])}
        queries = -(-LIMIT["progress_macs"] // (LONG_STEP.batch * LONG_STEP.macs))
        since = [b.done - a.done for a, b in itertools.pairwise(done)]
        # native: looks whether it is time after 0.2 ms at the soonest, a few queries later
        assert all(queries <= n < 2 * queries for n in (done[0].done, *since))
        assert {d.total for d in done} == {1_000_001}
        line.send(encode(request(10, "cancel")))
        until(line, lambda frame: frame.code == MESSAGE["error"])


def test_a_coordinate_wise_step_tells_its_progress_by_what_it_computes(native_executable, tmp_path):
    plan = devices.dense_plan(64, 256, 10, batch=256, phases=(Phase(Estimator.cge),))
    with devices.native(native_executable, plan, tmp_path, "--work-bytes", str(memory.work_bytes(plan))) as url:
        with connect(url) as link:
            fill(link, Region.batch, rows(plan, plan.batch))
        with Line(url) as line:
            line.send(encode(STEP))
            *told, answer = until(line, lambda frame: frame.code == MESSAGE["step"])
    macs, told = REPLY["step"].unpack(answer.payload).macs, [REPLY["progress"].unpack(f.payload) for f in told]
    # a frame goes out where 20 million more are reached, at most a sample's work later
    each = LIMIT["progress_macs"]
    assert macs // (each + macs // plan.batch) <= len(told) <= macs // each
    assert len(told) > 1 and told == sorted(told, key=lambda t: t.done) and {t.total for t in told} == {plan.batch}


def test_what_arrives_during_work_is_answered_with_progress_and_not_carried_out(busy):
    with Line(busy) as line:
        line.send(encode(STEP))
        line.send(encode(STEP) + b"rubbish\0" + encode(request(77, "reset")) + encode(HELLO))
        until(line, lambda frame: frame == BAD_FRAME)
        assert until(line, lambda frame: frame.sequence == 77)[-1].code == MESSAGE["progress"]
        assert until(line, lambda frame: frame.sequence == 0)[-1].code == MESSAGE["progress"]
        line.send(encode(request(78, "cancel")))
        assert error(until(line, lambda frame: frame.code == MESSAGE["error"])[-1])[0] == CODE["cancelled"]
        assert error(line.ask(STEP))[0] == CODE["cancelled"], (
            "from store: a repeated frame does not begin the work again"
        )


def test_cancel_leaves_everything_as_it_was(busy):
    with connect(busy) as link:
        before = link.request("status"), read_parameters(link, LONG_STEP)
    with Line(busy) as line:
        line.send(encode(STEP))
        line.frame()
        line.send(encode(request(10, "cancel")))
        until(line, lambda frame: frame.code == MESSAGE["error"])
        assert line.ask(request(11, "cancel")) == Frame(11, MESSAGE["cancel"], b""), (
            "idle, it is a request like any other"
        )
    with connect(busy) as link:
        assert (link.request("status"), read_parameters(link, LONG_STEP)) == before


def test_control_c_cancels_the_step_and_goes_on(busy, monkeypatch):
    monkeypatch.setattr(link_module, "CANCEL_S", 60.0)  # more than a busy machine takes to let go

    def interrupt(done, total):
        raise KeyboardInterrupt

    with connect(busy) as link:
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            link.request("step", step=0, region=Region.batch, on_progress=interrupt)
        assert link.request("status")[0].state.step == 0
        assert time.monotonic() - started < link_module.CANCEL_S, "let go at once, not by running out of patience"


def test_who_comes_in_the_middle_of_a_step_is_answered_and_may_stop_it(busy):
    """As on a board: the host that asked for the step has died, the next one is neither kept waiting nor deaf."""
    with Line(busy) as line:
        line.send(encode(STEP))
        assert line.frame().code == MESSAGE["progress"]
    with Line(busy) as line:
        line.send(encode(HELLO))
        assert until(line, lambda frame: frame.sequence == HELLO.sequence)[-1].code == MESSAGE["progress"]
        line.send(encode(request(10, "cancel")))
        refusal = until(line, lambda frame: frame.code == MESSAGE["error"])[-1]
        assert (refusal.sequence, error(refusal)[0]) == (STEP.sequence, CODE["cancelled"])
        assert line.step_count() == 0


def test_progress_keeps_a_patient_host_waiting(busy):
    """The step lasts longer than the host would bear silence."""
    training, phase_0, phase_1 = training_records(LONG_STEP.training)
    with connect(busy) as link:
        calls = itertools.count()
        link.request(
            "configure", training=training, phase_0=PhaseRecord(**vars(phase_0) | {"n_queries": 2000}), phase_1=phase_1
        )
        reply, _ = link.request("step", step=0, region=Region.batch, timeout=5, on_progress=lambda *_: next(calls))
        assert reply.evaluations == 2001
        due = 2001 // -(-LIMIT["progress_macs"] // (LONG_STEP.batch * LONG_STEP.macs))
        assert due <= next(calls) <= due + link.repeats  # a repetition is answered by one more, on a busy machine
