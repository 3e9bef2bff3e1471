# SPDX-License-Identifier: MIT
"""Derivatives through graphs are those of back-propagation, and onnxruntime finds the same."""

import ctypes
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from test_graph_equations import QUERIES, along, diffusion, each_second, first, problem, smooth_graph

from ttzo.device_runtime.contract import Derivative, Loss, Number
from ttzo.exporter import pde
from ttzo.exporter.plan import graph_section
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.derive import Noise, derive

sys.path.insert(0, str(Path(__file__).parents[1] / "cores"))
from test_sample_cache_in_double import HARNESS, IN_DOUBLE, SOURCES

torch = pytest.importorskip("torch")

from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.readers.nn import TTLinear


class Every(torch.nn.Module):
    """Every operation with a rule for derivatives."""

    def __init__(self, n: int):
        super().__init__()
        self.first, self.factor = torch.nn.Linear(n, 12), torch.nn.Parameter(torch.rand(12) + 0.5)
        self.train_core = TTLinear(12, 12, in_modes=(3, 4), out_modes=(4, 3), ranks=2)
        self.convolution = torch.nn.Conv1d(3, 4, 3, padding=1, groups=1)
        self.each = torch.nn.Linear(4, 3)
        self.shift = torch.nn.Parameter(torch.randn(3, 4))
        self.last = torch.nn.Linear(21, 1)

    def forward(self, x):
        h = torch.sin(self.first(x) * self.factor)
        h = h + torch.tanh(self.train_core(h))
        h = h * torch.sigmoid(h[:, :1])
        z = torch.nn.functional.gelu(self.convolution(h.reshape(-1, 3, 4) + self.shift))
        z = self.each(z).transpose(1, 2)
        z = torch.cat([z.reshape(-1, 12), torch.nn.functional.avg_pool1d(h.reshape(-1, 3, 4), 2).reshape(-1, 6)], 1)
        return self.last(torch.cat([torch.nn.functional.silu(z), z[:, ::6]], 1))


JET_HARNESS = (
    HARNESS
    + """
#include "operations/graph.h"
#include "operations/operation.h"
int jet_in_double(const uint8_t *section, size_t size, const uint32_t *shape, float *theta, float *arena, float *scratch,
                  const float *inputs, float *outputs);
int jet_in_double(const uint8_t *section, size_t size, const uint32_t *shape, float *theta, float *arena, float *scratch,
                  const float *inputs, float *outputs)
{
    struct ttzo_model model = { .info = { .in_features = (uint16_t)shape[3], .out_features = (uint16_t)shape[4] } };
    struct ttzo_trainer trainer = { .model = &model, .activations = { arena, NULL }, .scratch = scratch };
    const struct ttzo_jet jet = { shape[0], shape[1], shape[2] };
    if (ttzo_read_graph(section, size, &model.graph) != size || !ttzo_graph_has_jets(&model.graph))
        return -1;
    for (uint32_t i = 0; i < ttzo_jet_columns(&jet) * shape[3]; i++)
        ttzo_graph_jet_inputs(&trainer, &jet)[i] = inputs[i];
    const float *made = ttzo_graph_jet(&trainer, theta, &jet);
    for (uint32_t i = 0; i < ttzo_jet_columns(&jet) * shape[4]; i++)
        outputs[i] = made[i];
    return 0;
}
"""
)


@pytest.fixture(scope="module")
def in_double(c_library):
    return c_library(*SOURCES, extra=JET_HARNESS, flags=IN_DOUBLE)


def jet(
    library: ctypes.CDLL, plan: Plan, x: np.ndarray, directions: np.ndarray, order: int, n_summed: int
) -> np.ndarray:
    """The outputs' columns at the network's input x [inputs], where it goes along directions [n, inputs]: [columns, outputs]."""
    n, n_in = directions.shape
    columns = 1 + n * order + bool(n_summed)
    inputs, outputs = np.zeros((columns, n_in)), np.zeros((columns, plan.out_features))
    inputs[0], inputs[1 : 1 + n] = x, directions
    section = np.frombuffer(graph_section.write(plan), np.uint8).copy()
    shape = np.array([n, order, n_summed, n_in, plan.out_features], np.uint32)
    theta = plan.parameters.astype(np.float64)
    arena, scratch = np.zeros(columns * plan.graph.arena), np.zeros(plan.graph.scratch + 64)
    place = [ctypes.c_void_p(a.ctypes.data) for a in (section, shape, theta, arena, scratch, inputs, outputs)]
    assert library.jet_in_double(place[0], ctypes.c_size_t(section.size), *place[1:]) == 0
    return outputs


def derivatives_of(net, x: np.ndarray, direction: np.ndarray) -> list[float]:
    """The first three derivatives of net along a direction at x, by back-propagation."""
    at = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value = net(torch.from_numpy(x)[None] + at * torch.from_numpy(direction)[None]).sum()
    made = []
    for _ in range(3):
        (value,) = torch.autograd.grad(value, at, create_graph=True)
        made.append(value.item())
    return made


def module_and_plan(n: int = 3):
    torch.manual_seed(4)
    net = Every(n).eval()
    return net, plan_from_module(
        net, input_shape=(n,), loss=Loss.mse, batch=2, input_number=Number.float32, training=Training()
    )


def test_jets_through_every_operation_are_back_propagation_s_derivatives(in_double):
    """In double: 1e-10 of derivatives of order 1 to 100."""
    (net, plan), rng = module_and_plan(), np.random.default_rng(0)
    used = {node.operation.CODE.name for node in plan.graph.nodes}
    assert used == {
        "affine",
        "activation",
        "scale",
        "learnt_array",
        "add",
        "multiply",
        "concat",
        "slice",
        "transpose",
        "average_pool",
    }
    net = net.double()
    for _ in range(3):
        x, directions = rng.normal(0, 1, 3), rng.normal(0, 1, (3, 3))
        exact = np.array([derivatives_of(net, x, each) for each in directions])
        scale = 1 + np.abs(exact).max()
        own = jet(in_double, plan, x, directions, 2, 0)[:, 0]
        assert own[0] == pytest.approx(net(torch.from_numpy(x)[None]).item(), abs=1e-12)
        np.testing.assert_allclose(own[1:4], exact[:, 0], rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(own[4:7], exact[:, 1], rtol=0, atol=1e-10 * scale)
        summed = jet(in_double, plan, x, directions, 1, 2)[:, 0]
        assert summed[-1] == pytest.approx(exact[:2, 1].sum(), abs=1e-10 * scale)
        along_one = jet(in_double, plan, x, directions[:1], 3, 0)[:, 0]
        np.testing.assert_allclose(along_one[1:], exact[0], rtol=0, atol=1e-10 * scale)


def test_derivatives_in_float32_are_those_of_the_module():
    """NumPy's derivatives at points, the problem's way: float32's rounding (6e-8) of sums of a few hundred numbers of their
    size, some of them differences."""
    net, alone = module_and_plan()
    made = pde.trace(problem(each_second))
    plan = dataclasses.replace(
        alone, pde=made, loss=Loss.residual, batch=made.batch, training=Training((QUERIES,)), input_scale=0.5
    )
    points = np.random.default_rng(1).uniform(-1, 1, (3, 5)).astype(np.float32)
    needs = made.groups[0].condition.needs
    found = derive(plan, plan.parameters, 0, needs, points, Noise(0, 0, np.arange(5)))
    net = net.double()
    for column, x in enumerate(points.T):
        exact = np.array([derivatives_of(net, 0.5 * x.astype(np.float64), 0.5 * each) for each in np.eye(3)])
        np.testing.assert_allclose(
            found.first[:, 0, column], exact[:, 0], rtol=0, atol=2e-5 * (1 + np.abs(exact).max())
        )
        np.testing.assert_allclose(
            found.diagonal[:, 0, column], exact[:, 1], rtol=0, atol=2e-5 * (1 + np.abs(exact).max())
        )
        assert found.laplacian[0, column] == pytest.approx(exact[:2, 1].sum(), abs=4e-5 * (1 + np.abs(exact).max()))


@pytest.mark.parametrize(
    ("residual", "kind"),
    [(first, "jet"), (diffusion, "jet"), (each_second, "jet"), (along, "jet"), (diffusion, "sampled_jet")]
    + [(diffusion, kind) for kind in ("finite_difference", "sparse_grid", "monte_carlo")],
)
def test_onnxruntime_finds_the_same_residuals(residual, kind):
    """Float32 in another order; differences lose a share 1 / radius^2 of it."""
    from ttzo.host_tools.reference.train.onnx_network import OnnxNetwork

    rng = np.random.default_rng(3)
    made = pde.trace(problem(residual), Derivative[kind], 0.2, level=2, n_pairs=3, n_sampled=2)
    plan = smooth_graph(rng, made, QUERIES, nodes=7)
    points = reference_pde.training_points(plan, 1, 0)
    ours = reference_pde.residuals(plan, plan.parameters, points, 1, 0)
    theirs = OnnxNetwork(plan).residuals(plan.parameters, points, 1, 0)
    least = 1e-5 if "jet" in kind else 1e-3
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=least * (1 + np.abs(ours).max()))
