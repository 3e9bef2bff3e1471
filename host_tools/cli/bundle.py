# SPDX-License-Identifier: MIT
"""Commands about a bundle: export, plan, build, flash, boards."""

import shlex
import shutil
import subprocess
from pathlib import Path

import click

from ttzo.device_runtime.contract import (
    Arithmetic,
    Cache,
    Derivative,
    Difference,
    Direction,
    Estimator,
    ExitCode,
    Loss,
    Number,
    Schedule,
    TtzoError,
    Update,
)
from ttzo.exporter.costs.core_memory import reuses
from ttzo.exporter.costs.cost import TAKE_QUERIES
from ttzo.exporter.costs.graph_memory import shared_prices
from ttzo.exporter.operations.affine import Affine
from ttzo.exporter.plan import train_defaults
from ttzo.exporter.plan.anomaly import TASKS
from ttzo.exporter.plan.freeze import KINDS
from ttzo.exporter.plan.graph import Node
from ttzo.exporter.plan.packing import batch_bytes
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import REUSING
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.board_fit import fit_rows, steps_text
from ttzo.host_tools.cli.choices import ALL_PARTS, SIZE, STORAGE, Explained
from ttzo.host_tools.cli.data import STEP_OF_NORMALISED, TABLE_OPTIONS, prepared, row_shape, taken
from ttzo.host_tools.cli.estimators import alternatives_rows, arithmetic_text
from ttzo.host_tools.cli.export_run import LIBRARY, export_run, say_missing_formats, write_library
from ttzo.host_tools.cli.key import KEY, READING, lock_of
from ttzo.host_tools.cli.layer_text import layer_text
from ttzo.host_tools.cli.method_options import METHOD_OPTIONS, METHOD_SETTINGS, Numbers
from ttzo.host_tools.cli.screen import WIDE, Screen, command
from ttzo.host_tools.cli.simulation_rows import simulation_rows
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.device.ports import list_ports
from ttzo.host_tools.firmware import boards, build, forecast, wear
from ttzo.host_tools.firmware.boards import Board
from ttzo.host_tools.training import run_model
from ttzo.host_tools.training.checkpoint import Generation

BUNDLE = click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))


class FlashError(TtzoError):
    """A board that could not be flashed from here."""

    exit_code = ExitCode.device


GENERATION = click.option(
    "--generation",
    type=click.Choice([each.name for each in Generation]),
    metavar="NAME",
    help="The run's checkpoint to take: last, good (loss near the best) or best (lowest loss). Default: last.",
)


def choice(kind) -> dict:
    """Of an option whose values are an enumeration's members; help explains them after the options."""
    return {"type": click.Choice(list(kind.__members__)), "metavar": "NAME"}


# ---- export ----------------------------------------------------------------------------------------------------------

_EXPORT_OPTIONS = (
    click.option("--ranks", help="TT ranks: 6 for all bonds, 6:4 layer by layer, 6,1,6:6,6,6 bond by bond."),
    click.option(
        "--budget",
        help="Let export choose fold and ranks within parameters=4000, macs=200000 (of a forward pass), ram=100000 (bytes of work buffer), or several of them separated by commas.",
    ),
    click.option(
        "--contraction",
        "contractions",
        help="The order of multiplication, one number a layer, as in 0:2. 0: core by core; 2: split before core 2; the number of cores: multiplied out whole. Default: the cheapest that fits.",
    ),
    click.option("--format", type=click.Choice(["matrix", "tensor"]), metavar="NAME", help="Kind of tensor train."),
    click.option(
        "--estimator",
        type=click.Choice(train_defaults.ESTIMATORS),
        metavar="NAME",
        help="How gradients are estimated. Names of this and other options are explained below.",
    ),
    click.option("--update", **choice(Update), help="How an estimate changes the parameters."),
    click.option("--direction", **choice(Direction), help="How random directions are drawn."),
    click.option("--difference", **choice(Difference), help="The loss difference of a query."),
    click.option("--n-queries", type=Numbers(int), help="Random directions of one estimate (N)."),
    click.option("--lr", type=Numbers(float), help="Learning rate."),
    click.option("--mu", type=Numbers(float), help="Perturbation radius: how far a query moves the parameters."),
    click.option("--clip", type=Numbers(float), help="Largest norm of the gradient; 0: no limit."),
    *METHOD_OPTIONS,
    click.option("--schedule", **choice(Schedule), help="How the learning rate changes over the steps."),
    click.option(
        "--warmup-steps", type=int, help="Steps at the start over which the learning rate rises to its value."
    ),
    click.option("--steps", type=int, help="Steps of the whole training; schedules end there."),
    click.option("--seed", type=int, help="Seed of the parameters and of all noise."),
    click.option("--batch", type=int, help="Rows of a training batch."),
    click.option(
        "--arithmetic",
        **choice(Arithmetic),
        help="How a multiply-add rounds; the device must support it. Default: fused where --board has it, else separate.",
    ),
    click.option(
        "--cache",
        **choice(Cache),
        help="What estimators that share environments keep of a sample. Default: the widest numbers that fit --board.",
    ),
    click.option(
        "--freeze",
        metavar="NAME",
        multiple=True,
        help="Do not train what is called so, as in conv1, encoder or 'block*'. May be repeated.",
    ),
    click.option(
        "--frozen",
        type=click.Choice(KINDS),
        metavar="NAME",
        help="How frozen parameters are kept in flash.",
    ),
    click.option(
        "--keep-zeros", is_flag=True, default=None, help="Weights that are zero stay zero: those of a pruned model."
    ),
    click.option("--task", type=click.Choice(TASKS), help="Find anomalies: the model gives good rows back (loss mse)."),
    click.option(
        "--threshold", metavar="RULE", help="Of anomalies: percentile:99 (default) or gaussian:4, of good rows."
    ),
    click.option("--votes", metavar="K/N", help="Of anomalies: an alarm takes K of the last N rows (1/1)."),
    click.option("--loss", **choice(Loss), help="What training minimises."),
    click.option(
        "--class-weights", metavar="NUMBERS", help="How much the loss of each class counts, as 1,5 (all alike)."
    ),
    click.option("--huber-delta", type=float, help="huber: the error from which on the loss grows linearly (1)."),
    click.option(
        "--augment",
        metavar="SETTINGS",
        help="Vary training rows on the device, drawn by the seed: shift=1 (places), scaling=0.1, jitter=0.05 (network inputs), shape=1x28x28, separated by commas.",
    ),
    click.option("--derivative", **choice(Derivative), help="How a PDE's derivatives are computed."),
    click.option("--radius", type=float, help="Stein radius (sigma), or the step of finite differences."),
    click.option("--level", type=int, help="Level of the sparse grid."),
    click.option("--n-pairs", type=int, help="Antithetic pairs of monte_carlo."),
    click.option("--n-sampled", type=int, help="Random directions of sampled_jet, a power of two."),
    click.option("--data", help="Data set the model is for: digits, names, mnist, or a file."),
    click.option("--input", "input_number", **choice(Number), help="Number type of inputs, on the line and in memory."),
    click.option("--scale", "input_scale", type=float, help="Network input = number * scale + offset."),
    click.option("--offset", "input_offset", type=float, help="See --scale."),
    click.option(
        "--input-shape", metavar="SIZES", help="Sizes of one row, as 1,28,28, where the model does not say them."
    ),
)


def with_options(options):
    def add(function):
        for option in reversed(options):
            function = option(function)
        return function

    return add


@click.command("export", cls=Explained)
@click.argument("model")
@click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder for the bundle."
)
@click.option("--board", help="The board that the model must fit.")
@with_options(_EXPORT_OPTIONS)
@with_options(TABLE_OPTIONS)
@GENERATION
@LIBRARY
@click.option(
    "--for-adaptation",
    "adapts",
    is_flag=True,
    help="Of a run: freeze all layers except the last one, for `ttzo adapt`.",
)
@click.option("--plain-onnx", is_flag=True, help="Write model.onnx for C code generators: one row, no functions.")
@command
def export_command(
    screen: Screen,
    model: str,
    out: Path,
    board: str | None,
    generation: str | None,
    library: str | None,
    adapts: bool,
    plain_onnx: bool,
    **options,
) -> dict:
    """Turn a model into a bundle folder: C arrays, ONNX, TFLite and model.ttzo.

    MODEL is one of four things: the name of a zoo model (digits, mnist-mlp); file.py:function, a function that
    returns a torch module or a ttzo.ode.Model; an .onnx file, as PyTorch, Keras or scikit-learn write it; or a run's folder
    (DIR/runs/native) or checkpoint, whose trained model is written. An option that is not given keeps the model's own value.

    Of a run, `--frozen int8` alone freezes every parameter: the model that a finished product carries.

    If --data names an existing file, the bundle keeps the names of its classes and how its columns are normalised.
    Otherwise the first run keeps them in its folder.
    """
    from ttzo.exporter.export import export

    for name in ("n_queries", "lr", "mu", "clip", *METHOD_SETTINGS):
        if options[name] and len(options[name]) == 1:
            options[name] = options[name][0]
    options["freeze"] = options["freeze"] or None
    target = boards.load(board) if board else None
    room, arithmetics = (target.room, target.arithmetics) if target else (None, ())
    if run_model.is_run(Path(model)):
        plan = export_run(screen, Path(model), out, room, generation, adapts, plain_onnx, options)
        screen.table(
            f"{plan.metadata.get('title', model)}, trained in {model}, exported to {out}", describe(plan, target)
        )
        write_library(screen, plan, out, library)
        return _exported(out, plan, target)
    if generation or adapts:
        given = "--generation" if generation else "--for-adaptation"
        raise TtzoError(f"{model} is no run", f"leave out {given}, or name the folder of a run")
    table = taken(options)
    if (
        options["input_number"] == Number.int16.name
        and options["input_scale"] is None
        and table.normalise not in (None, "none")
    ):
        options["input_scale"] = STEP_OF_NORMALISED
    plan = export(
        model,
        out,
        room=room,
        describe=lambda plan: prepared(screen, plan, table),
        plain_onnx=plain_onnx,
        row_shape=row_shape(options["data"], table),
        arithmetics=arithmetics,
        **options,
    )
    screen.table(f"{plan.metadata.get('title', model)}, exported to {out}", describe(plan, target))
    for note in plan.metadata.get("notes", ()):
        screen.say(f"note: {note}")
    write_library(screen, plan, out, library)
    say_missing_formats(screen, plan, out)
    told = ["identify", str(out), "--data", "LOG.csv"] if plan.simulation else ["train", str(out)]
    screen.say(f"next: {shlex.join(['ttzo', *told, '--device', 'native:'])}")
    return _exported(out, plan, target)


def _exported(out: Path, plan: Plan, target: Board | None) -> dict:
    found = {"forecast": forecast.forecast(plan, target, None)} if target else {}
    return {"bundle": out, "hash": to_bundle.model_hash(plan), **summary(plan), **found}


def node_row(node: Node) -> tuple[str, str]:
    """A layer or another node, and what it is."""
    count, frozen = node.operation.n_parameters, ", frozen" * node.frozen + " as int8" * node.int8
    shared = " of an earlier node" * node.shared
    if isinstance(node.operation, Affine):
        return f"layer {node.name}", f"{layer_text(node.operation.layer)}: {count:,} parameters{shared}{frozen}"
    made = f"{node.operation.CODE.name.replace('_', ' ')} -> {node.operation.n_outputs:,} numbers"
    return node.name, made + (f": {count:,} parameters{shared}{frozen}" if count else "")


def frozen_row(plan: Plan) -> list[tuple[str, str]]:
    """What lies in flash and is not trained, and the RAM that it takes all the same."""
    frozen = [node for node in plan.graph.nodes if node.constant_bytes]
    if not frozen:
        return []
    count, unpacked = sum(node.operation.n_parameters for node in frozen), sum(node.int8 for node in frozen)
    kinds = {0: "float32", len(frozen): "int8"}.get(unpacked, "float32 and int8")
    text = f"{count:,} as {kinds}: {len(plan.constants):,} bytes of flash, not trained; on MicroPython they lie in the heap"
    return [("frozen", text)]


def shared_rows(plan: Plan) -> list[tuple[str, str]]:
    """What a loss difference costs where several nodes use its parameter; estimators of whole losses run all nodes anyway."""
    if plan.chain is not None or not any(phase.estimator in REUSING for phase in plan.training.phases):
        return []
    return [
        (
            f"shared {owner.name}",
            f"used by {count} nodes: a loss difference of one of its parameters runs {macs:,} of a row's {plan.macs:,} "
            "multiply-accumulates again",
        )
        for owner, count, macs in shared_prices(plan)
    ]


def phase_text(plan: Plan, number: int) -> str:
    phase = plan.training.phases[number]
    queries = f", N {phase.n_queries}" if phase.estimator in TAKE_QUERIES else ""
    queries += f", {phase.n_coordinates} coordinates" if phase.estimator == Estimator.cocd else ""
    return f"{phase.estimator.name}{queries}, {phase.difference.name}, mu {phase.perturb_radius:g}; {phase.update.name}, lr {phase.learning_rate:g}"


def _dense_text(plan: Plan) -> str:
    """How many parameters the same network has without tensor trains, if it has any."""
    has_trains = any(isinstance(node.operation, Affine) and node.operation.layer.ranks for node in plan.graph.nodes)
    return f" ({plan.dense_parameters:,} as a dense network)" if has_trains else ""


def _line_row(plan: Plan) -> list[tuple[str, str]]:
    """Bytes of a batch that is sent, where it has rows."""
    if plan.pde:
        return []
    text = f"{plan.batch * plan.row_bytes:,} bytes of rows"
    return [("batch on the line", text + (f", packed {batch_bytes(plan):,}" if plan.packing else ""))]


def describe(plan: Plan, target: Board | None = None) -> list[tuple[str, str]]:
    """Rows of a table: what the plan is, and how it fits the board that it was exported for."""
    return _rows_of_plan(plan) + (fit_rows(plan, target, forecast.forecast(plan, target, None)) if target else [])


def _rows_of_plan(plan: Plan) -> list[tuple[str, str]]:
    if plan.simulation:
        return [*simulation_rows(plan, plan.simulation), ("arithmetic", plan.arithmetic.name)]
    rows = [node_row(node) for node in plan.graph.nodes]
    rows += [("parameters", f"{plan.n_parameters:,}{_dense_text(plan)}")]
    rows += frozen_row(plan) + shared_rows(plan)
    if not plan.n_parameters:
        return [*rows, ("arithmetic", plan.arithmetic.name)]
    texts = [phase_text(plan, number) for number in range(len(plan.training.phases))]
    rows += [(f"phase {k + 1}" if len(texts) > 1 else "training", text) for k, text in enumerate(texts)]
    rows += [
        (
            "schedule",
            f"{steps_text(plan)}, {plan.training.schedule.name}; batch {plan.batch}; seed {plan.training.seed}",
        )
    ]
    rows += [("caches", plan.cache.name)] if reuses(plan) else []
    rows += _line_row(plan)
    rows += alternatives_rows(plan)
    return [*rows, ("arithmetic", arithmetic_text(plan))]


def summary(plan: Plan) -> dict:
    return {
        "parameters": plan.n_parameters,
        "dense_parameters": plan.dense_parameters,
        "frozen_bytes": len(plan.constants),
        "macs": plan.macs,
        "batch": plan.batch,
        "batch_line_bytes": 0 if plan.pde else batch_bytes(plan),
        "arithmetic": plan.arithmetic,
        "cache": plan.cache,
        "training": plan.training,
        "metadata": plan.metadata,
    }


# ---- build, flash, boards --------------------------------------------------------------------------------------------

BOARD = click.option("--board", "name", metavar="BOARD", required=True, help="A board's name, or its own .toml file.")
FIRMWARE = (SIZE, ALL_PARTS, STORAGE, KEY, READING)


@click.command("build")
@BUNDLE
@BOARD
@with_options(FIRMWARE)
@command
def build_command(screen: Screen, bundle: Path, name: str, key: Path | None, reading: str, **options) -> dict:
    """Compile firmware that holds the model, for a board."""
    plan, board = read_bundle(bundle), boards.load(name)
    report = build.build(bundle, board, lock=lock_of(key, reading), **options)
    rows = build_rows(report) + ([("keeps its run", wear.describe(plan, board))] if options["storage"] else [])
    screen.table(f"firmware for {report.board}{'' if report.rebuilt else ' (was up to date)'}", rows)
    if board.build_note:
        screen.tell(board.build_note)
    return report.as_json()


def build_rows(report: build.BuildReport) -> list[tuple[str, str]]:
    return [
        (
            "flash",
            f"{report.flash_bytes:,} of {report.flash_capacity:,} bytes ({100 * report.flash_bytes / report.flash_capacity:.1f} %)",
        ),
        ("static RAM", f"{report.static_bytes:,} bytes"),
        ("worst stack", f"{report.stack_bytes:,} of {report.stack_capacity:,} bytes"),
        ("work buffer", f"{report.work_needed:,} of {report.work_capacity:,} bytes; the rest can hold training rows"),
        ("file", str(report.elf)),
    ]


@click.command("flash")
@BUNDLE
@BOARD
@with_options(FIRMWARE)
@command
def flash_command(screen: Screen, bundle: Path, name: str, key: Path | None, reading: str, **options) -> dict:
    """Build, then run the board's own flashing tool."""
    read_bundle(bundle)
    board = boards.load(name)
    if not board.flash_command:
        raise FlashError(
            f"no flashing tool is known for {board.name}",
            board.build_note or "set flash_command in the board's file, or copy firmware/*/ttzo.bin by hand",
        )
    report = build.build(bundle, board, lock=lock_of(key, reading), **options)
    words = [word.format(bin=report.bin, elf=report.elf) for word in board.flash_command]
    if not shutil.which(words[0]):
        raise FlashError(
            f"{words[0]}, which flashes {board.name}, is not installed", f"install it, then: {' '.join(words)}"
        )
    screen.say(" ".join(words))
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["it printed nothing"]
        raise FlashError(
            f"{words[0]} failed: {last[0]}", "is the board connected and powered, and no other program using it?"
        )
    screen.tell(f"{board.name} holds {bundle}")
    return {"board": board.name, "command": words, "firmware": report.as_json()}


@click.command("boards")
@command
def boards_command(screen: Screen) -> dict:
    """List the boards that ttzo knows, and the serial ports of this machine."""
    known = [boards.load(name) for name in boards.names()]
    rows = [_board_row(board) for board in known]
    if screen.results.width >= WIDE:
        screen.table("boards", rows, ("name", "what it is", "flash", "RAM", "baud", "ran on"))
    else:  # a column each would be a word wide
        words = [
            (name, f"{what}; {flash} of flash, {ram} of RAM, {baud} baud; {ran}")
            for name, what, flash, ram, baud, ran in rows
        ]
        screen.table("boards", words, ("name", "what it is; memory; line; where it ran"))
    ports = list_ports()
    screen.table(
        "\nserial ports", [(port, text) for port, text in ports] or [("none", "no board seems to be connected")]
    )
    return {
        "boards": [board.model_dump() for board in known],
        "ports": [{"port": port, "text": text} for port, text in ports],
    }


def _board_row(board: Board) -> tuple:
    return (
        board.name,
        board.title,
        f"{board.flash_bytes >> 10} KiB",
        f"{board.ram_bytes >> 10} KiB",
        board.baud,
        board.ran_on,
    )
