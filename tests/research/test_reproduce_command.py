# SPDX-License-Identifier: MIT
"""`ttzo reproduce`: tables that are run, and those that are read from stored cells."""

import csv
import json
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from mnist_rows import rows

from ttzo.host_tools.cli import reproduce as reproduce_command
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.research.reproduce import cell as cells
from ttzo.host_tools.research.reproduce import gpu, mnist_cells, speed, stored, tables
from ttzo.host_tools.research.reproduce.cell import Measurement, Result, Store
from ttzo.host_tools.research.reproduce.tables import Outcome


@pytest.fixture
def mnist_folder(tmp_path):
    """Four IDX files of 640 and 64 rows."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, n in (("train", 640), ("t10k", 64)):
        made = rows(n)
        images = (made.x_train * 255).round().byte().numpy().tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, n, 28, 28) + images)
        labels = made.y_train.byte().numpy().tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, n) + labels)
    return folder


def reproduce(*words, code=0):
    threads = torch.get_num_threads()
    done = CliRunner().invoke(main, ["reproduce", *map(str, words), "--json"])
    torch.set_num_threads(threads)
    assert done.exit_code == code, done.stderr
    return json.loads(done.stdout)


def test_the_command_writes_a_table_and_does_not_run_it_twice(mnist_folder, tmp_path):
    words = (
        "table1",
        "--data",
        mnist_folder,
        "--out",
        tmp_path / "out",
        "--only",
        "mlp-10, first",
        "--seeds",
        2,
        "--no-gpu",
    )
    answer = reproduce(*words)
    assert [each["share_done"] for each in answer["cells"]] == [1.0]
    assert answer["cells"][0]["evaluations"] == 3 * 10 and answer["cells"][0]["device"] == "cpu"
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert lines[0]["network"] == "mlp-10" and float(lines[0]["paper"]) == 93.69 and lines[0]["seeds"] == "2"
    assert "(93.69)" in (tmp_path / "out" / "table1.quick.md").read_text(encoding="utf-8")
    again = reproduce(*words)
    assert again["cells"] == answer["cells"]


def test_a_table_tells_all_that_its_folder_has(mnist_folder, tmp_path):
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out"
    reproduce(*words, "--only", "mlp-10, first", "--seeds", 2)
    answer = reproduce(*words, "--only", "mlp-10, sign")
    assert [each["column"] for each in answer["cells"]] == ["first_order", "sign_rge"]
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert [line["seeds"] for line in lines] == ["2", "1"]
    for path in (tmp_path / "out" / "cells").glob("mlp-10.momentum.*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"batch": 64', '"batch": 32'), encoding="utf-8")
    answer = reproduce(*words, "--only", "mlp-10, sign")  # what was run with other settings is not this table's
    assert [each["column"] for each in answer["cells"]] == ["sign_rge"]


def test_a_name_is_taken_before_a_part_of_one():
    table = tables.table("table3")
    named = [
        [entry.column for entry in reproduce_command._wanted(table, texts)] for texts in (("fa",), ("800, d",), ())
    ]
    assert named[0] == ["fa"] and named[1] == ["dfa"] and len(named[2]) == len(table.entries)


def test_a_cell_that_is_not_there_is_named_with_those_that_are(mnist_folder, tmp_path):
    words = "table3", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "adma"
    answer = reproduce(*words, code=3)
    assert "no cell 'adma'" in answer["error"] and "lg_fg_a" in answer["next"]


def test_what_is_not_run_asks_for_no_data(tmp_path):
    words = (
        "ranks",
        "--data",
        tmp_path / "none",
        "--out",
        tmp_path / "out",
        "--only",
        "digits-r1, adam",
        "--budget",
        0.1,
    )
    assert [each["network"] for each in reproduce(*words)["cells"]] == ["digits-r1"]


def test_a_damaged_result_of_another_cell_is_named_before_anything_runs(mnist_folder, tmp_path):
    folder = tmp_path / "out" / "cells"
    folder.mkdir(parents=True)
    (folder / "mlp-10.momentum.quick.seed3.json").write_text("{", encoding="utf-8")
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "mlp-10, sign"
    assert "seed3.json is damaged" in reproduce(*words, code=3)["error"]
    assert len(list(folder.iterdir())) == 1


def test_an_interrupted_table_is_written_as_far_as_it_is(mnist_folder, tmp_path, monkeypatch):
    run, runs = cells.run, []

    def interrupted(made, store, budget, show):
        runs.append((made.key, budget))
        if len(runs) == 2:
            raise KeyboardInterrupt
        return run(made, store, budget, show)

    monkeypatch.setattr(cells, "run", interrupted)
    words = "table1", "--data", mnist_folder, "--out", tmp_path / "out", "--only", "mlp-10,"
    assert reproduce(*words, code=130)["error"] == "interrupted"
    assert [budget > 0 for _, budget in runs] == [True, True, False]  # nothing is begun after Ctrl-C
    lines = list(csv.DictReader((tmp_path / "out" / "table1.quick.csv").open(encoding="utf-8")))
    assert [line["done"] for line in lines] == ["1.0", "0.0", "0.0"]


def test_a_budget_of_nothing_tells_what_is_there(mnist_folder, tmp_path):
    answer = reproduce("figure1", "--data", mnist_folder, "--out", tmp_path / "out", "--budget", 0)
    assert {each["share_done"] for each in answer["cells"]} == {0.0}


def test_a_missing_folder_of_mnist_is_named(tmp_path):
    answer = reproduce("table2", "--data", tmp_path / "none", "--out", tmp_path / "out", code=3)
    assert "train-images" in answer["error"] and answer["next"]


# ---- what is stored, and where cells may run -------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def test_all_tables_are_told_from_stored_cells_with_those_that_are_shorter(tmp_path):
    store = Store(tmp_path / "cells")
    key, settings = mnist_cells.identity("mlp-10", "first_order", "full", 0)
    half = [Measurement(46_850, 46_850, 10**9, 5.0, 93.0, 0.2)]
    lost = Result(key, settings, 93_700, "abc", 0.0, 7500.0, history=half, taken_from="a page", best=93.5)
    store.save(lost, None)
    answer = reproduce("all", "--full", "--cells", tmp_path / "cells", "--out", tmp_path / "out")
    assert "table1: mlp-10, first_order: 50 % of its steps" in answer["shorter"]
    assert "table5: hjb-tt-3209, sg: not run" in answer["shorter"]
    lines = (tmp_path / "out" / "paper.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("| mlp-10 | first_order")]
    assert "| 93.69 | 93.00 | -0.69 | 93.50 | 0 | 50 % | 46.9 K |" in line
    assert "| 2.1 h |" in line and "abc, figure copied" in line
    assert (tmp_path / "out" / "figure1.png").is_file()


def test_seeds_whose_processor_time_is_lost_do_not_shorten_that_of_the_others():
    entry, *_ = tables.table("table1").entries
    whole = [Measurement(93_700, 93_700, 10**9, 5.0, 93.0, 0.2)]
    runs = [
        Result("k", {"seed": seed}, 93_700, "abc", 0.0, spent, history=whole) for seed, spent in ((0, 0.0), (1, 480.0))
    ]
    (row,) = stored.rows(tables.table("table1"), [Outcome(entry, tuple(runs), "%")])
    assert dict(zip(stored.HEADING, row, strict=True))["processor"] == "8 min"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("all", ("--seeds", 3)),
        ("all", ("--only", "tt-3962")),
        ("all", ("--budget", 5)),
        ("gpu", ("--seeds", 3)),
        ("gpu", ("--quick",)),
        ("derivatives", ("--seeds", 3)),
        ("dimensions", ("--cells", "cells")),
        ("speed", ("--only", "hjb-mlp")),
        ("identification", ("--budget", 5)),
    ],
)
def test_an_option_that_a_study_does_not_read_is_refused(name, words):
    answer = reproduce(name, *words, code=2)
    assert answer["error"].startswith(f"{name} does not read {words[0]}")
    assert words[0] not in answer["next"]


def test_a_folder_without_stored_cells_is_named(tmp_path):
    answer = reproduce("all", "--full", "--cells", tmp_path, code=3)
    assert "has no cells of --full" in answer["error"] and "--full" not in answer["next"]
    assert "--full" in reproduce("all", code=3)["next"]  # the repository keeps no short ones


def test_the_page_of_results_is_what_the_stored_cells_say():
    found = stored.collect(Store(stored.CELLS), "full")
    written = (ROOT / "docs" / "results" / "paper.md").read_text(encoding="utf-8"), stored.to_markdown(found)
    # an estimator that has come since the page was written is said to be not run, and that is no other figure
    page, now = (text.replace("no estimator coordinate_gn yet", "not run") for text in written)
    assert page == now, "run `ttzo reproduce all --full -o docs/results`"


def test_every_stored_cell_belongs_to_a_table_with_its_settings():
    found = stored.collect(Store(stored.CELLS), "full")
    told = {result.key for _, outcomes in found for o in outcomes for result in o.results}
    assert {path.stem for path in stored.CELLS.glob("*.json")} == told
    assert all(path.stat().st_size < 20_000 for path in stored.CELLS.glob("*.json"))


def test_what_a_gpus_cell_leaves_goes_to_those_behind_it(monkeypatch):
    now = iter((0.0, 0.0, 10.0, *[400.0] * 9))
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(now))
    given = [(entry.column, seconds) for _, entry, seconds in gpu.turns(600.0)]
    assert given[:3] == [("sg", 90.0), ("sg", pytest.approx(0.15 * 590)), ("sg", pytest.approx(40.0))]
    assert given[-1] == ("hybrid", 200.0)


def test_the_cells_for_a_gpu_run_where_they_are_asked_to(mnist_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "PLAN", (gpu.Turn("table1", "mlp-10", "first_order", 1.0),))
    words = "gpu", "--data", mnist_folder, "--out", tmp_path / "out", "--budget", 0.2
    answer = reproduce(*words, "--no-gpu")
    assert answer["device"] == "cpu" and (tmp_path / "out" / "cells" / "mlp-10.momentum.full.seed0.json").is_file()
    if not torch.cuda.is_available():
        assert "no GPU" in reproduce(*words, code=3)["error"]


def test_speed_is_processor_time_by_step(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "NETWORKS", ("hjb-fc3-78",))
    monkeypatch.setattr(speed, "DERIVATIVES", ("jet",))
    monkeypatch.setattr(speed, "SECONDS", {"quick": 0.3})
    (pace,) = reproduce("speed", "--out", tmp_path)["paces"]
    assert pace["torch_ms"] > 0 and pace["native_ms"] > 0
    assert "| hjb-fc3-78 | jet |" in (tmp_path / "speed.md").read_text(encoding="utf-8")
