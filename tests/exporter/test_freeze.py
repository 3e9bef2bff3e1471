# SPDX-License-Identifier: MIT
"""What a person freezes or prunes: not in theta, or not moved."""

import dataclasses
import zlib

import numpy as np
import pytest
import torch
from c_library import FUSED
from plans import random_rows
from runtime import CORE, RUN, Runtime
from torch import nn

from ttzo.device_runtime.contract import Arithmetic, Estimator, Loss, Number, Region, Update
from ttzo.exporter.export import plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan import constants, pruning
from ttzo.exporter.plan.freeze import freeze
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import load_into_module, plan_from_module
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.operations.graph import model_forward
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Unflatten(1, (1, 6, 6)), nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)
    )  # fmt: skip


def plan_of_network(**settings):
    return plan_from_module(network(), loss=Loss.mse, input_number=Number.float32, batch=4, **settings)


def rows_of(plan):
    return np.random.default_rng(1).normal(0, 1, (5, plan.in_features)).astype(np.float32)


@pytest.mark.parametrize(
    ("patterns", "trained"),
    [(["1"], ["4", "6"]), (["[14]"], ["6"]), (["4", "6"], ["1"]), (["?"], []), ([], ["1", "4", "6"])],
)
def test_what_a_pattern_names_leaves_theta_and_the_outputs_stay(patterns, trained):
    plan = plan_of_network()
    frozen = freeze(plan, patterns)
    assert [t.name for t in frozen.tensors] == [f"{name}.{part}" for name in trained for part in ("weight", "bias")]
    assert len(frozen.constants) == 4 * (plan.n_parameters - frozen.n_parameters)
    x = rows_of(plan)
    assert np.array_equal(model_forward(frozen, frozen.parameters, x), model_forward(plan, plan.parameters, x))
    assert to_bundle.read(to_bundle.write(frozen)).constants == frozen.constants


def test_first_parts_of_names_are_a_pattern_and_an_unknown_one_is_refused():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)), nn.ReLU(), nn.Linear(3, 2))
    plan = plan_from_module(model, loss=Loss.mse)
    assert [t.name for t in freeze(plan, ["0"]).tensors] == ["2.weight", "2.bias"]
    with pytest.raises(PlanError, match="nothing with parameters is called '0.1'") as caught:
        freeze(plan, ["0.1"])
    assert "0.0, 0.2, 2" in caught.value.hint


def test_int8_weights_are_within_half_a_step_of_their_row_and_other_frozen_ones_keep_their_bits():
    plan = plan_of_network()
    frozen, narrow = freeze(plan, ["1", "4"]), freeze(freeze(plan, ["1"], int8=True), ["4"], int8=True)
    weight = plan.parameters[: 4 * 9].reshape(4, 9)
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    found = model_weights(narrow, "1")[: 4 * 9].reshape(4, 9)
    assert np.all(np.abs(found - weight) <= step * 0.501) and not np.array_equal(found, weight)
    assert np.array_equal(model_weights(narrow, "1")[36:], plan.parameters[36:40])
    assert len(narrow.constants) == 4 * 4 + 36 + 16 + 4 * 8 + 64 * 8 + 4 * 8 < len(frozen.constants) / 3
    again = freeze(narrow, ["1"])
    assert again.constants == narrow.constants and [n.int8 for n in again.graph.nodes] == [
        n.int8 for n in narrow.graph.nodes
    ]


def model_weights(plan, name):
    return constants.unpacked(next(node for node in plan.graph.nodes if node.name == name), plan.constants)


def test_parameters_that_are_shared_are_frozen_together():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.b(self.a(torch.relu(self.a(x))))

    plan = plan_from_module(Twice(), loss=Loss.mse)
    second = next(node.name for node in plan.graph.nodes if node.shared)
    for name in ("a", second):
        frozen = freeze(plan, [name])
        assert [t.name for t in frozen.tensors] == ["b.weight", "b.bias"] and len(frozen.constants) == 4 * 30


def test_what_the_plan_froze_stays_in_the_module():
    module = network()
    before = module[1].weight.detach().clone()
    plan = freeze(plan_of_network(), ["1"])
    load_into_module(module, dataclasses.replace(plan, parameters=plan.parameters + np.float32(1)))
    assert torch.equal(module[1].weight, before)
    assert np.array_equal(module[4].weight.detach().numpy().ravel(), plan.parameters[: 64 * 8] + np.float32(1))


def test_an_export_freezes_by_its_options_and_a_zoo_model_too():
    plan = plan_of("digits", freeze="0", estimator="cge")
    assert [node.frozen for node in plan.graph.nodes] == [True, False]
    with pytest.raises(PlanError, match="nothing is trained"):
        plan_of("digits", freeze=["0", "2"], estimator="cge")
    with pytest.raises(PlanError, match="option frozen is 'int4'"):
        plan_of("digits", freeze="0", frozen="int4")


# ---- pruned parameters ----------------------------------------------------------------------------------------------

CASES = [(estimator, update, True) for estimator in (Estimator.rge, Estimator.cge) for update in Update]
CASES += [
    (Estimator.cocd, Update.adam, True),
    (Estimator.rge, Update.momentum, False),
    (Estimator.cge, Update.sgd, False),
]


@pytest.mark.parametrize(("estimator", "update", "is_chain"), CASES)
def test_pruned_weights_do_not_move_and_all_others_do(core, estimator, update, is_chain):
    estimate = {"n_coordinates": 10**6} if estimator == Estimator.cocd else {}
    phase = Phase(estimator=estimator, update=update, learning_rate=0.01, perturb_radius=0.01, **estimate)
    plan = plan_of_network(training=Training((phase,)))
    plan = plan if is_chain else freeze(plan, ["1"])
    rng = np.random.default_rng(2)
    is_zero = rng.random(plan.n_parameters) < 0.5
    theta = np.where(is_zero, np.float32(0), plan.parameters)
    plan = pruning.keep_zeros(dataclasses.replace(plan, parameters=theta.astype(np.float32)))
    matrices = np.concatenate([np.full(t.size, len(t.shape) > 1) for t in plan.tensors])
    assert np.array_equal(pruning.is_pruned(plan.parameters), is_zero & matrices)
    device, reference = Runtime(core, plan), Trainer(plan, NumpyNetwork(plan))
    rows = random_rows(rng, plan, plan.batch).tobytes()
    for run in (device, reference):
        put(run, rows)
        for _ in range(3):
            run.step(Region.batch)
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert np.array_equal(pruning.is_pruned(device.theta), is_zero & matrices)
    if estimator == Estimator.cge and update == Update.sgd:
        assert (device.theta[~is_zero] != plan.parameters[~is_zero]).mean() > 0.5  # a float32 loss difference may be 0


def put(run, rows):
    run.write(Region.batch, 0, rows)
    run.commit(Region.batch, len(rows), zlib.crc32(rows))


def test_pruned_weights_do_not_move_in_fused_arithmetic(c_library):
    plan = plan_of_network(training=Training((Phase(update=Update.momentum),)), arithmetic=Arithmetic.fused)
    theta = plan.parameters.copy()
    theta[::3] = 0
    plan = pruning.keep_zeros(dataclasses.replace(plan, parameters=theta))
    device = Runtime(c_library(*CORE, extra=RUN, flags=FUSED), plan)
    device.put(Region.batch, random_rows(np.random.default_rng(0), plan, plan.batch).tobytes())
    device.step(Region.batch)
    assert np.array_equal(pruning.is_pruned(device.theta), pruning.is_pruned(plan.parameters))


def test_a_model_with_many_zeros_is_exported_with_a_word_about_them(tmp_path):
    source = tmp_path / "net.py"
    source.write_text(
        "import torch, torch.nn.utils.prune\n"
        "def model():\n"
        "    net = torch.nn.Sequential(torch.nn.Linear(64, 10))\n"
        "    torch.nn.utils.prune.l1_unstructured(net[0], 'weight', 0.5)\n"
        "    torch.nn.utils.prune.remove(net[0], 'weight')\n"
        "    return net, {'data': 'digits'}\n"
    )
    plan = plan_of(f"{source}:model")
    assert "320 of 640 trained weights are zero" in plan.metadata["notes"][-1]
    kept = plan_of(f"{source}:model", keep_zeros=True)
    assert pruning.is_pruned(kept.parameters).sum() == 320 and "notes" not in kept.metadata


def test_gauss_newton_refuses_a_pruned_network():
    plan = plan_of("heat10", estimator="subspace_gn")
    theta = plan.parameters.copy()
    theta[0] = -0.0
    with pytest.raises(PlanError, match="moves all parameters, pruned ones"):
        dataclasses.replace(plan, parameters=theta)
