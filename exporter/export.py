# SPDX-License-Identifier: MIT
"""From a model's name to its plan and its bundle folder: the zoo, a user's own function or ONNX file, and overrides."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ttzo.device_runtime.contract import (
    Activation,
    Arithmetic,
    Cache,
    Derivative,
    Loss,
    Need,
    Number,
    TtzoError,
)
from ttzo.exporter import ode, unread_options, zoo
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.choose import contraction, method
from ttzo.exporter.choose.arithmetic import choose_arithmetic, named_arithmetic
from ttzo.exporter.choose.columns import with_columns_that_fit
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.memory import Room
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.option_values import meant, names_of, number, one_of, shape, whole, yes_or_no
from ttzo.exporter.pde import Pde, Problem, trace, unknown_starts, why_no_exact, why_scale
from ttzo.exporter.plan import anomaly, augmentation, packing, pruning, train_defaults
from ttzo.exporter.plan import freeze as freezing
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.zoo.recipe import Inputs, Ranks, Recipe, known_inputs
from ttzo.exporter.zoo.simulations import SIMULATIONS

if TYPE_CHECKING:
    import torch

LOG_ROWS = 64  # rows of a simulation's log in one step
OF_SIMULATIONS = ("batch", "arithmetic", "seed", "title")  # their options
MODEL_OPTIONS = (
    "title",
    "data",
    "task",
    "threshold",
    "votes",
    "loss",
    "places",
    "class_weights",
    "huber_delta",
    "input_number",
    "input_scale",
    "input_offset",
    "input_shape",
    "augment",
    "batch",
    "arithmetic",
    "cache",
    "freeze",
    "frozen",
    "keep_zeros",
    "problem",
    *unread_options.OF_EQUATIONS,
)


# ---- the model ------------------------------------------------------------------------------------------------------


def resolve(
    model: str, *, ranks: Ranks = None, format: str | None = None, seed: int | None = None
) -> tuple[Recipe, "torch.nn.Module | Path | ode.Model"]:
    """Recipe of a zoo name, of `file.py:function` or of an `.onnx` file, and the module; of the last, its path; of a
    simulation, its `ode.Model`.

    The function returns a module, or a module and a dictionary of options (`MODEL_OPTIONS`, and the training settings
    of train_defaults). Raises `TtzoError` for an unknown name, and the errors of `user_model.load`.
    """
    given = {name: value for name, value in (("ranks", ranks), ("format", format), ("seed", seed)) if value is not None}
    if model in zoo.names():
        recipe = zoo.get(model)
        if recipe.build:
            return recipe, recipe.build(**({"seed": recipe.training.seed} | given))
    if model in SIMULATIONS:
        return Recipe(name=model, title=model, build=None, batch=LOG_ROWS), SIMULATIONS[model]()
    if model.endswith(".onnx"):
        if ranks is not None or format is not None:
            raise TtzoError("the layers of an ONNX file cannot be changed", "leave out --ranks and --format")
        from ttzo.exporter.readers.from_onnx import options_in_file

        recipe = Recipe(name=Path(model).stem, title=Path(model).stem, build=None, given={})
        return _changed(recipe, options_in_file(Path(model))), Path(model)
    _refuse_weights_alone(model)
    path, colon, function = model.rpartition(":")
    if not colon or not path.endswith(".py"):
        known = ", ".join((*zoo.names(), *SIMULATIONS))
        raise TtzoError(
            f"there is no model {model!r}", f"give the name of a zoo model ({known}), file.py:function or an .onnx file"
        )
    from ttzo.exporter.readers import user_model

    module, options = user_model.load(Path(path), function, given)
    base = Recipe(name=function, title=function, build=None, given={})
    if isinstance(module, ode.Model):
        base = dataclasses.replace(base, batch=LOG_ROWS, given=None)
    return _changed(base, options), module


WEIGHT_FILES = {
    ".pt": "net.load_state_dict(torch.load({name!r}))",
    ".pth": "net.load_state_dict(torch.load({name!r}))",
    ".safetensors": "net.load_state_dict(safetensors.torch.load_file({name!r}))",
}


def _refuse_weights_alone(model: str) -> None:
    """A file of weights does not say what the network computes: the sentence shows how to bring both."""
    if Path(model).suffix.lower() in WEIGHT_FILES:
        load = WEIGHT_FILES[Path(model).suffix.lower()].format(name=Path(model).name)
        hint = (
            f"write a file net.py with `def model(): net = Net(); {load}; net.eval(); return net`, one statement a line, "
            "and export net.py:model"
        )
        raise TtzoError(f"{model} holds weights, not what the network computes with them", hint)


# ---- overrides ------------------------------------------------------------------------------------------------------


def _changed(recipe: Recipe, options: dict[str, Any]) -> Recipe:
    """The recipe with options by name; the names of a known data set bring its number format along."""
    given = {name: value for name, value in options.items() if value is not None}
    unknown = [name for name in given if name not in (*MODEL_OPTIONS, *train_defaults.SETTINGS)]
    if unknown:
        known = (*MODEL_OPTIONS, *train_defaults.SETTINGS)
        raise PlanError(f"there is no option {unknown[0]!r}", meant(unknown[0], known))
    training = {name: value for name, value in given.items() if name in train_defaults.SETTINGS}
    later = recipe.given is not None and "estimator" not in {**recipe.given, **training}  # choose/method.py decides
    chosen = training | ({"batch": given["batch"]} if "batch" in given else {})
    data = str(given["data"]) if "data" in given else recipe.data
    of_data = known_inputs(data)
    inputs = of_data if of_data and "data" in given else recipe.inputs
    inputs = Inputs(
        number=train_defaults.member("input_number", given.get("input_number", inputs.number), Number),
        scale=number("input_scale", given.get("input_scale", inputs.scale)),
        offset=number("input_offset", given.get("input_offset", inputs.offset)),
        packing=of_data.packing if of_data else None,
        packed_row_bytes=of_data.packed_row_bytes if of_data else 0.0,
    )
    task = one_of("task", given.get("task", recipe.task), ("", *anomaly.TASKS))
    return dataclasses.replace(
        recipe,
        options={**recipe.options, **given},
        title=str(given.get("title", recipe.title)),
        given=None if recipe.given is None else {**recipe.given, **chosen},
        data=data,
        task=task,
        threshold=given.get("threshold", recipe.threshold),
        votes=given.get("votes", recipe.votes),
        loss=train_defaults.member("loss", given.get("loss", Loss.mse if "task" in given else recipe.loss), Loss),
        loss_options=_loss_options(given, recipe.loss_options),
        inputs=inputs,
        input_shape=shape(given.get("input_shape", recipe.input_shape)),
        augment=augmentation.settings_of(given.get("augment", recipe.augment)),
        batch=whole("batch", given.get("batch", recipe.batch)),
        arithmetic=named_arithmetic(given.get("arithmetic", recipe.arithmetic)),
        cache=train_defaults.member("cache", given.get("cache", recipe.cache), Cache),
        freeze=names_of("freeze", given.get("freeze", recipe.freeze)),
        frozen=one_of("frozen", given.get("frozen", recipe.frozen), freezing.KINDS),
        keep_zeros=yes_or_no("keep_zeros", given.get("keep_zeros", recipe.keep_zeros)),
        problem=_problem(given.get("problem", recipe.problem)),
        derivative=train_defaults.member("derivative", given.get("derivative", recipe.derivative), Derivative),
        radius=number("radius", given.get("radius", recipe.radius)),
        level=whole("level", given.get("level", recipe.level)),
        n_pairs=whole("n_pairs", given.get("n_pairs", recipe.n_pairs)),
        n_sampled=whole("n_sampled", given.get("n_sampled", recipe.n_sampled)),
        training=train_defaults.overridden(
            recipe.trainings.get(str(given.get("estimator")), recipe.training), training, all_read=not later
        ),
    )


def _loss_options(given: dict[str, Any], options: LossOptions) -> LossOptions:
    weights = given.get("class_weights", options.class_weights)
    if isinstance(weights, str):
        weights = weights.split(",")
    try:
        made = tuple(float(weight) for weight in weights)
    except (TypeError, ValueError):
        raise PlanError(f"option class_weights is {weights!r}", "give a number for each class, as 1,5") from None
    return LossOptions(
        places=whole("places", given.get("places", options.places)),
        class_weights=made,
        huber_delta=number("huber_delta", given.get("huber_delta", options.huber_delta)),
    )


def _problem(value: Any) -> Problem | None:
    if value is None or isinstance(value, Problem):
        return value
    raise PlanError(f"option problem is {value!r}", "give a ttzo.pde.Problem")


def _read(source: Any, settings: dict[str, Any], pde: Pde | None, problem: Problem | None) -> Plan:
    """The reader's plan; a network that does not fit the equation is refused at the problem's line."""
    try:
        return _reader(source)(source, **settings)
    except PlanError as error:
        if pde is None or problem is None or not str(error).startswith("a network of "):
            raise
        hint = f"its first layer takes {pde.n_inputs} inputs, its last gives {pde.n_outputs}"
        raise PlanError(f"{problem.line}{error}", hint) from None


def _traced(recipe: Recipe, problem: Problem, options: dict[str, Any]) -> Pde:
    """The problem's equation with as many rows as the options say, else the recipe for the estimator."""
    own = recipe.rows.get(str(options.get("estimator")))
    problem = problem.with_rows(own if options.get("batch") is None else options["batch"])
    return trace(problem, recipe.derivative, recipe.radius, recipe.level, recipe.n_pairs, recipe.n_sampled)


def plan_of(
    model: str,
    *,
    ranks: Ranks = None,
    format: str | None = None,
    budget: str | None = None,
    contractions: str | None = None,
    room: Room | None = None,
    row_shape: tuple[int, ...] | None = None,
    arithmetics: Collection[str] = (),
    **options: Any,
) -> Plan:
    """The plan of a model with its overrides: `ranks`, `format`, `budget` (budget.py; it chooses fold and ranks),
    `contractions` (contraction.py; by default the cheapest that fit `room`), `MODEL_OPTIONS`, and the training settings
    of train_defaults (`estimator`, `update`, `lr`, `mu`, `steps`, `seed`, ..). `row_shape`: of the data's rows, which counts
    where model and options say none; `arithmetics`: the board's (choose/arithmetic.py). All numbers of the plan are float32's,
    as a bundle of it reads back. Metadata: name, title, data, source (`model` as given), overrides, and ttzo's version.
    """
    train_defaults.overridden(Training(), {"seed": options.get("seed")})  # before torch draws from it
    recipe, source = resolve(model, ranks=ranks, format=format, seed=options.get("seed"))
    own, recipe = recipe.options, _changed(recipe, options)
    if isinstance(source, ode.Model):
        refused = {"ranks": ranks, "format": format, "budget": budget, "contractions": contractions} | options
        return _simulation_plan(recipe, source, model, refused)
    pde = None if recipe.problem is None else _traced(recipe, recipe.problem, options)
    named = {"ranks": ranks, "format": format, "budget": budget, "contractions": contractions}
    arithmetic, why = choose_arithmetic(recipe.arithmetic, arithmetics)
    settings = dict(
        loss=Loss.residual if pde else recipe.loss,
        loss_options=recipe.loss_options,
        training=recipe.training,
        batch=pde.batch if pde else recipe.batch,
        input_number=Number.float32 if pde else recipe.inputs.number,
        **({"pde": dataclasses.replace(pde, units=())} if pde else {}),
        input_scale=recipe.inputs.scale,
        input_offset=recipe.inputs.offset,
        arithmetic=arithmetic,
        metadata=_metadata(recipe, model, named | options),
        input_shape=recipe.input_shape,
        row_shape=row_shape,
    )
    plan = _read(source, settings, pde, recipe.problem)
    if budget is not None:
        plan = _reader(source)(_within(budget, source, plan), **settings)
    if recipe.problem is not None and pde is not None:
        plan = _with_unknowns(plan, recipe.problem, pde)
        _require_smooth(plan, recipe.problem.line)
        plan = _with_note(_with_note(plan, why_no_exact(recipe.problem)), why_scale(recipe.problem))
    if recipe.task and (wrong := anomaly.why_not(plan.loss, plan.in_features, plan.out_features)):
        raise PlanError(
            wrong, "leave out --task, or give a model whose last layer has as many outputs as a row has numbers"
        )
    plan = packing.of_metadata(augmentation.of_plan(plan, recipe.augment, recipe.input_shape))
    plan = freezing.freeze(_with_note(plan, why), recipe.freeze, int8=recipe.frozen == "int8")
    if not plan.n_parameters:
        raise PlanError("nothing is trained", "freeze less: leave out a --freeze, or set requires_grad=True")
    plan = pruning.keep_zeros(plan) if recipe.keep_zeros else _with_note(plan, pruning.zeros_text(plan))
    least = _least(room, budget)
    if recipe.given is not None and "estimator" not in recipe.given:
        plan = method.chosen(plan, recipe.given, least, fitted)
    plan = dataclasses.replace(plan, cache=recipe.cache)
    unread_options.require_use(recipe, plan, own, options)
    if contractions:
        plan = contraction.given(plan, contractions)
    elif least is None:
        plan = contraction.chosen(plan)
    else:
        plan = fitted(plan, least, given=options.get("cache") is not None)
    return to_bundle.read(to_bundle.write(plan))


def _with_unknowns(plan: Plan, problem: Problem, pde: Pde) -> Plan:
    """The plan with the equation's unknown constants after the network's parameters."""
    theta = np.concatenate([plan.parameters, unknown_starts(problem)])
    names = {"unknowns": list(problem.unknowns)} if problem.unknowns else {}
    return dataclasses.replace(plan, pde=pde, parameters=theta, metadata=plan.metadata | names)


def _require_smooth(plan: Plan, line: str) -> None:
    """A second derivative that is taken as it is needs activations that have one. Raises `PlanError` with the equation's line."""
    pde = plan.equation
    smoothed = (Derivative.sparse_grid, Derivative.monte_carlo)  # derivatives of the network times a Gaussian
    if pde.derivative in smoothed or not pde.needs & (Need.laplacian | Need.diagonal | Need.along):
        return
    for layer in plan.chain or ():  # of other graphs, jets name what they do not pass
        if layer.activation == Activation.relu:
            raise PlanError(
                f"{line}layer {layer.name} ends in a ReLU, whose second derivative is 0 wherever it has one: the equation's would not be trained",
                "use torch.nn.Tanh() or ttzo.nn.Sine(); or --derivative sparse_grid, which smooths",
            )


def _simulation_plan(recipe: Recipe, source: ode.Model, model: str, options: dict[str, Any]) -> Plan:
    wrong = [name for name, value in options.items() if value is not None and name not in OF_SIMULATIONS]
    if wrong:
        raise PlanError(f"a simulation has no option {wrong[0]}", f"its options are {', '.join(OF_SIMULATIONS)}")
    simulation, start = ode.trace(source)
    phase = Phase.of_simulation(float(source.step))
    plan = Plan.of_simulation(
        simulation,
        start,
        training=Training((phase,), seed=recipe.training.seed, steps=2**31),
        batch=recipe.batch,
        arithmetic=recipe.arithmetic or Arithmetic.separate,
        metadata=_metadata(recipe, model, options),
    )
    return to_bundle.read(to_bundle.write(plan))


def _with_note(plan: Plan, sentence: str) -> Plan:
    """The plan with one more sentence that a person reads at export."""
    if not sentence:
        return plan
    notes = [*plan.metadata.get("notes", ()), sentence]
    return dataclasses.replace(plan, metadata=plan.metadata | {"notes": notes})


def _least(room: Room | None, budget: str | None) -> Room | None:
    """The room of a board, or of a budget of memory, whichever is smaller."""
    if budget is None:
        return room
    from ttzo.exporter.choose.budget import parse

    ram = parse(budget).get("ram")
    if ram is None or room is not None and room.ram_bytes <= ram:
        return room
    return Room(name="the budget", flash_bytes=0, ram_bytes=ram)


def _within(budget: str, source: "torch.nn.Module | Path", plan: Plan) -> "torch.nn.Module":
    """The module in a fold and ranks that keep within the budget."""
    if isinstance(source, Path):
        raise TtzoError("the layers of an ONNX file cannot be changed", "leave out --budget")
    from ttzo.exporter.choose import budget as budgets

    places = budgets.places(source)
    if not places:
        raise PlanError("a budget chooses the ranks of TTLinear layers, and the model has none", "leave out --budget")
    return budgets.refit(source, budgets.fitted(plan, places, budgets.parse(budget)), plan.training.seed)


def _reader(source: "torch.nn.Module | Path") -> Callable[..., Plan]:
    if isinstance(source, Path):
        from ttzo.exporter.readers.from_onnx import plan_from_file

        return plan_from_file
    from ttzo.exporter.readers.from_torch import plan_from_module

    return plan_from_module


def _metadata(recipe: Recipe, model: str, overrides: dict[str, Any]) -> dict[str, Any]:
    given = {name: _plain(value) for name, value in overrides.items() if value is not None}
    metadata = {
        "name": recipe.name,
        "title": recipe.title,
        "source": model,
        "overrides": given,
        "ttzo": version("ttzo"),
    }
    if recipe.task:
        metadata |= {"task": recipe.task, "detection": anomaly.detection_of(recipe.threshold, recipe.votes).as_json()}
    if recipe.inputs.packing:
        metadata |= packing.described(recipe.inputs.packing, recipe.inputs.packed_row_bytes)
    return metadata | ({"data": str(recipe.data)} if recipe.data else {})


def _plain(value: Any) -> Any:
    """A value as JSON holds it: enumerations by name, tuples as lists."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return getattr(value, "name", value)


def fitted(plan: Plan, room: Room, given: bool = False) -> Plan:
    """The plan with the contractions that fit `room` and, unless the caches are `given`, the widest that do."""
    made = with_columns_that_fit(contraction.chosen(plan, room), room)
    for cache in (Cache.int16, Cache.int16_least):
        if given or plan.chain is None or memory.work_bytes(made) <= room.ram_bytes:
            break
        narrower = contraction.chosen(dataclasses.replace(plan, cache=cache), room)
        if memory.work_bytes(narrower) < memory.work_bytes(made):
            made = narrower
    return made


# ---- the folder -----------------------------------------------------------------------------------------------------


def export(
    model: str,
    out_dir: str | Path,
    *,
    room: Room | None = None,
    ranks: Ranks = None,
    format: str | None = None,
    describe: Callable[[Plan], Mapping[str, Any]] | None = None,
    plain_onnx: bool = False,
    row_shape: tuple[int, ...] | None = None,
    **options: Any,
) -> Plan:
    """Writes a model (see `plan_of`) into a folder, as `write_files` does, and returns the plan. The estimator's caches are
    the widest that fit `room`, unless `cache` says which. Raises the errors of both.
    """
    plan = plan_of(model, ranks=ranks, format=format, room=room, row_shape=row_shape, **options)
    return write_files(plan, out_dir, room=room, describe=describe, plain_onnx=plain_onnx)
