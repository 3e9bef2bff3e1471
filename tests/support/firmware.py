# SPDX-License-Identifier: MIT
"""Bundle folders for firmware tests, and marks for what this machine may lack."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from ttzo.device_runtime.contract import (
    Activation,
    Arithmetic,
    Cache,
    Difference,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    Update,
)
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle, to_c

needs_compiler = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"),
    reason="arm-none-eabi-gcc is not installed (gcc-arm-none-eabi libnewlib-arm-none-eabi)",
)
needs_qemu = pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed")


# The boards that every test of firmware is run on; the others have tests of their own.
MAIN_BOARDS = ("mps2-an386", "netduinoplus2")


def plan_for_firmware(
    arithmetic: Arithmetic = Arithmetic.separate, seed: int = 5, estimator: Estimator = Estimator.rge
) -> Plan:
    """A small classifier with every kind of layer, trained with Gaussian directions: all of the core takes part."""
    first = Layer("first", LayerKind.tt_matrix, 64, 32, 0, True, Activation.tanh, (4, 4, 4), (4, 4, 2), (1, 3, 3, 1))
    second = Layer(
        "second",
        LayerKind.tt_tensor,
        32,
        16,
        first.n_parameters,
        True,
        Activation.sine,
        (8, 4),
        (4, 4),
        (1, 3, 4, 3, 1),
    )
    third = Layer("third", LayerKind.dense, 16, 10, second.parameter_offset + second.n_parameters)
    theta = np.random.default_rng(seed).normal(0, 0.4, third.parameter_offset + third.n_parameters).astype(np.float32)
    phase = Phase(estimator, Direction.gaussian, difference=Difference.antithetic, update=Update.adam, n_queries=4)
    plan = Plan.of_layers(
        (first, second, third), theta, Loss.cross_entropy, Training((phase,), seed=11), batch=8, input_scale=1 / 64
    )
    return dataclasses.replace(plan, arithmetic=arithmetic)


def small_plan(arithmetic: Arithmetic = Arithmetic.separate) -> Plan:
    """A classifier for the smallest boards, in caches of 16 bits."""
    first = Layer("first", LayerKind.tt_matrix, 64, 32, 0, True, Activation.relu, (8, 8), (8, 4), (1, 2, 1))
    second = Layer("second", LayerKind.dense, 32, 10, first.n_parameters)
    n = second.parameter_offset + second.n_parameters
    theta = np.random.default_rng(5).normal(0, 0.3, n).astype(np.float32)
    training = Training((Phase(Estimator.node_cge, update=Update.momentum),), seed=11)
    plan = Plan.of_layers((first, second), theta, Loss.cross_entropy, training, batch=4, input_scale=1 / 64)
    return dataclasses.replace(plan, arithmetic=arithmetic, cache=Cache.int16)


def write_bundle(folder: Path, plan: Plan) -> Path:
    """The files of a bundle folder that a build reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.ttzo").write_bytes(to_bundle.write(plan))
    for name, text in to_c.c_files(plan).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
