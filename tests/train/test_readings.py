# SPDX-License-Identifier: MIT
"""A sensor's readings as they are give the same answers in a program of one's own, in ONNX, in TFLite and by `predict`:
the model carries the normalisation of its training table."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from ttzo.device_runtime import FOLDER as RUNTIME
from ttzo.device_runtime.contract import Number
from ttzo.exporter.plan.normalisation import InputNormalisation
from ttzo.exporter.plan.parts import parts_of
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import read_bundle
from ttzo.host_tools.firmware.build import sources_of

NET = """\
import torch


def make():
    nn = torch.nn
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))


def windows():
    nn = torch.nn
    return nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 2))
"""
KINDS = {
    "float32": [],
    "int16": ["--input", "int16", "--normalise", "standard"],
    "windows": ["--window", "4", "--hop", "4"],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Pressure in pascals that swings by one, a count of thousands, a hundredth; whole numbers, so that float32 holds them."""
    folder = tmp_path_factory.mktemp("readings")
    rng = np.random.default_rng(4)
    x = np.stack([101_325 + rng.integers(-3, 4, 400), rng.integers(0, 5000, 400), rng.integers(-2, 3, 400)], 1)
    y = (x[:, 0] > 101_325).astype(int)
    lines = [",".join(map(str, [*row, k])) for row, k in zip(x, y, strict=True)]
    (folder / "table.csv").write_text("\n".join(["pascals,count,step,above", *lines]) + "\n")
    (folder / "net.py").write_text(NET)
    return folder


def exported(table: Path, kind: str) -> tuple[Path, np.ndarray, np.ndarray]:
    """The bundle's folder, readings of some rows or windows float32, and the same rows as the host packs them."""
    out, model = table / kind, "windows" if kind == "windows" else "make"
    words = ["export", f"{table / 'net.py'}:{model}", "-o", str(out), "--data", str(table / "table.csv"), "--json"]
    done = CliRunner().invoke(main, [*words, *KINDS[kind]])
    assert done.exit_code == 0, done.stdout
    plan = read_bundle(out)
    rows = data_set.load(table / "table.csv", plan)
    undo = data_set.preparation_of(plan).normalisation
    x = rows.x_test[:20]
    numbers = x * plan.input_scale + plan.input_offset
    window = plan.in_features // 3
    readings = undo.windowed(window).undo(numbers.astype(float))
    return out, np.rint(readings).astype(np.float32), x


@pytest.fixture(scope="module", params=KINDS)
def said(request, table):
    out, readings, x = exported(table, request.param)
    lines = ",\n".join("{" + ", ".join(f"{float(value)!r}f" for value in row) + "}" for row in readings)
    text = f"#define N_ROWS {len(readings)}u\nstatic const float readings[][{readings.shape[1]}] = {{ {lines} }};\n"
    (out / "rows.h").write_text(text)
    plan = read_bundle(out)
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-DTTZO_PARTS={sum(parts_of(plan)):#x}u"]
    files = [*sources_of(parts_of(plan)), out / "model.c", Path(__file__).parent / "own_readings.c"]
    command = ["cc", *flags, f"-I{RUNTIME}", f"-I{out}", *map(str, files), "-o", str(out / "program")]
    subprocess.run(command, check=True)
    ran = subprocess.run([out / "program"], check=True, capture_output=True, text=True)
    return out, readings, x, [line.split() for line in ran.stdout.splitlines()]


def test_a_program_packs_readings_as_the_host_packs_the_table(said):
    out, _, x, lines = said
    plan = read_bundle(out)
    for row, packed, of_integers in zip(x, *([line[k] for line in lines] for k in (0, 1)), strict=True):
        assert packed == of_integers
        found = np.frombuffer(bytes.fromhex(packed), x.dtype)
        if plan.input_number == Number.int16:
            assert np.abs(found.astype(int) - row).max() <= 1  # a tie may be rounded the other way
        else:
            assert found == pytest.approx(row, rel=2e-6, abs=2e-6)


def test_onnx_and_tflite_take_readings_too(said):
    out, readings, _, lines = said
    expected = np.array([line[2:] for line in lines], float)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    (name,) = (each.name for each in session.get_inputs())
    assert name == "readings"
    tolerance = 1e-3 if read_bundle(out).input_number == Number.int16 else 1e-5  # int16: steps of 1/4096
    assert session.run(None, {"readings": readings})[0] == pytest.approx(expected, abs=tolerance)
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(out / "model.tflite"))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], list(readings.shape))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], readings)
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert outputs == pytest.approx(expected, abs=tolerance)


def test_predict_answers_the_same_readings_alike(table):
    out, readings, _ = exported(table, "float32")
    lines = [",".join(f"{value:.0f}" for value in row) for row in readings]
    (table / "new.csv").write_text("\n".join(["pascals,count,step", *lines]) + "\n")
    words = ["predict", str(out), "--device", "numpy:", "--data", str(table / "new.csv"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    scores = session.run(None, {"readings": readings})[0].astype(float)
    share = np.exp(scores - scores.max(1, keepdims=True))
    told = json.loads(done.stdout)["answers"]
    assert [line[1] for line in told] == [str(k) for k in scores.argmax(1)]
    assert [line[2] for line in told] == pytest.approx(share.max(1) / share.sum(1), abs=1e-5)


def test_a_run_that_fitted_its_own_normalisation_exports_it(table):
    """The bundle knew no table when it was exported; the run did."""
    words = ["export", f"{table / 'net.py'}:make", "-o", str(table / "plain"), "--json"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert read_bundle(table / "plain").normalisation is None
    words = ["train", str(table / "plain"), "--device", "numpy:", "--data", str(table / "table.csv"), "--steps", "3"]
    assert CliRunner().invoke(main, words).exit_code == 0
    words = ["export", str(table / "plain" / "runs" / "numpy"), "-o", str(table / "trained"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    found = read_bundle(table / "trained").normalisation
    assert found.centre[0] == pytest.approx(101_325, abs=1) and len(found.centre) == 3


def test_the_centre_keeps_digits_that_float32_has_not():
    made = InputNormalisation.of(np.array([101_325.123456]), np.array([0.5]))
    assert float(made.centre[0]) + float(made.rest[0]) == pytest.approx(101_325.123456, abs=1e-9)
    reading = np.float32(101_326)
    found = ((reading - made.centre) - made.rest) * made.factor
    assert found[0] == pytest.approx((101_326 - 101_325.123456) / 0.5, rel=1e-6)


def test_a_section_with_columns_that_do_not_fit_is_refused(table):
    out, _, _ = exported(table, "float32")
    plan = read_bundle(out)
    assert (
        to_bundle.read(to_bundle.write(plan)).normalisation.numbers().tobytes()
        == plan.normalisation.numbers().tobytes()
    )
    wrong = InputNormalisation(*(np.ones(2, np.float32),) * 3)
    assert "2 columns, but a row has 3 numbers" in wrong.inconsistency(3)
    assert wrong.inconsistency(12) == ""
