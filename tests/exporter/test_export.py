# SPDX-License-Identifier: MIT
"""Export: models by name or by a user's own function, overrides, room on a board, and all files or none."""

import hashlib

import numpy as np
import onnx
import pytest

from ttzo.device_runtime.contract import Arithmetic, Cache, Loss, Number, TtzoError, Update
from ttzo.exporter import export as exporting
from ttzo.exporter.bundle_folder import FILES
from ttzo.exporter.choose import contraction
from ttzo.exporter.costs.memory import Room, flash_items, require_room, work_bytes, work_items
from ttzo.exporter.export import export, plan_of
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.readers.from_torch import ExportError
from ttzo.exporter.readers.user_model import ModelError
from ttzo.exporter.writers import to_bundle

GOOD = """\
import torch
from neighbour import WIDTH


def make_model():
    return torch.nn.Sequential(torch.nn.Linear(4, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 3))


def with_options(ranks=2):
    from ttzo.nn import TTLinear

    return torch.nn.Sequential(TTLinear(64, 10, ranks=ranks)), {"data": "digits", "batch": 7, "estimator": "cge", "lr": 0.25}


def regression():
    return torch.nn.Linear(4, 2), {"loss": "mse", "input_number": "int16", "input_scale": 0.5, "input_offset": -1}


def fails():
    wrong = 1
    return wrong / 0


def refused():
    from ttzo.nn import TTLinear

    return TTLinear(64, 10, (8, 8), (3, 3), 2)


def a_number():
    return 3


def bad_options():
    return torch.nn.Linear(2, 2), "mse"


def unknown_option():
    return torch.nn.Linear(2, 2), {"learning": 1}


def convolution():
    return torch.nn.Sequential(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)))


not_callable = 5
"""


def line_of(words):
    return next(number for number, line in enumerate(GOOD.splitlines(), 1) if words in line)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(GOOD)
    (tmp_path / "neighbour.py").write_text("WIDTH = 5\n")
    return path


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


# ---- files ----------------------------------------------------------------------------------------------------------


def test_every_file_of_the_folder_tells_the_same_model(tmp_path):
    plan = export("digits", tmp_path / "out")
    assert sorted(digests(tmp_path / "out")) == sorted(FILES)
    read = to_bundle.read((tmp_path / "out/model.ttzo").read_bytes())
    assert read.parameters.tobytes() == plan.parameters.tobytes() and read.training == plan.training
    model_hash = to_bundle.model_hash(plan)
    assert ", ".join(f"0x{byte:02x}" for byte in model_hash) in (tmp_path / "out/model.c").read_text()
    for name in ("model.onnx", "loss.onnx"):
        told = {entry.key: entry.value for entry in onnx.load(tmp_path / "out" / name).metadata_props}
        assert told["model_hash"] == model_hash.hex()
    assert (tmp_path / "out/model.tflite").read_bytes()[4:8] == b"TFL3"


def test_the_same_export_gives_the_same_bytes_wherever_it_is_written(tmp_path):
    export("digits", tmp_path / "a")
    export("digits", tmp_path / "b/c")
    assert digests(tmp_path / "a") == digests(tmp_path / "b/c")


def test_an_export_replaces_its_own_files_and_no_others(tmp_path):
    export("digits", tmp_path)
    (tmp_path / "metrics.jsonl").write_text("mine")
    before = digests(tmp_path)
    export("digits", tmp_path, seed=1)
    after = digests(tmp_path)
    assert sorted(before) == sorted(after) and before["metrics.jsonl"] == after["metrics.jsonl"]
    assert all(before[name] != after[name] for name in FILES if name not in ("model.h", "loss.onnx"))


def test_a_failed_export_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    export("digits", tmp_path)
    before = digests(tmp_path)

    def broken(plan):
        raise TtzoError("no room", "none")

    monkeypatch.setattr("ttzo.exporter.writers.to_tflite.tflite_bytes", broken)
    with pytest.raises(TtzoError, match="no room"):
        export("digits", tmp_path, seed=1)
    monkeypatch.undo()
    with pytest.raises(TtzoError):
        export("digits", tmp_path, batch=100000)
    assert digests(tmp_path) == before


def test_a_disk_that_fills_up_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    export("digits", tmp_path)
    before = digests(tmp_path)
    write = exporting.Path.write_bytes

    def full(path, data):
        if path.name == "model.ttzo":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(exporting.Path, "write_bytes", full)
    with pytest.raises(TtzoError, match="No space left"):
        export("digits", tmp_path, seed=1)
    assert digests(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TtzoError, match="file could not be written") as caught:
        export("digits", tmp_path / "file")
    assert caught.value.hint
    (tmp_path / "out/model.onnx").mkdir(parents=True)
    with pytest.raises(TtzoError, match="model.onnx is a folder"):
        export("digits", tmp_path / "out")


# ---- overrides ------------------------------------------------------------------------------------------------------


def test_overrides_reach_the_plan_and_are_recorded():
    plan = plan_of(
        "digits", ranks="2:3", batch=8, arithmetic="fused", estimator="hybrid", lr=(0.001, 0.5), steps=5, seed=9
    )
    assert [layer.ranks[1] for layer in plan.layers] == [2, 3]
    assert (plan.batch, plan.arithmetic, plan.training.steps, plan.training.seed) == (8, Arithmetic.fused, 5, 9)
    assert [phase.update for phase in plan.training.phases] == [Update.sign, Update.ema_momentum]
    told = plan.metadata["overrides"]
    assert told["lr"] == [0.001, 0.5] and told["ranks"] == "2:3" and "update" not in told
    assert plan.metadata["source"] == "digits" and plan.metadata["data"] == "digits"


def test_a_plan_holds_what_its_bundle_holds():
    plan = plan_of("mnist-mlp", lr=0.1)
    assert plan.input_scale == float(np.float32(1 / 255))
    assert plan.training.phases[0].learning_rate == float(np.float32(0.1))
    assert to_bundle.read(to_bundle.write(plan)).training == plan.training


def test_the_seed_decides_parameters_and_noise():
    plans = [plan_of("digits", seed=seed) for seed in (1, 1, 2)]
    assert plans[0].parameters.tobytes() == plans[1].parameters.tobytes() != plans[2].parameters.tobytes()
    assert [plan.training.seed for plan in plans] == [1, 1, 2]


@pytest.mark.parametrize(
    "options",
    [{"batch": 0}, {"batch": 2.5}, {"ranks": 0}, {"ranks": "x"}, {"format": "ring"}, {"loss": "hinge"},
     {"arithmetic": "double"}, {"seed": -1}, {"input_scale": float("nan")}, {"colour": 1}, {"lr": 1e39}],
)  # fmt: skip
def test_a_wrong_override_is_refused_with_a_next_step(options):
    with pytest.raises(TtzoError) as caught:
        plan_of("digits", **options)
    assert caught.value.hint


# ---- a user's own function ------------------------------------------------------------------------------------------


def test_a_users_function_is_exported_with_its_neighbours(source, tmp_path):
    plan = export(f"{source}:make_model", tmp_path / "out")
    assert [layer.out_features for layer in plan.layers] == [5, 3]
    assert (plan.loss, plan.input_number, plan.metadata["name"]) == (Loss.cross_entropy, Number.float32, "make_model")


def test_a_users_function_gives_the_same_parameters_each_time(source):
    plans = [plan_of(f"{source}:make_model", seed=seed).parameters.tobytes() for seed in (4, 4, 5)]
    assert plans[0] == plans[1] != plans[2]


def test_a_users_options_are_taken_and_overridden(source):
    plan = plan_of(f"{source}:with_options", batch=9, ranks=3)
    assert (plan.batch, plan.layers[0].ranks[1], plan.input_number) == (9, 3, Number.uint8)
    assert plan.input_scale == 1 / 16 and plan.training.phases[0].learning_rate == 0.25
    other = plan_of(f"{source}:regression")
    assert (other.loss, other.input_number, other.input_scale, other.input_offset) == (Loss.mse, Number.int16, 0.5, -1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fails", rf"net\.py, line {line_of('wrong / 0')}: fails failed: ZeroDivisionError"),
        ("refused", rf"net\.py, line {line_of('(3, 3), 2')}: refused failed: PlanError: layer TTLinear: modes"),
        ("a_number", "returned int"),
        ("bad_options", r"returned \(Linear, str\)"),
        ("unknown_option", "no option 'learning'"),
        ("missing", "has no function missing"),
        ("not_callable", "has no function not_callable"),
        ("convolution", r"does not say what a row of its input looks like"),
    ],
)
def test_what_is_wrong_with_a_users_function_is_named(source, function, words):
    with pytest.raises(TtzoError, match=words) as caught:
        plan_of(f"{source}:{function}")
    assert caught.value.hint


def test_an_unknown_option_gets_the_nearest_name_or_all_names():
    for name, said in (("dat", "did you mean data?"), ("xyzzy", "the options are title, data, ")):
        with pytest.raises(TtzoError, match=f"no option '{name}'") as caught:
            plan_of("digits", **{name: "x"})
        assert caught.value.hint.startswith(said)


def test_ranks_that_a_function_does_not_take_are_not_lost_unsaid(source):
    with pytest.raises(TtzoError, match="does not accept ranks"):
        plan_of(f"{source}:make_model", ranks=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import torch\n\nx = (\n", "line 3: could not be read: SyntaxError"),
        ("\nimport no_such_thing\n", "line 2: could not"),
    ],
)
def test_a_file_that_cannot_be_read_names_its_line(tmp_path, text, words):
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(TtzoError, match=words):
        plan_of(f"{tmp_path}/net.py:make_model")


def test_a_file_that_names_the_modules_former_place_gets_the_new_line(tmp_path):
    (tmp_path / "net.py").write_text("import torch\nfrom ttzo.exporter.nn import TTLinear\n")
    with pytest.raises(ModelError, match="net.py, line 2") as caught:
        plan_of(f"{tmp_path / 'net.py'}:make")
    assert "from ttzo.nn import" in caught.value.hint


@pytest.mark.parametrize("model", ["nothing", "nothing.py", "no/such/file.py:make", "", "digits:build"])
def test_an_unknown_model_is_told_what_can_be_given(model):
    with pytest.raises(TtzoError, match="there is no") as caught:
        export(model, "never-made")
    assert caught.value.hint


def test_an_unsupported_layer_writes_nothing(source, tmp_path):
    with pytest.raises(ExportError):
        export(f"{source}:convolution", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- room on a board ------------------------------------------------------------------------------------------------


def test_a_model_that_just_fits_is_written_and_one_byte_less_is_refused(tmp_path):
    plan = plan_of("digits")
    flash = 1000 + sum(flash_items(plan).values())
    ram = work_bytes(contraction.chosen(plan, Room("board", flash, 0)))  # as small as contractions can make it
    wide = {"cache": "float32"}
    export("digits", tmp_path / "fits", room=Room("board", flash, ram, 1000), **wide)
    for room, what in ((Room("board", flash, ram - 1, 1000), "RAM"), (Room("board", flash - 1, ram, 1000), "flash")):
        with pytest.raises(PlanError, match=f"bytes of {what}, board has"):
            export("digits", tmp_path / "none", room=room, **wide)
    assert not (tmp_path / "none").exists()


def test_the_widest_caches_that_fit_the_board_are_taken_and_recorded(tmp_path):
    wide, narrow, least = (work_bytes(plan_of("mnist-mlp", estimator="cge", cache=cache.name)) for cache in Cache)
    chosen = {
        wide: Cache.float32,
        wide - 1: Cache.int16,
        narrow: Cache.int16,
        narrow - 1: Cache.int16_least,
        least: Cache.int16_least,
    }
    for ram, cache in chosen.items():
        export("mnist-mlp", tmp_path, room=Room("board", 10**6, ram, 0), estimator="cge")
        assert to_bundle.read((tmp_path / "model.ttzo").read_bytes()).cache == cache
    with pytest.raises(PlanError):
        export("mnist-mlp", tmp_path, room=Room("board", 10**6, least - 1, 0), estimator="cge")


def test_a_refusal_over_environments_names_narrower_caches_only_where_there_are_some():
    for cache, narrower in (("float32", True), ("int16", True), ("int16_least", False)):
        plan = plan_of("mnist-3898", estimator="cge", cache=cache, batch=1)
        with pytest.raises(PlanError, match="the largest part is environments") as caught:
            require_room(plan, Room("board", 10**6, work_bytes(plan) - 1, 0))
        assert ("--cache int16_least" in caught.value.hint) == narrower
        assert caught.value.hint.count("--cache") == narrower


@pytest.mark.parametrize(
    ("options", "largest", "hint"),
    [
        ({"batch": 512}, "rows of the batch", "--batch"),
        ({"estimator": "rge", "update": "adam", "batch": 1}, "moments of the update rule", "--update"),
        ({"batch": 1, "ranks": 16, "estimator": "rge", "update": "sgd"}, "parameters", "--ranks"),
    ],
)
def test_a_refusal_names_the_largest_consumer(tmp_path, options, largest, hint):
    plan = plan_of("digits", **options)
    with pytest.raises(PlanError, match=f"the largest part is {largest}") as caught:
        export("digits", tmp_path, room=Room("board", 10**6, 100, 0), **options)
    assert hint in caught.value.hint
    assert f"{work_items(plan)[largest]:,} bytes" in str(caught.value)
