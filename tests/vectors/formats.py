# SPDX-License-Identifier: MIT
"""The formats of version 0.2, as files. What they hold is chosen here, so that a test knows it without reading them.

    python tests/vectors/formats.py

writes them into formats/. Within 0.2 they stay as they are (CHANGELOG.md): another layout, code, limit or range is 0.3.
"""

import json
import math
import tempfile
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import HASH, LIMIT, MESSAGE, MESSAGE_HASH, StateRecord
from ttzo.device_runtime.contract.page import PAGE
from ttzo.exporter.export import export
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.device import frames
from ttzo.host_tools.training import checkpoint
from ttzo.host_tools.training.checkpoint import Checkpoint
from ttzo.host_tools.training.metrics import MetricsFile

FOLDER = Path(__file__).with_name("formats")
MODELS = ("digits", "digits-rnn", "burgers", "house")  # a chain, a graph, an equation, a simulation
SESSION = 0x12345678
ORIGIN = "model of a chain, data digits, native:"
STATE = StateRecord(
    step=7,
    phase=0,
    phase_start=0,
    window_count=0,
    window_sum=0.0,
    best_window=math.inf,
    windows_without_progress=0,
    evaluations=4389,
)
STEPS = (
    {"step": 1, "phase": 0, "loss": 2.5, "gradient_norm": 0.75, "evaluations": 627, "seconds": 0.5, "macs": 1000},
    {"step": 2, "phase": 0, "loss": 2.25, "gradient_norm": 0.5, "evaluations": 1254, "seconds": 1.0, "macs": 2000,
     "test_loss": 2.125, "accuracy": 0.25},
)  # fmt: skip


def made(plan: Plan) -> Checkpoint:
    """Parameters 0, 1/8, 2/8, ..; moments 0, -1/16, -2/16, .."""
    return Checkpoint(
        parameters=np.arange(plan.n_parameters, dtype=np.float32) / 8,
        moments=-np.arange(plan.n_moments, dtype=np.float32) / 16,
        state=STATE,
        settings=plan.training,
        model_hash=to_bundle.model_hash(plan),
        data_checksum=0xCAFE0001,
        measured=0.375,
        measured_rows=0xCAFE0002,
        run=0xCAFE0003,
    )


def sent() -> list[tuple[int, str, bytes]]:
    """Sequence, message and payload of frames: an empty one, a HELLO, zeros, and the longest."""
    return [
        (1, "leave", b""),
        (2, "hello", frames.hello(SESSION)),
        (254, "write", bytes(300)),
        (255, "write", bytes(k % 256 for k in range(LIMIT["max_payload"]))),
    ]


def contract() -> dict:
    """What tells two contracts apart."""
    return {
        "version": PAGE["version"],
        "hash": f"{HASH:08x}",
        "messages": {name: f"{number:08x}" for name, number in MESSAGE_HASH.items()},
        "bundle_format": LIMIT["bundle_format"],
        "saved_run_format": LIMIT["saved_run_format"],
        "checkpoint_format": checkpoint.FORMAT,
    }


def write(folder: Path) -> None:
    """Writes all files into an empty folder."""
    folder.mkdir(exist_ok=True)
    facts = {}
    with tempfile.TemporaryDirectory() as place:
        for name in MODELS:
            plan = export(name, Path(place) / name)
            (folder / f"{name}.ttzo").write_bytes(to_bundle.write(plan))
            facts[name] = {"parameters": plan.n_parameters, "hash": to_bundle.model_hash(plan).hex()}
    plan = to_bundle.read((folder / "digits.ttzo").read_bytes())
    checkpoint.save(folder / "checkpoint.npz", made(plan))
    metrics = MetricsFile(folder / "metrics.csv", ORIGIN, plan.training, 0)
    for step in STEPS:
        metrics.write(**step)
    metrics.close()
    lines = [frames.encode(frames.Frame(number, MESSAGE[name], payload)).hex() for number, name, payload in sent()]
    page = {"contract": contract(), "bundles": facts, "frames": lines}
    (folder / "formats.json").write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for old in FOLDER.glob("*"):
        old.unlink()
    write(FOLDER)
    print(f"{len(list(FOLDER.iterdir()))} files in {FOLDER}")
