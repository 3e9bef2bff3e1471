# SPDX-License-Identifier: MIT
"""The command line: one JSON object on stdout, a sentence and a next step for every failure, exit codes as documented."""

import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from bundles import STEPS, arrays, small_plan, wave_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import Derivative, Estimator
from ttzo.host_tools.cli import demo
from ttzo.host_tools.cli.choices import WHAT_FOR
from ttzo.host_tools.cli.commands import COMMANDS, main
from ttzo.host_tools.device.python_device import serve
from ttzo.host_tools.firmware import boards
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import checkpoint

TTZO = [sys.executable, "-m", "ttzo.host_tools"]


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", small_plan())


def ttzo(*words, code=0):
    """One command with --json: the object on its stdout, once it has ended with `code`."""
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert done.exit_code == code, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] is (code in (0, 5))
    return answer


def refused(*words, code):
    """The sentence of a command that fails; it must have a next step, and stderr must say both without a traceback."""
    done = CliRunner().invoke(main, [*map(str, words)])
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert "error: " in done.stderr and "next: " in done.stderr and "Traceback" not in done.stderr
    answer = ttzo(*words, code=code)
    assert answer["exit_code"] == code and answer["next"]
    return answer["error"]


@pytest.fixture
def train(bundle):
    return ("train", bundle, "--data", bundle / "rows.npz", "--device")


# ---- what works ------------------------------------------------------------------------------------------------------


def test_train_then_eval_and_report_find_the_run(bundle, train):
    trained = ttzo(*train, "numpy:")
    assert (trained["step"], trained["evaluations"]) == (STEPS, STEPS * 4)
    measured = ttzo("eval", bundle, "--device", "numpy:", "--data", bundle / "rows.npz", "--rows", "all")
    assert measured["test"] == trained["test"] and measured["step"] == STEPS and measured["test"]["rows"] == 10
    untrained = ttzo("eval", bundle, "--device", "numpy:", "--data", bundle / "rows.npz", "--exported")
    assert untrained["step"] == 0 and untrained["test"] != trained["test"]
    pytest.importorskip("matplotlib")
    picture = Path(ttzo("report", trained["run"])["curves"])
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compare_says_in_its_exit_code_whether_devices_part(bundle, train):
    words = ("compare", bundle, "--data", bundle / "rows.npz", "--steps", 5, "--device", "numpy:", "--against")
    assert ttzo(*words, "numpy:")["agree"] is True
    assert ttzo(*words, "onnx:")["comparison"]["judged_by"] == "bound"

    class Wrong(Trainer):
        def step(self, region):
            result = super().step(region)
            self.theta = self.theta + np.float32(0.125) * (self.state.step == 3)
            return result

    with serve(Wrong(small_plan()), "numpy") as emulator:
        found = ttzo(*words, emulator.url, code=5)
    assert found["agree"] is False and found["comparison"]["parted"]["step"] == 3


def test_plan_of_an_equation_forecasts_boards_without_the_noise_of_rows(tmp_path):
    answer = ttzo("plan", write_bundle(tmp_path / "wave", wave_plan()))
    assert answer["noise"] is None and answer["forecasts"][0]["refusal"] == ""


def test_plan_forecasts_every_board(bundle):
    answer = ttzo("plan", bundle, "--data", bundle / "rows.npz")
    assert [each["board"] for each in answer["forecasts"]] == boards.names()
    board, first = boards.load(boards.names()[0]), answer["forecasts"][0]
    plan = small_plan()
    assert first["evaluations"] == 4 and first["forward_passes"] == 4 * plan.batch  # one at theta, three queries
    assert first["macs"] == 4 * plan.batch * (6 * 8 + 8 * 3)
    assert 0 < first["step_instructions"] <= first["most_instructions"]
    seconds = first["step_instructions"] * board.cycles_per_instruction / board.clock_hz
    assert first["step_seconds"] == pytest.approx(seconds) and first["step_seconds"] <= first["most_seconds"]
    by_board = {each["board"]: each for each in answer["forecasts"]}
    known, unknown = by_board["nano33ble"], by_board["mps2-an386"]
    assert known["step_joules"] == pytest.approx(known["step_seconds"] * 0.0063 * 3.0)
    assert known["most_joules"] == pytest.approx(known["most_seconds"] * 0.0063 * 3.0)
    assert unknown["step_joules"] is unknown["most_joules"] is None
    assert all(each["flash_bytes"] < each["most_flash_bytes"] for each in answer["forecasts"])
    assert 0 < answer["noise"]["noise"] < answer["noise"]["difference"]


def test_boards_are_listed():
    assert [board["name"] for board in ttzo("boards")["boards"]] == boards.names()


def test_a_model_of_the_users_own_is_exported_and_trained(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "import torch\ndef make_model():\n    return torch.nn.Sequential(torch.nn.Linear(6, 3))\n"
    )
    np.savez(tmp_path / "rows.npz", **{name: value.astype(np.float32) for name, value in arrays().items()})
    answer = ttzo("export", f"{tmp_path / 'mine.py'}:make_model", "-o", tmp_path / "out", "--steps", 4, "--lr", "0.5")
    assert answer["parameters"] == 21 and answer["training"]["phases"][0]["learning_rate"] == 0.5
    assert ttzo("train", tmp_path / "out", "--device", "numpy:", "--data", tmp_path / "rows.npz")["step"] == 4


def test_the_demo_without_cross_compiler_trains_on_native_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    which = demo.shutil.which
    monkeypatch.setattr(
        demo.shutil, "which", lambda name: None if "qemu" in name or "none-eabi" in name else which(name)
    )
    monkeypatch.setattr(demo, "ONNX_STEPS", 20)  # the demo's 200 take a minute
    answer = ttzo("demo", "-o", tmp_path / "demo", "--steps", 200)
    assert answer["device"] == "native:" and "qemu-system-arm" in answer["left_out"][0]
    assert answer["agree"] and [found["comparison"]["b"] for found in answer["comparisons"]] == ["numpy:", "onnx:"]
    assert answer["accuracy_after"] > 0.5 > answer["accuracy_before"]  # chance is 0.1


@pytest.mark.parametrize("columns", [80, 100])
def test_help_of_export_has_a_line_for_each_value_of_its_choices(columns):
    text = CliRunner().invoke(main, ["export", "--help"], terminal_width=columns).stdout
    assert max(map(len, text.splitlines())) <= columns
    choices = {
        p.opts[0]: p.type.choices for p in main.get_command(None, "export").params if isinstance(p.type, click.Choice)
    }
    assert {name: set(values) for name, values in choices.items()} == {name: set(WHAT_FOR[name]) for name in WHAT_FOR}
    assert set(choices["--derivative"]) == set(Derivative.__members__)
    assert set(choices["--estimator"]) >= set(Estimator.__members__) - {"simulation_gn"}  # the only one of simulations
    for name, values in choices.items():
        section = text.split(f"Values of {name}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines() if line[2] != " "] == list(WHAT_FOR[name])
        assert all(len(WHAT_FOR[name][value].split()) >= 2 for value in values)


def test_help_tells_devices_and_exit_codes():
    text = CliRunner().invoke(main, ["--help"]).stdout
    text = " ".join(text.split())
    for words in (
        "qemu:netduinoplus2",
        "0 all is well",
        "1 a bug",
        "2 wrong usage",
        "3 bad input",
        "4 device",
        "5 a comparison parted",
        "6 training diverged",
        "7 the disk",
        "8 refused by key",
        "130 interrupted",
    ):
        assert words in text


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_of_all_commands_fits_the_terminal_and_no_sentence_is_cut(columns):
    text = CliRunner().invoke(main, ["--help"], terminal_width=columns).stdout
    assert max(map(len, text.splitlines())) <= columns and "..." not in text.partition("\n\n")[2]
    assert set(re.findall(r"^  ([a-z][a-z-]*)  ", text.partition("Commands:")[2], re.MULTILINE)) == set(COMMANDS)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_bad_input_is_exit_code_3(bundle, tmp_path, train):
    assert "no bundle" in refused("train", tmp_path / "nothing", "--device", "numpy:", code=3)
    assert "no model" in refused("export", "nothing", "-o", tmp_path / "out", code=3)
    assert "no board" in refused("plan", bundle, "--board", "nothing", code=3)
    assert "does not name a data set" in refused("train", bundle, "--device", "numpy:", code=3)
    assert "metrics" in refused("report", tmp_path, code=3)
    measure = ("eval", bundle, "--data", bundle / "rows.npz", "--device", "numpy:")
    assert "no checkpoint" in refused(*measure, "--run", bundle / "runs" / "nmpy", code=3), "a name that is misspelt"
    assert "no checkpoint" in refused(*train, "numpy:", "--from", tmp_path / "nothing", code=3)
    bad = arrays()
    np.savez(tmp_path / "nan.npz", **bad | {"x_train": np.where(bad["x_train"] > 200, np.nan, bad["x_train"])})
    assert "NaN" in refused("train", bundle, "--device", "numpy:", "--data", tmp_path / "nan.npz", code=3)
    np.savez(tmp_path / "wide.npz", **bad | {"x_train": np.zeros((30, 7), int)})
    assert "7 numbers a row" in refused("train", bundle, "--device", "numpy:", "--data", tmp_path / "wide.npz", code=3)
    assert not (bundle / "runs").exists()
    ttzo(*train, "numpy:")
    saved = bundle / "runs" / "numpy" / "checkpoint.npz"
    saved.write_bytes(saved.read_bytes()[:-50])
    assert "damaged" in refused(*train, "numpy:", code=3)
    assert "n_queries is 0" in refused(*train, "numpy:", "--restart", "--n-queries", "0", code=3)
    assert ttzo(*train, "numpy:", "--restart")["step"] == STEPS


def test_trouble_with_the_device_is_exit_code_4(bundle, train):
    assert "/dev/ttyNothing" in refused(*train, "/dev/ttyNothing", code=4)
    assert "is not a device" in refused(*train, "onnx:7", code=4)
    with serve(Trainer(small_plan(seed=8)), "numpy") as emulator:
        assert "another model" in refused(*train, emulator.url, code=4)
    assert "no flashing tool" in refused("flash", bundle, "--board", "mps2-an386", code=4)
    assert "not an emulated device" in refused("emulate", bundle, "--device", "COM3", code=3)


def test_a_folder_that_cannot_be_written_is_exit_code_7(bundle, train, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(*train, "numpy:", "--run", tmp_path / "file" / "run", code=7)


@pytest.mark.parametrize(
    "words",
    [
        ["train"],
        ["train", ".", "--device"],
        ["nothing"],
        ["eval", ".", "--device", "numpy:", "--rows", "few"],
        ["train", ".", "--device", "numpy:", "--lr", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2(words):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "Error: " in done.stderr and not done.stdout
    done = CliRunner().invoke(main, [words[0], "--json", *words[1:]])
    answer = json.loads(done.stdout)
    assert done.exit_code == answer["exit_code"] == 2 and not answer["ok"]
    assert answer["error"] and "--help" in answer["next"]


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "in which you may")])
def test_what_the_disk_refuses_is_exit_code_7_and_has_a_next_step(bundle, monkeypatch, number, advice):
    def refuse(*_):
        raise OSError(number, os.strerror(number), "firmware")

    monkeypatch.setattr(boards, "load", refuse)
    assert f"{os.strerror(number)}: firmware" in refused("build", bundle, "--board", "any", code=7)
    assert advice in ttzo("build", bundle, "--board", "any", code=7)["next"]


def test_a_bug_is_an_object_with_exit_code_1_and_its_traceback(bundle, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("in mid-air")

    monkeypatch.setattr(boards, "load", broken)
    answer = ttzo("plan", bundle, code=1)
    assert "in mid-air" in answer["error"] and answer["next"]
    assert "Traceback" in CliRunner().invoke(main, ["plan", str(bundle)]).stderr


def test_the_command_that_comes_next_can_be_copied_into_a_shell(tmp_path):
    pytest.importorskip("torch")
    folder = tmp_path / "two words"
    done = CliRunner().invoke(main, ["export", "digits", "-o", str(folder)])
    next_one = done.stderr.splitlines()[-1].removeprefix("next: ")
    assert shlex.split(next_one) == ["ttzo", "train", str(folder), "--device", "native:"]


# ---- real processes --------------------------------------------------------------------------------------------------

LONG = ("--steps", "60", "--n-queries", "20")
SIGNALLED = """
import os
from ttzo.host_tools.__main__ import main
from ttzo.host_tools.training.metrics import MetricsFile
write = MetricsFile.write

def write_and_signal(file, **values):
    write(file, **values)
    if values["step"] == 25:
        os.kill(os.getpid(), {number})

MetricsFile.write = write_and_signal
main()
"""


def start_training(bundle, number, *words):
    """`ttzo train` as a process, which gets that signal at step 25, however fast it is."""
    command = [
        sys.executable,
        "-c",
        SIGNALLED.format(number=int(number)),
        "train",
        bundle,
        "--data",
        bundle / "rows.npz",
    ]
    return subprocess.Popen(
        [*map(str, command), "--device", "numpy:", *LONG, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the suite may run under nohup
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Parameters after the long training without interruption."""
    bundle = write_bundle(tmp_path_factory.mktemp("whole"), small_plan())
    answer = ttzo("train", bundle, "--data", bundle / "rows.npz", "--device", "numpy:", *LONG)
    return checkpoint.load(Path(answer["checkpoint"]), small_plan()).parameters


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_training_that_is_interrupted_goes_on_to_the_same_bits(bundle, whole, number):
    process = start_training(bundle, number, "--json", "--checkpoint-every", "10")
    output, progress = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert output == ""
    else:
        answer = json.loads(output)
        assert process.returncode == answer["exit_code"] == 130
        assert "the same command goes on from there" in answer["next"] and "Traceback" not in progress
    saved = checkpoint.load(bundle / "runs" / "numpy" / "checkpoint.npz", small_plan())
    assert saved.state.step == (20 if number == signal.SIGKILL else 25)
    answer = ttzo("train", bundle, "--data", bundle / "rows.npz", "--device", "numpy:")  # its settings are the run's
    assert answer["resumed_from"] == saved.state.step and answer["step"] == 60
    again = checkpoint.load(Path(answer["checkpoint"]), small_plan()).parameters
    assert np.array_equal(again.view(np.uint32), whole.view(np.uint32))


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_control_c_while_the_command_is_still_being_loaded_is_no_traceback(tmp_path, as_json):
    (tmp_path / "click.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [*TTZO, "boards", *as_json],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    output, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "error: interrupted\n")
    assert not as_json or json.loads(output)["exit_code"] == 130


@pytest.mark.parametrize("pty", [(), ("--pty",)])
def test_an_emulated_device_stays_open_for_other_programs(bundle, train, pty):
    process = subprocess.Popen(
        [*TTZO, "emulate", str(bundle), "--device", "numpy:", "--json", *pty],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            assert (line := process.stdout.readline()), "it ended before it printed its URL"
            text += line
        url = json.loads(text)["url"]
        assert url.startswith("/dev/" if pty else "unix:")
        assert ttzo(*train, url)["board"] == "numpy"
        again = ttzo("eval", bundle, "--device", url, "--data", bundle / "rows.npz")
        assert again["step"] == STEPS and again["parameters"] == f"of the device, step {STEPS}"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        process.communicate()
    assert not pty or not os.path.exists(url)  # noqa: PTH110
