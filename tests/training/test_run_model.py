# SPDX-License-Identifier: MIT
"""Trained parameters leave a run: in every format, frozen, and as the start of another run."""

import dataclasses
import json
import re
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import STEPS, small_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import Estimator, ExitCode, Update
from ttzo.exporter.plan.freeze import freeze
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.training import checkpoint, run_model

URLS = ("numpy:", "native:", "onnx:")


def ttzo(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the small plan on numpy:, and the words that name its data and device."""
    folder = write_bundle(tmp_path_factory.mktemp("run") / "bundle", small_plan())
    words = ("--data", folder / "rows.npz", "--device", "numpy:")
    return Path(ttzo("train", folder, *words)["run"]), words


def test_a_run_is_exported_with_its_trained_parameters_in_every_format(run, tmp_path):
    folder, _ = run
    out = tmp_path / "out"
    ttzo("export", folder, "-o", out)
    trained = checkpoint.load(folder / "checkpoint.npz", read_bundle(folder.parent.parent))
    plan = read_bundle(out)
    assert plan.parameters.tobytes() == trained.parameters.tobytes() != small_plan().parameters.tobytes()
    assert plan.metadata["trained"] == {"run": str(folder), "step": STEPS}
    held = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(out / "model.onnx").graph.initializer}
    for tensor in plan.tensors:
        assert np.array_equal(held[tensor.name].ravel(), plan.parameters[tensor.offset : tensor.offset + tensor.size])
    for name in ("model.tflite", "model.ttzo"):
        assert plan.parameters[:48].tobytes() in (out / name).read_bytes()
    body = (out / "model.c").read_text().partition("ttzo_model_parameters[TTZO_MODEL_N_PARAMETERS] = {")[2]
    assert np.array_equal(np.float32(re.findall(r"(\S+)f,", body.partition("};")[0])), plan.parameters)


def test_all_of_a_trained_model_as_int8_answers_and_is_not_trained(run, tmp_path):
    folder, words = run
    out = tmp_path / "out"
    assert ttzo("export", folder, "-o", out, "--frozen", "int8")["parameters"] == 0
    plan = read_bundle(out)
    assert plan.n_parameters == 0 and all(node.int8 for node in plan.graph.nodes)
    assert plan.constants in (out / "model.ttzo").read_bytes() and (out / "model.tflite").is_file()
    weights = np.abs(run_model.trained(folder).parameters[:48].reshape(8, 6)).max(1)
    kinds = {i.name: i.data_type for i in onnx.load(out / "model.onnx").graph.initializer}
    assert sum(kind == onnx.TensorProto.INT8 for kind in kinds.values()) == 2 and weights.min() > 0
    found = [ttzo("eval", out, *words[:2], "--rows", "all", "--device", url)["test"]["loss"] for url in URLS]
    whole = ttzo("eval", folder.parent.parent, *words, "--rows", "all")["test"]["loss"]
    assert found[0] == found[1] and abs(found[0] - found[2]) < 1e-5 and abs(found[0] - whole) < 0.02 * whole
    for verb in (("train",), ("compare", "--against", "numpy:")):
        refused = ttzo(verb[0], out, *words, *verb[1:], code=ExitCode.input)
        assert "every parameter of this model is frozen" in refused["error"]


def test_a_part_is_frozen_after_training_and_the_rest_goes_on(run, tmp_path):
    folder, words = run
    name = small_plan().layers[0].name
    out = tmp_path / "out"
    ttzo("export", folder, "-o", out, "--freeze", name, "--estimator", "cge", "--update", "momentum")
    plan, trained = read_bundle(out), run_model.trained(folder)
    assert plan.constants == trained.parameters[: 6 * 8 + 8].tobytes()
    assert np.array_equal(plan.parameters, trained.parameters[6 * 8 + 8 :])
    assert plan.training.phases[0].estimator == Estimator.cge and plan.metadata["overrides"]["freeze"] == [name]
    again = ttzo("train", out, *words, "--from", folder)
    assert again["step"] == plan.training.steps


def test_what_would_be_another_model_is_refused(run, tmp_path):
    folder, words = run
    for options in (("--ranks", "3"), ("--loss", "mse"), ("--scale", "2"), ("--target", "y")):
        refused = ttzo("export", folder, "-o", tmp_path / "out", *options, code=ExitCode.input)
        assert "trained model" in refused["error"] or "already trained" in refused["error"]
    assert not (tmp_path / "out").exists()
    refused = ttzo("export", "digits", "-o", tmp_path / "out", "--generation", "best", code=ExitCode.input)
    assert "is no run" in refused["error"]


def test_a_run_keeps_its_model_when_the_bundle_is_exported_anew(run, tmp_path):
    folder, words = run
    bundle = write_bundle(tmp_path / "bundle", small_plan())
    kept = Path(ttzo("train", bundle, *words)["run"])
    write_bundle(bundle, small_plan(learning_rate=0.01))
    plan = run_model.trained(kept)
    assert plan.training.phases[0].learning_rate == np.float32(0.05)
    (kept / "model.ttzo").unlink()  # as an earlier version left it: the bundle above has another hash
    with pytest.raises(checkpoint.CheckpointError, match="another model"):
        run_model.trained(kept)
    write_bundle(bundle, small_plan())
    assert np.array_equal(
        run_model.trained(kept / "best.npz").parameters, run_model.trained(kept, run_model.Generation.best).parameters
    )


# ---- a start for another run ----------------------------------------------------------------------------------------


def test_another_estimator_and_seed_start_from_the_run_and_leave_its_folder(run, tmp_path):
    folder, words = run
    phase = Phase(estimator=Estimator.cge, update=Update.momentum, learning_rate=1e-9)
    other = small_plan(seed=8).with_training(Training((phase,), steps=STEPS))
    bundle = write_bundle(tmp_path / "bundle", other)
    before = {path.name: zlib.crc32(path.read_bytes()) for path in folder.iterdir()}
    made = Path(ttzo("train", bundle, *words, "--from", folder)["run"])
    assert made.name == "numpy-adapted"
    found, start = run_model.trained(made).parameters, run_model.trained(folder).parameters
    assert np.abs(found - start).max() < 1e-6 < np.abs(found - other.parameters).max()
    assert {path.name: zlib.crc32(path.read_bytes()) for path in folder.iterdir()} == before


def test_a_frozen_part_of_a_run_is_a_start_for_a_model_that_trains_it(run):
    folder, _ = run
    plan = small_plan(seed=9)
    start = run_model.start_for(plan, folder)
    assert np.array_equal(start.parameters, run_model.trained(folder).parameters)
    said = []
    part = freeze(plan, [plan.layers[0].name])
    assert np.array_equal(run_model.start_for(part, folder, said.append).parameters, start.parameters[56:])
    assert len(said) == 1 and "is frozen here and has other values" in said[0]


def test_the_first_tensor_that_the_run_has_not_is_named(run):
    folder, _ = run
    plan = small_plan()
    renamed = plan.with_layers([dataclasses.replace(each, name=f"other.{each.name}") for each in plan.layers])
    with pytest.raises(
        checkpoint.CheckpointError, match=rf"{renamed.tensors[0].name} of shape \[8, 6\].* has no such"
    ) as caught:
        run_model.start_for(renamed, folder)
    assert "same names" in caught.value.hint
    wide = small_plan().layers[0]
    wide = dataclasses.replace(wide, out_features=4)
    smaller = plan.with_layers([wide], parameters=np.zeros(28, np.float32), loss=plan.loss)
    with pytest.raises(checkpoint.CheckpointError, match=r"has one of shape \[8, 6\]"):
        run_model.start_for(smaller, folder)


def test_an_exported_run_is_the_same_bundle_twice(run, tmp_path):
    folder, _ = run
    for name in ("a", "b"):
        ttzo("export", folder, "-o", tmp_path / name)
    assert to_bundle.model_hash(read_bundle(tmp_path / "a")) == to_bundle.model_hash(read_bundle(tmp_path / "b"))
