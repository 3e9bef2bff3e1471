# SPDX-License-Identifier: MIT
"""Any torch module as a plan: what torch computes is what the plan computes, and the trained parameters go back into it."""

import dataclasses
import sys
import warnings

import numpy as np
import pytest
from torch.nn.utils import prune

from ttzo.device_runtime.contract import Loss, Number
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.pruning import is_pruned
from ttzo.exporter.readers.from_torch import ExportError, load_into_module, plan_from_module
from ttzo.exporter.readers.nn import Tokens, TTConv2d, TTEmbedding, TTLinear, torch
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.operations.graph import model_forward

nn, F = torch.nn, torch.nn.functional
BOUND = 5e-6  # of outputs of size 1 to 10, some dozen roundings of float32 away from torch's own order of sums


class Model(nn.Module):
    """A module whose forward is the function `run(self, x)`."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


class Attention(nn.Module):
    """A block of a language model, its attention written out or torch's own."""

    def __init__(self, own):
        super().__init__()
        self.own, self.token, self.position = own, nn.Embedding(20, 8), nn.Embedding(9, 8)
        self.qkv, self.mix, self.out = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.before, self.after = nn.RMSNorm(8), nn.LayerNorm(8)
        self.register_buffer("below", torch.tril(torch.ones(5, 5)))

    def forward(self, x):
        rows, steps = x.shape
        h = self.token(x) + self.position(torch.arange(steps))
        q, k, v = (part.view(rows, steps, 2, 4).transpose(1, 2) for part in self.qkv(self.before(h)).split(8, dim=-1))
        if self.own:
            scores = (q @ k.transpose(-2, -1) / 2).masked_fill(self.below[:steps, :steps] == 0, float("-inf"))
            y = scores.softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(self.after(h + self.mix(y.transpose(1, 2).reshape(rows, steps, 8))))[:, -1]


def with_statistics():
    norm = nn.BatchNorm2d(8)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def frozen_first():
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    return module


def hooked():
    module = nn.Sequential(nn.Linear(6, 4))
    module.register_forward_pre_hook(lambda module, given: (given[0] / 16,))
    module[0].register_forward_hook(lambda module, given, made: made * 2)
    return module


def own_instance_forward():
    layer = nn.Linear(6, 4)
    inner = layer.forward
    layer.forward = lambda x: inner(x) * 2
    return nn.Sequential(layer)


def used_twice():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer)


def encoder(**options):
    return nn.TransformerEncoderLayer(8, 2, 16, **options)


L, S = nn.Linear, nn.Sequential
MODELS = {  # a function that makes it, the shape of a row, how many tokens it knows
    "its own class": (lambda: Model(lambda s, x: s.b(torch.relu(s.a(x))), a=L(6, 5), b=L(5, 3)), None, 0),
    "activations": (lambda: S(L(6, 4), nn.GELU(), L(4, 4), nn.SiLU(), nn.LeakyReLU(0.2), nn.Hardswish(), nn.Sigmoid()), None, 0),
    "limits": (lambda: S(L(3, 5), nn.Hardsigmoid(), nn.Hardtanh(-2, 1), nn.ReLU6()), None, 0),
    "residual": (lambda: Model(lambda s, x: s.b(s.n(x + torch.relu(s.a(x)))), a=L(6, 6), b=L(6, 3), n=nn.LayerNorm(6)), None, 0),
    "trains": (lambda: S(TTLinear(12, 8, ranks=2), nn.SiLU(), TTLinear(8, 6, (2, 4), (6,), 2, "tensor")), None, 0),
    "a train of a convolution": (
        lambda: S(nn.Unflatten(1, (2, 6, 6)), TTConv2d(2, 4, 3, padding=1, ranks=2), nn.MaxPool2d(2), nn.Flatten(), L(36, 3)), None, 0),
    "a train of an embedding": (lambda: S(Tokens(5), TTEmbedding(20, 8, ranks=2), nn.GELU(), L(8, 3)), None, 20),
    "a bag": (lambda: S(Tokens(5), nn.EmbeddingBag(20, 8, padding_idx=0), nn.GELU(), L(8, 3)), None, 20),
    "depthwise": (
        lambda: S(nn.Conv2d(1, 8, (10, 4), 2, (5, 1)), with_statistics(), nn.ReLU(),
                  nn.Conv2d(8, 8, 3, padding="same", groups=8, dilation=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), L(8, 3)), (1, 49, 10), 0),
    "one dimension": (
        lambda: S(nn.Conv1d(3, 8, 5, 2, 2), nn.MaxPool1d(2), nn.AvgPool1d(2, 1), nn.AdaptiveMaxPool1d(1), nn.Flatten(), L(8, 3)), (3, 20), 0),
    "lstm, last step": (lambda: Model(lambda s, x: s.o(s.r(x)[0][:, -1]), r=nn.LSTM(3, 5, batch_first=True), o=L(5, 2)), (7, 3), 0),
    "lstm, last state": (lambda: Model(lambda s, x: s.o(s.r(x)[1][0][-1]), r=nn.LSTM(3, 5, 2, batch_first=True), o=L(5, 2)), (7, 3), 0),
    "gru, both ways": (
        lambda: Model(lambda s, x: s.o(s.r(x)[0].mean(1)), r=nn.GRU(3, 5, 2, batch_first=True, bidirectional=True), o=L(10, 2)), (7, 3), 0),
    "a cell called twice": (
        lambda: Model(lambda s, x: s.o(torch.cat((s.r(x)[1][-2], s.r(x)[1][-1]), 1)),
                      r=nn.GRU(3, 5, batch_first=True, bidirectional=True), o=L(10, 2)), (7, 3), 0),
    "rnn, steps first": (lambda: Model(lambda s, x: s.o(s.r(x.transpose(0, 1))[0][-1]), r=nn.RNN(3, 5, bias=False), o=L(5, 2)), (7, 3), 0),
    "encoder": (lambda: Model(lambda s, x: s.o(s.e(x).mean(1)), e=encoder(batch_first=True), o=L(8, 2)), (5, 8), 0),
    "encoder, steps first": (
        lambda: Model(lambda s, x: s.o(s.e(x.transpose(0, 1)).mean(0)), e=encoder(activation="gelu", norm_first=True), o=L(8, 2)), (5, 8), 0),
    "attention written out": (lambda: Attention(True), (5,), 20),
    "torch's attention": (lambda: Attention(False), (5,), 20),
    "learnt arrays": (
        lambda: Model(lambda s, x: s.o(torch.cat((s.c.expand(x.shape[0], -1, -1), x + s.p), 1)[:, 0] + s.g * x.mean(1)),
                      p=nn.Parameter(torch.randn(1, 5, 8)), c=nn.Parameter(torch.randn(1, 1, 8)), g=nn.Parameter(torch.randn(8)), o=L(8, 2)), (5, 8), 0),
    "arithmetic": (lambda: Model(lambda s, x: (1 - s.a((x - s.m) / s.v)).relu_().mul_(2) - s.a(x) ** 2, a=L(6, 2), m=torch.randn(6), v=torch.rand(6) + 1), None, 0),
    "parts": (
        lambda: Model(lambda s, x: torch.cat([s.a(x[:, :3]), s.a(x[:, 3:]), x.chunk(2, 1)[0]], 1).sigmoid().sum(1, keepdim=True), a=L(3, 2)), (6,), 0),
    "frozen": (frozen_first, None, 0),
    "biases alone": (lambda: biases_alone(S(L(6, 4), nn.ReLU(), L(4, 3))), None, 0),
    "biases of convolutions alone": (
        lambda: biases_alone(S(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), L(64, 3))), (2, 6, 6), 0),
    "without gradients": (lambda: Model(_frozen_part, a=L(6, 4), b=L(4, 2)), None, 0),
    "used twice": (used_twice, None, 0),
    "hooks": (hooked, None, 0),
    "a forward of one module": (own_instance_forward, None, 0),
}  # fmt: skip


def biases_alone(module):
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.endswith("bias"))
    return module


def _frozen_part(model, x):
    with torch.no_grad():
        h = torch.relu(model.a(x))
    return model.b(h)


def example(name):
    torch.manual_seed(7)
    make, shape, tokens = MODELS[name]
    module = make().eval()
    number = Number.int16 if tokens else Number.float32
    plan = plan_from_module(module, loss=Loss.mse, input_shape=shape, input_number=number)
    row = tuple(plan.metadata.get("input_shape", (plan.in_features,)))
    x = torch.randint(0, tokens, (5, *row)) if tokens else torch.randn(5, *row)
    return module, plan, x


@pytest.mark.parametrize("name", MODELS)
def test_the_plan_computes_what_torch_does(name):
    module, plan, x = example(name)
    with torch.no_grad():
        wanted = module(x).reshape(5, -1).numpy()
    found = model_forward(plan, plan.parameters, x.reshape(5, -1).numpy().astype(np.float32))
    assert np.abs(found - wanted).max() < BOUND


@pytest.mark.parametrize("name", MODELS)
def test_trained_parameters_come_back_and_torch_computes_with_them(name):
    module, plan, x = example(name)
    theta = np.random.default_rng(3).uniform(-0.5, 0.5, plan.n_parameters).astype(np.float32)
    read = to_bundle.read(to_bundle.write(plan))
    load_into_module(module, dataclasses.replace(read, parameters=theta))
    found = model_forward(plan, theta, x.reshape(5, -1).numpy().astype(np.float32))
    with torch.no_grad():
        assert np.abs(found - module(x).reshape(5, -1).numpy()).max() < BOUND


def test_what_is_frozen_keeps_its_bits():
    module = frozen_first()
    before = module[0].weight.detach().clone()
    plan = plan_from_module(module, loss=Loss.mse)
    assert [tensor.name for tensor in plan.tensors] == ["2.weight", "2.bias"]
    load_into_module(module, np.zeros(plan.n_parameters, np.float32))
    assert torch.equal(module[0].weight, before) and not module[2].weight.any()


def test_batch_norm_is_frozen_and_the_plan_says_so():
    _, plan, _ = example("depthwise")
    assert isinstance(plan, Plan) and any("batch norm is frozen" in note for note in plan.metadata["notes"])
    assert not any(tensor.name.startswith("1.") for tensor in plan.tensors)


def test_a_soft_max_at_the_end_is_left_out_for_the_loss_that_holds_it():
    module = S(L(6, 3), nn.Softmax(1)).eval()
    logits = plan_from_module(module, loss=Loss.cross_entropy)
    assert logits.chain is not None and "softmax at the end" in logits.metadata["notes"][0]
    assert plan_from_module(module, loss=Loss.mse).chain is None


def parametrized(kind):
    return S(getattr(nn.utils.parametrizations, kind)(L(6, 4)))


def pruned():
    layer = L(6, 4)
    prune.l1_unstructured(layer, "weight", 0.5)
    return S(layer)


def tied():
    table, out = nn.Embedding(20, 8), L(8, 20, bias=False)
    out.weight = table.weight
    return Model(lambda s, x: s.o(s.e(x).mean(1)), e=table, o=out)


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: parametrized("weight_norm"), None, r"computes with 0\.parametrizations\.weight\.original1 alone"),
        (lambda: parametrized("spectral_norm"), None, r"computes with 0\.parametrizations\.weight\.original alone"),
        (lambda: parametrized("orthogonal"), None, r"computes with 0\.parametrizations\.weight\.original alone"),
        (tied, (5,), r"layer o: Linear: linear uses e\.weight in another way than e does"),
        (lambda: Model(lambda s, x: torch.erfinv(s.a(x)), a=L(6, 2)), None, r"layer model: Model: erfinv .*cannot be exported"),
        (lambda: Model(lambda s, x: s.a(x) - s.a(x).mean(0), a=L(6, 2)), None, "works across the rows of a batch"),
        (lambda: Model(lambda s, x: s.a(F.dropout(x)), a=L(6, 2)), None, "dropout .*is active"),
        (lambda: Model(lambda s, x: s.a(x), a=L(3, 2)), (6, 3), r"ends in an array \[6, 2\]"),
        (lambda: Model(lambda s, x: s.a(x.reshape(-1, 3)), a=L(3, 2)), (6,), "does not return one output for each row"),
        (lambda: S(L(6, 4)).half(), None, "is torch.float16"),
        (lambda: S(L(6, 4, device="meta")), None, "has no values"),
        (lambda: S(nn.LazyLinear(4)), None, "has no shape yet"),
        (lambda: nn.ModuleList([L(6, 4)]), None, "ModuleList has no forward pass"),
        (lambda: nn.ModuleDict({"a": L(6, 4)}), None, "ModuleDict has no forward pass"),
        (lambda: torch.jit.trace(L(6, 4), torch.zeros(1, 6)), None, "is TorchScript"),
        (lambda: S(nn.ConvTranspose1d(3, 2, 3), nn.Flatten()), (3, 8), "cannot be exported"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_named_with_a_next_step(make, shape, words):
    with pytest.raises(ExportError, match=words) as caught:
        plan_from_module(
            make().eval(), input_shape=shape, input_number=Number.int16 if make is tied else Number.float32
        )
    assert caught.value.hint


def test_what_torch_has_pruned_is_pruned_in_the_plan_and_comes_back():
    torch.manual_seed(7)
    module = pruned()
    plan = plan_from_module(module, loss=Loss.mse)
    mask = module[0].weight_mask.numpy().ravel() == 0
    assert [tensor.name for tensor in plan.tensors] == ["0.weight", "0.bias"]
    assert np.array_equal(is_pruned(plan.parameters), [*mask, *[False] * 4])
    x = torch.randn(5, 6)
    with torch.no_grad():
        assert np.abs(model_forward(plan, plan.parameters, x.numpy()) - module(x).numpy()).max() < BOUND
    load_into_module(module, dataclasses.replace(plan, parameters=plan.parameters * np.float32(2)))
    with torch.no_grad():
        assert np.array_equal(
            module(x).numpy(),
            (2 * (x @ torch.from_numpy(plan.parameters[:24].reshape(4, 6)).T + plan.parameters[24:])).numpy(),
        )


def test_biases_are_trained_beside_frozen_weights():
    plan = plan_from_module(biases_alone(S(L(6, 4), nn.ReLU(), L(4, 3))), loss=Loss.mse)
    assert plan.n_parameters == 4 + 3 and len(plan.constants) == 4 * (24 + 12)


def test_modules_that_are_switched_on_are_refused():
    with pytest.raises(ExportError, match=r"layer 1: BatchNorm1d is active"):
        plan_from_module(S(L(6, 4), nn.BatchNorm1d(4)))


def test_loading_into_a_parametrized_module_is_refused():
    with pytest.raises(ExportError):
        load_into_module(parametrized("weight_norm"), np.zeros(28, np.float32))


def test_a_compiled_module_is_read_as_it_was_written():
    module = S(L(6, 4))
    assert np.array_equal(plan_from_module(torch.compile(module)).parameters, plan_from_module(module).parameters)


def test_warnings_of_torch_about_itself_are_not_shown_and_those_of_the_model_are():
    def run(self, x):
        warnings.warn("the model's own", stacklevel=1)
        return self.last(x * torch.tensor(2.0))  # torch warns of its own use of a deprecated class

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        plan_from_module(Model(run, last=nn.Linear(4, 2)), input_shape=(4,))
    assert {str(each.message) for each in shown} == {"the model's own"}


def test_a_branch_on_data_is_named_with_its_line_and_torchs_graph_is_not_shown(capfd):
    def run(self, x):
        print("the model's own", file=sys.stderr)
        return self.last(torch.relu(x) if x.sum() > 0 else x)

    with pytest.raises(
        ExportError, match=rf"depends on data .*test_torch_graph\.py, line {run.__code__.co_firstlineno + 2}\)"
    ) as caught:
        plan_from_module(Model(run, last=nn.Linear(4, 2)), input_shape=(4,))
    assert "torch.where" in caught.value.hint
    assert capfd.readouterr().err == "the model's own\n"
