# SPDX-License-Identifier: MIT
"""Commands about a device: train, eval, compare."""

from collections.abc import Mapping
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np

from ttzo.device_runtime.contract import ExitCode, TtzoError
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.cli.bundle import BUNDLE, GENERATION, with_options
from ttzo.host_tools.cli.data import DATA, TABLE_OPTIONS, answers_rows, load_rows, show_answers, taken, test_json
from ttzo.host_tools.cli.key import KEY
from ttzo.host_tools.cli.method_options import METHOD_OPTIONS, METHOD_SETTINGS, Numbers
from ttzo.host_tools.cli.screen import Screen, command
from ttzo.host_tools.cli.trained_run import choose_parameters, trained_run
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.solution_points import baselines, fresh_residuals
from ttzo.host_tools.device.device import Device, Evaluation, open_device, read_bundle, run_folder
from ttzo.host_tools.device.faulty_line import KINDS, Faults
from ttzo.host_tools.device.place import place
from ttzo.host_tools.device.threads import MOST_THREADS, WORTH_MACS, default_threads
from ttzo.host_tools.reference.equations.pde import unknown_values
from ttzo.host_tools.report.tensorboard import EventFile
from ttzo.host_tools.training import compare, measurement, run_model, session
from ttzo.host_tools.training.checkpoint import Generation
from ttzo.host_tools.training.run import Progress, Run, require_trained, run_settings

DEVICE = click.option("--device", "url", metavar="URL", required=True, help="The device, as in `ttzo --help`.")
BAUD = click.option("--baud", type=click.IntRange(min=1), help="Baud rate of a serial port (default 115200).")
RUN = click.option(
    "--run",
    "folder",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Folder of the run (default: DIR/runs/DEVICE, with --from DIR/runs/DEVICE-adapted).",
)
OVERRIDES = (
    click.option("--steps", type=click.IntRange(min=1), help="Steps of the whole training; schedules end there."),
    click.option(
        "--seed", type=click.IntRange(min=0, max=2**64 - 1), help="Seed of all noise and of the sample order."
    ),
    click.option("--lr", type=Numbers(float), help="Learning rate."),
    click.option("--mu", type=Numbers(float), help="Perturbation radius: how far a query moves the parameters."),
    click.option("--n-queries", type=Numbers(int), help="Random directions of one estimate."),
    *METHOD_OPTIONS,
)
CHANGES = ("steps", "seed", "lr", "mu", "n_queries", *METHOD_SETTINGS)  # what these are called


class RowCount(click.ParamType):
    """A number of rows, or `all`."""

    name = "N|all"

    def convert(self, value, param, ctx):
        if value == "all":
            return 1 << 32
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither a number of rows nor `all`", param, ctx)
        return int(value)


ROWS = click.option(
    "--rows",
    type=RowCount(),
    help="Number of test rows to measure on, or `all`. Default: all, or fewer where the line is slow.",
)


def measured(device: Device, test: Evaluation, of: int) -> str:
    """A measurement in words."""
    rows = f"{test.n_rows} of {of} test rows" if test.n_rows < of else f"all {of} test rows"
    if device.plan.pde is not None:
        theta = device.parameters()
        return ", ".join([solution_text(device.plan, theta, test), *constants(device.plan, theta)])
    if device.plan.has_classes:
        of_rows = f"the places of {rows}" if device.plan.has_padding else rows
        return f"{100 * test.accuracy:.2f} % of {of_rows} right, mean loss {test.loss:.4f}"
    return f"mean loss {test.loss:.6g} on {rows}"


def constants(plan: Plan, theta: np.ndarray) -> list[str]:
    """An equation's unknown constants at theta, in words."""
    return [f"{name} = {value:.6g}" for name, value in zip(plan.unknowns, unknown_values(plan, theta), strict=True)]


def solution_text(plan: Plan, theta: np.ndarray, test: Evaluation) -> str:
    """The error of a PDE's solution in words; where the exact one is not known, what the equation leaves."""
    if test.relative is None:
        left = ", ".join(f"{size:.3g} {of}" for of, size in fresh_residuals(plan, theta).items())
        return f"residual at fresh points, root mean square: {left} (no exact solution is given)"
    return f"solution error {100 * test.relative:.3f} % (relative L2), MSE {test.loss:.3g} at {test.n_rows} points"


def baseline_rows(device: Device, rows: data_set.DataSet) -> list[tuple[str, str]]:
    """With a PDE whose solution is known: what the best constant and the best affine function reach."""
    if device.plan.pde is None or not len(rows.x_test):
        return []
    found = baselines(device.plan, rows.x_test, rows.y_test)
    return [(f"best {name} function instead", f"MSE {value:.3g}") for name, value in found.items()]


# ---- train -----------------------------------------------------------------------------------------------------------


@click.command("train")
@BUNDLE
@DEVICE
@DATA
@with_options(TABLE_OPTIONS)
@RUN
@with_options(OVERRIDES)
@ROWS
@click.option(
    "--from",
    "origin",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Start from the parameters of another run, of this model or of one whose parameters have the same names and shapes.",
)
@click.option("--restart", is_flag=True, help="Start again instead of going on from the checkpoint.")
@GENERATION
@click.option(
    "--checkpoint-every",
    "checkpoint_steps",
    metavar="STEPS",
    type=click.IntRange(min=1),
    help="Steps from one checkpoint to the next (default: by time).",
)
@click.option(
    "--patience",
    metavar="N",
    type=click.IntRange(min=1),
    help="End early when the loss of the validation rows has not fallen for N measurements (there are 20 in a run).",
)
@click.option(
    "--keep",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Parameters that the run ends with: the last ones, or those of the lowest loss of the validation rows.",
)
@click.option(
    "--reconnect",
    "reconnect_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long to wait for a device whose connection broke off; 0: not at all.",
)
@click.option(
    "--faults",
    "faults_spec",
    metavar="SPEC",
    help=f"Put faults on the line: KIND=SHARE,...,seed=N,rate=BYTES_PER_SECOND. Kinds: all, {', '.join(KINDS)}.",
)
@click.option("--count", is_flag=True, help="Count the instructions of the steps (only with qemu:BOARD).")
@click.option("--tensorboard", is_flag=True, help="Write the curves for TensorBoard, too, into the run's folder.")
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help=f"Threads of native:, whose number changes no bit (default: this machine's processors where a step takes {WORTH_MACS // 10**6} million multiply-accumulates or more, else 1).",
)
@BAUD
@KEY
@command
def train_command(
    screen: Screen,
    bundle: Path,
    url: str,
    source: str | None,
    folder: Path | None,
    origin: Path | None,
    count: bool,
    baud: int | None,
    key: Path | None,
    reconnect_s: float,
    faults_spec: str | None,
    tensorboard: bool,
    threads: int | None,
    **options,
) -> dict:
    """Train on a device, from the run's checkpoint if there is one. Ctrl-C writes a checkpoint."""
    if options["restart"] and options["generation"]:
        raise TtzoError("a run that starts again goes on from no checkpoint", "leave out --restart or --generation")
    plan = read_bundle(bundle)
    folder = folder or run_folder(bundle, url, "-adapted" if origin else "")
    options["start"] = run_model.start_for(plan, origin, screen.say) if origin else None
    changes = {name: options.pop(name) for name in CHANGES}
    options["generation"] = Generation[options["generation"] or "last"]
    options["keep"] = Generation[options["keep"]]
    begins = options["restart"] or not (folder / "checkpoint.npz").exists()
    rows = load_rows(screen, plan, source, taken(options), origin if begins else folder, of_run=not begins)
    faults = Faults.parse(faults_spec) if faults_spec else None
    with open_device(
        url,
        bundle,
        baud=baud,
        on_line=screen.say,
        rows=rows,
        count_instructions=count,
        patience_s=reconnect_s,
        faults=faults,
        key=key,
        threads=threads or default_threads(plan, url),
    ) as device:
        if tensorboard:
            options["events"] = EventFile(folder)
        run = train_with_bar(screen, device, rows, folder, changes, options.pop("rows"), **options)
        on_device = measured(device, run.test, len(rows.x_test))
        result = run_json(device, run) | {"line": device.line_counts, "faults": dict(faults.counts) if faults else None}
    words = _run_rows(run, on_device, plan.has_classes) + _line_rows(result)
    words += answers_rows(plan, run.answers) + baseline_rows(device, rows)
    screen.table(f"{place(device.board, url)}, {rows.name}", words)
    show_answers(screen, plan, run.answers)
    if run.resumed_from >= run.step:
        screen.say("no step was left to do: give more --steps, or start again with --restart")
    return result


def train_with_bar(
    screen: Screen,
    device: Device,
    rows: data_set.DataSet,
    folder: Path,
    changes: Mapping[str, Any],
    test_rows: int | None = None,
    events: EventFile | None = None,
    **options,
) -> Run:
    """`session.train` with live progress: loss, accuracy, evaluations spent, rate, time left. `events` hears of each step
    and is closed."""
    classes = device.plan.has_classes
    with screen.bars() as make:
        sending, bar = make("sending the data set", "bytes"), make("training")

        def show(now: Progress) -> None:
            if events:
                events(now)
            test, loss = "", f"{now.loss:.3f}" if device.plan.pde is None else f"{now.loss:.2e}"
            if now.test and classes:
                test = f"  test {100 * now.test.accuracy:.1f} %"
            elif now.test and now.test.relative is not None:
                test = f"  solution error {100 * now.test.relative:.2f} %"
            if now.validation:
                test = (
                    f"  validation {100 * now.validation.accuracy:.1f} %"
                    if classes
                    else f"  validation {now.validation.loss:.3g}"
                )
            bar(
                now.step,
                now.steps,
                f"{now.step}/{now.steps}  loss {loss}{test}  {now.rate:.3g} steps/s  {now.evaluations:,} evaluations",
            )

        with closing(events) if events else nullcontext():
            return session.train(
                device,
                rows,
                folder,
                changes=changes,
                test_rows=test_rows,
                report=show,
                on_upload=sending,
                say=screen.say,
                **options,
            )


def _line_rows(result: dict) -> list[tuple[str, str]]:
    """What the line did, where it did not always do what it should."""
    line, faults = result["line"], result["faults"]
    rows = [("faults", ", ".join(f"{kind} {count:,}" for kind, count in faults.items()) or "none")] if faults else []
    if faults is not None or line["reconnections"]:
        words = f"{line['frames']:,} frames, {line['repeats']:,} of them again, {line['reconnections']:,} reconnections"
        rows.append(("line", words))
    return rows


def run_json(device: Device, run: Run) -> dict:
    named = ("step", "steps", "resumed_from", "loss", "evaluations", "macs", "instructions", "seconds", "resident")
    return {
        "device": device.url,
        "board": device.board,
        "run": run.folder,
        "checkpoint": run.folder / "checkpoint.npz",
        "test": test_json(device.plan, run.test, run.answers),
        "validation": test_json(device.plan, run.validation) if run.validation else None,
        "guard": [
            {"step": event.step, "event": event.kind.name, "back_to": event.back_to, "loss": event.loss}
            for event in run.events
        ],
        **{name: getattr(run, name) for name in named},
    }


def _run_rows(run: Run, on_device: str, classes: bool) -> list[tuple[str, str]]:
    steps = f"{run.step:,} of {run.steps:,}" + (
        f", {run.resumed_from:,} of them from the checkpoint" if run.resumed_from else ""
    )
    rows = [("steps", steps), ("loss evaluations", f"{run.evaluations:,}"), ("time", f"{run.seconds:.1f} s")]
    rows += [("multiply-accumulates", f"{run.macs:,}")] if run.macs else []
    rows += [("instructions", f"{run.instructions:,}")] if run.instructions else []
    rows += [("batch loss", f"{run.loss:.4g}")] if run.loss is not None else []
    if run.validation is not None:
        n, found = run.validation.n_rows, run.validation
        told_of = f"{100 * found.accuracy:.2f} %" if classes else f"mean loss {found.loss:.6g}"
        rows.append(("validation", f"{told_of} of {n} rows" if classes else f"{told_of} on {n} rows"))
    return [*rows, ("on the device", on_device), ("run", str(run.folder))]


# ---- eval ------------------------------------------------------------------------------------------------------------


@click.command("eval")
@BUNDLE
@DEVICE
@DATA
@with_options(TABLE_OPTIONS)
@RUN
@ROWS
@click.option("--exported", is_flag=True, help="Measure the exported parameters instead of the trained ones.")
@GENERATION
@BAUD
@KEY
@command
def eval_command(
    screen: Screen,
    bundle: Path,
    url: str,
    source: str | None,
    folder: Path | None,
    rows: int | None,
    exported: bool,
    generation: str | None,
    baud: int | None,
    key: Path | None,
    **options,
) -> dict:
    """Measure accuracy (or loss) on test rows, on the device; `--test FILE` measures all rows of a file.

    A device that has trained is measured as it is; one that has not gets the checkpoint of its run first, or of the only
    other run in DIR/runs, if there is one.
    """
    if folder is None and run_model.is_run(bundle):
        folder = bundle  # a run's folder holds its model
    plan = read_bundle(bundle)
    run = folder or trained_run(screen, bundle, url, exported)
    dataset = load_rows(screen, plan, source, taken(options), run, only_test=True, of_run=True)
    with open_device(url, bundle, baud=baud, key=key, on_line=screen.say) as device:
        chosen = Generation[generation] if generation else None
        origin = choose_parameters(device, run, exported, folder is not None, chosen)
        n_rows = rows or measurement.default_test_rows(device, dataset)
        with screen.bar("measuring", "rows") as bar:
            test, answers = measurement.measure_answers(device, dataset, n_rows, bar)
        on_device, step = measured(device, test, len(dataset.x_test)), device.step_count
        has_residual = plan.pde is not None and test.relative is None
        left = {"residual": fresh_residuals(plan, device.parameters())} if has_residual else {}
    words = [("parameters", origin), ("on the device", on_device), *answers_rows(plan, answers)]
    screen.table(f"{place(device.board, url)}, {dataset.name}", words + baseline_rows(device, dataset))
    show_answers(screen, plan, answers)
    return {
        "device": url,
        "board": device.board,
        "parameters": origin,
        "step": step,
        "test_rows": len(dataset.x_test),
        "test": test_json(plan, test, answers),
        **left,
    }


# ---- compare ---------------------------------------------------------------------------------------------------------


@click.command("compare")
@BUNDLE
@DEVICE
@click.option("--against", metavar="URL", required=True, help="The other device.")
@DATA
@with_options(TABLE_OPTIONS)
@with_options(OVERRIDES[1:])
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True, help="Steps to compare.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Steps from one comparison of the parameters to the next.",
)
@BAUD
@KEY
@command
def compare_command(
    screen: Screen,
    bundle: Path,
    url: str,
    against: str,
    source: str | None,
    steps: int,
    every: int,
    baud: int | None,
    key: Path | None,
    **options,
) -> dict:
    """Do the same steps on two devices and report the first difference (exit code 5).

    Both devices start from the exported parameters, which must then stay the same bit for bit. A comparison with
    onnx: is different: each compared step starts from the other device's parameters, and the losses must agree within
    the network's float32 rounding bound (for a PDE, within a tolerance that is a rule of thumb). How far onnx: gets
    from the other device on its own is reported, but does not fail the comparison.
    """
    plan = read_bundle(bundle)
    rows = load_rows(screen, plan, source, taken(options))
    require_trained(plan)
    settings = run_settings(plan.training, options)
    with ExitStack() as both:
        line: dict[str, Any] = {"baud": baud, "key": key, "on_line": screen.say}
        a, b = (both.enter_context(open_device(each, bundle, **line)) for each in (url, against))
        found = compare_with_bar(screen, a, b, rows, steps, every=every, settings=settings)
    screen.table(f"{found.a} and {found.b}", comparison_rows(found))
    screen.exit_code = ExitCode.well if found.agree else ExitCode.parted
    return {"agree": found.agree, "comparison": found}


def compare_with_bar(
    screen: Screen, a: Device, b: Device, rows: data_set.DataSet, steps: int, **options
) -> compare.Comparison:
    with screen.bar(f"comparing {a.url} and {b.url}", "steps") as bar:
        return compare.compare(a, b, rows, steps, report=bar, **options)


def verdict(found: compare.Comparison) -> str:
    """A comparison in one sentence."""
    if found.parted:
        where = (
            f"step {found.parted.step}"
            if found.parted.step == found.parted.after + 1
            else f"steps {found.parted.after + 1} to {found.parted.step}"
        )
        return f"PARTED in {where}: {found.parted.place}: {found.parted.a:.9g} and {found.parted.b:.9g}"
    if found.judged_by == "bits":
        return f"identical parameter bits after {found.steps:,} steps"
    return f"losses agree within the {_WIDTHS[found.judged_by]} in {found.compared:,} of {found.compared:,} steps"


_WIDTHS = {"bound": "rounding bound", "tolerance": "tolerance of a PDE's residuals"}


def comparison_rows(found: compare.Comparison) -> list[tuple[str, str]]:
    rows = [("result", verdict(found)), ("last losses", f"{found.loss[0]:.9g} and {found.loss[1]:.9g}")]
    if found.judged_by in _WIDTHS:
        how = {
            "bound": "rounding of all sums and functions, u = 2^-24",
            "tolerance": "100 times what rounding all parameters does: a rule of thumb",
        }[found.judged_by]
        rows.append(("largest difference", f"{found.difference:.3g}, {found.judged_by} {found.bound:.3g} ({how})"))
    if found.drift is not None:
        rows.append(
            (
                "on its own",
                f"parameters differ by up to {found.drift:.3g} after {found.steps:,} steps (for information only)",
            )
        )
    return rows
