# SPDX-License-Identifier: MIT
"""Ranks that are chosen: by an error budget from dense weights, and by a prior that finds the ranks of a known train."""

import json

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.readers.nn import TTLinear, seeded
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.research import rank_choice
from ttzo.host_tools.research.rank_choice import RankPrior

FOLD = (4, 4, 3), (3, 2, 4)


def train(ranks, format="matrix", seed=0):
    with seeded(seed):
        return TTLinear(48, 24, *FOLD, ranks, format)


def linear_of(layer):
    made = torch.nn.Linear(layer.layer.in_features, layer.layer.out_features)
    with torch.no_grad():
        made.weight.copy_(layer.weight())
    return made


@pytest.mark.parametrize(("format", "ranks"), [("matrix", (2, 5)), ("tensor", (2, 5, 4, 3, 2))])
def test_a_train_is_found_again_with_its_own_ranks(format, ranks):
    source = train(ranks, format)
    # float32 weights: singular values that should be 0 are some 1e-7 of the norm
    found = TTLinear.from_linear(linear_of(source), *FOLD, format=format, error=1e-5)
    assert found.layer.ranks == (1, *ranks, 1)
    assert found.relative_error < 1e-5


@pytest.mark.parametrize("error", [0.1, 0.3, 0.6])
def test_the_error_stays_within_its_budget_and_one_rank_less_everywhere_exceeds_it(error):
    with seeded(1):
        linear = torch.nn.Linear(48, 24)
    found = TTLinear.from_linear(linear, *FOLD, error=error)
    assert found.relative_error <= error
    smaller = tuple(max(1, rank // 2) for rank in found.layer.ranks[1:-1])
    assert TTLinear.from_linear(linear, *FOLD, smaller).relative_error > error


def test_a_dense_twin_in_trains_of_no_error_answers_the_same():
    like = torch.nn.Sequential(train(2), torch.nn.ReLU(), torch.nn.Linear(24, 3))
    dense = rank_choice.dense_twin(like, seed=2)
    found, x = rank_choice.within_error(dense, like, 1e-6), torch.randn(5, 48)
    # float32 cores of a weight of order 1/7, and the error allowed: a few 1e-6 of outputs of order 1
    torch.testing.assert_close(found[0](x), dense[0](x), rtol=0, atol=1e-5)


def test_a_model_without_trains_is_refused():
    with pytest.raises(TtzoError, match="not an nn.Sequential with TTLinear"):
        rank_choice.dense_twin(torch.nn.Sequential(torch.nn.Linear(3, 3)))


# ---- the prior -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["matrix", "tensor"])
def test_variances_are_the_best_ones_for_their_slices(format):
    module = torch.nn.Sequential(train(3, format))
    prior, layer = RankPrior(module), module[0]
    found = prior.variances()[0][0][1]
    left, right = layer.core0[..., 1], layer.core1[1]
    n, squares = left.numel() + right.numel(), left.square().sum() + right.square().sum()

    def negative_log(variance):  # of N(0, variance) for the entries, and of 1 / variance
        return n / 2 * torch.log(variance) + squares / (2 * variance) + torch.log(variance)

    variance = found.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(negative_log(variance), variance)
    assert abs(float(slope)) < 1e-2 * n / float(found.detach())  # against either term's own slope


def test_the_penalty_does_not_ask_which_of_two_cores_holds_the_scale_but_prefers_the_balance():
    module = torch.nn.Sequential(train(2))
    prior, layer = RankPrior(module), module[0]
    before = prior.penalty()
    with torch.no_grad():
        layer.core0[..., 0] *= 30
        layer.core1[0] /= 30
    assert prior.penalty() > before


def test_a_rank_that_does_nothing_is_pruned_without_a_trace():
    module = torch.nn.Sequential(train(3))
    with torch.no_grad():
        module[0].core0[..., 1] *= 1e-4
        module[0].core1[1] *= 1e-4
    found = RankPrior(module).pruned()
    assert found[0].layer.ranks == (1, 2, 3, 1)
    x = torch.randn(4, 48)
    torch.testing.assert_close(found(x), module(x), rtol=0, atol=1e-6)


def test_the_prior_finds_the_ranks_of_a_train_from_noisy_answers():
    """Regression on answers of a train of ranks (2, 1): the network begins with (4, 4). The rate falls to 0, as in `fit`:
    at a constant one Adam keeps the variances of useless ranks between 1e-4 and 1e-2 of the largest, and the order in
    which a processor adds decides on which side of the 1e-2 they stop."""
    with seeded(3):
        teacher = TTLinear(16, 16, (4, 2, 2), (2, 2, 4), (2, 1), bias=False)
        student = torch.nn.Sequential(TTLinear(16, 16, (4, 2, 2), (2, 2, 4), (4, 4), bias=False))
        x, noise = torch.randn(200, 16), 0.2
        with torch.no_grad():
            y = teacher(x)
            y = y + noise * torch.randn_like(y)
    prior = RankPrior(student)
    optimiser = torch.optim.Adam(student.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=1500)
    for _ in range(1500):
        loss = (student(x) - y).square().sum() / (2 * noise**2) + prior.penalty()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    assert rank_choice.ranks(prior.pruned()) == ((2, 1),)
    # no rank lies near the limit: 1e-6 and 0.4 of the largest were seen, in float32 and in double
    shares = torch.cat([bond / bond.max() for bond in prior.variances()[0]]).detach()
    assert not ((shares > 1e-4) & (shares < 0.1)).any()


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_ranks_parameters_and_what_they_cost():
    pytest.importorskip("sklearn")
    words = ["ranks", "digits", "--epochs", "2", "--error", "0.5", "--start-rank", "4", "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    methods = {each["method"]: each for each in json.loads(done.stdout)["choices"]}
    assert set(methods) == {"dense", "as it is", "error 0.5", "prior"}
    assert methods["dense"]["parameters"] == 64 * 64 + 64 + 64 * 10 + 10
    assert methods["error 0.5"]["parameters"] < methods["dense"]["parameters"]
    assert all(0 <= each["accuracy"] <= 1 for each in methods.values())
