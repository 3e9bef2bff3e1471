# SPDX-License-Identifier: MIT
"""Rival training methods against closed forms: each estimator's promise on a small network or a quadratic."""

import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from rival_batches import CLASSES, INPUTS, ROWS, batch, module, step

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.rivals import (
    coordinates,
    descent,
    first_order,
    layerwise,
    local_greedy,
    pruning,
    trainer,
)
from ttzo.host_tools.research.rivals import zeroth_order as zo
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Batch, logistic


class Quadratic:
    """L = g.theta + theta' A theta / 2 with a known gradient; stands in for a batch."""

    network = LocalNetwork(1, 1, 1)  # of no layers that coordinates could share

    def __init__(self, n=8):
        torch.manual_seed(1)
        half = torch.randn(n, n, dtype=torch.float64)
        self.a, self.g, self.theta = half @ half.T / n, torch.randn(n, dtype=torch.float64), torch.zeros(n).double()

    @property
    def gradient(self):
        return self.g + self.a @ self.theta

    def losses(self, thetas):
        return thetas @ self.g + 0.5 * ((thetas @ self.a) * thetas).sum(1)

    def slope(self, theta, direction):
        return self.losses(theta[None])[0], (self.g + self.a @ theta) @ direction


# ---- differences of losses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "matrix"])
@pytest.mark.parametrize("activation", [torch.nn.Tanh, torch.nn.ReLU])
def test_shared_environments_give_the_differences_of_whole_evaluations(kind, activation):
    b = batch(kind, activation)
    theta = b.network.start
    shared, loss = coordinates.differences(b, theta, 1e-3)
    moved = b.losses(theta + 1e-3 * torch.eye(b.network.n, dtype=theta.dtype))
    torch.testing.assert_close(loss, b.losses(theta[None])[0], rtol=1e-12, atol=0)
    # double: losses of order 1 carry 1e-16, their differences a few of it
    torch.testing.assert_close(shared, moved - loss, rtol=0, atol=1e-14)


def test_shared_environments_cost_a_hundredth_of_whole_evaluations_on_the_papers_network():
    from ttzo.exporter.zoo import mnist

    network = Network.of(mnist.build())
    b = Batch(network, torch.rand(2, 784), torch.tensor([3, 7]))
    coordinates.differences(b, network.start, 1e-3)
    by_brute_force = (network.n + 1) * b.forward_macs
    # with environments 5.44e6 a row by the count of the design; here units go through ten columns each, zeros too
    assert b.cost.evaluations == network.n + 1
    assert 3e6 < b.cost.macs / 2 < 8e6 < by_brute_force / 2 / 100


@pytest.mark.parametrize("kind", ["dense", "matrix"])
def test_differences_of_chosen_coordinates_are_those_of_all(kind):
    b = batch(kind)
    every, _ = coordinates.differences(b, b.network.start, 1e-3)
    which = torch.tensor([0, 7, 40, 50, 55, 60, b.network.n - 1])
    some, _ = coordinates.differences(b, b.network.start, 1e-3, which)
    torch.testing.assert_close(some[which], every[which], rtol=0, atol=1e-15)
    assert some.count_nonzero() <= len(which)


@pytest.mark.parametrize("kind", ["dense", "matrix", "tensor"])
def test_cge_is_the_gradient(kind):
    b = batch(kind)
    found = zo.cge(b, b.network.start, step(), radius=1e-6)
    # one-sided differences: half the curvature times the radius
    torch.testing.assert_close(found.gradient, b.loss_and_gradient(b.network.start)[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("at_start", [False, True])
def test_pruned_networks_are_asked_for_their_own_coordinates_only(at_start):
    b = batch()
    kept = torch.tensor([1, 9, 30, 48, 50, 60, 81])
    pruned = Batch(b.network.pruned(kept, at_start), b.x, b.y)
    found = zo.cge(pruned, pruned.network.start, step(), radius=1e-6)
    torch.testing.assert_close(found.gradient, pruned.loss_and_gradient(pruned.network.start)[1], rtol=0, atol=1e-5)
    assert pruned.cost.evaluations == 1 + len(kept) + 1  # all coordinates, theta, and the gradient's own loss


@pytest.mark.parametrize("direction", ["rademacher", "gaussian"])
def test_antithetic_rge_of_a_quadratic_has_the_gradient_as_its_mean(direction):
    q = Quadratic()
    n_queries = 40_000
    found = zo.rge(q, q.theta, step(), n_queries=n_queries, radius=0.5, direction=direction, antithetic=True).gradient
    # E[xi xi'] = I; an entry's variance is at most 2 |g|^2 a query; five standard errors
    bound = 5 * (2 * q.gradient.square().sum() / n_queries).sqrt()
    assert (found - q.gradient).abs().max() < bound


def test_flops_moves_only_its_fixed_subset():
    q, asked = Quadratic(64), step()
    first = zo.sparse_rge(q, q.theta, asked, n_queries=500, radius=1e-4, density=0.25).gradient
    second = zo.sparse_rge(q, q.theta, asked, n_queries=500, radius=1e-4, density=0.25).gradient
    assert torch.equal(first != 0, second != 0) and 0 < first.count_nonzero() < 64
    mask = first != 0
    cosine = torch.cosine_similarity(first[mask], q.gradient[mask], dim=0)
    assert cosine > 0.9  # 500 queries in about 16 dimensions: the angle's tangent is about sqrt(16 / 500)


def test_cocd_has_the_whole_gradient_after_one_round():
    q, asked = Quadratic(8), step()
    for number in range(4):
        asked.number = number
        found = zo.cocd(q, q.theta, asked, n_coordinates=2)
    # central differences of a quadratic are exact at any radius
    torch.testing.assert_close(found.gradient, q.gradient)


def test_cocd_lets_stale_derivatives_fade():
    q, asked = Quadratic(8), step()
    for number in range(4):
        asked.number = number
        found = zo.cocd(q, q.theta, asked, n_coordinates=2, decay=0.5)
    age = torch.arange(8).flip(0) // 2
    torch.testing.assert_close(found.gradient, 0.5**age * q.gradient)


def test_fzoo_does_not_see_the_scale_of_the_loss():
    q = Quadratic()
    plain = zo.fzoo(q, q.theta, step(), n_queries=16).gradient
    q.a, q.g = 1000 * q.a, 1000 * q.g
    torch.testing.assert_close(zo.fzoo(q, q.theta, step(), n_queries=16).gradient, plain)


def test_fzoo_is_rge_times_radius_over_the_spread_of_its_losses():
    q = Quadratic()
    xi = zo.rademacher(16, q.theta, torch.Generator().manual_seed(0))
    spread = q.losses(q.theta + 1e-3 * xi).std(correction=0)
    of_rge = zo.rge(q, q.theta, step(), n_queries=16, radius=1e-3).gradient
    torch.testing.assert_close(zo.fzoo(q, q.theta, step(), n_queries=16).gradient, of_rge * 1e-3 / spread)


# ---- coordinates that are moved --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [descent.stp, descent.szo_scd])
def test_one_coordinate_after_the_other_never_raises_a_quadratic_beyond_a_step_unseen(method):
    q = Quadratic()
    found = method(q, q.theta, step(rate=1e-3), trained=1.0, asked=1.0, at_once=1)
    moved = q.theta - 1e-3 * found.gradient
    # far from the minimum every coordinate goes downhill
    assert torch.equal(found.gradient.sign(), q.gradient.sign())
    assert q.losses(moved[None])[0] < q.losses(q.theta[None])[0]


def test_stp_stays_where_neither_side_is_better_and_szo_scd_does_not():
    q = Quadratic()
    q.theta = torch.linalg.solve(q.a, -q.g)  # the minimum
    assert descent.stp(q, q.theta, step(), trained=1.0, asked=1.0, at_once=1).gradient.count_nonzero() == 0
    assert descent.szo_scd(q, q.theta, step(), trained=1.0, asked=1.0, at_once=1).gradient.abs().min() == pytest.approx(
        1
    )


@pytest.mark.parametrize("method", [descent.stp, descent.szo_scd])
@pytest.mark.parametrize("activation", [torch.nn.Tanh, torch.nn.ReLU])
@pytest.mark.parametrize("pruned", [False, True])
def test_a_walk_that_carries_pre_activations_goes_as_one_of_whole_evaluations(method, activation, pruned, monkeypatch):
    b = batch(activation=activation)
    if pruned:
        b = Batch(b.network.pruned(torch.arange(0, b.network.n, 2)), b.x, b.y)
    options = {"trained": 0.9, "asked": 0.9, "at_once": 5}
    carried = method(b, b.network.start, step(rate=1e-2), **options)
    monkeypatch.setattr(descent, "_is_dense", lambda batch: False)
    whole = method(b, b.network.start, step(rate=1e-2), **options)
    assert torch.equal(carried.gradient, whole.gradient) and carried.gradient.count_nonzero() > 20
    torch.testing.assert_close(carried.loss, whole.loss)


def test_a_sparse_walk_never_leaves_the_coordinates_of_its_first_step():
    q, asked = Quadratic(200), step(rate=1e-3)
    moved = [descent.szo_scd(q, q.theta, asked, trained=0.2, asked=0.25).gradient != 0 for _ in range(60)]
    assert all(int(each.sum()) == 10 for each in moved)  # of 200 a fifth, of those a quarter
    assert int(torch.stack(moved).any(0).sum()) == 40


def test_deepzero_asks_all_biases_and_so_many_weights_of_each_layer_as_grasp_keeps():
    b, asked = batch(), step()
    found = descent.deepzero(b, b.network.start, asked, density=0.3, radius=1e-6, n_scoring=64)
    exact = b.loss_and_gradient(b.network.start)[1]
    chosen = found.gradient != 0
    torch.testing.assert_close(found.gradient[chosen], exact[chosen], rtol=0, atol=1e-5)
    weights = [pruning.weights_of(layer) for layer in b.network.layers]
    counts = [int(chosen[places].sum()) for places in weights]
    assert counts == [round(float(s) * len(w)) for s, w in zip(asked.memory["shares"], weights, strict=True)]
    assert sum(counts) == pytest.approx(0.3 * (8 * INPUTS + CLASSES * 8), abs=1)
    assert int(chosen.sum()) == sum(counts) + 8 + CLASSES


def test_deepzero_asks_the_same_coordinates_until_they_are_drawn_anew():
    b, asked = batch(), step()
    drawn = []
    for number in range(4):
        asked.number = number
        descent.deepzero(b, b.network.start, asked, density=0.3, n_scoring=8, redraw_every=2)
        drawn.append(asked.memory["asked"])
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[2], drawn[3])
    assert not torch.equal(drawn[1], drawn[2])


def test_zo_grasp_keeps_the_weights_of_the_largest_scores():
    b = batch()
    theta = b.network.start
    shares = pruning.zo_grasp_shares(b, theta, step(), density=0.4, radius=1e-4, n_queries=20_000)
    scores = pruning.grasp_scores(b, theta, temperature=1.0).abs()
    weights = [pruning.weights_of(layer) for layer in b.network.layers]
    least = scores[torch.cat(weights)].sort(descending=True).values[round(0.4 * 72) - 1]
    exact = torch.stack([(scores[places] >= least).double().mean() for places in weights])
    # 20,000 directions leave a few of the 72 scores on the other side of the line
    assert (shares - exact).abs().max() < 0.1


# ---- differentiation and signals -------------------------------------------------------------------------------------


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


# ---- update rules and trainer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "theirs"), [
    (trainer.sgd, partial(torch.optim.SGD, lr=0.1)),
    (trainer.momentum, partial(torch.optim.SGD, lr=0.1, momentum=0.9)),
    (trainer.rmsprop, partial(torch.optim.RMSprop, lr=0.1)),
    (trainer.adam, partial(torch.optim.Adam, lr=0.1)),
])  # fmt: skip
def test_update_rules_are_torchs(rule, theirs):
    variable = torch.nn.Parameter(torch.zeros(5))
    optimiser, theta, moments = theirs([variable]), torch.zeros(5), {}
    for number in range(4):
        variable.grad = torch.linspace(-1, 2, 5) * (number - 1.5)
        theta = theta - 0.1 * rule(variable.grad.clone(), moments)
        optimiser.step()
    torch.testing.assert_close(theta, variable.detach())


def test_the_papers_momentum_is_a_running_mean():
    moments, gradients = {}, torch.randn(4, 5)
    for gradient in gradients:
        found = trainer.ema_momentum(gradient, moments)
    weights = torch.tensor([0.1 * 0.9**age for age in (3, 2, 1, 0)])
    torch.testing.assert_close(found, weights @ gradients)


@pytest.mark.parametrize("name", rivals.names())
def test_every_rival_lowers_the_loss_and_goes_on_in_the_same_bits(name):
    network = LocalNetwork(INPUTS, 8, 2, CLASSES) if name in ("lg_fg_a", "fg_w") else Network.of(module())
    b = Batch(network, torch.rand(ROWS, INPUTS), torch.arange(ROWS) % CLASSES)
    run = rivals.Trainer(rivals.get(name), network.start, seed=1)
    factor = {"node_perturbation": 100.0, "flops": 0.1, "fa": 1.0, "dfa": 1.0}.get(
        name, 30.0 if name in ("sgd", "rge", "fg_w", "momentum") else 3.0
    )
    losses = [run.step(b, factor) for _ in range(60)]
    assert losses[-1] < losses[0]
    again = rivals.Trainer(rivals.get(name), network.start, seed=1)
    again.load(run.state())
    assert again.step(b, factor) == run.step(b, factor)
    assert torch.equal(again.theta, run.theta)


def test_hybrid_changes_over_when_the_loss_stands_still():
    still = trainer.Phase(
        lambda batch, theta, step: zo.Estimate(torch.zeros_like(theta), torch.tensor(1.0)), trainer.sgd, 1
    )
    method = trainer.Rival("two", "", (still, still), trainer.Plateau(window=5, patience=2))
    run = trainer.Trainer(method, torch.zeros(3))
    phases = []
    for _ in range(20):
        run.step(None)
        phases.append(run.phase)
    # the first window sets the mark, the next two do not lower it
    assert phases.index(1) == 14 and phases[-1] == 1


def test_an_unknown_rival_is_named_with_those_there_are():
    with pytest.raises(TtzoError, match="no rival 'sdg'") as caught:
        rivals.get("sdg")
    assert "sign_rge" in caught.value.hint
