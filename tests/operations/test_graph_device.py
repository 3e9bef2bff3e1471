# SPDX-License-Identifier: MIT
"""Graphs in C: the same bits as the NumPy reference, and nothing damaged gets in."""

import dataclasses
import hashlib
import struct
import zlib

import numpy as np
import pytest
from bundles import residual_wave_plan
from c_library import FUSED
from graphs import random_graph
from plans import random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Arithmetic,
    BundleHeader,
    DeviceError,
    Difference,
    Direction,
    Estimator,
    GraphInfo,
    ModelInfo,
    PhaseRecord,
    Region,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.pde import section as pde_section
from ttzo.exporter.plan.training import REUSING, Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.network.network import NUMBER_DTYPE, read_inputs
from ttzo.host_tools.reference.operations.graph import graph_bounded
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.fixture(scope="module")
def fused(c_library):
    return c_library(*CORE, extra=RUN, flags=FUSED)


def random_training(rng, estimator):
    phase = Phase(
        estimator=estimator,
        direction=Direction(rng.integers(2)),
        difference=Difference(rng.integers(2)),
        update=Update(rng.integers(5)),
        n_queries=2,
        n_coordinates=10**6 if rng.integers(2) else 7,
        perturb_radius=1e-2,
        learning_rate=1e-2,
    )
    return Training((phase,), seed=int(rng.integers(2**63)), steps=20)


ESTIMATORS = (
    Estimator.rge,
    Estimator.cge,
    Estimator.node_cge,
    Estimator.block_rge,
    Estimator.cocd,
    Estimator.node_cge,
    Estimator.cge_plain,
)


@pytest.mark.parametrize("seed", range(60))
def test_c_and_numpy_train_a_graph_to_the_same_bits(core, seed):
    rng = np.random.default_rng(seed)
    estimator = ESTIMATORS[seed % len(ESTIMATORS)]
    nodes = 4 if estimator == Estimator.cge_plain else 8  # it runs the network once for each parameter
    plan = random_graph(rng, random_training(rng, estimator), nodes=nodes, int8=bool(seed % 2))
    device, reference = Runtime(core, plan), Trainer(plan, NumpyNetwork(plan))
    rows = random_rows(rng, plan, plan.batch).tobytes()
    for run in (device, reference):
        run.write(Region.batch, 0, rows)
        run.commit(Region.batch, len(rows), zlib.crc32(rows))
    assert np.array_equal(device.predict(0), reference.predict(0))
    for _ in range(2):
        ours, theirs = device.step(Region.batch), reference.step(Region.batch)
        assert (ours.loss, ours.gradient_norm, ours.evaluations) == (
            theirs.loss,
            theirs.gradient_norm,
            theirs.evaluations,
        )
        if (
            estimator in REUSING
        ):  # a change that a node swallows costs less; cocd's price is that of its mean coordinate
            assert estimator == Estimator.cocd or 0 < ours.macs <= macs_a_step(plan, plan.training.phases[0])
        else:
            assert ours.macs == theirs.macs == theirs.evaluations * plan.batch * plan.graph.macs
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert device.moments.tobytes() == reference.moments.tobytes()
    assert device.evaluate(Region.batch, 0, plan.batch) == reference.evaluate(Region.batch, 0, plan.batch)


@pytest.mark.parametrize("seed", range(20))
def test_fused_arithmetic_stays_within_the_rounding_bound(fused, seed):
    rng = np.random.default_rng(seed)
    plan = random_graph(rng, int8=bool(seed % 2), arithmetic=Arithmetic.fused)
    device = Runtime(fused, plan)
    rows = random_rows(rng, plan, plan.batch)
    device.put(Region.batch, rows.tobytes())
    width = plan.in_features * NUMBER_DTYPE[plan.input_number].itemsize
    raw = np.ascontiguousarray(rows[:, :width]).view(NUMBER_DTYPE[plan.input_number])
    bound = graph_bounded(plan, plan.parameters, read_inputs(plan, raw).T.astype(np.float64))
    outputs = np.array([device.predict(row) for row in range(plan.batch)])
    # one rounding of the inputs' scale and offset less than in the reference
    assert np.all(np.abs(outputs.T - bound.exact) <= 4 * bound.error + 1e-5)


# ---- the door -------------------------------------------------------------------------------------------------------


def damaged(bundle: bytes, at: int, value: int, size: int) -> bytes:
    """The bundle with a number of its body replaced, hash and checksum made again."""
    body = bytearray(bundle)
    body[at : at + size] = value.to_bytes(size, "little")
    header = BundleHeader.unpack(bytes(body))
    content = bytes(body[BundleHeader.SIZE : len(body) - 4 - header.metadata_bytes])
    header = dataclasses.replace(header, hash=hashlib.sha256(content).digest()[:16])
    body[: BundleHeader.SIZE] = header.pack()
    return bytes(body[:-4]) + struct.pack("<I", zlib.crc32(bytes(body[:-4])))


def section_of(plan, bundle):
    """First byte of the graph section, and of its constants."""
    start = BundleHeader.SIZE + ModelInfo.SIZE + TrainingRecord.SIZE + 2 * PhaseRecord.SIZE
    info = GraphInfo.unpack(bundle[start:])
    return start, start + GraphInfo.SIZE + 16 * info.n_nodes + 8 * info.n_arrays + info.attribute_bytes


@pytest.mark.parametrize("seed", range(12))
def test_a_graph_with_a_damaged_number_is_refused_or_runs_inside_its_memory(sanitized, seed):
    rng = np.random.default_rng(seed)
    plan = random_graph(rng, Training((Phase(n_queries=1),)), int8=bool(seed % 2))
    bundle = to_bundle.write(plan)
    start, end = section_of(plan, bundle)
    refused = 0
    for _ in range(150):
        size = int(rng.choice([1, 2, 4]))
        at = int(rng.integers(start, end - size))
        value = int(rng.choice([0, 1, 2, 255, 65535, 2**32 - 1, int(rng.integers(2**32))])) % 256**size
        try:
            device = Runtime(sanitized, plan, work_capacity=2**16, bundle=damaged(bundle, at, value, size))
        except DeviceError:
            refused += 1
            continue
        device.put(Region.batch, random_rows(rng, plan, plan.batch).tobytes())
        device.predict(0)
    assert refused > 60


@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.coordinate_gn])
def test_an_equation_on_a_graph_with_a_damaged_number_is_refused_or_runs_inside_its_memory(sanitized, estimator):
    rng, whole = np.random.default_rng(estimator), residual_wave_plan()
    update = Update.sgd if estimator == Estimator.coordinate_gn else Update.adam
    phase = Phase(estimator, update=update, n_queries=1, perturb_radius=1e-3, ridge=1e-3)
    plan = whole.with_training(dataclasses.replace(whole.training, phases=(phase,)))
    bundle = to_bundle.write(plan)
    start, end = section_of(plan, bundle)
    end += len(pde_section.write(plan.pde))
    refused = 0
    for _ in range(70):
        size = int(rng.choice([1, 2, 4]))
        at = int(rng.integers(start, end - size))
        value = int(rng.choice([0, 1, 2, 255, 65535, 2**32 - 1, int(rng.integers(2**32))])) % 256**size
        try:
            device = Runtime(sanitized, plan, work_capacity=2**17, bundle=damaged(bundle, at, value, size))
            device.step(Region.collocation)
        except DeviceError:
            refused += 1
    assert refused > 25


@pytest.fixture(scope="module")
def sanitized(c_library):
    """With traps where an index, shift or conversion leaves its range; the work buffer is checked by guards of its own."""
    return c_library(*CORE, extra=RUN, flags=("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"))


def test_arrays_that_overlap_while_both_are_wanted_are_refused(core):
    plan = random_graph(np.random.default_rng(3), nodes=10)
    bundle = to_bundle.write(plan)
    start, _ = section_of(plan, bundle)
    arrays = start + GraphInfo.SIZE + 16 * len(plan.graph.nodes)
    node = plan.graph.nodes[0]
    with pytest.raises(DeviceError, match="inconsistent"):  # the first node's output on its own input
        Runtime(core, plan, bundle=damaged(bundle, arrays + 8 * node.output + 4, plan.graph.places[0], 4))


def test_parameters_out_of_order_are_refused(core):
    plan = random_graph(np.random.default_rng(3), nodes=10, frozen=0.0)
    bundle = to_bundle.write(plan)
    start, _ = section_of(plan, bundle)
    index = max(i for i, node in enumerate(plan.graph.nodes) if node.operation.n_parameters)
    with pytest.raises(DeviceError, match="inconsistent"):
        Runtime(core, plan, bundle=damaged(bundle, start + GraphInfo.SIZE + 16 * index + 12, 1, 4))


def test_inputs_of_unknown_tokens_are_refused(core):
    rng = np.random.default_rng(0)
    plan = next(p for p in (random_graph(np.random.default_rng(s)) for s in range(100)) if p.n_tokens)
    device = Runtime(core, plan)
    rows = random_rows(rng, plan, plan.batch)
    rows[0, 0] = 100
    with pytest.raises(DeviceError, match="token"):
        device.put(Region.batch, rows.tobytes())
