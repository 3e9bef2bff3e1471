# SPDX-License-Identifier: MIT
"""The page about runs: one file, whose figures are those of the runs' own files."""

import json
import re
from html.parser import HTMLParser

import pytest
from bundles import small_plan, write_bundle

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export import export
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.report import page, pictures
from ttzo.host_tools.training import answers, session

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

VOID = {"meta", "br", "img", "link"}


class Reader(HTMLParser):
    """Which elements are open, the text outside pictures, and what the file asks of other files."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.elsewhere = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        links = [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.elsewhere += [value for value in links if not value.startswith("#")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "svg" not in self.open:
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The plan and two short runs of it."""
    folder = tmp_path_factory.mktemp("digits")
    export("digits", folder, steps=12)
    made = []
    with open_device("numpy:", folder) as device:
        for seed in (0, 1):
            rows = data_set.load(None, device.plan)
            found = session.train(
                device, rows, folder / "runs" / f"seed-{seed}", changes={"seed": seed}, restart=True, test_rows=60
            )
            answers.save(found.folder, json.loads(json.dumps(vars(found.answers), default=vars)))
            made.append(found)
        return device.plan, made


def test_a_page_holds_the_figures_of_its_runs(runs, tmp_path):
    plan, made = runs
    text = page.write([run.folder for run in made], tmp_path / "r.html").read_text(encoding="utf-8")
    read = Reader(text)
    assert not read.elsewhere and "<script" not in text  # it opens anywhere
    for run in made:
        assert f"{100 * run.test.accuracy:.1f} %" in read.words and run.folder.name in read.words
    assert f"{work_bytes(plan):,}" in read.words and f"{plan.n_parameters:,}" in read.words
    assert text.count("<svg") == 5  # the runs, and of each its curve and its confusion
    parts = [int(word.replace(",", "")) for word in re.findall(r"<span>([\d,]+)</span>", text)]
    whole = work_bytes(plan) + 4 * plan.n_parameters + plan.macs
    assert sum(parts) >= 2 * whole  # of two runs, layer records besides


def test_names_cannot_write_the_page(runs, tmp_path):
    _, made = runs
    path = made[0].folder / answers.NAME
    before = path.read_bytes()
    found = json.loads(before)
    found["classes"][0]["name"] = "<script>alert(1)</script>"
    path.write_text(json.dumps(found))
    text = page.write([made[0].folder], tmp_path / "r.html").read_text(encoding="utf-8")
    path.write_bytes(before)
    assert "<script" not in text and "&lt;script&gt;" in text


def test_an_adaptation_shows_before_and_after(runs, tmp_path):
    _, made = runs
    measured = {"accuracy": 0.25, "loss": 2.0}
    page.save_adaptation(
        made[0].folder, {"before": {"test": measured}, "after": {"test": measured | {"accuracy": 0.75}}}
    )
    words = Reader(page.write([made[0].folder], tmp_path / "r.html").read_text(encoding="utf-8")).words
    at = words.index("new data, test rows")
    assert [word for word in words[at + 1 :] if word][:2] == ["25.0 %", "75.0 %"]
    (made[0].folder / page.ADAPTATION).write_text("[1")
    assert "before" not in page.write([made[0].folder], tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(TtzoError, match="no metrics file"):
        page.write([tmp_path], tmp_path / "r.html")


def test_a_bundle_names_its_runs_and_an_identification_says_where_its_answer_is(tmp_path):
    bundle = write_bundle(tmp_path / "m", small_plan())
    (run := bundle / "runs" / "native").mkdir(parents=True)
    (run / "checkpoint.npz").touch()
    with pytest.raises(TtzoError, match="is no run") as refused:
        pictures.draw(bundle)
    assert refused.value.hint == f"name a run of it: {run}"
    export("battery", tmp_path / "battery")
    (found := tmp_path / "battery" / "runs" / "native-identified").mkdir(parents=True)
    for write in (pictures.draw, lambda folder: page.write([folder], tmp_path / "r.html")):
        with pytest.raises(TtzoError, match="identification, which has no report") as refused:
            write(found)
        assert "ttzo identify --json" in refused.value.hint
