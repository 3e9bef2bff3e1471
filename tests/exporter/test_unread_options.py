# SPDX-License-Identifier: MIT
"""Options that nothing of a model reads are refused by name, with what would read them."""

import pytest

pytest.importorskip("torch")

from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError


@pytest.mark.parametrize(
    ("model", "options", "what", "hint"),
    [
        ("digits", {"derivative": "jet"}, "option derivative is for equations, and digits is none", "leave it out"),
        ("digits", {"level": 3}, "option level is for equations", "leave it out"),
        ("digits", {"n_pairs": 8}, "option n_pairs is for equations", "leave it out"),
        ("digits", {"threshold": "gaussian:3"}, "option threshold is for models that find anomalies", "--task anomaly"),
        ("digits", {"votes": "2/3"}, "option votes is for models that find anomalies", "--task anomaly"),
        ("digits", {"huber_delta": 2.0}, "loss cross_entropy does not read huber_delta", "--loss huber"),
        ("digits", {"frozen": "int8"}, "nothing is frozen that could be int8", "--freeze"),
        ("digits", {"estimator": "rge", "cache": "int16"}, "rge keeps nothing of a sample", "--cache"),
        ("digits", {"estimator": "cge", "n_queries": 8}, "cge has no setting n_queries", "block_rge"),
        ("black-scholes", {"data": "digits"}, "an equation, .* option data says nothing of it", "`ttzo eval`"),
        ("black-scholes", {"loss": "mse"}, "an equation, .* option loss says nothing of it", "leave it out"),
        ("black-scholes", {"input_number": "uint8"}, "option input_number says nothing of it", "leave it out"),
        ("black-scholes", {"level": 3}, "derivative jet does not read level", "--derivative sparse_grid"),
        ("black-scholes", {"n_pairs": 8}, "derivative jet does not read n_pairs", "--derivative monte_carlo"),
        ("black-scholes", {"n_sampled": 8}, "derivative jet does not read n_sampled", "--derivative sampled_jet"),
        ("black-scholes", {"radius": 0.2}, "derivative jet does not read radius", "--derivative finite_difference or"),
        ("black-scholes", {"derivative": "finite_difference", "level": 3}, "does not read level", "sparse_grid"),
    ],
)
def test_an_option_without_a_reader_is_refused(model, options, what, hint):
    with pytest.raises(PlanError, match=what) as caught:
        plan_of(model, **options)
    assert hint in caught.value.hint


NET = """
import torch

from ttzo import pde

def net():
    return torch.nn.Linear(4, 3), OPTIONS

def heat():
    problem = pde.Problem(space=[(0, 1)], time=(0, 1), residual=lambda p: p.u_t - p.lap, rows=8)
    return torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)), {"problem": problem} | OPTIONS
"""


def place(folder, name, options=None):
    """file.py:function of a model with these options of its own."""
    (folder / "net.py").write_text(NET.replace("OPTIONS", repr(options or {})))
    return f"{folder / 'net.py'}:{name}"


@pytest.mark.parametrize(
    ("name", "own", "what"),
    [
        ("net", {"level": 3}, "option level is for equations, and net is none"),
        ("net", {"votes": "2/3"}, "option votes is for models that find anomalies"),
        ("net", {"huber_delta": 3.0}, "loss cross_entropy does not read huber_delta"),
        ("net", {"estimator": "rge", "cache": "int16"}, "rge keeps nothing of a sample"),
        ("net", {"frozen": "int8"}, "nothing is frozen"),
        ("heat", {"level": 3}, "derivative jet does not read level"),
        ("heat", {"data": "digits"}, "option data says nothing of it"),
    ],
)
def test_options_of_a_models_own_file_are_refused_too(tmp_path, name, own, what):
    with pytest.raises(PlanError, match=what):
        plan_of(place(tmp_path, name, own))


@pytest.mark.parametrize(
    ("name", "own", "given"),
    [
        ("net", {"loss": "huber", "huber_delta": 3.0}, {"loss": "mse"}),
        ("net", {"estimator": "cge", "cache": "int16"}, {"estimator": "rge"}),
        ("heat", {"derivative": "sparse_grid", "level": 2}, {"derivative": "jet"}),
    ],
)
def test_what_a_command_chooses_otherwise_leaves_options_of_the_file_aside(tmp_path, name, own, given):
    assert plan_of(place(tmp_path, name, own), **given).n_parameters


@pytest.mark.parametrize(
    ("name", "given", "what"),
    [
        ("net", {"ridge": 0.1}, "node_cge has no setting ridge"),
        ("net", {"plateau_window": 9}, "node_cge has no setting plateau_window"),
        ("net", {"decay_every": 9}, "schedule linear has no setting decay_every"),
        ("heat", {"difference": "antithetic"}, "coordinate_gn has no setting difference"),
        ("heat", {"beta1": 0.5}, "coordinate_gn has no setting beta1|update sgd has no setting beta1"),
        ("heat", {"epsilon": 1e-3}, "coordinate_gn has no setting epsilon"),
    ],
)
def test_a_setting_is_refused_in_the_name_of_the_estimator_that_would_train(tmp_path, name, given, what):
    with pytest.raises(PlanError, match=what):
        plan_of(place(tmp_path, name), **given)


@pytest.mark.parametrize("given", [{"ridge": 0.1}, {"trust_radius": 0.1}, {"n_coordinates": 5}])
def test_a_setting_that_the_usual_estimator_reads_is_taken_without_naming_it(tmp_path, given):
    (phase,) = plan_of(place(tmp_path, "heat"), **given).training.phases
    assert phase.estimator.name == "coordinate_gn"


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("digits", {"loss": "huber", "huber_delta": 2.0}),
        ("digits", {"freeze": "0", "frozen": "int8"}),
        ("digits", {"estimator": "hybrid", "cache": "int16", "n_queries": 8}),
        ("black-scholes", {"loss": "residual"}),
        ("black-scholes", {"derivative": "finite_difference", "radius": 0.05}),
        ("black-scholes", {"derivative": "monte_carlo", "n_pairs": 8, "radius": 0.2}),
    ],
)
def test_an_option_with_a_reader_is_taken(model, options):
    assert plan_of(model, **options).n_parameters


@pytest.mark.parametrize(
    ("name", "given", "chosen", "passed_over"),
    [
        ("net", {"n_queries": 8}, "rge", "node_cge"),
        ("net", {"direction": "gaussian"}, "rge", "node_cge"),
        ("heat", {"n_queries": 8}, "subspace_gn", "coordinate_gn"),
    ],
)
def test_who_asks_for_random_directions_gets_them_and_hears_instead_of_what(tmp_path, name, given, chosen, passed_over):
    usual, asked = plan_of(place(tmp_path, name)), plan_of(place(tmp_path, name), **given)
    assert (usual.training.phases[0].estimator.name, asked.training.phases[0].estimator.name) == (passed_over, chosen)
    (setting,) = given
    note = f"{passed_over} has no setting {setting}, so {chosen} trains this model"
    assert note in asked.metadata["notes"] and note not in usual.metadata.get("notes", ())
