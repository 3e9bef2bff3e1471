# SPDX-License-Identifier: MIT
"""`ttzo bench`: what models cost on boards and on this machine."""

import dataclasses
from pathlib import Path

import click
import numpy as np

from ttzo.device_runtime.contract import Arithmetic, Cache, Derivative, Update
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.cli.data import require_network
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.unread import refuse_unread
from ttzo.host_tools.firmware import boards

COUNTED = ("mps2-an386", "netduinoplus2")  # boards where none is named
MODELS = ("digits", "mnist-mlp")
ROWS_SEED = 0
INK = 0.19  # share of random inputs that are not zero, as in MNIST


@click.command("bench")
@click.argument("models", metavar="[MODEL ...]", nargs=-1)
@click.option("--board", "names", multiple=True, help="A board; all known boards when none is given. May be repeated.")
@click.option("--arithmetic", "arithmetics", multiple=True, type=click.Choice(list(Arithmetic.__members__)),
              help="How a multiply-add rounds; both ways when none is given.")  # fmt: skip
@click.option("--ranks", help="As for `ttzo export`: 6, or 6:4, or 6,1,6:6,6,6.")
@click.option("--batch", type=click.IntRange(1), help="Rows of a batch.")
@click.option("--estimator", help="As for `ttzo export`, which explains the names.")
@click.option("--update", type=click.Choice(list(Update.__members__)), help="How an estimate changes the parameters.")
@click.option(
    "--cache",
    type=click.Choice(list(Cache.__members__)),
    help="What estimators that share environments keep of a sample.",
)
@click.option("--queries", "n_queries", type=click.IntRange(1), help="Random directions of one estimate.")
@click.option("--data", help="Rows to count with; random rows when not given.")
@click.option(
    "--after", type=click.IntRange(0), default=0, help="Training steps that this machine does before the count."
)
@click.option("--derivatives", is_flag=True,
              help="Instead, for bundles with a PDE: the errors of float32 derivatives, the model's own and compensated ones, against double.")  # fmt: skip
@click.option(
    "--peers",
    is_flag=True,
    help="Instead: instructions until 95 % of the test rows of digits, of the demo and of forty lines of back-propagation.",
)
@click.option("--aifes", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
              help="With --peers: AIfES too, whose Arduino library (AGPL) you have put into FOLDER.")  # fmt: skip
@click.option("--host/--no-host", default=True, help="Also compare the speed of this machine with torch's.")
@command
def bench_command(
    screen: Screen,
    models: tuple[str, ...],
    names: tuple[str, ...],
    arithmetics: tuple[str, ...],
    data: str | None,
    after: int,
    derivatives: bool,
    peers: bool,
    aifes: Path | None,
    host: bool,
    **options,
) -> dict:
    """Count instructions, multiply-accumulates and memory of models on boards.

    MODEL is what `ttzo export` accepts, or a bundle folder. Instructions are counted exactly, in the firmware's own
    image. For comparison there are the counts with the tile in C, with plain loops core by core, and by brute force
    for a coordinate-wise gradient. For an equation, one residual with its derivatives and the first step are counted.
    With --peers nothing of this is done: other ways to train are counted instead, on one board.
    """
    if peers or aifes:
        refuse_unread("bench --peers", ("peers", "aifes"))
        return {"peers": _peers(screen, aifes)}
    if derivatives:
        refuse_unread("bench --derivatives", ("models", "derivatives"))
        return {"derivatives": {folder: _derivative_errors(screen, folder) for folder in models}}
    costs, rates, refusals = [], [], []
    models = models or MODELS
    refuse_unread(", ".join(models), set().union(*(_read_by(model, options) for model in models)))
    for model in models:
        fixed = _fixed_arithmetic(model)
        for arithmetic in [fixed] if fixed else arithmetics or Arithmetic.__members__:
            given = options | {"arithmetic": Arithmetic[arithmetic]}
            for board in map(boards.load, names or COUNTED):
                try:
                    costs.append(_board_cost(model, given, board, data, after))
                except PlanError as error:
                    refusals.append({"model": model, "board": board.name, "refusal": str(error)})
                    screen.tell(f"{model} on {board.name}: {error}")
                    continue
                _show(screen, costs[-1])
            if host and (rate := _host_rate(screen, model, given, data)):
                rates.append(rate)
                _show_rate(screen, rate)
    return {"boards": [cost.as_json() for cost in costs], "host": rates, "refusals": refusals}


def _derivative_errors(screen: Screen, folder: str) -> dict[str, list[dict]]:
    """Of a bundle at the parameters of its run on `native:`, if there is one: of its own derivatives, and of the most
    precise ones, by name."""
    from ttzo.host_tools.device.device import read_bundle, run_folder
    from ttzo.host_tools.measure.derivative_error import derivative_errors
    from ttzo.host_tools.training import checkpoint

    plan, trained = read_bundle(folder), run_folder(folder, "native:") / "checkpoint.npz"
    if plan.pde is None:
        raise PlanError(f"{folder} has no equation", "give bundles of PDEs, such as an exported black-scholes")
    run = checkpoint.load(trained, plan) if trained.is_file() else None
    state, errors = f"step {run.state.step} of its run on native:" if run else "as exported", {}
    for derivative in dict.fromkeys([plan.pde.derivative, Derivative.compensated_jet]):
        other = dataclasses.replace(plan, pde=dataclasses.replace(plan.pde, derivative=derivative))
        found = derivative_errors(other, run.parameters if run else plan.parameters)
        screen.table(
            f"{_name(plan)}, {derivative.name}, {state}: root mean squares over points",
            [(each.quantity, f"{each.error:.2e}", f"{each.size:.3g}", f"{each.relative:.2e}") for each in found],
            ("", "error", "size", "relative"),
        )
        errors[derivative.name] = [dataclasses.asdict(each) | {"relative": each.relative} for each in found]
    return errors


def _peers(screen: Screen, aifes: Path | None) -> list[dict]:
    from ttzo.host_tools.cli.demo import SETTINGS
    from ttzo.host_tools.measure import peers

    found = list(peers.counts(SETTINGS, screen.say, aifes))
    screen.table(
        f"digits until {peers.GOAL:.0%} of the test rows on {peers.BOARD}, in the mean of {len(peers.SEEDS)} seeds",
        [(f"{each.name}: {each.how}", f"{each.parameters:,}", f"{each.mean_rows:,}", f"{each.a_row:,}",
          f"{each.mean_instructions / 1e6:,.0f} million", f"{each.flash_bytes:,}", f"{each.ram_bytes:,}")
         for each in found],
        ("", "parameters", "rows", "instructions a row", "instructions", "bytes of flash", "of RAM"),
    )  # fmt: skip
    return [each.as_json() for each in found]


# ---- models and rows -------------------------------------------------------------------------------------------------


def _plan(model: str, options: dict, room=None) -> Plan:
    """The plan of a bundle folder as it is, of any other model with its options and the contractions `room` allows."""
    from ttzo.exporter.costs.memory import require_room
    from ttzo.exporter.export import plan_of
    from ttzo.host_tools.device.device import bundle_path, read_bundle

    plan = read_bundle(model) if bundle_path(model).is_file() else plan_of(model, room=room, **options)
    require_network(plan)
    if room is not None:
        require_room(plan, room)
    return plan


def _read_by(model: str, options: dict) -> set[str]:
    """The command's parameters that a model reads: a bundle is counted as it is, an equation has no rows."""
    is_bundle = bool(_fixed_arithmetic(model))
    has_rows = _plan(model, {} if is_bundle else options).pde is None
    read = {"models", "names", "host"} | ({"data", "after"} if has_rows else set())
    return read if is_bundle else read | {"arithmetics", *options}


def _fixed_arithmetic(model: str) -> str:
    """Of a bundle folder, which is counted as it is; "" for any other model."""
    from ttzo.host_tools.device.device import bundle_path, read_bundle

    return read_bundle(model).arithmetic.name if bundle_path(model).is_file() else ""


def _rows(plan: Plan, source: str | None) -> np.ndarray:
    from ttzo.host_tools.data.data_set import load

    return load(source, plan).train_rows if source else random_rows(plan)


def random_rows(plan: Plan) -> np.ndarray:
    """One batch, uint8 (batch, row_bytes), from a seed."""
    from ttzo.host_tools.data.data_set import DTYPES, pack_rows, random_targets

    rng = np.random.default_rng(ROWS_SEED)
    kind, n = np.dtype(DTYPES[plan.input_number]), plan.batch
    largest = 1.0 if kind.kind == "f" else plan.n_tokens - 1 if plan.n_tokens else np.iinfo(kind).max
    x = (rng.random((n, plan.in_features)) < INK) * rng.random((n, plan.in_features)) * largest
    return pack_rows(x.astype(kind), random_targets(plan, rng, n))


def _board_cost(model: str, options: dict, board: boards.Board, source: str | None, after: int):
    from ttzo.host_tools.measure.bench import board_cost, residual_cost, trained

    plan = _plan(model, options, board.room)
    if plan.pde:
        return residual_cost(plan, board)
    rows = _rows(plan, source)
    return board_cost(trained(plan, rows, after), board, rows)


def _host_rate(screen: Screen, model: str, options: dict, source: str | None) -> dict | None:
    from ttzo.host_tools.measure.bench_host import host_rate

    plan = _plan(model, options)
    if plan.pde:
        return None
    if plan.chain is None:
        screen.tell(f"{_name(plan)} is a graph: this machine is compared with torch on chains of layers only")
        return None
    rate = host_rate(plan, _rows(plan, source))
    names = {"model": _name(plan), "arithmetic": plan.arithmetic.name, "batch": plan.batch}
    return names | {"native": rate.native, "torch": rate.torch, "ratio": rate.ratio}


def _name(plan: Plan) -> str:
    return str(plan.metadata.get("name", Path("model").name))


# ---- words -----------------------------------------------------------------------------------------------------------


def _show(screen: Screen, cost) -> None:
    if hasattr(cost, "residual"):
        _show_residual(screen, cost)
        return
    order = ", ".join("core by core" if c == 0 else f"split before core {c}" for c in cost.contractions) or "a graph"
    title = f"{cost.model} on {cost.board}, {cost.arithmetic}, {cost.cache} caches: {cost.n_parameters:,} parameters, batch {cost.batch}; {order}"
    parts = {
        "forward pass": cost.forward,
        "loss evaluation": cost.evaluation,
        "  tile in C": cost.portable_evaluation,
        "  plain loops, core by core": cost.plain_evaluation,
        f"gradient ({cost.estimator})": cost.gradient,
        "training step": cost.step,
        "gradient by brute force": cost.brute_force,
    }
    rows = [
        (what, f"{each.instructions:,}", f"{each.macs:,}", f"{each.per_mac:.3f}") if each else (what, "not run", "", "")
        for what, each in parts.items()
    ]
    screen.table(title, rows, ("", "instructions", "multiply-accumulates", "ratio"))
    screen.tell(
        f"RAM {cost.ram_bytes:,} bytes (work buffer {cost.work_bytes:,}, variables {cost.static_bytes:,}, "
        f"stack {cost.stack_bytes:,}); flash {cost.flash_bytes:,}"
    )


def _show_residual(screen: Screen, cost) -> None:
    step = f"{cost.step.instructions:,} instructions" if cost.step else "more than is counted"
    screen.tell(
        f"{cost.model} on {cost.board}, {cost.arithmetic}: a residual with its derivatives ({cost.derivative}) takes "
        f"{cost.residual.instructions:,} instructions, a loss evaluation {cost.batch} of them, the first step {step}; "
        f"work buffer {cost.work_bytes:,} bytes, flash {cost.flash_bytes:,}"
    )


def _show_rate(screen: Screen, rate: dict) -> None:
    screen.tell(
        f"{rate['model']} on this machine, {rate['arithmetic']}: {rate['native']:.0f} loss evaluations a second, "
        f"torch {rate['torch']:.0f}: {rate['ratio']:.2f} times as many (one thread each, processor time)"
    )
