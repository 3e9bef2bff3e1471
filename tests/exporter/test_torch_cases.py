# SPDX-License-Identifier: MIT
"""Modules that people brought and that once went wrong: taken as torch computes them, or refused with a next step."""

import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from ttzo import TtzoError
from ttzo.exporter.readers.from_torch import load_into_module, plan_from_module
from ttzo.exporter.readers.nn import TTLinear
from ttzo.host_tools.reference.operations.graph import model_forward

L, S = nn.Linear, nn.Sequential


def hooked():
    layer = L(64, 10)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return S(layer)


def hooked_as_a_whole():
    module = S(L(64, 10))
    module.register_forward_pre_hook(lambda module, inputs: (inputs[0] / 16,))
    return module


def own_forward():
    layer = L(64, 10)
    forward = layer.forward
    layer.forward = lambda x: forward(x) * 2
    return S(layer)


class Scaled(nn.Sequential):
    def forward(self, x):
        return super().forward(x / 16)


def pruned():
    layer = L(64, 10)
    prune.l1_unstructured(layer, "weight", 0.5)
    return S(layer)


def with_weight(weight, bias=None):
    layer = L(64, 10)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return S(layer)


def shared_activation():
    relu = nn.ReLU()
    return S(L(64, 16), relu, L(16, 16), relu, L(16, 10))


TAKEN = {
    "ranks of NumPy": lambda: S(TTLinear(64, 10, ranks=np.int64(2))),
    "in place": lambda: S(L(64, 16), nn.ReLU(inplace=True), L(16, 10)),
    "one activation twice": shared_activation,
    "names of any letters": lambda: S(OrderedDict([("größe/*", L(64, 16)), ("re lu", nn.ReLU()), ("*/x", L(16, 10))])),
    "a transposed view": lambda: with_weight(torch.randn(64, 10).T / 8),
    "a bias of two axes": lambda: with_weight(torch.randn(10, 64) / 8, torch.randn(1, 10)),
    "a hook": hooked,
    "a hook before the whole": hooked_as_a_whole,
    "an instance's forward": own_forward,
    "a subclass of Sequential": lambda: Scaled(L(64, 10)),
    "pruned": pruned,
    "compiled": lambda: torch.compile(S(L(64, 10))),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken_as_torch_computes_it(name):
    torch.manual_seed(1)
    module = TAKEN[name]().eval()
    plan = plan_from_module(module)
    x = torch.randn(3, 64)
    with torch.no_grad():
        wanted = getattr(module, "_orig_mod", module)(x).numpy()
    assert np.abs(model_forward(plan, plan.parameters, x.numpy()) - wanted).max() < 2e-6


def old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return S(nn.utils.weight_norm(L(64, 10)))


REFUSED = {
    "ranks are 2.5": lambda: S(TTLinear(64, 10, ranks=2.5)),
    "has no shape yet": lambda: S(nn.LazyLinear(10)),
    "computes with 0.parametrizations.weight.original1": lambda: S(nn.utils.parametrizations.weight_norm(L(64, 10))),
    "computes with 0.parametrizations.weight.original alone": lambda: S(
        nn.utils.parametrizations.spectral_norm(L(64, 10))
    ),
    "computes with 0.weight_v": old_weight_norm,
    "is TorchScript": lambda: torch.jit.trace(L(64, 10), torch.zeros(1, 64)),
    "is torch.float16": lambda: S(L(64, 10)).half(),
    "has no values": lambda: S(L(64, 10, device="meta")),
    "not finite: one of 0.weight": lambda: with_weight(torch.full((10, 64), float("nan"))),
    r"says 64 -> 10 and has a weight \[10, 32\]": lambda: with_weight(torch.randn(10, 32)),
    "ModuleDict has no forward": lambda: nn.ModuleDict({"a": L(64, 10)}),
    "ModuleList has no forward": lambda: nn.ModuleList([L(64, 10)]),
}


@pytest.mark.parametrize("words", REFUSED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_is_refused_with_a_next_step(words):
    with pytest.raises(TtzoError, match=words) as caught:
        plan_from_module(REFUSED[words]())
    assert caught.value.hint


PARAMETRISED = ("weight_norm", "spectral_norm", "orthogonal")


@pytest.mark.parametrize("kind", PARAMETRISED)
def test_loading_into_a_parametrised_module_changes_nothing_and_says_so(kind):
    module = S(getattr(nn.utils.parametrizations, kind)(L(6, 4)))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(TtzoError) as caught:
        load_into_module(module, np.zeros(28, np.float32))
    assert "remove" in caught.value.hint
    assert all(
        torch.equal(value, before[name]) for name, value in module.state_dict().items() if "weight.0._" not in name
    )


def test_loading_writes_a_transposed_view():
    module = with_weight(torch.randn(64, 10).T / 8)
    theta = np.arange(650, dtype=np.float32) / 100
    load_into_module(module, theta)
    assert np.array_equal(plan_from_module(module).parameters, theta)
