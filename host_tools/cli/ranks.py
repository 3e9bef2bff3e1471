# SPDX-License-Identifier: MIT
"""`ttzo ranks`: which ranks a model needs, and what each choice costs."""

from pathlib import Path
from typing import Any

import click

from ttzo.exporter import ode
from ttzo.exporter.operations.layer import PlanError
from ttzo.host_tools.cli.screen import Screen, command

ERRORS = (0.3, 0.5, 0.7)


@click.command("ranks")
@click.argument("model")
@click.option("--data", help="As for `ttzo train`; the model's own data when not given.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="Epochs of each training.")
@click.option("--error", "errors", multiple=True, type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="Largest relative error of a layer; 0.3, 0.5 and 0.7 when none is given. May be repeated.")  # fmt: skip
@click.option("--start-rank", type=click.IntRange(1), default=10, show_default=True,
              help="Rank from which training with the prior starts.")  # fmt: skip
@command
def ranks_command(
    screen: Screen, model: str, data: str | None, epochs: int, errors: tuple[float, ...], start_rank: int
) -> dict:
    """Find ranks for MODEL's tensor trains automatically, by back-propagation on this machine.

    MODEL is a zoo name or file.py:function, a chain with TTLinear layers and classes as targets. Two ways are tried.
    A dense network of the same shape is trained, decomposed within each --error, and trained again for as many
    epochs. And tensor trains that start at --start-rank are trained under a prior that drops the ranks they do not
    need. Then export with the ranks of your choice: `ttzo export MODEL --ranks`.
    """
    from ttzo.exporter.export import resolve
    from ttzo.host_tools.research import rank_choice

    module, rows = _model_and_rows(model, data)
    found: list[dict[str, Any]] = []

    def tell(method: str, trained, before: float | None = None) -> None:
        found.append(
            {
                "method": method,
                "ranks": rank_choice.ranks(trained),
                "parameters": rank_choice.count(trained),
                "untrained_accuracy": before,
                "accuracy": rank_choice.accuracy(trained, rows),
            }
        )

    with screen.bars() as bars:

        def fit(text: str, part, penalty=None, rate: float = rank_choice.RATE) -> None:
            rank_choice.fit(part, rows, epochs, penalty, rate, bars(text, "epochs"))

        fit("as it is", module)
        tell("as it is", module)
        dense = rank_choice.dense_twin(module)
        fit("dense", dense)
        tell("dense", dense)
        for error in errors or ERRORS:
            cut = rank_choice.within_error(dense, module, error)
            before = rank_choice.accuracy(cut, rows)
            fit(f"error {error:g}", cut)
            tell(f"error {error:g}", cut, before)
        started = resolve(model, ranks=start_rank)[1]
        if isinstance(started, Path | ode.Model):
            raise PlanError("ttzo ranks trains torch modules", "name a zoo model or file.py:function")
        prior = rank_choice.RankPrior(started)
        fit("prior", prior.module, prior.penalty, rank_choice.PRIOR_RATE)
        pruned = prior.pruned()
        before = rank_choice.accuracy(pruned, rows)
        fit("without the prior", pruned)
        tell("prior", pruned, before)
    _show(screen, found)
    return {"model": model, "epochs": epochs, "choices": found}


def _model_and_rows(model: str, source: str | None):
    """The module, and the rows as its inputs are scaled."""
    import numpy as np

    from ttzo.device_runtime.contract import Loss, TtzoError
    from ttzo.exporter.export import plan_of, resolve
    from ttzo.exporter.readers.nn import torch
    from ttzo.host_tools.data import data_set
    from ttzo.host_tools.research.rank_choice import Rows

    plan = plan_of(model)
    if plan.loss != Loss.cross_entropy:
        raise TtzoError(f"the targets of {model} are not classes", "choose a classifier")
    rows = data_set.load(source, plan)

    def inputs(x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x.astype(np.float32) * np.float32(plan.input_scale) + np.float32(plan.input_offset))

    module = resolve(model)[1]
    x_train, x_test = inputs(rows.x_train), inputs(rows.x_test)
    return module, Rows(x_train, torch.from_numpy(rows.y_train), x_test, torch.from_numpy(rows.y_test))


def _show(screen: Screen, found: list[dict[str, Any]]) -> None:
    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.2f} %"

    rows = [
        (
            each["method"],
            " : ".join(",".join(map(str, ranks)) for ranks in each["ranks"]),
            f"{each['parameters']:,}",
            percent(each["untrained_accuracy"]),
            percent(each["accuracy"]),
        )
        for each in found
    ]
    screen.table("", rows, ("method", "ranks", "parameters", "as decomposed or pruned", "trained"))
