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


def test_the_options_of_a_models_file_are_of_its_kind(tmp_path):
    (tmp_path / "net.py").write_text("import torch\n\ndef net():\n    return torch.nn.Linear(4, 3), {'level': 3}\n")
    with pytest.raises(PlanError, match="option level is for equations, and net is none"):
        plan_of(f"{tmp_path / 'net.py'}:net")


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


def test_a_setting_that_the_usual_estimator_does_not_read_chooses_one_that_does_and_says_so(tmp_path):
    (tmp_path / "net.py").write_text("import torch\n\ndef net():\n    return torch.nn.Linear(4, 3)\n")
    usual, asked = (plan_of(f"{tmp_path / 'net.py'}:net", **options) for options in ({}, {"n_queries": 8}))
    assert usual.training.phases[0].estimator.name != "rge" == asked.training.phases[0].estimator.name
    assert "notes" not in usual.metadata
    assert asked.metadata["notes"] == ["node_cge has no setting n_queries, so rge trains this model"]
