# SPDX-License-Identifier: MIT
"""The arithmetic of an export: a board's better one where nobody chose, and what is said about it."""

import json

import pytest
from click.testing import CliRunner

from ttzo.device_runtime.contract import Arithmetic
from ttzo.exporter.export import plan_of
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.firmware import boards

FPU, SOFT = "mps2-an386", "mps2-an385"  # a Cortex-M4F and a Cortex-M3
NOTE = "arithmetic fused was chosen"


@pytest.mark.parametrize(
    ("board", "given", "wanted"),
    [
        (None, None, "separate"),
        (FPU, None, "fused"),
        (SOFT, None, "separate"),
        (FPU, "separate", "separate"),
        (None, "fused", "fused"),
    ],
)
def test_fused_is_taken_where_the_board_has_it_and_nobody_chose(board, given, wanted):
    plan = plan_of("digits", arithmetics=boards.load(board).arithmetics if board else (), arithmetic=given)
    assert plan.arithmetic == Arithmetic[wanted]
    assert any(NOTE in note for note in plan.metadata.get("notes", ())) == (wanted == "fused" and given is None)


def test_a_model_that_says_its_arithmetic_keeps_it(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\ndef net():\n    return torch.nn.Linear(3, 2), {'loss': 'mse', 'arithmetic': 'separate'}\n",
        encoding="utf-8",
    )
    for name, wanted in ((f"{file}:net", Arithmetic.separate), ("names", Arithmetic.fused)):
        assert plan_of(name, arithmetics=("separate", "fused")).arithmetic == wanted


def test_export_and_plan_say_what_the_other_arithmetic_takes(tmp_path):
    made = CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path), "--board", FPU])
    assert made.exit_code == 0 and NOTE in " ".join(made.output.split())
    answer = json.loads(CliRunner().invoke(main, ["plan", str(tmp_path), "--board", FPU, "--json"]).stdout)
    assert answer["arithmetic"] == "fused" and answer["noise"]
    most = round(answer["forecasts"][0]["most_instructions"])
    shown = " ".join(CliRunner().invoke(main, ["plan", str(tmp_path), "--board", FPU]).stdout.split())
    assert "fused; a step in separate, which every board has, takes at most" in shown
    assert f"in this one {most:,}" in shown
    other = int(shown.split("takes at most ")[1].split()[0].replace(",", ""))
    assert other > most


def test_what_is_exported_for_a_board_trains_on_this_machine(tmp_path):
    """The host measures a run's parameters again in separate arithmetic."""
    CliRunner().invoke(main, ["export", "digits", "-o", str(tmp_path), "--board", FPU])
    done = CliRunner().invoke(main, ["train", str(tmp_path), "--device", "native:", "--steps", "3"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "runs" / "native" / "metrics.csv").is_file()
