# SPDX-License-Identifier: MIT
"""A command refuses an option that its subject would pass over, before it does anything."""

import json

import numpy as np
import pytest
from bundles import arrays, small_plan, wave_plan, write_bundle
from click.testing import CliRunner

from ttzo.host_tools.cli.commands import main


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("sensors", "watch", "--seeds", "3"), "watch does not read --seeds"),
        (("sensors", "watch", "--model", "power"), "watch does not read --model"),
        (("sensors", "scratch", "--seed", "3"), "scratch does not read --seed"),
        (("sensors", "anomaly", "--also", "native:"), "anomaly does not read --also"),
        (("bench", "--peers", "--batch", "3"), "bench --peers does not read --batch"),
        (("bench", "digits", "--peers"), "bench --peers does not read [MODEL ...]"),
        (("bench", "--derivatives", "--after", "3"), "bench --derivatives does not read --after"),
        (("bench", "SMALL", "WAVE", "--estimator", "cge"), "does not read --estimator"),
        (("bench", "black-scholes", "WAVE", "--after", "3"), "does not read --after"),
        (("reproduce", "table4", "--data", "mnist"), "table4 does not read --data"),
        (("bench", "SMALL", "--arithmetic", "fused"), "does not read --arithmetic"),
        (("bench", "WAVE", "--data", "digits", "--no-host"), "does not read --data"),
        (("bench", "WAVE", "--after", "3", "--no-host"), "does not read --after"),
        (("plan", "WAVE", "--data", "digits"), "does not read --data"),
    ],
)
def test_an_option_without_a_reader_is_refused(tmp_path, words, refused):
    folders = {
        "SMALL": write_bundle(tmp_path / "small", small_plan()),
        "WAVE": write_bundle(tmp_path / "wave", wave_plan()),
    }
    done = CliRunner().invoke(main, [*(str(folders.get(word, word)) for word in words), "--json"])
    answer = json.loads(done.stdout)
    assert done.exit_code == 2 and refused in answer["error"] and " reads " in answer["next"]


@pytest.mark.parametrize(
    ("words", "refused", "code"),
    [
        (
            ("eval", "SMALL", "--device", "numpy:", "--data", "ROWS", "--exported", "--generation", "best"),
            "no generation of a run",
            3,
        ),
        (
            ("predict", "SMALL", "--device", "numpy:", "--data", "ROWS", "--exported", "--generation", "best"),
            "no generation of a run",
            3,
        ),
        (("predict", "SMALL", "--device", "numpy:", "--data", "digits", "--window", "3"), "--window is not read", 3),
        (
            ("train", "SMALL", "--device", "numpy:", "--restart", "--generation", "best"),
            "goes on from no checkpoint",
            3,
        ),
        (("build", "SMALL", "--board", "mps2-an386", "--reading", "open"), "without a key", 2),
        (("emulate", "SMALL", "--device", "native:", "--reading", "closed"), "without a key", 2),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, monkeypatch, words, refused, code):
    monkeypatch.delenv("TTZO_KEY", raising=False)
    folder = write_bundle(tmp_path / "small", small_plan())
    np.savez(tmp_path / "rows.npz", **arrays())
    names = {"SMALL": str(folder), "ROWS": str(tmp_path / "rows.npz")}
    done = CliRunner().invoke(main, [*(names.get(word, word) for word in words), "--json"])
    answer = json.loads(done.stdout)
    assert done.exit_code == code and refused in answer["error"] and answer["next"]


def test_a_bundle_is_counted_once_in_its_own_arithmetic(tmp_path, monkeypatch):
    from ttzo.host_tools.cli import bench

    counted = []
    monkeypatch.setattr(bench, "_board_cost", lambda model, given, *rest: counted.append(given["arithmetic"].name))
    monkeypatch.setattr(bench, "_show", lambda *_: None)
    folder = write_bundle(tmp_path / "small", small_plan())
    CliRunner().invoke(main, ["bench", str(folder), "--board", "mps2-an386", "--no-host"])
    assert counted == ["separate"]
