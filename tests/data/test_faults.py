# SPDX-License-Identifier: MIT
"""All that is wrong with a person's rows comes in one error, and what was filled is said."""

import numpy as np
import onnx
import pytest
import torch

from ttzo.device_runtime.contract import LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.readers.errors import OnnxError
from ttzo.exporter.readers.from_onnx import plan_from_file
from ttzo.exporter.readers.torch_trace import input_shape
from ttzo.host_tools.cli.data import row_shape
from ttzo.host_tools.data import data_set
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions


def plan_for(n_in: int, n_out: int, loss: Loss, metadata: dict | None = None) -> Plan:
    layer = Layer("fc", LayerKind.dense, n_in, n_out, 0)
    theta = np.zeros(layer.n_parameters, np.float32)
    return Plan.of_layers((layer,), theta, loss, input_number=Number.float32, metadata=metadata or {})


@pytest.fixture
def table(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.csv"
        path.write_text(text)
        return path

    return write


ROWS = "".join(f"{k},{k + 0.5},{3 * k},{k % 2}\n" for k in range(30))


def test_words_infinity_and_missing_numbers_of_all_columns_come_together(table):
    path = table("t,hum,wind,kind\n1,,warm,0\n2,3,inf,1\nx,,4,0\ny,1,4,\n" + ROWS)
    with pytest.raises(DataError) as caught:
        data_set.load(path, plan_for(3, 2, Loss.cross_entropy))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path} cannot be used as it is:")
    assert lines[1:] == [
        "  line 4, column 1 (`t`) holds `x`, which is not a number (and 1 more cells of this column hold words)",
        "  line 2, column 3 (`wind`) holds `warm`, which is not a number",
        "  it holds infinity in line 3, column 3 (`wind`)",
        "  3 numbers are missing (empty or NaN), first in line 2, column 2 (`hum`) (2 in column 2 (`hum`), 1 in the target)",
    ]
    assert "--ignore t,wind" in caught.value.hint and "--missing drop" in caught.value.hint


def test_a_single_fault_is_one_sentence(table):
    with pytest.raises(DataError, match=r"mine.csv: line 2, column 3 \(`c`\) holds `warm`, which is not a number$"):
        data_set.load(table("a,b,c,kind\n1,2,warm,0\n" + ROWS), plan_for(3, 2, Loss.cross_entropy))


def test_words_in_a_target_of_numbers_are_named_beside_those_of_the_inputs(table):
    with pytest.raises(DataError, match="`low`(.|\n)*`much`"):
        data_set.load(table("a,b,c,y\n1,low,3,0\n2,2,2,much\n" + ROWS), plan_for(3, 1, Loss.mse))


def test_lines_of_another_width_and_columns_that_are_not_there_are_all_named(table):
    with pytest.raises(DataError, match=r"line 31 has 3 columns.* 2 more lines differ: 32, 34"):
        data_set.load(table(ROWS + "1,2,3\n1,2\n1,2,3,0\n1\n"), plan_for(3, 2, Loss.cross_entropy))
    with pytest.raises(DataError, match="has no column `p`, `9`"):
        data_set.load(table("a,b,c,k\n" + ROWS), plan_for(3, 2, Loss.cross_entropy), DataOptions(ignore="p,a,9"))


@pytest.mark.parametrize("heading", ["a,b,c,k,\n", ""])
def test_an_empty_column_at_the_end_of_all_lines_is_left_out_and_said(table, heading):
    text = heading + ROWS.replace("\n", ",\n")
    made = data_set.load(table(text), plan_for(3, 2, Loss.cross_entropy))
    assert len(made.x_train) + made.n_validation + len(made.x_test) == 30
    assert any("the last column is empty" in note for note in made.notes)
    with pytest.raises(DataError, match="a number is missing.*the target"):
        data_set.load(table(ROWS + "7,7,7,\n"), plan_for(3, 2, Loss.cross_entropy))


def test_what_the_mean_has_filled_is_counted_by_column(table):
    path = table("t,hum,wind,kind\n1,,4,0\n2,3,,1\n5,,4,0\n" + ROWS)
    made = data_set.load(path, plan_for(3, 2, Loss.cross_entropy), DataOptions(missing="mean"))
    note = next(note for note in made.notes if "were missing" in note)
    assert "3 of 99 numbers" in note and "(2 in column 2 (`hum`), 1 in column 3 (`wind`))" in note


# ---- shapes of arrays ------------------------------------------------------------------------------------------------


@pytest.fixture
def arrays(tmp_path):
    def write(*shape: int):
        x = np.random.default_rng(0).normal(size=(20, *shape))
        np.savez(tmp_path / "mine.npz", x_train=x, y_train=np.arange(20) % 2)
        return tmp_path / "mine.npz"

    return write


@pytest.mark.parametrize("shape", [(2, 6), (1, 2, 6), (2, 1, 6), (12,)])
def test_rows_of_the_models_shape_are_taken_axes_of_one_number_aside(arrays, shape):
    plan = plan_for(12, 2, Loss.cross_entropy, {"input_shape": [2, 6]})
    assert data_set.load(arrays(*shape), plan).x_train.shape[1] == 12


@pytest.mark.parametrize(("shape", "hint"), [((6, 2), "swap the axes"), ((3, 4), "reshape"), ((2, 3, 2), "reshape")])
def test_rows_of_another_shape_are_refused_with_both_shapes(arrays, shape, hint):
    plan = plan_for(12, 2, Loss.cross_entropy, {"input_shape": [2, 6]})
    text = " x ".join(map(str, shape))
    with pytest.raises(DataError, match=f"a row has the shape {text}, the model's rows have 2 x 6") as caught:
        data_set.load(arrays(*shape), plan)
    assert hint in caught.value.hint and f"--input-shape {','.join(map(str, shape))}" in caught.value.hint


def test_an_export_takes_the_shape_of_a_row_from_the_data_where_the_model_says_none(arrays):
    rows = row_shape(str(arrays(2, 6)), DataOptions())
    assert rows == (2, 6) and row_shape(str(arrays(2, 6)), DataOptions(window=3)) is None
    conv = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    assert input_shape(conv, rows) == (2, 6)
    assert input_shape(torch.nn.Linear(12, 2), rows) == (12,)  # the same numbers, as the model says
    assert input_shape(torch.nn.Linear(6, 2), rows) == (2, 6)  # a layer for each place of a sequence


def test_an_open_onnx_file_takes_it_too(arrays, tmp_path):
    weight = onnx.numpy_helper.from_array(np.ones((12, 2), np.float32), "w")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Flatten", ["x"], ["f"]), onnx.helper.make_node("MatMul", ["f", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2, "t"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])],
        [weight],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    settings = {"loss": Loss.cross_entropy, "input_number": Number.float32}
    assert plan_from_file(path, row_shape=(2, 6), **settings).metadata["input_shape"] == [2, 6]
    with pytest.raises(OnnxError, match=r"a row of x is \[2, None\]"):
        plan_from_file(path, row_shape=(6, 2), **settings)
