# SPDX-License-Identifier: MIT
"""Rivals that differentiate forward or send signals back, against closed forms and torch."""

import math

import pytest

torch = pytest.importorskip("torch")

from rival_batches import CLASSES, INPUTS, ROWS, Quadratic, batch, module, step

from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.rivals import (
    first_order,
    layerwise,
    local_greedy,
)
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch, logistic


def test_forward_gradient_is_unbiased_on_a_quadratic():
    q, n_queries = Quadratic(), 20_000
    found = first_order.forward_gradient(q, q.theta, step(), n_queries=n_queries).gradient
    # the variance of an entry is |g|^2 + g_i^2 a direction; five standard errors
    assert (found - q.gradient).abs().max() < 5 * (2 * q.gradient.square().sum() / n_queries).sqrt()


@pytest.mark.parametrize("kind", ["dense", "matrix", "tensor"])
@pytest.mark.parametrize("activation", [torch.nn.Tanh, torch.nn.ReLU])
def test_feedback_through_the_weights_themselves_is_back_propagation(kind, activation):
    b, asked = batch(kind, activation), step()
    asked.memory.update(layerwise.transposed_weights(b, b.network.start))
    found = layerwise.feedback_alignment(b, b.network.start, asked)
    loss, gradient = b.loss_and_gradient(b.network.start)
    torch.testing.assert_close(found.gradient, gradient)
    torch.testing.assert_close(found.loss, loss)


def test_direct_feedback_is_the_formula_by_hand():
    b, asked = batch(), step()
    feedback = torch.randn(CLASSES, 8, dtype=torch.float64)
    asked.memory["feedback0"] = feedback
    found = layerwise.direct_feedback_alignment(b, b.network.start, asked).gradient
    w1, b1, w2, b2 = (part for layer in module() if hasattr(layer, "weight") for part in (layer.weight, layer.bias))
    h = torch.tanh(b.x @ w1.double().T + b1)
    error = ((h @ w2.double().T + b2).softmax(1) - torch.nn.functional.one_hot(b.y, CLASSES)) / ROWS
    hidden = (error @ feedback) * (1 - h.square())
    by_hand = [hidden.T @ b.x, hidden.sum(0), error.T @ h, error.sum(0)]
    torch.testing.assert_close(found, torch.cat([part.flatten() for part in by_hand]).detach())


def test_direct_feedback_learns_from_zero_with_logistic_outputs():
    """The source's start and loss: a first layer of zeros is moved at once, and the loss begins at log 2 an output."""
    network = Network(Network.of(module()).layers, torch.zeros(Network.of(module()).n))
    rival = rivals.get("dfa")
    b = Batch(network, torch.rand(ROWS, INPUTS), torch.arange(ROWS) % CLASSES, loss=rival.loss)
    run = rivals.Trainer(rival, network.start)
    assert run.step(b) == pytest.approx(CLASSES * math.log(2))
    assert run.theta[: 8 * INPUTS].abs().min() > 0
    losses = [run.step(b, 30.0) for _ in range(60)]
    assert losses[-1] < losses[0]


def test_the_logistic_loss_is_torchs():
    outputs, y = torch.randn(2, ROWS, CLASSES), torch.arange(ROWS) % CLASSES
    targets = torch.nn.functional.one_hot(y, CLASSES).float().expand(2, -1, -1)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    torch.testing.assert_close(logistic(outputs, y), theirs.sum(2).mean(1))


def test_feedback_stays_as_it_was_drawn():
    b, asked = batch(), step()
    for method in (layerwise.feedback_alignment, layerwise.direct_feedback_alignment):
        asked.memory.clear()
        b32 = Batch(Network.of(module()), b.x.float(), b.y)
        method(b32, b32.network.start, asked)
        before = {name: value.clone() for name, value in asked.memory.items()}
        method(b32, b32.network.start, asked)
        assert all(torch.equal(asked.memory[name], value) for name, value in before.items()) and before


def test_node_perturbation_has_the_gradient_as_its_mean():
    b = batch()
    found = layerwise.node_perturbation(b, b.network.start, step(), n_queries=3000, radius=1e-5).gradient
    exact = b.loss_and_gradient(b.network.start)[1]
    # a row's slope has a relative variance of about all 11 units a query: error about sqrt(12 / 3000) of the norm
    assert (found - exact).norm() < 0.2 * exact.norm()


def exact_of_the_block(network, x, y, head):
    """Gradient by back-propagation of the loss of classifier `head` (4: the block's, 6: the answer's), and the answer's
    classifier with its own exact gradient, the block kept out of it."""
    theta = network.start.double().requires_grad_()
    parts = network.parts(theta)
    norm = lambda z: torch.nn.functional.layer_norm(z, z.shape[-1:])  # noqa: E731
    h = torch.relu(norm((x - 0.1307) / 0.3081 @ parts[0].T + parts[1]))
    groups, units, _ = parts[2].shape
    z = torch.einsum("bgi,gui->bgu", h.reshape(-1, groups, units), parts[2]) + parts[3].reshape(groups, units)
    out = torch.relu(norm(z)).flatten(1)
    total = 0
    for k in (4, 6):
        features = out if k == head else out.detach()
        total = total + torch.nn.functional.cross_entropy(features @ parts[k].T + parts[k + 1], y)
    return torch.autograd.grad(total, theta)[0]


@pytest.mark.parametrize(
    ("method", "head"), [(local_greedy.local_greedy, 4), (local_greedy.forward_gradient_of_block, 6)]
)
def test_forward_gradients_of_the_block_have_its_losses_gradient_as_their_mean(method, head):
    network, n_draws = LocalNetwork(INPUTS, 8, 2, CLASSES), 4000
    theta = network.start.double()
    network.parts(theta)[6].normal_(generator=torch.Generator().manual_seed(3))  # starts at 0, where FG-W sees nothing
    object.__setattr__(network, "start", theta)
    x, y = torch.rand(4, INPUTS, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    asked, total = step(), 0
    if method is local_greedy.local_greedy:  # each row its own noise
        total = method(Batch(network, x.repeat(n_draws, 1), y.repeat(n_draws)), theta, asked).gradient
    else:
        total = sum(method(Batch(network, x, y), theta, asked).gradient for _ in range(n_draws)) / n_draws
    exact = exact_of_the_block(network, x, y, head)
    # a slope's relative variance is the number of its directions: 16 a group, or 108 weights; error of the mean about
    # sqrt(17 / 4000) = 0.07 of the norm by rows (four of them share it), sqrt(109 / 4000) = 0.17 by weights
    assert (total - exact).norm() < (0.12 if head == 4 else 0.25) * exact.norm()
    classifiers = slice(-2 * (8 * CLASSES + CLASSES), None)
    torch.testing.assert_close(total[classifiers], exact[classifiers], rtol=1e-9, atol=1e-12)


def test_the_norms_derivative_is_that_of_torchs():
    z = torch.randn(5, 7, dtype=torch.float64)
    d = torch.randn(5, 7, dtype=torch.float64)
    norm = local_greedy.Norm(z)
    value, along = torch.func.jvp(lambda z: torch.nn.functional.layer_norm(z, (7,)), (z,), (d,))
    torch.testing.assert_close(norm.value, value)
    torch.testing.assert_close(norm.derivative(d), along)


@pytest.mark.parametrize(("width", "groups", "n"), [(256, 1, 271_892), (512, 16, 429_076)])
def test_the_local_networks_have_the_sources_numbers_of_parameters(width, groups, n):
    network = LocalNetwork(784, width, groups)
    assert network.n == n == len(network.start)
