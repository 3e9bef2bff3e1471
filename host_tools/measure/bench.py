# SPDX-License-Identifier: MIT
"""What a model costs on a board: instructions, multiply-accumulates, memory; and this machine against torch.

Instructions are counted exactly, in the firmware's own image (instruction_count.py). The same firmware with plain loops
in place of the tiles (TTZO_TILE=0) is counted in the same run, and so is brute force: a loss evaluation for each
parameter.
"""

import dataclasses
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Region
from ttzo.exporter.costs import memory
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files
from ttzo.host_tools.device.device import BUNDLE, open_device
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.firmware.build import BuildReport, build
from ttzo.host_tools.measure.instruction_count import BudgetSpent, Machine, Tally
from ttzo.host_tools.reference.number.random import batch_rows

STEP_BUDGET = 3_000_000_000  # instructions; a step that takes more is not run to its end
PLAIN, PORTABLE = ("-DTTZO_TILE=0",), ("-DTTZO_TILE=1",)


@dataclass(frozen=True)
class Cost:
    """Instructions executed for so many multiply-accumulates; `by_function` holds the largest shares."""

    instructions: int
    macs: int
    by_function: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def per_mac(self) -> float:
        return self.instructions / self.macs


@dataclass(frozen=True)
class BoardCost:
    """One model on one board. A loss evaluation is one batch at one parameter vector; gradient and step are those of
    the first training phase, None when they take more than `STEP_BUDGET`."""

    model: str
    board: str
    arithmetic: str
    cache: str  # of estimators that share environments
    estimator: str
    contractions: tuple[int, ...]  # of a chain's layers; a graph's are contracted core by core
    n_parameters: int
    batch: int
    forward: Cost
    evaluation: Cost
    gradient: Cost | None
    step: Cost | None
    brute_force: Cost  # a coordinate-wise gradient by one evaluation for each parameter: evaluation x (parameters + 1)
    portable_evaluation: Cost  # with the tile in C
    plain_forward: Cost  # core by core with plain loops
    plain_evaluation: Cost
    flash_bytes: int
    work_bytes: int
    static_bytes: int
    stack_bytes: int

    @property
    def ram_bytes(self) -> int:
        """All RAM that is used: work buffer, variables, and the stack as deep as it was seen."""
        return self.work_bytes + self.static_bytes + self.stack_bytes

    def as_json(self) -> dict:
        made = dataclasses.asdict(self) | {"ram_bytes": self.ram_bytes}
        for name, value in made.items():
            if isinstance(value, dict) and "macs" in value:
                made[name] = value | {"per_mac": round(value["instructions"] / value["macs"], 4)}
        return made


@dataclass(frozen=True)
class ResidualCost:
    """One residual of an equation on one board, with all derivatives that it takes, at the first point of the first step,
    and a whole step. A loss evaluation takes `batch` residuals."""

    model: str
    board: str
    arithmetic: str
    derivative: str
    n_parameters: int
    batch: int
    residual: Cost  # its multiply-accumulates are those of the derivatives' forward passes, about
    step: Cost | None  # the first one; None when it takes more than `STEP_BUDGET`
    flash_bytes: int
    work_bytes: int

    def as_json(self) -> dict:
        return dataclasses.asdict(self)


def trained(plan: Plan, rows: np.ndarray, steps: int) -> Plan:
    """The plan after so many training steps on this machine, on the rows in the order of training: what is zero in a
    trained network costs nothing, and the count should say so."""
    if steps == 0:
        return plan
    with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
        (Path(folder) / BUNDLE).write_bytes(to_bundle.write(plan))
        with open_device("native:", folder) as device:
            for step in range(steps):
                device.write_batch(rows[batch_rows(plan.training.seed, step, plan.batch, len(rows))])
                device.step(Region.batch)
            return dataclasses.replace(plan, parameters=device.parameters())


# ---- on a board -----------------------------------------------------------------------------------------------------


def board_cost(plan: Plan, board: Board, rows: np.ndarray) -> BoardCost:
    """Counts `plan` on `board` with the training rows `rows`, uint8 [>= batch, row_bytes]. Raises what `build` raises."""
    with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
        report = firmware(Path(folder) / "tiles", plan, board)
        machine = _machine(report, plan, board, rows)
        forward, evaluation = _forward(machine, plan), _evaluation(machine, plan)
        gradient, step = _step(machine, plan, rows)
        portable = _machine(firmware(Path(folder) / "portable", plan, board, PORTABLE), plan, board, rows)
        simple = core_by_core(plan)
        plain = _machine(firmware(Path(folder) / "plain", simple, board, PLAIN), simple, board, rows)
        queries = plan.n_parameters + 1
        return BoardCost(
            model=str(plan.metadata.get("name", "model")),
            board=board.name,
            arithmetic=plan.arithmetic.name,
            cache=plan.cache.name,
            estimator=plan.training.phases[0].estimator.name,
            contractions=tuple(layer.contraction for layer in plan.chain or ()),
            n_parameters=plan.n_parameters,
            batch=plan.batch,
            forward=forward,
            evaluation=evaluation,
            gradient=gradient,
            step=step,
            brute_force=Cost(evaluation.instructions * queries, evaluation.macs * queries),
            portable_evaluation=_evaluation(portable, plan),
            plain_forward=_forward(plain, simple),
            plain_evaluation=_evaluation(plain, simple),
            flash_bytes=report.flash_bytes,
            work_bytes=memory.work_bytes(plan),
            static_bytes=report.static_bytes,
            stack_bytes=machine.stack_bytes(),
        )


def residual_cost(plan: Plan, board: Board) -> ResidualCost:
    """Counts a residual and a step of `plan`, which has an equation, on `board`. Raises what `build` raises."""
    with tempfile.TemporaryDirectory(prefix="ttzo-bench-") as folder:
        report = firmware(Path(folder) / "tiles", plan, board)
        machine = Machine(board, report)
        with machine.counting("ttzo_pde_residual", stops=True) as tally:
            machine.call("ttzo_step", machine.trainer, Region.collocation, machine.host)
        return ResidualCost(
            model=str(plan.metadata.get("name", "model")),
            board=board.name,
            arithmetic=plan.arithmetic.name,
            derivative=plan.equation.derivative.name,
            n_parameters=plan.n_parameters,
            batch=plan.batch,
            residual=_cost(tally, plan.passes * plan.macs),
            step=_step_alone(Machine(board, report), Region.collocation),
            flash_bytes=report.flash_bytes,
            work_bytes=memory.work_bytes(plan),
        )


def core_by_core(plan: Plan) -> Plan:
    if plan.chain is None:
        return plan
    layers = tuple(dataclasses.replace(layer, contraction=0) for layer in plan.layers)
    return plan.with_layers(layers)


def firmware(folder: Path, plan: Plan, board: Board, flags: tuple[str, ...] = ()) -> BuildReport:
    folder.mkdir()
    for name, text in c_files(plan).items():
        (folder / name).write_text(text, encoding="ascii")
    (folder / "model.ttzo").write_bytes(to_bundle.write(plan))
    return build(folder, board, flags)


def put_batch(machine: Machine, rows: np.ndarray) -> None:
    """Hands over packed rows and has the firmware commit them."""
    data = rows.tobytes()
    machine.write(machine.host, data)
    machine.call("ttzo_write", machine.trainer, Region.batch, 0, machine.host, len(data))
    machine.call("ttzo_commit", machine.trainer, Region.batch, len(data), zlib.crc32(data))


def _machine(report: BuildReport, plan: Plan, board: Board, rows: np.ndarray) -> Machine:
    machine = Machine(board, report)
    put_batch(machine, rows[: plan.batch])
    return machine


def _forward(machine: Machine, plan: Plan) -> Cost:
    with machine.counting() as tally:
        machine.call("ttzo_predict", machine.trainer, 0, machine.host)
    return _cost(tally, plan.forward_macs(1))


def _evaluation(machine: Machine, plan: Plan) -> Cost:
    with machine.counting() as tally:
        machine.call("ttzo_evaluate", machine.trainer, Region.batch, 0, plan.batch, machine.host, machine.host + 4)
    return _cost(tally, plan.forward_macs(plan.batch))


def _step(machine: Machine, plan: Plan, rows: np.ndarray) -> tuple[Cost | None, Cost | None]:
    """The gradient estimate of a step, and a whole step (the next one); multiply-adds as the firmware counts them. A step
    uses up rows that it varies."""
    costs: list[Cost | None] = []
    for function in ("ttzo_estimate", None):
        put_batch(machine, rows[: plan.batch])
        if not (cost := _step_alone(machine, Region.batch, function)):
            return None, None
        costs.append(cost)
    return costs[0], costs[1]


def _step_alone(machine: Machine, region: Region, function: str | None = None) -> Cost | None:
    """The next step, or what a function of the firmware takes in it; None when the step takes more than `STEP_BUDGET`."""
    before = _macs(machine)
    try:
        with machine.counting(function) as tally:
            machine.call("ttzo_step", machine.trainer, region, machine.host, budget=STEP_BUDGET)
    except BudgetSpent:
        return None
    return _cost(tally, _macs(machine) - before)


def _macs(machine: Machine) -> int:
    """The firmware's own counter, `macs` of its trainer."""
    at = machine.trainer + machine.field_offset("struct ttzo_trainer", "macs")
    return int.from_bytes(machine.read(at, 8), "little")


def _cost(tally: Tally, macs: int) -> Cost:
    return Cost(tally.instructions, macs, dict(tally.by_function.most_common(8)))
