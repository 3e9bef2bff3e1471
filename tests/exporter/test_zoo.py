# SPDX-License-Identifier: MIT
"""The zoo's models: the paper's counts, ranks in people's notation, seeds."""

import subprocess
import sys
import warnings

import pytest

from ttzo.device_runtime.contract import LayerKind, Loss, Number, TtzoError
from ttzo.exporter import zoo
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import torch
from ttzo.exporter.zoo.recipe import layer_ranks

SENSORS = [recipe.name for recipe in zoo.SENSORS]
SEQUENCES = [recipe.name for recipe in zoo.SEQUENCES]
AUTOENCODERS = [recipe.name for recipe in zoo.AUTOENCODERS]
OTHERS = (*SENSORS, *SEQUENCES, *AUTOENCODERS)
WITH_DATA = [name for name in zoo.names() if zoo.get(name).problem is None and name not in OTHERS]
PDES = [name for name in zoo.names() if zoo.get(name).problem is not None]


def built(name, **arguments):
    return plan_from_module(zoo.get(name).build(**arguments))


def test_every_recipe_builds_exports_and_names_its_data():
    for name in WITH_DATA:
        recipe = zoo.get(name)
        plan = built(name)
        assert recipe.name == name and recipe.title and recipe.data in ("digits", "mnist", "names")
        assert plan.n_parameters < plan.dense_parameters / 3 or plan.gathers
        assert recipe.loss == Loss.cross_entropy and recipe.inputs.number == Number.uint8


def test_autoencoders_give_back_as_many_numbers_as_their_recordings_windows_have():
    for name in AUTOENCODERS:
        recipe, plan = zoo.get(name), built(name)
        assert recipe.task == "anomaly" and recipe.data == recipe.name == name and recipe.loss == Loss.mse
        assert plan.in_features == plan.out_features and recipe.inputs.number == Number.int16


def test_sensors_are_small_dense_networks_over_the_whole_numbers_that_their_data_hold():
    for name in SENSORS:
        recipe, plan = zoo.get(name), built(name)
        assert recipe.name == recipe.data == name and plan.n_parameters < 6000
        assert recipe.loss == Loss.cross_entropy and recipe.inputs.number == Number.int16
        with pytest.raises(PlanError, match="has no tensor trains"):
            built(name, ranks=3)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("digits-rnn", 16 * (8 + 16 + 2) + 10 * 17), ("names-gpt", 16 * (27 + 14 + 4 * 16 + 2 * 64 + 27))],
)
def test_sequences_are_graphs_without_tensor_trains(name, parameters):
    recipe = zoo.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of torch's tracing reaches a person
        plan = plan_from_module(recipe.build(), input_shape=recipe.input_shape, loss=recipe.loss)
    assert plan.n_parameters == parameters and plan.chain is None
    with pytest.raises(PlanError, match="has no tensor trains"):
        recipe.build(ranks=3)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [({}, 3962), ({"ranks": 10}, 8314), ({"ranks": "6"}, 3962), ({"ranks": 4, "in_modes": (4, 7, 7, 4)}, 2698)],
)
def test_mnist_mlp_has_the_papers_parameter_counts(arguments, parameters):
    plan = built("mnist-mlp", **arguments)
    assert plan.n_parameters == parameters
    assert plan.dense_parameters == 814090  # the paper's dense network


@pytest.mark.parametrize(
    ("name", "parameters"), [("hjb20", 3209), ("hjb20-rank10", 7745), ("hjb20-mlp", 608257), ("hjb20-lq", 1473)]
)
def test_hjb20_has_the_papers_parameter_counts(name, parameters):
    assert built(name).n_parameters == parameters  # hjb20-lq: the limit is 1500


@pytest.mark.parametrize("name", PDES)
def test_every_pde_names_itself_and_refuses_ranks_where_it_has_none(name):
    recipe = zoo.get(name)
    assert recipe.name == name and recipe.title
    assert recipe.problem.exact or recipe.reference
    if not name.startswith("hjb20") or name in ("hjb20-mlp", "hjb20-lq"):
        with pytest.raises(PlanError, match="dense"):
            recipe.build(ranks=3)


def test_an_estimator_may_take_its_own_rows_of_an_equation():
    assert plan_of("darcy").batch == plan_of("darcy", estimator="rge").batch == 150
    assert plan_of("darcy", estimator="coordinate_gn").batch == 600
    assert plan_of("darcy", estimator="coordinate_gn", batch=40).batch == 40


def test_ranks_may_be_given_bond_by_bond():
    plan = built("mnist-mlp", ranks="6,1,6:6,6,6")
    assert [layer.ranks for layer in plan.layers] == [(1, 6, 1, 6, 1), (1, 6, 6, 6, 1)]
    assert plan.n_parameters == 3002  # the same network in an independent prototype


@pytest.mark.parametrize(
    ("ranks", "layers"),
    [
        (None, (1, 2)),
        (5, (5, 5)),
        ("5", (5, 5)),
        ("5:4", (5, 4)),
        ("6,1,6", ((6, 1, 6), (6, 1, 6))),
        ("6,1,6:4", ((6, 1, 6), 4)),
        (((6, 1, 6), 4), ((6, 1, 6), 4)),
    ],
)
def test_ranks_notation(ranks, layers):
    assert layer_ranks(ranks, (1, 2)) == layers


@pytest.mark.parametrize("ranks", ["", "six", "6,:4", "6:5:4", (1, 2, 3), "6.5"])
def test_wrong_ranks_are_refused_with_a_hint(ranks):
    with pytest.raises(PlanError) as caught:
        layer_ranks(ranks, (1, 2))
    assert caught.value.hint


def test_the_tensor_format_can_be_had():
    for name in WITH_DATA:
        if name == "mnist-conv":
            with pytest.raises(PlanError, match="has no tensor trains"):
                built(name, format="tensor")
            continue
        kinds = {layer.kind for layer in built(name, format="tensor").layers}
        assert LayerKind.tt_tensor in kinds and LayerKind.tt_matrix not in kinds


def test_convolutions_and_embeddings_keep_below_their_counts():
    counts = {name: built(name).n_parameters for name in WITH_DATA if built(name).gathers}
    assert counts == {"digits-conv": 650, "mnist-conv": 3898, "mnist-conv-tt": 1994, "mnist-99": 3827, "names": 631}


def test_small_mnist_networks_have_the_parameters_of_their_cores_and_kernels():
    convolutions = 8 * (25 + 1) + 14 * (8 * 9 + 1) + 16 * (14 * 9 + 1)
    assert {recipe.name: built(recipe.name).n_parameters for recipe in zoo.SMALL_MNIST} == {
        "mnist-196": 2 * (28 * 14) * 2 + 196 + 14 * 10 * 6 + 6 * 14 + 10,
        "mnist-100": 2 * (28 * 10) * 2 + 100 + 10 * 10 * 5 + 5 * 10 + 10,
        "mnist-99": convolutions + 16 * 10 * 3 + 3 * 25 + 10,
    }


def test_mnist_100_trains_in_48_kilobytes_with_the_variables_and_the_stack_of_a_firmware():
    variables, stack = 4744, 4096  # on netduinoplus2, by `ttzo build`
    assert work_bytes(plan_of("mnist-100")) + variables + stack <= 48_000


def test_a_seed_gives_the_same_parameters_and_leaves_torchs_generator_alone():
    torch.manual_seed(1)
    first = torch.rand(3)
    torch.manual_seed(1)
    plans = [built("digits", seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), first)
    assert plans[0].parameters.tobytes() == plans[1].parameters.tobytes() != plans[2].parameters.tobytes()


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(TtzoError, match="no model 'mnist'") as caught:
        zoo.get("mnist")
    assert "mnist-mlp" in caught.value.hint


def test_the_zoo_is_listed_without_torch():
    code = "import sys; sys.modules['torch'] = None; from ttzo.exporter import zoo; print(*zoo.names())"
    listed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert listed == [*zoo.names()]


def test_mnist_in_3898_parameters_is_a_model_of_its_own_with_a_lower_rate():
    short, long = zoo.get("mnist-mlp"), zoo.get("mnist-3898")
    assert built("mnist-3898").n_parameters == 3898  # the same network in an independent prototype
    assert long.training.steps == 5 * short.training.steps == 5 * 2 * 60000 // short.batch
    assert long.training.phases[0].learning_rate < short.training.phases[0].learning_rate
    assert short.trainings["hybrid"].decay_every == 9380  # the paper's own schedule is kept for its methods
