# SPDX-License-Identifier: MIT
"""torch modules as plans and back: order, names, folding of activations, and what is refused by name."""

from collections import OrderedDict

import numpy as np
import pytest

from ttzo.device_runtime.contract import Activation, LayerKind, Loss
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers.from_torch import ExportError, load_into_module, plan_from_module
from ttzo.exporter.readers.nn import Sine, TTLinear, torch

nn = torch.nn


def mixed():
    """Every supported layer once, nested."""
    torch.manual_seed(5)
    hidden = nn.Sequential(TTLinear(12, 8, (3, 4), (4, 2), 3), nn.Tanh(), TTLinear(8, 6, (2, 4), (6,), 2, "tensor"))
    return nn.Sequential(
        OrderedDict(flat=nn.Flatten(), hidden=hidden, wave=Sine(), same=nn.Identity(), out=nn.Linear(6, 4, bias=False))
    )


def test_layers_keep_order_names_modes_and_activations():
    plan = plan_from_module(mixed())
    told = [(layer.name, layer.kind, layer.activation, layer.has_bias) for layer in plan.layers]
    assert told == [
        ("hidden.0", LayerKind.tt_matrix, Activation.tanh, True),
        ("hidden.2", LayerKind.tt_tensor, Activation.sine, True),
        ("out", LayerKind.dense, Activation.identity, False),
    ]
    assert plan.layers[1].in_modes == (2, 4) and plan.layers[1].out_modes == (6,)


def test_theta_holds_each_tensor_of_the_state_dict_at_its_place():
    module = mixed()
    plan, state = plan_from_module(module), module.state_dict()
    assert {tensor.name for tensor in plan.tensors} == set(state)
    for tensor in plan.tensors:
        held = plan.parameters[tensor.offset : tensor.offset + tensor.size].reshape(tensor.shape)
        assert held.tobytes() == state[tensor.name].numpy().tobytes()


def test_a_single_layer_is_a_model():
    plan = plan_from_module(nn.Linear(3, 2), loss=Loss.mse)
    assert [tensor.name for tensor in plan.tensors] == ["model.weight", "model.bias"]


@pytest.mark.parametrize("as_plan", [True, False])
def test_trained_parameters_come_back_bit_for_bit(as_plan):
    module = mixed()
    plan = plan_from_module(module)
    theta = np.random.default_rng(0).standard_normal(plan.n_parameters).astype(np.float32)
    theta[:3] = [-0.0, np.float32(1e-45), np.finfo(np.float32).max]
    trained = plan_from_module(module)
    trained.parameters[:] = theta
    load_into_module(module, trained if as_plan else theta)
    held = module.state_dict()
    assert np.concatenate([held[tensor.name].numpy().ravel() for tensor in plan.tensors]).tobytes() == theta.tobytes()
    again = plan_from_module(module).parameters  # where an ordinary zero is +0.0: -0.0 is a pruned one
    assert again[1:].tobytes() == theta[1:].tobytes() and again[:1].tobytes() == bytes(4)


def test_parameters_of_another_model_change_nothing():
    module = mixed()
    before = plan_from_module(module).parameters.tobytes()
    with pytest.raises(ExportError, match="the module holds"):
        load_into_module(module, np.zeros(3, np.float32))
    with pytest.raises(ExportError, match="float64"):
        load_into_module(module, np.zeros(plan_from_module(module).n_parameters))
    assert plan_from_module(module).parameters.tobytes() == before


def test_a_folder_in_place_of_a_plan_is_refused_with_the_call_that_reads_it(tmp_path):
    for folder in (str(tmp_path), tmp_path):
        with pytest.raises(ExportError, match=f"given is a {type(folder).__name__}") as caught:
            load_into_module(nn.Sequential(nn.Linear(2, 2)), folder)
        assert "ttzo.read_bundle(" in caught.value.hint


def test_a_plan_with_other_shapes_of_the_same_size_is_refused():
    plan = plan_from_module(nn.Sequential(nn.Linear(2, 6, bias=False)))
    with pytest.raises(ExportError, match=r"0\.weight \[3, 4\] where the plan has 0\.weight \[6, 2\]"):
        load_into_module(nn.Sequential(nn.Linear(4, 3, bias=False)), plan)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: nn.Sequential(
                nn.Linear(4, 4), nn.ReLU(), nn.Sequential(OrderedDict(a=nn.Identity(), conv=nn.Conv2d(1, 1, 3)))
            ),
            r"torch\.export cannot trace the model with rows of shape \[4\]",
        ),
        (lambda: nn.Sequential(nn.Conv1d(1, 1, 3)), r"does not say what a row of its input looks like"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.ELU()), r"layer 1: ELU: elu cannot"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), r"layer 1: Dropout is active"),
        (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(4, 4)), r"torch\.export cannot trace the model"),
        (lambda: nn.Sequential(nn.Linear(4, 4).double()), r"0\.weight is torch\.float64"),
        (lambda: nn.Sequential(nn.Flatten()), "does not say what a row"),
    ],
)
def test_what_cannot_be_exported_is_named_with_its_place_and_a_next_step(make, words):
    with pytest.raises(ExportError, match=words) as caught:
        plan_from_module(make())
    assert caught.value.hint


def test_dropout_that_is_switched_off_is_left_out():
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.ReLU()).eval()
    assert plan_from_module(module).layers[0].activation == Activation.relu


def test_layers_that_do_not_join_and_parameters_that_are_not_finite_are_refused():
    with pytest.raises(PlanError, match="layer 1 needs 5 inputs, layer 0 has 4 outputs"):
        plan_from_module(nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 2)))
    broken = nn.Linear(2, 2)
    nn.init.constant_(broken.bias, float("nan"))
    with pytest.raises(PlanError, match="not finite"):
        plan_from_module(broken)
