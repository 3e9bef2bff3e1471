# SPDX-License-Identifier: MIT
"""Graphs through every format and on every device: the files of a folder, the native port, NumPy, the emulated board."""

import dataclasses

import numpy as np
import pytest
from devices import connect, fill, native, numpy, read_parameters
from firmware import needs_compiler, needs_qemu
from graphs import random_graph
from plans import random_rows

from ttzo.device_runtime.contract import Estimator, Loss, NodeOperation, Part, Region
from ttzo.exporter import zoo
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.export import export
from ttzo.exporter.plan.builder import Builder
from ttzo.exporter.plan.parts import GRAPH_PARTS, parts_of
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.host_tools.device import qemu
from ttzo.host_tools.firmware import boards, build

BOARD = boards.load("netduinoplus2")


def graph_with(*operations, estimator=Estimator.rge, seeds=range(200)):
    """The first random graph that has all of these operations."""
    training = Training((Phase(estimator, n_queries=2),))
    for seed in seeds:
        plan = random_graph(np.random.default_rng(seed), training, nodes=14, int8=True)
        if set(operations) <= {node.operation.CODE for node in plan.graph.nodes}:
            return plan
    raise AssertionError("no such graph")


def from_zoo(name, batch):
    """A model of the zoo with its own estimator and two queries."""
    recipe = zoo.get(name)
    training = Training((dataclasses.replace(recipe.training.phases[0], n_queries=2),))
    return plan_from_module(
        recipe.build(),
        input_shape=recipe.input_shape,
        loss=recipe.loss,
        batch=batch,
        input_number=recipe.inputs.number,
        training=training,
    )


PLANS = {
    "images": graph_with(NodeOperation.max_pool, NodeOperation.average_pool, NodeOperation.affine),
    "sequences": graph_with(NodeOperation.recurrent, NodeOperation.matrix_product, estimator=Estimator.node_cge),
    "norms": graph_with(NodeOperation.layer_norm, NodeOperation.concat, estimator=Estimator.block_rge),
    "names-gpt": from_zoo("names-gpt", batch=1),
}


def trained(url, plan, steps=3):
    with connect(url) as link:
        link.hello()
        for step in range(steps):
            fill(link, Region.batch, random_rows(np.random.default_rng(step), plan, plan.batch).tobytes())
            reply, _ = link.request("step", step=step, region=Region.batch, timeout=60)
        return read_parameters(link, plan), reply.loss, reply.macs


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("name", PLANS)
def test_board_native_and_numpy_train_a_graph_to_the_same_bits(tmp_path, name):
    plan = PLANS[name]
    write_files(plan, tmp_path / "bundle")
    report = build.build(tmp_path / "bundle", BOARD)
    with qemu.emulated(BOARD, report.elf) as emulation:
        on_board = trained(emulation.url, plan)
    with native(build.build_native(plan.arithmetic), plan, tmp_path) as url:
        assert trained(url, plan) == on_board
    with numpy(plan) as url:
        assert trained(url, plan)[:2] == on_board[:2]  # the twin does not count what a change reaches
    assert on_board[0] != plan.parameters.tobytes()


def test_a_folder_holds_no_file_of_an_earlier_model_that_another_format_has(tmp_path):
    write_files(PLANS["norms"], tmp_path)
    assert (tmp_path / "model.tflite").is_file()
    build = Builder((4, 3, 3))
    weight = np.ones((4, 2, 2, 2), np.float32)
    pairs = build.plan(build.convolution("pairs", build.input, weight, groups=2), loss=Loss.mse)  # not in TFLite Micro
    write_files(pairs, tmp_path)
    assert not (tmp_path / "model.tflite").exists()


def test_chains_need_no_part_of_graphs(tmp_path):
    assert not parts_of(export("digits", tmp_path)) & GRAPH_PARTS
    assert {Part.operations, Part.pooling} <= parts_of(PLANS["images"])
