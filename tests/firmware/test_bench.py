# SPDX-License-Identifier: MIT
"""Counted instructions, and the firmware's bits in the emulated core."""

import dataclasses
import shutil
import struct

import numpy as np
import pytest
from bundles import wave_plan
from c_library import FUSED
from graphs import random_graph
from plans import random_plan, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import Arithmetic, Derivative, Estimator, Loss, Region
from ttzo.exporter.plan.training import REUSING, Phase, Training
from ttzo.host_tools.firmware import boards

pytest.importorskip("unicorn", reason="needs the extra `bench`")
pytestmark = pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="needs the Arm cross compiler")

BOARD = "mps2-an386"


def tt_plan(arithmetic: Arithmetic, estimator: Estimator = Estimator.rge):
    """Random layers of which two are cut and, where the estimator takes it, one is a convolution."""
    for seed in range(1000):
        plan = random_plan(
            np.random.default_rng(seed),
            Training((Phase(estimator, n_queries=2),)),
            batch=3,
            loss=Loss.cross_entropy,
        )
        if sum(layer.contraction > 0 for layer in plan.layers) < 2:
            continue
        if estimator in REUSING or any(layer.gather for layer in plan.layers):
            return dataclasses.replace(plan, arithmetic=arithmetic)
    raise AssertionError("no seed gives such a plan")


@pytest.mark.parametrize(
    "flags",
    [("-DTTZO_TILE=1",), ("-DTTZO_TILE=2",), ("-Os", "-DTTZO_COMPACT=1")],
    ids=["portable", "assembly", "size"],
)
@pytest.mark.parametrize("arithmetic", Arithmetic)
@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.cge, Estimator.node_cge])
def test_a_cortex_m4f_trains_to_the_bits_of_this_machine(tmp_path, c_library, estimator, arithmetic, flags):
    from ttzo.host_tools.measure import bench
    from ttzo.host_tools.measure.instruction_count import Machine

    plan, board = tt_plan(arithmetic, estimator), boards.load(BOARD)
    rows = random_rows(np.random.default_rng(1), plan, plan.batch)
    native = Runtime(c_library(*CORE, extra=RUN, flags=FUSED if arithmetic == Arithmetic.fused else ()), plan)
    native.put(Region.batch, rows.tobytes())
    machine = Machine(board, bench.firmware(tmp_path / "made", plan, board, flags))
    bench.put_batch(machine, rows)
    for _ in range(3):
        native.step(Region.batch)
        machine.call("ttzo_step", machine.trainer, Region.batch, machine.host)
    machine.call("ttzo_read", machine.trainer, Region.parameters, 0, 4 * plan.n_parameters, machine.host)
    place = struct.unpack("<I", machine.read(machine.host, 4))[0]
    assert machine.read(place, 4 * plan.n_parameters) == native.theta.tobytes()


def test_counts_are_exact_and_tiles_take_fewer_instructions_than_plain_loops(tmp_path):
    from ttzo.host_tools.measure import bench

    plan, board = tt_plan(Arithmetic.separate), boards.load(BOARD)
    rows = random_rows(np.random.default_rng(1), plan, plan.batch)
    first, second = (bench.board_cost(plan, board, rows) for _ in range(2))
    assert first == second
    assert first.evaluation.macs == plan.batch * plan.macs + sum(layer.prepare_macs for layer in plan.layers)
    assert first.gradient.instructions < first.step.instructions
    assert 3 * first.evaluation.instructions < first.gradient.instructions  # one evaluation and two queries
    assert sum(first.evaluation.by_function.values()) <= first.evaluation.instructions


@pytest.mark.parametrize("derivative", [Derivative.jet, Derivative.compensated_jet])
def test_a_residual_s_instructions_are_counted_alone(tmp_path, derivative):
    """A step takes nine evaluations of 20 rows, all about as long, and the same when it is counted again."""
    from ttzo.host_tools.measure import bench
    from ttzo.host_tools.measure.instruction_count import Machine

    plan, board = wave_plan(), boards.load(BOARD)
    plan = dataclasses.replace(plan, pde=dataclasses.replace(plan.pde, derivative=derivative))
    first = bench.residual_cost(plan, board)
    machine = Machine(board, bench.firmware(tmp_path / "made", plan, board))
    with machine.counting() as step:
        machine.call("ttzo_step", machine.trainer, Region.collocation, machine.host)
    assert 1 < step.instructions / (9 * plan.batch * first.residual.instructions) < 1.3
    assert sum(first.residual.by_function.values()) <= first.residual.instructions
    assert first.step.instructions == step.instructions


def test_a_rate_leaves_start_and_end_out():
    from ttzo.host_tools.measure import bench_host

    assert bench_host._rate(lambda n: 0.3 + 0.004 * n) == pytest.approx(250)


def test_a_graph_is_counted_too(tmp_path):
    from ttzo.host_tools.measure import bench

    phase = Phase(Estimator.rge, n_queries=2)
    plan, board = random_graph(np.random.default_rng(3), Training((phase,))), boards.load(BOARD)
    cost = bench.board_cost(plan, board, random_rows(np.random.default_rng(1), plan, plan.batch))
    assert (cost.contractions, cost.forward.macs, cost.evaluation.macs) == ((), plan.macs, plan.batch * plan.macs)
    assert cost.gradient.macs == 3 * cost.evaluation.macs  # at theta and two directions
    assert plan.macs < cost.forward.instructions < cost.evaluation.instructions < cost.gradient.instructions
