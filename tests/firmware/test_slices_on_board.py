# SPDX-License-Identifier: MIT
"""A firmware that trains in slices: built, in the bits of whole steps, within the stack that the build forecasts."""

import numpy as np
import pytest
from firmware import needs_compiler, write_bundle

from ttzo.device_runtime.contract import Region
from ttzo.exporter.export import plan_of
from ttzo.host_tools.firmware import boards, build

pytest.importorskip("unicorn", reason="needs the extra `bench`")

BATCH = 4
BOARD = boards.load("mps2-an386")
MAIN = """
#include "serial.h"
#include "link/link.h"
extern const struct ttzo_model ttzo_model;
extern uint8_t ttzo_work_start[], ttzo_work_end[];
static struct ttzo_trainer trainer;
static struct ttzo_link link;
static struct ttzo_running_step running;
int one_slice(uint32_t *detail);
__attribute__((noinline, used)) int one_slice(uint32_t *detail)
{
    struct ttzo_step_result result;
    bool stepped;
    return (int)ttzo_step_slice(&trainer, &running, TTZO_REGION_BATCH, &result, &stepped, detail);
}
int main(void)
{
    uint32_t detail = 0;
    size_t size = (size_t)((uintptr_t)ttzo_work_end - (uintptr_t)ttzo_work_start);
    enum ttzo_error error = ttzo_open(&trainer, &ttzo_model, ttzo_work_start, size, &detail);
    (void)ttzo_link_init(&link, &ttzo_uart_port, &trainer, TTZO_BOARD, error, detail);
    for (;;) {
        ttzo_link_poll(&link);
        (void)one_slice(&detail);
    }
}
"""


@needs_compiler
def test_slices_give_the_bits_of_a_step_within_the_forecast_stack(monkeypatch, tmp_path):
    from ttzo.host_tools.measure.bench import put_batch
    from ttzo.host_tools.measure.instruction_count import Machine

    plan = plan_of("digits", batch=BATCH, estimator="node_cge")
    rows = np.random.default_rng(5).integers(0, 17, (BATCH, plan.row_bytes)).astype(np.uint8)
    rows[:, plan.in_features + 1] = 0  # the upper byte of a class
    rows[:, plan.in_features] %= 10
    whole = build.build(write_bundle(tmp_path / "bundle", plan), BOARD)
    machine = Machine(BOARD, whole)
    put_batch(machine, rows)
    with machine.counting() as step:
        machine.call("ttzo_step", machine.trainer, Region.batch, machine.host)
    theta = machine.field_offset("struct ttzo_trainer", "theta")

    def parameters(of):
        place = int.from_bytes(of.read(of.trainer + theta, 4), "little")
        return of.read(place, 4 * plan.n_parameters)

    expected = parameters(machine)
    (tmp_path / "main.c").write_text(MAIN)
    usual = build._firmware_sources
    own = tmp_path / "main.c"
    monkeypatch.setattr(build, "_firmware_sources", lambda *a: [own if p.name == "main.c" else p for p in usual(*a)])
    report = build.build(write_bundle(tmp_path / "sliced", plan), BOARD)
    machine = Machine(BOARD, report)
    put_batch(machine, rows)
    longest = 0
    for _ in range(BATCH + 2):
        assert parameters(machine) != expected
        with machine.counting() as slice_:
            machine.call("one_slice")
        longest = max(longest, slice_.instructions)
    assert parameters(machine) == expected
    assert machine.stack_bytes() <= report.stack_bytes <= BOARD.stack_bytes
    assert longest < step.instructions / 2  # one layer of units takes a third of a step by node_cge
