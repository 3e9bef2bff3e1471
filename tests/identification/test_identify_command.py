# SPDX-License-Identifier: MIT
"""`ttzo identify` from model and table to an answer, cut in between, and the same bits on an emulated board."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from firmware import needs_compiler, needs_qemu
from power_cuts import native_power

from ttzo.exporter.export import export, plan_of
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data.read_log import Log
from ttzo.host_tools.device.device import Device, open_device, read_bundle
from ttzo.host_tools.device.link import LinkError
from ttzo.host_tools.research.reproduce import identification
from ttzo.host_tools.training import checkpoint, identify
from ttzo.host_tools.training.session import Interrupted

DOCUMENT = (Path(__file__).parents[2] / "docs" / "identification.md").read_text(encoding="utf-8")
STORED = Path(__file__).parents[2] / "docs" / "results" / "identification.json"
HEATER = next(case for case in identification.CASES if case.name == "heater")


def heater_log(seed: int = 0) -> tuple[Log, np.ndarray]:
    """The log of the zoo's heater, and its table: time, ambient, power, temperature."""
    log, inputs, measured = identification.log_of(HEATER, plan_of("heater").simulation, seed)
    return log, np.column_stack([HEATER.times, inputs, measured])


def run(*arguments: str) -> dict:
    done = CliRunner().invoke(main, [*arguments, "--json"])
    return json.loads(done.stdout)


def write_table(path: Path) -> None:
    np.savetxt(path, heater_log()[1], delimiter=",", header="time,ambient,power,temperature", comments="")


def test_the_command_exports_fits_and_says_what_it_knows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "log.csv")
    told = run("identify", "heater", "--data", "log.csv", "--device", "native:")
    assert told["ok"] and told["result"]["converged"] and (tmp_path / "heater" / "model.ttzo").exists()
    for constant in told["result"]["found"]["constants"]:
        assert constant["value"] == pytest.approx(HEATER.truth[constant["name"]], rel=0.03)
        assert constant["remark"] == ""
    again = run("identify", "heater", "--data", "log.csv", "--device", "native:")
    assert again["result"]["resumed"] and again["result"]["simulations"] == told["result"]["simulations"]


@pytest.mark.parametrize("command", ["train", "eval", "predict", "bench", "plan"])
def test_other_commands_refuse_or_describe_a_simulation(tmp_path, command):
    export("house", tmp_path)
    write_table(tmp_path / "log.csv")
    options = {
        "train": ["--device", "native:"],
        "predict": ["--device", "native:", "--data", str(tmp_path / "log.csv")],
    }
    told = run(command, str(tmp_path), *options.get("train" if command == "eval" else command, []))
    assert told["ok"] == (command == "plan") and (told["ok"] or "ttzo identify" in told["next"])


def test_a_plan_of_a_simulation_forecasts_memory_and_no_time_of_a_step(tmp_path):
    export("heater", tmp_path)
    (told,) = run("plan", str(tmp_path), "--board", "netduinoplus2")["forecasts"]
    assert told["work_bytes"] > 0 and told["refusal"] == ""
    assert told["step_seconds"] is told["most_seconds"] is told["most_instructions"] is told["forward_passes"] is None
    shown = CliRunner().invoke(main, ["plan", str(tmp_path), "--board", "netduinoplus2"]).stdout
    (row,) = (line.split() for line in shown.splitlines() if line.startswith("netduinoplus2"))
    assert row[4:7] == ["-", "-", "-"] and "forward passes" not in shown and "--count" in shown


def test_what_was_found_is_exported_as_the_start_of_a_new_bundle(tmp_path):
    assert run("export", "heater", "-o", str(tmp_path / "heater"))["ok"]
    log = heater_log()[0]
    with open_device("native:", tmp_path / "heater") as device:
        identify.identify(device, log, tmp_path / "run", most_sweeps=2)
        found = device.parameters()
    (tmp_path / "heater" / "runs").mkdir()
    (tmp_path / "run").rename(tmp_path / "heater" / "runs" / "native-identified")
    assert run("export", str(tmp_path / "heater" / "runs" / "native-identified"), "-o", str(tmp_path / "again"))["ok"]
    assert read_bundle(tmp_path / "again").parameters.tobytes() == found.tobytes()


def test_a_network_is_not_identified(tmp_path):
    export("digits", tmp_path)
    write_table(tmp_path / "log.csv")
    told = run("identify", str(tmp_path), "--data", str(tmp_path / "log.csv"), "--device", "native:")
    assert not told["ok"] and "holds a network" in told["error"] and told["next"]


def test_onnxruntime_runs_no_simulation(tmp_path):
    export("house", tmp_path)
    write_table(tmp_path / "log.csv")
    told = run("identify", str(tmp_path), "--data", str(tmp_path / "log.csv"), "--device", "onnx:")
    assert not told["ok"] and told["next"]


def test_the_document_s_own_model_exports(tmp_path):
    (tmp_path / "cooler.py").write_text(re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)[1], encoding="utf-8")
    export(f"{tmp_path / 'cooler.py'}:cooler", tmp_path / "cooler")
    simulation = read_bundle(tmp_path / "cooler").simulation
    assert simulation.unknowns == ("tau", "power", "inside(0)") and simulation.time == "min"


def test_a_fit_that_is_stopped_goes_on_to_the_bits_of_one_that_was_not(tmp_path, monkeypatch):
    export("heater", tmp_path)
    log = heater_log()[0]
    with open_device("native:", tmp_path) as device:
        identify.identify(device, log, tmp_path / "whole")
        stops = iter([False] * 17 + [True])  # in the midst of a sweep of ten steps
        monkeypatch.setattr(identify.Stop, "requested", property(lambda _: next(stops, False)))
        with pytest.raises(Interrupted):
            identify.identify(device, log, tmp_path / "cut")
    half = checkpoint.load(tmp_path / "cut" / "checkpoint.npz", read_bundle(tmp_path))
    assert half.state.step == 18
    with open_device("native:", tmp_path) as device:  # another process: nothing is left of the first
        identify.identify(device, log, tmp_path / "cut")
    whole, cut = ((tmp_path / name / "checkpoint.npz").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_a_fit_whose_power_is_cut_goes_on_from_the_last_sweep_to_the_same_bits(tmp_path, monkeypatch):
    export("heater", tmp_path)
    log = heater_log()[0]
    with open_device("native:", tmp_path) as device:
        identify.identify(device, log, tmp_path / "whole")
    step, calls = Device.step, iter(range(1000))

    with native_power(tmp_path, tmp_path / "kept") as power:

        def cut(self, *arguments):
            if next(calls) == 37:  # in the midst of the fourth sweep
                power.cut()
            return step(self, *arguments)

        monkeypatch.setattr(Device, "step", cut)
        with pytest.raises(LinkError), open_device(power.start(), tmp_path) as device:
            identify.identify(device, log, tmp_path / "cut")
        assert checkpoint.load(tmp_path / "cut" / "checkpoint.npz", read_bundle(tmp_path)).state.step == 30
        with open_device(power.start(), tmp_path) as device:
            identify.identify(device, log, tmp_path / "cut")
    whole, after = ((tmp_path / name / "checkpoint.npz").read_bytes() for name in ("whole", "cut"))
    assert whole == after


def test_a_log_larger_than_the_device_s_memory_is_fitted_to_the_same_bits(tmp_path):
    export("heater", tmp_path)
    log = heater_log()[0]
    with open_device("native:", tmp_path) as device:
        stays = identify.identify(device, log, tmp_path / "stays")
        device.info = dataclasses.replace(device.info, dataset_capacity=len(log.rows) - 1)
        sent = identify.identify(device, log, tmp_path / "sent")
    assert (stays.resident, sent.resident) == (True, False) and stays.found == sent.found
    stays, sent = ((tmp_path / name / "checkpoint.npz").read_bytes() for name in ("stays", "sent"))
    assert stays == sent


def test_fused_arithmetic_finds_the_same_constants(tmp_path):
    log = heater_log()[0]
    found = {}
    for arithmetic in ("separate", "fused"):
        export("heater", tmp_path / arithmetic, arithmetic=arithmetic)
        with open_device("native:", tmp_path / arithmetic) as device:
            found[arithmetic] = identify.identify(device, log, tmp_path / "runs" / arithmetic).found.constants
    for a, b in zip(*found.values(), strict=True):
        assert a.value == pytest.approx(b.value, abs=0.05 * a.error)


@needs_compiler
@needs_qemu
def test_an_emulated_board_fits_to_the_bits_of_this_machine(tmp_path):
    export("heater", tmp_path)
    log = heater_log()[0]
    for url in ("qemu:netduinoplus2", "native:"):
        with open_device(url, tmp_path) as device:
            identify.identify(device, log, tmp_path / url.partition(":")[0])
    qemu, native = ((tmp_path / name / "checkpoint.npz").read_bytes() for name in ("qemu", "native"))
    assert qemu == native


def test_the_house_is_found_from_a_start_three_times_off():
    """As the table of docs/identification.md, one log."""
    house = (identification.CASES[0],)
    (fit,) = identification.fits(1, cases=house)
    assert max(fit.errors) < 0.03 and fit.converged and 0.85 < fit.held_over_noise < 1.15
    assert fit.rival_cost > 1 and fit.ram_bytes <= 8192


def test_the_document_s_table_is_that_of_the_stored_fits():
    found = identification.from_json(STORED.read_text(encoding="utf-8"))
    assert identification.to_markdown(found) in DOCUMENT
    assert len(found) == 30 and identification.from_json(identification.to_json(found)) == found
