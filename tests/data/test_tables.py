# SPDX-License-Identifier: MIT
"""Tables as people have them: whatever stands between the cells, around them and over them, the numbers are those that
were written, and what cannot be read is called as an editor calls it."""

import csv
import io

import numpy as np
import pytest

from ttzo.device_runtime.contract import LayerKind, Loss, Number
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.host_tools.data import data_set, read_text
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.data_options import DataOptions

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 17, (40, 64))  # as the digits', whole numbers
CLASS = np.arange(40) % 10


def plan_for(n_in=4, n_out=3, loss=Loss.cross_entropy, number=Number.float32, scale=2.0) -> Plan:
    """Scale 2: numbers of its own, so that nothing is normalised and rows keep their values."""
    layer = Layer("fc", LayerKind.dense, n_in, n_out, 0)
    theta = np.zeros(layer.n_parameters, np.float32)
    return Plan.of_layers((layer,), theta, loss, input_number=number, input_scale=scale)


@pytest.fixture
def table(tmp_path):
    def write(content, name="mine.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def written(rows, delimiter=",", quoting=csv.QUOTE_MINIMAL, heading=None, end="\n"):
    out = io.StringIO()
    made = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    made.writerows([heading] if heading else [])
    made.writerows(rows)
    return out.getvalue()


def together(made, part="x"):
    """All rows of a data set, in an order that does not depend on the split."""
    arrays = [getattr(made, f"{part}_{side}") for side in ("train", "validation", "test")]
    rows = np.concatenate([array for array in arrays if array is not None])
    return rows[np.lexsort(rows.T)] if rows.ndim == 2 else np.sort(rows)


def in_order(rows):
    return rows[np.lexsort(rows.T)]


# ---- the tables of public bug reports, made anew ---------------------------------------------------------------------


def digits_like(n=40):
    return np.column_stack([GREY, CLASS])[:n].tolist()


@pytest.mark.parametrize(
    ("text", "n_rows"),
    [
        (written(digits_like(), quoting=csv.QUOTE_ALL), 40),
        (written(digits_like()[:1], quoting=csv.QUOTE_ALL) + written(digits_like()[1:]), 40),
        (written(digits_like(), heading=[*range(64), "label"]), 40),
        ("\ufeff" + written(digits_like(), heading=[*range(64), "label"], end="\r\n"), 40),
    ],
    ids=[
        "all quoted",
        "first row quoted only",
        "numbers and a word as heading",
        "byte order mark and Windows' line ends",
    ],
)
def test_every_row_of_whole_numbers_is_read(table, text, n_rows):
    made = data_set.load(table(text), plan_for(64, 10, number=Number.uint8, scale=1.0))
    assert np.array_equal(together(made), in_order(GREY[:n_rows]))
    assert np.array_equal(together(made, "y"), np.sort(CLASS[:n_rows]))


def test_a_heading_of_numbers_as_pandas_writes_it_is_no_row(table):
    values = np.round(RNG.normal(0, 1, (20, 3)), 4)
    made = data_set.load(table(written(values.tolist(), heading=[0, 1, 2])), plan_for(2, 1, Loss.mse))
    assert np.array_equal(together(made), in_order(values[:, :2].astype(np.float32)))
    assert any("--heading no" in note for note in made.notes)
    as_row = data_set.load(
        table(written(values.tolist(), heading=[0, 1, 2])), plan_for(2, 1, Loss.mse), DataOptions(heading="no")
    )
    assert len(together(as_row)) == 21


def test_semicolons_and_decimal_commas_are_read_with_their_values(table):
    rows = [[f"{value},5" for value in row] + [kind] for row, kind in zip(GREY, CLASS, strict=True)]
    made = data_set.load(table(written(rows, delimiter=";")), plan_for(64, 10))
    assert np.array_equal(together(made), in_order(GREY + np.float32(0.5)))


# ---- what stands between and around cells ----------------------------------------------------------------------------

VALUES = np.round(RNG.normal(0, 30, (12, 4)), 3)
KIND = np.arange(12) % 3


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("heading", [None, ["t", "x", "y", "z", "kind"]])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiter_decimal_sign_and_encoding_are_found(table, decimal, delimiter, heading, encoding):
    if decimal == delimiter:
        pytest.skip("cells could not be told apart")
    rows = [[repr(float(v)).replace(".", decimal) for v in row] + [k] for row, k in zip(VALUES, KIND, strict=True)]
    made = data_set.load(table(written(rows, delimiter, heading=heading), encoding=encoding), plan_for())
    assert np.array_equal(together(made), in_order(VALUES.astype(np.float32)))


@pytest.mark.parametrize(
    "text",
    [
        "1, 2, 3, 4, 0\n",
        "1,2,3,4,0\r\n",
        "\n1,2,3,4,0\n\n",
        "# made by a logger\n1,2,3,4,0\n",
        "sep=;\n1;2;3;4;0\n",
        "'1','2','3','4','0'\n",
        "1  2 3   4 0\n",
        "+1,2.,3e0,40E-1,0\n",
        '"1","2","3","4","0"\n',
        "a,b,c,d,e\n1,2,3,4,0\n",
        "2019,2020,2021,2022,kind\n1,2,3,4,0\n",
        "f 450.5,f 451.0,f 451.5,f 452.0,kind\n1,2,3,4,0\n",
        '"a, b","c ""d""",e,f,g\n1,2,3,4,0\n',
        ",a,b,c,d,kind\n0,1,2,3,4,0\n",
    ],
)
def test_one_row_is_the_same_however_it_is_written(table, text):
    lines = text.splitlines(keepends=True)
    again = [lines[-1] if lines[-1].strip() else lines[1]] * 4  # five rows of it, so that there is one to test on
    if text.startswith(",a"):
        again = [f"{k},1,2,3,4,0\n" for k in range(1, 5)]
    made = data_set.load(table(text.rstrip("\n") + "\n" + "".join(again)), plan_for())
    assert together(made).tolist() == [[1, 2, 3, 4]] * 5


@pytest.mark.parametrize("values", [RNG.standard_normal(500) * 10.0 ** RNG.integers(-30, 30, 500)])
def test_numbers_are_rounded_to_the_nearest_double(table, values):
    text = "".join(f"{float(value)!r},{float(value)!r}\n" for value in values)
    assert np.array_equal(read_text.read(table(text)).numbers([0, 1]), np.column_stack([values, values]))


def test_a_cell_that_goes_over_two_lines_counts_as_both(table):
    path = table('note,a,b,c,d,kind\n"first\nsecond",1,2,3,4,0\nx,1,2,3,4,0\nx,1,2,oops,4,1\n')
    with pytest.raises(DataError, match=r"line 5, column 4 \(`c`\) holds `oops`"):
        data_set.load(path, plan_for(), DataOptions(ignore="note"))


# ---- which columns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["kind", "1"])
def test_the_target_is_named_by_name_or_number(table, target):
    rows = [[k, *row] for k, row in zip(KIND, VALUES, strict=True)]
    path = table(written(rows, heading=["kind", "a", "b", "c", "d"]))
    made = data_set.load(path, plan_for(), DataOptions(target=target))
    assert np.array_equal(together(made), in_order(VALUES.astype(np.float32)))
    assert np.array_equal(together(made, "y"), np.sort(KIND))


def test_columns_are_left_out_by_name_and_the_rows_numbers_of_pandas_by_themselves(table):
    rows = [[n, *row, f"note {n}", k] for n, (row, k) in enumerate(zip(VALUES, KIND, strict=True))]
    path = table(written(rows, heading=["", "a", "b", "c", "d", "note", "kind"]))
    made = data_set.load(path, plan_for(), DataOptions(ignore="note,1"))
    assert np.array_equal(together(made), in_order(VALUES.astype(np.float32)))
    path = table(written([row[:5] + row[6:] for row in rows], heading=["", "a", "b", "c", "d", "kind"]))
    assert any("numbers the rows" in note for note in data_set.load(path, plan_for()).notes)


def test_several_targets_of_a_regression_are_named(table):
    path = table(written(VALUES.tolist(), heading=["a", "b", "c", "d"]))
    made = data_set.load(path, plan_for(2, 2, Loss.mse), DataOptions(target="d,a"))
    assert np.array_equal(together(made, "y"), in_order(VALUES[:, [3, 0]].astype(np.float32)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "nothing"}, "has no column `nothing`"),
        ({"target": "9"}, "has no column `9`"),
        ({"target": "x"}, "2 columns called `x`"),
        ({"ignore": "y"}, "has 3 numbers a row, the model needs 4"),
        ({"target": "y,z"}, "2 target columns are named"),
    ],
)
def test_a_column_that_is_not_there_is_named(table, options, sentence):
    path = table(written([[*row, k] for row, k in zip(VALUES, KIND, strict=True)], heading=["x", "y", "x", "z", "k"]))
    with pytest.raises(DataError, match=sentence) as caught:
        data_set.load(path, plan_for(), DataOptions(**options))
    assert caught.value.hint


def test_a_table_of_another_width_tells_its_columns_and_how_to_leave_one_out(table):
    path = table(written([[n, *row, k] for n, (row, k) in enumerate(zip(VALUES, KIND, strict=True))], heading="iabcdk"))
    with pytest.raises(DataError, match="has 5 numbers a row, the model needs 4") as caught:
        data_set.load(path, plan_for())
    assert "i, a, b, c, d" in caught.value.hint and "--ignore" in caught.value.hint


# ---- classes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["walk", "run", "sit"], ("run", "sit", "walk")),
        (["None", "NA", "null"], ("NA", "None", "null")),  # words that pandas takes for missing numbers
        (["1", "2", "3"], ("1", "2", "3")),
        (["-1", "1", "10"], ("-1", "1", "10")),
        (["Läuft", "geht", "sitzt"], ("Läuft", "geht", "sitzt")),
        (["0", "1", "2"], None),
        (["0.0", "1.0", "2.0"], None),
    ],
)
def test_classes_keep_their_names_and_are_numbered_in_order(table, words, names):
    rows = [[*row, words[k]] for row, k in zip(VALUES, KIND, strict=True)]
    made = data_set.load(table(written(rows)), plan_for())
    assert made.labels == names
    order = names or words
    wanted = np.sort([order.index(words[k]) for k in KIND])
    assert np.array_equal(together(made, "y"), wanted)


def test_more_classes_than_outputs_are_named(table):
    rows = [[*row, f"kind {n % 5}"] for n, row in enumerate(VALUES)]
    with pytest.raises(DataError, match="5 classes .kind 0, kind 1.*model has 3 outputs"):
        data_set.load(table(written(rows)), plan_for())


def test_a_class_beyond_the_models_has_its_line(table):
    rows = [[*row, n % 4] for n, row in enumerate(VALUES)]
    with pytest.raises(DataError, match="line 5 has the class 3, the model knows 0 to 2"):
        data_set.load(table(written(rows, heading="abcdk")), plan_for())


# ---- missing numbers -------------------------------------------------------------------------------------------------


def with_holes(word):
    rows = [[*map(float, row), int(k)] for row, k in zip(VALUES, KIND, strict=True)]
    rows[2][1] = rows[7][1] = word
    return rows


@pytest.mark.parametrize("word", ["", "NA", "nan", "NaN", "?", "null", "N/A", "-", "None"])
def test_missing_numbers_are_counted_and_the_first_one_has_its_place(table, word):
    path = table(written(with_holes(word), heading=["t", "temp", "y", "z", "kind"]))
    with pytest.raises(DataError, match=r"2 numbers are missing.*line 4, column 2 \(`temp`\)") as caught:
        data_set.load(path, plan_for())
    assert "--missing drop" in caught.value.hint and "--missing mean" in caught.value.hint


def test_rows_with_missing_numbers_are_dropped_when_asked_and_said(table):
    made = data_set.load(table(written(with_holes(""))), plan_for(), DataOptions(missing="drop"))
    kept = np.delete(VALUES, [2, 7], 0)
    assert np.array_equal(together(made), in_order(kept.astype(np.float32)))
    assert any("2 of 12 rows were left out" in note for note in made.notes)


def test_missing_numbers_become_the_mean_of_the_training_rows(table):
    made = data_set.load(table(written(with_holes(""))), plan_for(), DataOptions(missing="mean"))
    fill = made.preparation.fill
    whole = np.delete(VALUES, [2, 7], 0)
    in_training = np.isin(whole[:, 0].astype(np.float32), made.x_train[:, 0])
    np.testing.assert_allclose(fill[1], whole[in_training, 1].mean(), rtol=1e-12)  # a sum in another order
    wanted = VALUES.copy()
    wanted[[2, 7], 1] = fill[1]
    assert np.array_equal(together(made), in_order(wanted.astype(np.float32)))


def test_a_missing_target_can_only_be_dropped(table):
    rows = with_holes(1.0)
    rows[4][4] = ""
    path = table(written(rows))
    with pytest.raises(DataError, match="line 5, the target"):
        data_set.load(path, plan_for())
    assert len(together(data_set.load(path, plan_for(), DataOptions(missing="mean")))) == 11


# ---- what is no table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,c,d,e\n", "heading and no rows"),
        ("1,2,3,4,0\n1,2,3\n1,2,3,4,0\n", "line 2 has 3 columns, line 1 has 5 .*a comma"),
        ("1;2;3;4;0\n\n1;2;3;4;5;0\n1;2;3;4;0\n", "line 3 has 6 columns, line 1 has 5 .*a semicolon"),
        ("1,x,3,4,0\n1,2,3,4,0\n", "line 1, column 2 holds `x`"),
        ("1,2,3,4,0\n1,2,inf,4,0\n", r"infinity in line 2, column 3"),
        ("5\n6\n", "leaves none for the inputs"),
        ("1,2,3,4,0\n", "there is no row to test on"),
        ('1,2,"3,4,0\n1,2,3,4,0\n', "quote that opens in line 1 is never closed"),
        (b"PK\x03\x04\0\0\0", "is not a text file"),
    ],
)
def test_what_is_no_table_gets_a_sentence_and_a_next_step(table, text, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        data_set.load(table(text), plan_for())
    assert caught.value.hint


def test_no_byte_that_changes_brings_another_error(table):
    content = written([[*row, k] for row, k in zip(VALUES[:5], KIND, strict=False)], heading="abcdk").encode()
    rng = np.random.default_rng(1)
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]
        try:
            data_set.load(table(damaged), plan_for())
        except DataError as error:
            assert error.hint


# ---- files of typed columns ------------------------------------------------------------------------------------------


def test_parquet_holds_the_same_rows_and_a_damaged_one_is_named(table, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(VALUES, columns=list("abcd"))
    frame["kind"] = [["run", "sit", "walk"][k] for k in KIND]
    path = tmp_path / "mine.parquet"
    frame.to_parquet(path)
    made = data_set.load(path, plan_for(), DataOptions(target="kind"))
    assert np.array_equal(together(made), in_order(VALUES.astype(np.float32))) and made.labels == ("run", "sit", "walk")
    with pytest.raises(DataError, match="not a readable .parquet"):
        data_set.load(table(path.read_bytes()[:-40], "mine.parquet"), plan_for())


@pytest.mark.parametrize("structured", [False, True])
def test_npy_holds_a_table(tmp_path, structured):
    array = np.column_stack([VALUES, KIND])
    if structured:
        array = np.array([tuple(row) for row in array], [(name, "f8") for name in "abcdk"])
    np.save(tmp_path / "mine.npy", array)
    made = data_set.load(tmp_path / "mine.npy", plan_for(), DataOptions(target="k" if structured else "5"))
    assert np.array_equal(together(made), in_order(VALUES.astype(np.float32)))
    (tmp_path / "mine.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a readable .npy"):
        data_set.load(tmp_path / "mine.npy", plan_for())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a;b\n3.184,8;1\n204,9;2\n18,1;3\n", "without separators of thousands: `3184,8`"),
        ("a;b\n3,184.8;1\n204.9;2\n18.1;3\n", "without separators of thousands: `3184.8`"),
        ("a;b\n1'234'567;1\n204;2\n18;3\n", "without separators of thousands: `1234567`"),
        ("a,b\nm/s,K\n3184.8,1\n204.9,2\n18.1,3\n", "keep one line of headings at the top, and none of units"),
    ],
)
def test_thousands_and_a_second_heading_are_told_apart_from_other_words(table, text, hint):
    with pytest.raises(DataError) as caught:
        read_text.read(table(text)).numbers([0, 1])
    assert hint in caught.value.hint


def test_a_quote_after_a_tab_that_joins_lines_is_refused_with_both_numbers_of_rows(tmp_path):
    (path := tmp_path / "rows.csv").write_text('a,b\n1,2\n3,\t"4\n5,6\n7,8"\n9,1\n')
    with pytest.raises(DataError, match="3 lines hold rows, of which quotes make 5") as caught:
        read_text.read(path).numbers([0, 1])
    assert "quotes" in caught.value.hint
