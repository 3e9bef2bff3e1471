# SPDX-License-Identifier: MIT
"""Equations whose network is a graph: all devices train to the same bits, and what they do not take is named."""

import dataclasses
import math
import zlib

import numpy as np
import pytest
from devices import connect, native, numpy, read_parameters
from firmware import needs_compiler, needs_qemu
from graphs import RandomGraph
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Activation,
    Derivative,
    DeviceError,
    Estimator,
    Loss,
    Number,
    Part,
    Region,
    Update,
)
from ttzo.exporter import pde
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import graph_section, jet_rules
from ttzo.exporter.plan.builder import Builder, Value
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import qemu
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.derive import Noise, derive
from ttzo.host_tools.reference.train.trainer import Trainer

torch = pytest.importorskip("torch")

from ttzo.exporter.readers.from_torch import plan_from_module

BOARD = boards.load("netduinoplus2")


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


# ---- equations ------------------------------------------------------------------------------------------------------


def first(p):
    return p.u_t + pde.sum(p.grad * p.x)


def diffusion(p):
    return p.u_t - p.lap + p.u * p.grad[0]


def each_second(p):
    return p.u_tt - p.second[0] * p.second[-1] + p.lap


def along(p):
    return p.d(p.u, 0, 1) + p.d(p.u, 0, 0, 0) - p.u_t + 0.5 * p.lap


def problem(residual, size=2, **changes) -> pde.Problem:
    made = pde.Problem(
        space=[(-1.0, 1.0)] * size,
        time=(0.0, 1.0),
        residual=residual,
        solution=lambda n, x, t: (1.5 - t) * n + pde.sum(x * x) * t,
        conditions=[pde.on_faces(lambda p: p.u_n - 1.0, weight=5.0, rows=2), pde.at_end(lambda p: p.u, rows=2)],
        rows=4,
    )
    return dataclasses.replace(made, **changes)


# ---- graphs ---------------------------------------------------------------------------------------------------------

SMOOTH = sorted(jet_rules.SMOOTH)


class SmoothGraph(RandomGraph):
    """Nodes that jets pass."""

    def activation(self, x: Value) -> Value:
        return self.build.activation(self.name("act"), x, Activation(self.rng.choice(SMOOTH)))

    def product(self, x: Value) -> Value:
        return self.build.multiply(self.name("product"), self.activation(x), x)

    def residual(self, x: Value) -> Value:
        moved = self.linear(self.activation(self.linear(x)))
        moved = self.build.linear(self.name("back"), moved, self.numbers(x.numbers, moved.numbers))
        return self.build.add(self.name("residual"), x, moved, minus=self.maybe(0.3))

    def image(self, x: Value) -> Value:
        image = self.as_image(x)
        if len(image.shape) != 3:
            return x
        kernel = self.build.convolution(
            self.name("conv"), image, self.numbers(2, image.shape[0], 2, 2), self.numbers(2)
        )
        return self.build.average_pool(self.name("mean"), kernel, (1, 1), (1, 1))

    def places(self, x: Value) -> Value:
        sequence = self.as_sequence(x)
        moved = self.transposed(sequence)
        return self.reduced(moved) if self.maybe(0.3) else self.linear(moved)


def smooth_graph(rng: np.random.Generator, made: pde.Pde, phase: Phase, nodes: int = 5) -> Plan:
    """A plan of a random graph of nodes that jets pass, with frozen nodes among them, some of int8."""
    build = Builder((made.n_inputs,))
    graph = SmoothGraph(rng, build, True, 0.2)
    kinds = ["linear", "activation", "product", "residual", "image", "places", "scale", "learnt", "cut"]
    x = build.linear("first", build.input, graph.numbers(6, made.n_inputs), graph.numbers(6))
    for kind in rng.choice(kinds, nodes):
        x = build.reshaped(getattr(graph, kind)(x), (-1,))
        while x.numbers > 24:
            x = build.linear(graph.name("less"), x, graph.numbers(6, x.numbers))
    x = build.concat("both", [x, graph.activation(x)], 0)
    x = build.linear("last", x, graph.numbers(made.n_outputs, x.numbers), graph.numbers(made.n_outputs))
    plan = build.plan(
        x,
        frozen_int8=bool(rng.integers(2)),
        loss=Loss.residual,
        training=Training((phase,), seed=int(rng.integers(2**63)), steps=20),
        batch=made.batch,
        input_number=Number.float32,
        input_scale=0.75,
        input_offset=-0.5,
        pde=dataclasses.replace(made, units=()),
    )
    theta = np.concatenate([plan.parameters, rng.normal(0, 0.5, len(made.units)).astype(np.float32)])
    return dataclasses.replace(plan, pde=made, parameters=theta)


QUERIES = Phase(n_queries=2, perturb_radius=1e-2, learning_rate=1e-3, update=Update.adam)


def gauss_newton(estimator: Estimator, **changes) -> Phase:
    return Phase(
        estimator, update=Update.sgd, n_queries=4, perturb_radius=1e-3, learning_rate=1.0, ridge=1e-3, **changes
    )


def agree(core, plan: Plan, steps: int = 2) -> None:
    """C and NumPy take the same steps, or refuse the same one."""
    device, twin = Runtime(core, plan), Trainer(plan)
    for _ in range(steps):
        made = []
        for trainer in (device, twin):
            try:
                step = trainer.step(Region.collocation)
                made.append((step.loss, step.gradient_norm, step.evaluations, step.macs))
            except DeviceError as error:
                made.append(error.name)
        assert made[0] == made[1]
        assert device.theta.tobytes() == twin.theta.tobytes() and device.moments.tobytes() == twin.moments.tobytes()


@pytest.mark.parametrize("residual", [first, diffusion, each_second, along])
@pytest.mark.parametrize("seed", range(6))
def test_c_and_numpy_carry_jets_through_random_graphs_to_the_same_bits(core, seed, residual):
    rng = np.random.default_rng(seed)
    made = pde.trace(problem(residual, size=(2, 1, 9)[seed % 3] if residual is not along else 2))
    plan = smooth_graph(rng, made, QUERIES)
    assert plan.chain is None and not jet_rules.why_no_jets(plan.graph)
    agree(core, plan)


@pytest.mark.parametrize("kind", ["finite_difference", "sparse_grid", "monte_carlo", "sampled_jet"])
def test_c_and_numpy_derive_graphs_otherwise_to_the_same_bits(core, kind):
    rng = np.random.default_rng(len(kind))
    made = pde.trace(problem(diffusion, size=5), Derivative[kind], 0.1, level=2, n_pairs=3, n_sampled=2)
    agree(core, smooth_graph(rng, made, QUERIES))


@pytest.mark.parametrize("estimator", [Estimator.subspace_gn, Estimator.coordinate_gn, Estimator.cge_plain])
@pytest.mark.parametrize("rows", [4, 300])
def test_estimators_by_whole_residuals_keep_their_bits_on_graphs(core, estimator, rows):
    phase = (
        gauss_newton(estimator)
        if estimator != Estimator.cge_plain
        else dataclasses.replace(QUERIES, estimator=estimator)
    )
    made = pde.trace(problem(lambda p: p.u_t - p.k * p.lap, rows=rows, unknowns={"k": 1.0}))
    plan = smooth_graph(np.random.default_rng(rows), made, phase, nodes=2)
    assert rows == 4 or plan.n_parameters < made.batch  # both ways of coordinate_gn
    agree(core, plan, 1)


# ---- what is refused ------------------------------------------------------------------------------------------------


def plain(block: tuple[Builder, Value], estimator=QUERIES, derivative=Derivative.jet, residual=diffusion) -> Plan:
    made, (build, x) = pde.trace(problem(residual), derivative, level=2), block
    x = build.linear("last", x, np.ones((1, x.numbers), np.float32), np.ones(1, np.float32))
    return build.plan(x, loss=Loss.residual, training=Training((estimator,)), batch=made.batch,
                      input_number=Number.float32, pde=made)  # fmt: skip


def residual_block(activation: Activation) -> tuple[Builder, Value]:
    build = Builder((3,))
    moved = build.linear("inner", build.input, np.eye(3, dtype=np.float32))
    return build, build.add("sum", build.input, build.activation("act", moved, activation))


def without_rule(kind: str) -> tuple[Builder, Value]:
    build, x = residual_block(Activation.relu if kind == "relu" else Activation.tanh)
    if kind == "soft_max":
        x = build.soft_max("share", x)
    return build, x if kind != "layer_norm" else build.layer_norm("norm", x, None, None, 1e-5)


@pytest.mark.parametrize(("kind", "node"), [("soft_max", "share"), ("layer_norm", "norm"), ("relu", "inner")])
def test_an_operation_without_a_rule_is_named_and_differences_take_it(core, kind, node):
    with pytest.raises(PlanError, match=f"{node} .*--derivative finite_difference"):
        plain(without_rule(kind))
    for derivative in (Derivative.finite_difference, Derivative.sparse_grid):
        agree(core, plain(without_rule(kind), derivative=derivative), 1)


@pytest.mark.parametrize("estimator", ["last_layer_gn", "frozen_features", "chain_differences", "cge"])
def test_estimators_of_chains_are_refused_by_name(estimator):
    phase = (
        gauss_newton(Estimator[estimator])
        if "_gn" in estimator or "features" in estimator
        else Phase(Estimator[estimator])
    )
    with pytest.raises(PlanError, match=estimator):
        plain(residual_block(Activation.tanh), estimator=phase)


def test_compensated_jets_are_for_chains():
    with pytest.raises(PlanError, match="compensated_jet goes through chains"):
        plain(residual_block(Activation.tanh), derivative=Derivative.compensated_jet)


def test_the_device_refuses_what_the_exporter_does(core):
    """A bundle whose graph carries no jets, with the numbers of one that does."""
    plan = plain(residual_block(Activation.tanh))
    data = bytearray(to_bundle.write(plan))
    section = graph_section.write(plan)
    at = data.find(section)
    kinds = [
        at + i for i in range(len(section) - 8) if section[i : i + 8] == bytes([Activation.tanh, 0, 0, 0, 0, 0, 0, 0])
    ]
    (place,) = [i for i in kinds if i - at > 20 + 16 * len(plan.graph.nodes)] or kinds[-1:]
    data[place] = Activation.relu
    data[-4:] = zlib.crc32(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(DeviceError) as refused:
        Runtime(core, plan, bundle=bytes(data))
    assert refused.value.name == "bad_model"


# ---- devices --------------------------------------------------------------------------------------------------------


class Residual(torch.nn.Module):
    """Residual blocks, a product of features and their concatenation."""

    def __init__(self, n: int, width: int):
        super().__init__()
        self.inputs, self.gate = torch.nn.Linear(n, width), torch.nn.Linear(n, width)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(2))
        self.outputs = torch.nn.Linear(width + n, 1)

    def forward(self, x):
        h = torch.sin(self.inputs(x)) * torch.sigmoid(self.gate(x))
        for block in self.blocks:
            h = h + torch.tanh(block(h))
        return self.outputs(torch.cat([h, x], 1))


def heat() -> pde.Problem:
    """u_t = u_xx whose solution is exp(-t) sin x."""
    return pde.Problem(
        space=[(0.0, math.pi)],
        time=(0.0, 1.0),
        residual=lambda p: p.u_t - p.lap,
        solution=lambda n, x, t: pde.sin(x[0]) + t * x[0] * (math.pi - x[0]) * n,
        exact=lambda x, t: pde.exp(-t) * pde.sin(x[0]),
        rows=24,
    )


def residual_plan(phase: Phase, width: int = 8) -> Plan:
    torch.manual_seed(0)
    made = pde.trace(heat())
    return plan_from_module(
        Residual(2, width), input_shape=(2,), loss=Loss.residual, training=Training((phase,), seed=3), batch=made.batch,
        input_number=Number.float32, pde=made,
    )  # fmt: skip


def trained(url: str, plan: Plan, steps: int = 2) -> tuple[bytes, float, int]:
    with connect(url) as link:
        link.hello()
        for step in range(steps):
            reply, _ = link.request("step", step=step, region=Region.collocation, timeout=60)
        return read_parameters(link, plan), reply.loss, reply.macs


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.coordinate_gn])
def test_a_residual_network_trains_alike_on_board_native_and_numpy(estimator, tmp_path):
    phase = QUERIES if estimator == Estimator.rge else gauss_newton(estimator)
    plan = residual_plan(phase)
    assert {Part.equations, Part.operations} <= parts_of(plan)
    write_files(plan, tmp_path / "bundle")
    report = build.build(tmp_path / "bundle", BOARD)
    with qemu.emulated(BOARD, report.elf) as emulation:
        on_board = trained(emulation.url, plan)
    with native(build.build_native(plan.arithmetic), plan, tmp_path) as url:
        assert trained(url, plan) == on_board
    with numpy(plan) as url:
        assert trained(url, plan) == on_board
    assert on_board[0] != plan.parameters.tobytes()


def test_coordinate_gn_solves_an_equation_with_a_residual_network(core):
    """The solution's mean square is 0.3."""
    plan = residual_plan(gauss_newton(Estimator.coordinate_gn), width=6)
    device = Runtime(core, plan)
    for _ in range(30):
        device.step(Region.collocation)
    points = reference_pde.validation_points(plan, 0, 400)
    outputs = derive(plan, device.theta, 0, 0, points, Noise(0, 0, np.arange(400))).value
    error = reference_pde.solution(plan, outputs, points) - reference_pde.exact(plan, points)
    assert float((error**2).mean()) < 1e-7
