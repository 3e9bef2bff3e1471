# SPDX-License-Identifier: MIT
"""TTLinear: parameter counts, the meaning of the cores, folds, ranks, initialisation and TT-SVD."""

import itertools
import math
import sys

import numpy as np
import pytest

from ttzo.device_runtime.contract import LayerKind, TtzoError
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers import tensor_train
from ttzo.exporter.readers.nn import Sine, TTLinear, torch

SMALL = [
    ("matrix", (2, 3), (4, 2), (3,)),
    ("matrix", (3, 2, 2), (2, 1, 3), (2, 4)),
    ("tensor", (2, 3), (4, 2), (2, 3, 2)),
    ("tensor", (3, 2, 2), (5,), (2, 4, 3)),
]


def small(format, in_modes, out_modes, ranks, bias=True):
    torch.manual_seed(7)
    return TTLinear(math.prod(in_modes), math.prod(out_modes), in_modes, out_modes, ranks, format, bias)


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def entry(module, out_index, in_index):
    """One entry of W as the paper writes it: a product of core slices (eq. 7, and its 2L-way form)."""
    cores = [core.detach().double().numpy() for core in module.cores]
    if module.layer.kind == LayerKind.tt_matrix:
        slices = [core[:, i, j, :] for core, i, j in zip(cores, out_index, in_index, strict=True)]
    else:
        slices = [core[:, i, :] for core, i in zip(cores, (*in_index, *out_index), strict=True)]
    return np.linalg.multi_dot([np.ones((1, 1)), *slices, np.ones((1, 1))])[0, 0]


# ---- parameter counts of the paper ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_fold", "ranks", "parameters"), [((7, 4, 4, 7), 10, 8314), ((7, 4, 4, 7), 6, 3962), ((4, 7, 7, 4), 4, 2698)]
)
def test_mnist_tt_matrix_network_has_the_papers_parameter_count(in_fold, ranks, parameters):
    hidden = TTLinear(784, 1024, in_fold, (8, 4, 4, 8), ranks)
    out = TTLinear(1024, 10, (8, 4, 4, 8), (1, 5, 2, 1), ranks)
    assert count(hidden, out) == parameters


@pytest.mark.parametrize(("rank", "parameters"), [(4, 3209), (10, 7745)])
def test_hjb_tt_tensor_network_has_the_papers_parameter_count(rank, parameters):
    fold = (3, 4, 4, 4, 4)
    first = TTLinear(21, 768, (3, 7), fold, rank, "tensor")
    second = TTLinear(768, 768, fold, fold, rank, "tensor")
    assert count(first, second, torch.nn.Linear(768, 1)) == parameters


# ---- what the cores mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SMALL)
def test_weight_holds_the_products_of_core_slices(case):
    module = small(*case)
    in_modes, out_modes = module.layer.in_modes, module.layer.out_modes
    rows, columns = itertools.product(*map(range, out_modes)), list(itertools.product(*map(range, in_modes)))
    expected = [[entry(module, i, j) for j in columns] for i in rows]
    # float32 chains of at most 4 * 4 products of entries below 2: 1e-5 is some 20 roundings of the largest entry
    np.testing.assert_allclose(module.weight().detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("case", SMALL)
def test_forward_is_the_rebuilt_weight_times_the_input(case):
    module = small(*case).double()
    with torch.no_grad():
        module.bias.normal_()
    x = torch.randn(5, module.layer.in_features, dtype=torch.float64)
    dense = tensor_train.dense_weight(module.layer, [core.detach().numpy() for core in module.cores])
    expected = x.numpy() @ dense.T + module.bias.detach().numpy()
    # double precision, tens of terms of size 1
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-13)


def test_gradients_reach_every_core_and_the_bias():
    module = small(*SMALL[1])
    module(torch.randn(4, 12)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_sine_is_the_sine():
    x = torch.linspace(-4, 4, 9, dtype=torch.float64)
    np.testing.assert_allclose(Sine()(x).numpy(), np.sin(x.numpy()), atol=1e-15)


# ---- folds and ranks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [1, 2, 7, 10, 21, 64, 97, 360, 768, 784, 1024, 65535])
@pytest.mark.parametrize("modes", [1, 2, 3, 4, 5])
def test_a_fold_multiplies_to_the_features(features, modes):
    fold = tensor_train.balanced_modes(features, modes)
    assert len(fold) == modes and math.prod(fold) == features


def test_folds_are_balanced_and_large_at_the_ends():
    assert tensor_train.balanced_modes(784, 4) == (7, 4, 4, 7)
    assert tensor_train.balanced_modes(1024, 4) == (8, 4, 4, 8)
    assert tensor_train.balanced_modes(72, 2) == (9, 8)
    assert tensor_train.balanced_modes(13, 3) == (13, 1, 1)


@pytest.mark.parametrize("format", ["matrix", "tensor"])
@pytest.mark.parametrize("shape", [(784, 1024), (64, 10), (13, 7), (21, 768)])
@pytest.mark.parametrize("budget", [2000, 5000])
def test_ranks_for_a_budget_are_the_largest_that_fit(format, shape, budget):
    module = TTLinear(*shape, format=format, budget=budget)
    layer = module.layer
    assert count(module) <= budget
    limits = tensor_train.bond_limits(layer.kind, layer.in_modes, layer.out_modes)
    low = max(layer.ranks[1:-1])
    next_up = tuple(min(low + 1, limit) for limit in limits)
    if next_up != layer.ranks[1:-1]:
        larger = TTLinear(*shape, layer.in_modes, layer.out_modes, next_up, format)
        assert count(larger) > budget
    if limits:
        grown = [rank for rank, limit in zip(layer.ranks[1:-1], limits, strict=True) if rank < limit]
        assert not grown or max(layer.ranks) - min(grown) <= 1


def test_the_papers_ranks_come_out_of_its_budget():
    hidden = TTLinear(784, 1024, (7, 4, 4, 7), (8, 4, 4, 8), budget=4320 + 1024)
    assert hidden.layer.ranks == (1, 10, 10, 10, 1)


def test_a_budget_below_rank_one_is_refused():
    with pytest.raises(PlanError, match="budget is 50"):
        TTLinear(784, 1024, budget=50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"in_modes": (7, 7), "out_modes": (8, 8), "ranks": 2}, "do not multiply"),
        ({"in_modes": (28, 28), "out_modes": (4, 4, 64), "ranks": 2}, "as many input as output"),
        ({"ranks": (2, 2)}, "2 interior ranks"),
        ({"ranks": 0}, "positive numbers"),
        ({}, "either ranks or a parameter budget"),
        ({"ranks": 2, "format": "train"}, "no tensor-train format"),
    ],
)
def test_a_wrong_fold_rank_or_format_is_named(arguments, words):
    with pytest.raises(TtzoError, match=words):
        TTLinear(784, 1024, **arguments)


# ---- initialisation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["matrix", "tensor"])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2.0)])
def test_initial_weight_has_xavier_variance_and_cores_of_equal_scale(format, gain):
    torch.manual_seed(3)
    module = TTLinear(64, 256, ranks=8, format=format, gain=gain)
    mean_square = float(module.weight().detach().square().mean())
    # the norm of the drawn train decides the scale, so only float32 rounding is left
    assert mean_square == pytest.approx(gain**2 * 2 / (64 + 256), rel=1e-4)
    scales = [float(core.detach().square().mean().sqrt()) for core in module.cores]
    # a core of n draws has a sampling error of 1/sqrt(2n), four of them for the smallest
    smallest = min(core.numel() for core in module.cores)
    assert max(scales) / min(scales) < 1 + 2 * 4 / math.sqrt(2 * smallest)


def test_the_same_seed_gives_the_same_layer():
    assert all(torch.equal(a, b) for a, b in zip(small(*SMALL[0]).cores, small(*SMALL[0]).cores, strict=True))


# ---- TT-SVD ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SMALL)
def test_tt_svd_recovers_a_layer_that_is_a_train(case):
    source = small(*case)
    linear = torch.nn.Linear(source.layer.in_features, source.layer.out_features)
    with torch.no_grad():
        linear.weight.copy_(source.weight())
    format, in_modes, out_modes, ranks = case
    made = TTLinear.from_linear(linear, in_modes, out_modes, ranks, format)
    # cores and weight are float32: a few roundings of 6e-8
    assert made.relative_error < 1e-6
    assert torch.equal(made.bias, linear.bias)
    np.testing.assert_allclose(made.weight().detach(), linear.weight.detach(), atol=1e-6)


@pytest.mark.parametrize("format", ["matrix", "tensor"])
def test_full_ranks_lose_nothing_and_smaller_ranks_lose_what_is_told(format):
    torch.manual_seed(1)
    linear = torch.nn.Linear(12, 12, bias=False)
    full = TTLinear.from_linear(linear, (3, 4), (4, 3), 1000, format)
    cut = TTLinear.from_linear(linear, (3, 4), (4, 3), 3, format)
    assert full.relative_error < 1e-6
    lost = torch.linalg.norm(linear.weight - cut.weight()) / torch.linalg.norm(linear.weight)
    assert cut.relative_error == pytest.approx(float(lost.detach()), rel=1e-5)
    assert 0.1 < cut.relative_error < 1.0


def test_two_core_tt_svd_is_the_best_approximation():
    torch.manual_seed(2)
    linear = torch.nn.Linear(6, 8, bias=False)
    cut = TTLinear.from_linear(linear, (2, 3), (4, 2), 3)
    paired = linear.weight.detach().double().numpy().reshape(4, 2, 2, 3).transpose(0, 2, 1, 3).reshape(8, 6)
    singular = np.linalg.svd(paired, compute_uv=False)
    # Eckart-Young: the error is what the dropped singular values hold; rel covers the float32 cores
    best = math.sqrt(sum(singular[3:] ** 2) / sum(singular**2))
    assert cut.relative_error == pytest.approx(best, rel=1e-5)


def test_a_zero_weight_decomposes_to_zero():
    linear = torch.nn.Linear(4, 4)
    torch.nn.init.zeros_(linear.weight)
    made = TTLinear.from_linear(linear, ranks=2)
    assert made.relative_error == 0.0 and not made.weight().any()


# ---- without torch --------------------------------------------------------------------------------------------------


def test_missing_torch_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.delitem(sys.modules, "ttzo.exporter.readers.nn")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TtzoError, match="PyTorch") as caught:
        __import__("ttzo.exporter.readers.nn")
    assert caught.value.hint == "pip install 'ttzo[torch]'"
