# SPDX-License-Identifier: MIT
"""The last block of a frozen int8 network of MLPerf Tiny trains on an emulated board, to the bits of this machine."""

import shutil

import numpy as np
import pytest
from tiny_networks import network

from ttzo.device_runtime.contract import Estimator, Loss, Number, Region, Update
from ttzo.exporter.bundle_folder import write_files
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.plan.freeze import freeze
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import plan_from_module
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device.device import open_device

BOARD = "mps2-an386"
CASES = {  # what is frozen, trained parameters, the loss, bytes of the work buffer
    "ds-cnn": (["conv", "norm", "blocks.0", "blocks.1", "blocks.2"], 576 + 4096 + 780, Loss.cross_entropy, 120_000),
    "640-128-8-128-640": (["layers.0", "layers.1"], 8 * 128 + 128 + 129 * 640, Loss.mse, 700_000),
}


@pytest.mark.parametrize("name", CASES)
def test_its_last_block_trains_with_the_rest_as_int8(tmp_path, name):
    if not shutil.which("qemu-system-arm") or not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("needs QEMU and the Arm cross compiler")
    frozen, trained, loss, most_bytes = CASES[name]
    module = network(name)
    phase = Phase(estimator=Estimator.rge, update=Update.sgd, n_queries=1, learning_rate=1e-3)
    settings = {"loss": loss, "batch": 1, "input_number": Number.float32, "training": Training((phase,))}
    plan = freeze(plan_from_module(module, input_shape=module.SHAPE, **settings), frozen, int8=True)
    plan = to_bundle.read(to_bundle.write(plan))
    assert plan.n_parameters == trained and work_bytes(plan) <= most_bytes
    write_files(plan, tmp_path)
    x = np.random.default_rng(0).normal(0, 1, (1, plan.in_features)).astype("<f4")
    target = np.zeros(1, "<u2") if loss == Loss.cross_entropy else x[0]
    row = np.frombuffer(x.tobytes() + target.tobytes(), np.uint8).reshape(1, -1)
    found = []
    for url in ("native:", f"qemu:{BOARD}"):
        with open_device(url, tmp_path) as device:
            device.write_batch(row)
            device.step(Region.batch)
            found.append(device.parameters())
    assert found[0].tobytes() == found[1].tobytes() != plan.parameters.tobytes()
