# SPDX-License-Identifier: MIT
"""The stored tables of sensors hold what docs/sensors.md says, and the command that makes them measures as the verb does."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.data import recordings, series, watch, wheel_files

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


def stored(name: str) -> dict:
    return json.loads((RESULTS / f"sensors-{name}.json").read_text(encoding="utf-8"))


def test_a_watch_learns_nine_of_ten_wearers():
    page = stored("watch")
    persons = page["persons"]
    assert [each["person"] for each in persons] == list(range(1, 11)) and page["rows"] == 100
    for name, mean in page["mean"].items():
        assert mean == pytest.approx(sum(each[name] for each in persons) / 10)
    assert page["mean"]["after"] - page["mean"]["before"] >= 0.09
    assert page["mean"]["last_layer"] - page["mean"]["before"] >= 0.04
    assert sum(each["after"] > each["before"] for each in persons) == page["better"] >= 9
    assert page["same_bits"].pop("commit")  # measured apart from the table
    assert page["same_bits"] == {"devices": ["native:", "qemu:netduinoplus2"], "person": 1, "same": True}
    text = (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8")
    for each in persons:
        shares = " | ".join(f"{100 * each[name]:.1f} %" for name in ("before", "after", "last_layer"))
        assert f"| {each['person']} | {each['test_rows']} | {shares} |" in text


def test_models_from_scratch_reach_what_the_page_says():
    wanted = {"motions": (1.0, 1700), "vowels": (0.98, 3000), "power": (0.972, 450), "appliances": (0.955, 6000)}
    page, text = stored("scratch"), (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8")
    assert {each["model"] for each in page["models"]} == set(wanted)
    for each in page["models"]:
        accuracy, parameters = wanted[each["model"]]
        assert len(each["accuracies"]) == 3 and each["mean"] == pytest.approx(sum(each["accuracies"]) / 3)
        assert each["mean"] >= accuracy and each["parameters"] <= parameters and each["work_bytes"] < 128 << 10
        assert f"| `{each['model']}` | {each['parameters']:,} | {100 * each['mean']:.2f} % |" in text


def test_the_command_measures_the_table_again(tmp_path):
    """`power` for one seed is the first of the three stored; it takes a second."""
    if not wheel_files.is_installed("sktime"):
        pytest.skip(f"needs the package sktime: {series.INSTALL}")
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    words = ["sensors", "scratch", "--model", "power", "--seeds", "1", "-o", str(tmp_path / "s.json"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads((tmp_path / "s.json").read_text())["models"]
    (power,) = (each for each in stored("scratch")["models"] if each["model"] == "power")
    assert found["accuracies"] == power["accuracies"][:1] and found["macs"] == power["macs"]


def test_the_watchs_recordings_are_asked_for_by_the_command_that_brings_them(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "FILE", "data/no_such_file.npy")
    monkeypatch.setattr(watch, "user_cache_path", lambda name: tmp_path)
    if not wheel_files.is_installed("seglearn"):
        pytest.skip(f"needs the package seglearn: {watch.INSTALL}")
    done = CliRunner().invoke(main, ["sensors", "watch", "--json"])
    assert done.exit_code == 3 and watch.INSTALL in json.loads(done.stdout)["next"]


def test_appliances_are_what_the_page_says():
    """What is asked is 97.7 %; it is not reached, and the page says so."""
    before = json.loads((RESULTS / "appliances-68.json").read_text(encoding="utf-8"))
    now = json.loads((ROOT / "tests" / "vectors" / "appliances.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8")
    (ours,) = (each for each in stored("scratch")["models"] if each["model"] == "appliances")
    assert (before["features"], now["features"]) == (68, 74)
    shares = [sum(before[name]) / 3 for name in ("forest", "network", "network_without_variants")]
    shares += [sum(now[name]) / len(now[name]) for name in ("forest", "network", "machine")]
    assert abs(shares[4] - ours["mean"]) < 0.01  # exact gradients, other draws
    shares += [page[f"{name}_five_folds"] for page in (before, now) for name in ("forest", "network")]
    shares += [now[f"{name}_{kind}_power"] for name in ("forest", "network") for kind in ("with", "without")]
    shares.append(now["together"])
    assert all(f"| {100 * share:.1f} %" in text for share in shares)
    assert now["network_with_power"] > now["network_without_power"]
    assert f"are wrong together in {now['wrong_by_all']}." in " ".join(text.split())


def test_autoencoders_find_anomalies_at_least_as_well_as_the_rivals():
    """An AUC of 0.80 is asked of both."""
    page, text = stored("anomaly"), (ROOT / "docs" / "sensors.md").read_text(encoding="utf-8")
    least = {"heartbeats": 0.98, "bleeding": 0.97}
    assert {each["model"] for each in page["models"]} == set(least)
    for each in page["models"]:
        forest = sum(each["isolation_forest"]) / len(each["isolation_forest"])
        assert each["mean"] == pytest.approx(sum(each["device"]) / 3) and each["work_bytes"] <= 24_576 - 4_656 - 2_312
        assert each["mean"] >= least[each["model"]] and each["mean"] >= max(forest, each["one_class_svm"])
        figures = " | ".join(f"{auc:.3f}" for auc in (each["mean"], forest, each["one_class_svm"]))
        assert f"| `{each['model']}` |" in text and figures in text


def test_the_anomaly_table_is_measured_again(tmp_path):
    for package, install in (("aeon", recordings.INSTALL), ("sklearn", "pip install scikit-learn")):
        if not wheel_files.is_installed(package):
            pytest.skip(f"needs the package {package}: {install}")
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    words = ["sensors", "anomaly", "--model", "heartbeats", "--seeds", "1", "-o", str(tmp_path / "s.json"), "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.stderr
    (found,) = json.loads((tmp_path / "s.json").read_text())["models"]
    (kept,) = (each for each in stored("anomaly")["models"] if each["model"] == "heartbeats")
    assert found["device"] == kept["device"][:1] and found["macs"] <= kept["macs"]
