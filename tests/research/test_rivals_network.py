# SPDX-License-Identifier: MIT
"""The rivals' networks: outputs, costs, and pruning at the start."""

import pytest

torch = pytest.importorskip("torch")

from rival_batches import INPUTS, batch, module

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.research.rivals import pruning
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch

# ---- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "matrix", "tensor"])
def test_outputs_at_many_vectors_are_the_modules_own(kind):
    made = module(kind)
    network, x = Network.of(made), torch.randn(5, INPUTS)
    thetas = torch.stack([network.start, network.start * 1.5])
    outputs = network.outputs(thetas, x).detach()
    torch.testing.assert_close(outputs[0], made(x).detach())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= 1.5
    torch.testing.assert_close(outputs[1], made(x).detach())


def test_a_convolution_is_refused():
    with pytest.raises(TtzoError, match="not support convolutions"):
        Network.of(torch.nn.Sequential(torch.nn.Unflatten(1, (1, 4, 4)), torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten()))


def test_a_large_train_goes_through_its_halves_to_the_same_outputs(monkeypatch):
    network, x = Network.of(module("matrix")), torch.randn(5, INPUTS)
    whole = network.forward(network.start, x)
    monkeypatch.setattr("ttzo.host_tools.research.rivals.network.SMALL_WEIGHT", 0)
    torch.testing.assert_close(network.forward(network.start, x), whole)


def test_the_papers_network_costs_what_its_middle_rank_says():
    from ttzo.exporter.zoo import mnist

    network = Network.of(mnist.build())
    # two products through the middle: 53,760 a unit of rank, and the second layer multiplied out
    assert network.macs == 53_760 * 6 + 1024 * 10
    assert network.n == 3962


def test_a_pruned_network_multiplies_what_is_left_and_answers_as_the_whole():
    b = batch()
    pruned = b.network.pruned(torch.tensor([1, 9, 30, 31, 48, 50, 60, 75, 82]))
    stored = pruned.full(pruned.start)
    theta = pruned.start.requires_grad_()
    torch.testing.assert_close(pruned.forward(theta, b.x), b.network.forward(stored, b.x))
    assert pruned.macs == 3 * 3 + 2 * 2  # weights (0, 1), (1, 3), (5, 0), (5, 1) of 8 x 6; (0, 4), (2, 3) of 3 x 8
    whole = Batch(b.network, b.x, b.y).loss_and_gradient(stored)[1]
    torch.testing.assert_close(Batch(pruned, b.x, b.y).loss_and_gradient(theta)[1], whole[pruned.kept])


def test_weights_pruned_at_their_start_answer_as_the_whole_network_and_count_in_full():
    b = batch()
    kept = torch.tensor([1, 9, 30, 31, 48, 50, 60, 75, 82])
    masked = b.network.pruned(kept, at_start=True)
    assert torch.equal(masked.full(masked.start), b.network.start)
    moved = b.network.start.clone()
    moved[kept] *= 1.5
    thetas = torch.stack([masked.start, masked.start * 1.5])
    with torch.no_grad():
        expected = b.network.outputs(torch.stack([b.network.start, moved]), b.x)
        torch.testing.assert_close(masked.outputs(thetas, b.x), expected)
    theta = thetas[1].requires_grad_()
    torch.testing.assert_close(masked.forward(theta, b.x), expected[1])
    whole = Batch(b.network, b.x, b.y).loss_and_gradient(moved)[1]
    torch.testing.assert_close(Batch(masked, b.x, b.y).loss_and_gradient(theta)[1], whole[kept])
    assert masked.macs == b.network.macs == 8 * 6 + 3 * 8


# ---- pruning ---------------------------------------------------------------------------------------------------------


def test_grasp_scores_are_minus_theta_times_the_hessians_product_with_the_gradient():
    b = batch()
    theta = b.network.start
    loss = lambda t: b.loss(b.network.outputs(t[None], b.x) / 200.0, b.y)[0]  # noqa: E731
    gradient = torch.func.grad(loss)(theta)
    hessian = torch.func.hessian(loss)(theta)
    torch.testing.assert_close(pruning.grasp_scores(b, theta), -theta * (hessian @ gradient))


@pytest.mark.parametrize("at_start", [False, True])
def test_grasp_keeps_the_smallest_scores_and_all_biases(at_start):
    b = batch()
    network = pruning.grasp(b, 30, at_start)
    assert network.n == 30 and (network.fixed is not None) == at_start
    scores = pruning.grasp_scores(b, b.network.start)
    biases = torch.cat(
        [torch.arange(t.offset, t.offset + t.size) for t in (b.network.layers[k].tensors[-1] for k in (0, 1))]
    )
    assert torch.isin(biases, network.kept).all()
    weights = torch.ones(b.network.n, dtype=torch.bool)
    weights[biases] = False
    kept = torch.zeros_like(weights)
    kept[network.kept] = True
    assert scores[weights & kept].max() <= scores[weights & ~kept].min()
