# SPDX-License-Identifier: MIT
"""Options about a person's own data, and how answers to them are shown."""

from pathlib import Path
from typing import Any

import click

from ttzo.exporter.plan.packing import worth_packing
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.cli.screen import Screen
from ttzo.host_tools.data import data_set, known_data, npz, read_rows, run_data
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import HEADING, MISSING, NORMALISE, WINDOW_LABELS, DataOptions
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import Evaluation
from ttzo.host_tools.training import run_model
from ttzo.host_tools.training.answers import Answers, Detected

DATA = click.option(
    "--data",
    "source",
    metavar="SOURCE",
    help="digits, names, mnist, a folder with IDX files, or a .csv, .tsv, .txt, .npz, .npy or .parquet file.",
)
WIDEST_CONFUSION = 12  # classes; of more, the worst ones are listed
WORST = 6
STEP_OF_NORMALISED = 2.0**-12  # of int16: eight deviations to both sides


class ShareOrFile(click.ParamType):
    """A share of the rows (a number below 1), or a file."""

    name = "SHARE|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return float(value)
        except ValueError:
            return str(value)


TABLE_OPTIONS = (
    click.option("--target", metavar="COLUMN[,COLUMN]", help="Columns to learn, by name or by number from 1 (default: the last)."),
    click.option("--ignore", metavar="COLUMN[,COLUMN]", help="Columns that are not inputs."),
    click.option("--group", metavar="COLUMN", help="A person or a recording: rows with the same word here stay in one part of the split."),
    click.option("--heading", type=click.Choice(HEADING), help="Whether the first line names the columns (default: detected)."),
    click.option("--missing", type=click.Choice(MISSING), help="Rows that lack a number: refuse them, drop them, or use the column's mean."),
    click.option("--normalise", type=click.Choice(NORMALISE), help="How columns are scaled: to mean 0 and deviation 1 (standard), by median and quartiles (robust), not at all (none)."),
    click.option("--validation", type=ShareOrFile(), help="Validation rows: a share of all rows (default 0.1), or a file."),
    click.option("--test", type=ShareOrFile(), help="Test rows: a share of all rows (default 0.2), or a file."),
    click.option("--split-seed", type=click.IntRange(min=0), help="Seed of the split (default 0)."),
    click.option("--window", type=click.IntRange(min=1), help="A sample is a window of this many rows of a time series."),
    click.option("--hop", type=click.IntRange(min=1), help="Rows from one window to the next (default: no overlap)."),
    click.option("--window-label", type=click.Choice(WINDOW_LABELS), help="What gives a window its class: most rows, the last one, or, of anomalies, any."),
    click.option("--good", metavar="LABEL", help="Of `--task anomaly`: the label of good rows (default: 0, normal, good, ok)."),
)  # fmt: skip

ROW_OPTIONS = (
    *TABLE_OPTIONS[:5],
    *TABLE_OPTIONS[9:11],
)  # those that rows without targets can have: no normalising, no split


def taken(options: dict[str, Any]) -> DataOptions:
    """The `TABLE_OPTIONS` of a command, taken out of `options`."""
    return DataOptions(**{name: options.pop(name) for name in DataOptions.__dataclass_fields__})


def require_network(plan: Plan) -> None:
    """Raises `DataError` for a simulation."""
    if plan.simulation is not None:
        raise DataError("the bundle holds a simulation, whose constants are fitted to a log", "use `ttzo identify`")


def load_rows(
    screen: Screen,
    plan: Plan,
    source: str | None,
    options: DataOptions,
    run: Path | None = None,
    only_test: bool = False,
    of_run: bool = False,
) -> DataSet:
    """A command's data set; what is to be said of it is said. `run`: the folder whose data and preparation count where
    neither the command nor the model names any; `of_run`: that run goes on or is measured, so that its data go before the
    model's, unless it is a run of another model."""
    require_network(plan)
    known = run_data.load(run) if run and not (of_run and run_model.is_of_another(run, plan)) else None
    if known and source is None and (of_run or not plan.metadata.get("data")):
        source = known.source
        if not known_data.is_known(source) and not Path(source).exists() and not options.file("test"):
            raise DataError(f"the run in {run} was trained on {source}, which is not here", "name it with --data")
    rows = data_set.load(source, plan, options, known, only_test=only_test)
    for note in rows.notes:
        screen.say(note)
    return rows


def row_shape(source: str | None, options: DataOptions) -> tuple[int, ...] | None:
    """Of the rows in an .npz file, where `source` is one; None else, and where samples are windows of rows."""
    if not source or Path(source).suffix != ".npz" or options.window:
        return None
    found = npz.shape_of(Path(source), "x_train")
    return found[1:] if found else None


def prepared(screen: Screen, plan: Plan, options: DataOptions) -> dict[str, Any]:
    """Metadata of a plan whose data set is a file that is there: classes' names, normalisation, the options given, and the
    code of packed rows where it saves enough."""
    source = plan.metadata.get("data", "")
    if plan.pde is not None or plan.simulation is not None or known_data.is_known(source) or not Path(source).is_file():
        if options != DataOptions():
            where = f"there is no file {source}" if source else "no data set is named"
            table = "name the table with --data FILE, or give these options to `ttzo train` together with it"
            raise DataError(
                f"options for a table are given, but {where}",
                "leave them out: this model has no rows" if plan.pde or plan.simulation else table,
            )
        if Path(source).suffix in read_rows.ENDINGS and not Path(source).exists():
            screen.say(
                f"there is no file {source} yet: names and normalisation are fitted by the first run that has it"
            )
        return {}
    rows = data_set.load(source, plan, options)
    for note in rows.notes:
        screen.say(note)
    packing = worth_packing(rows.train_rows)
    return packing | ({"preparation": rows.preparation.as_json()} if rows.preparation else {})


# ---- answers ---------------------------------------------------------------------------------------------------------


def answers_rows(plan: Plan, answers: Answers | None) -> list[tuple[str, str]]:
    """Figures beyond accuracy and loss, in words."""
    if answers is None:
        return []
    rows = _detection_rows(answers.detection) if answers.detection else []
    if answers.balanced_accuracy is not None:
        rows.append(("balanced accuracy", f"{100 * answers.balanced_accuracy:.2f} % (mean over the classes)"))
    if answers.auc is not None:
        rows.append(("AUC", f"{answers.auc:.4f} (class {answers.classes[1].name} against {answers.classes[0].name})"))
    for output, (rmse, r2, best) in enumerate(zip(answers.rmse, answers.r2, answers.best_constant_rmse, strict=True)):
        named = answers.targets[output] if answers.targets else ""
        name = f"RMSE of `{named}`" if named else "RMSE" if len(answers.rmse) == 1 else f"RMSE of target {output + 1}"
        told = f", R2 {r2:.4f}" if r2 is not None else ""
        unit = "that column's unit" if named else "the target's unit"
        rows.append((name, f"{rmse:.6g} in {unit}{told} (the best constant has {best:.6g})"))
    return rows


def _detection_rows(found: Detected) -> list[tuple[str, str]]:
    """Anomalies in words."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f} %"

    rows = [("AUC", f"{found.auc:.4f} (anomalous against good rows)")] if found.auc is not None else []
    limit = f"{found.threshold:.4g} ({found.rule} of the errors of {found.threshold_rows:,} good rows)"
    told = f"with {share(found.found)} of {found.anomalous:,} anomalous rows, {share(found.false_alarms)} of {found.good:,} good ones"
    return [*rows, ("threshold", limit), (f"alarm by {found.votes} rows", told)]


def show_answers(screen: Screen, plan: Plan, answers: Answers | None) -> None:
    """The confusion matrix, then recall and precision of each class (one table of both is wider than 80 columns); of
    many classes the worst."""
    if answers is None or not answers.classes:
        return
    present = [k for k, each in enumerate(answers.classes) if each.rows or any(row[k] for row in answers.confusion)]
    if len(present) <= WIDEST_CONFUSION:
        rows = [(answers.classes[k].name, *(answers.confusion[k][j] for j in present)) for k in present]
        screen.table(
            "rows of each class, by the class answered", rows, ("", *(answers.classes[k].name for k in present))
        )
        shares = [(answers.classes[k].name, *_shares(answers, k)) for k in present]
        screen.table("", shares, ("class", "recall", "precision"))
        return
    worst = sorted((k for k in present if answers.classes[k].rows), key=lambda k: answers.classes[k].recall or 0.0)[
        :WORST
    ]
    rows = [(answers.classes[k].name, answers.classes[k].rows, *_shares(answers, k)) for k in worst]
    screen.table(f"the {len(worst)} worst of {len(present)} classes", rows, ("class", "rows", "recall", "precision"))


def _shares(answers: Answers, k: int) -> tuple[str, str]:
    each = answers.classes[k]
    recall, precision = (
        f"{100 * share:.1f} %" if share is not None else "-" for share in (each.recall, each.precision)
    )
    return recall, precision


def test_json(plan: Plan, test: Evaluation, answers: Answers | None = None) -> dict[str, Any]:
    """A measurement as JSON has it."""
    classes = plan.has_classes
    page = {
        "loss": test.loss,
        "accuracy": test.accuracy if classes else None,
        "correct": test.n_correct if classes else None,
        "rows": test.n_rows,
        "relative_l2": test.relative,
    }
    if answers is None:
        return page
    if answers.detection is not None:
        return page | {"auc": answers.detection.auc, "detection": answers.detection}
    if classes:
        figures = {name: getattr(answers, name) for name in ("balanced_accuracy", "auc", "classes", "confusion")}
    else:
        figures = {name: getattr(answers, name) for name in ("targets", "rmse", "r2", "best_constant_rmse")}
    return page | figures
