# SPDX-License-Identifier: MIT
"""`ttzo estimators`: the names, and costs that are those of a bundle exported with each estimator."""

import json
import re

import pytest
from bundles import small_plan, wave_plan, write_bundle
from click.testing import CliRunner

from ttzo.device_runtime.contract import ExitCode
from ttzo.exporter import export_again
from ttzo.exporter.costs.instructions import most_instructions
from ttzo.exporter.costs.memory import work_bytes
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.train_defaults import ESTIMATORS
from ttzo.host_tools.cli import estimators
from ttzo.host_tools.cli.choices import WHAT_FOR
from ttzo.host_tools.cli.commands import main

MACS_A_ROW = 6 * 8 + 8 * 3  # of small_plan, whose layers are multiplied out


def run(*words, code=0):
    done = CliRunner().invoke(main, ["estimators", *map(str, words)])
    assert done.exit_code == code, done.output
    return done


def costs(bundle):
    answer = json.loads(run(bundle, "--json").stdout)
    return answer["used"], {each["name"]: each for each in answer["estimators"]}


def test_without_a_bundle_each_estimator_has_the_line_of_the_help():
    answer = json.loads(run("--json").stdout)
    assert {each["name"]: each["text"] for each in answer["estimators"]} == WHAT_FOR["--estimator"]
    assert [each["name"] for each in answer["estimators"]] == list(ESTIMATORS)


def test_whole_loss_evaluations_are_counted_by_hand(tmp_path):
    plan = small_plan()
    used, found = costs(write_bundle(tmp_path / "small", plan))
    assert used == "rge" and found["rge"]["forward_passes"] == [4 * plan.batch]  # one at theta, three queries
    assert found["rge"]["macs"] == [4 * plan.batch * MACS_A_ROW]
    evaluations = 1 + plan.n_parameters
    assert found["cge_plain"]["forward_passes"] == [evaluations * plan.batch]
    assert len(found["hybrid"]["macs"]) == 2 and found["hybrid"]["macs"][1] == found["cge"]["macs"][0]


def test_the_work_buffer_is_the_one_that_a_bundle_with_the_estimator_states(tmp_path):
    plan = small_plan()
    _, found = costs(write_bundle(tmp_path / "small", plan))
    for name in ("cge", "node_cge", "block_rge", "cocd"):
        made = write_bundle(tmp_path / name, export_again.changed(plan, estimator=name))
        answer = json.loads(CliRunner().invoke(main, ["plan", str(made), "--board", "netduinoplus2", "--json"]).stdout)
        forecast = answer["forecasts"][0]
        assert found[name]["work_bytes"] == forecast["work_bytes"]
        assert found[name]["instructions"] == [round(forecast["most_instructions"])]
        assert (found[name]["forward_passes"], found[name]["macs"]) == (
            [forecast["forward_passes"]],
            [forecast["macs"]],
        )


def test_a_plan_says_what_the_other_whole_gradient_would_take(tmp_path):
    bundle = write_bundle(tmp_path / "cge", export_again.changed(small_plan(), estimator="cge"))
    _, found = costs(bundle)
    shown = " ".join(CliRunner().invoke(main, ["plan", str(bundle), "--board", "netduinoplus2"]).stdout.split())
    own, other = (found[name]["instructions"][0] for name in ("cge", "node_cge"))
    assert f"at most {own:,} instructions on a Cortex-M4F; by node_cge {other:,}" in shown


@pytest.mark.parametrize(("made", "name", "why"), [(small_plan, "subspace_gn", "PDE"), (wave_plan, "cge", "residuals")])
def test_an_estimator_that_the_model_refuses_says_why(tmp_path, made, name, why):
    bundle = write_bundle(tmp_path / "bundle", made())
    used, found = costs(bundle)
    assert why in found[name]["refusal"] and "macs" not in found[name] and not found[used]["refusal"]
    shown = " ".join(run(bundle).stdout.split())
    (line,) = re.findall(rf"not for this model: [\w, ]*\b{name}\b[\w, ]* \(([^)]*)", shown)
    assert why in line and not line.startswith(name) and f"the bundle uses {used}" in shown


def test_a_model_that_is_frozen_whole_is_refused(tmp_path):
    frozen = export_again.changed(small_plan(), frozen="float32")
    assert "frozen" in run(write_bundle(tmp_path / "frozen", frozen), code=ExitCode.input).stderr


def test_a_simulation_has_one_way_of_its_own(tmp_path):
    write_bundle(tmp_path / "heater", plan_of("heater"))
    used, found = costs(tmp_path / "heater")
    shown = run(tmp_path / "heater").stdout
    assert used == "simulation_gn" and not found and "simulation_gn alone" in shown and "rge" not in shown


def test_a_plan_of_random_directions_says_what_all_derivatives_would_take_and_bring(tmp_path):
    bundle = write_bundle(tmp_path / "rge", small_plan())
    used, found = costs(bundle)
    shown = " ".join(CliRunner().invoke(main, ["plan", str(bundle), "--board", "netduinoplus2"]).stdout.split())
    whole = [f"by {name} {found[name]['instructions'][0]:,}" for name in ("node_cge", "cge")]
    assert used == "rge" and f"{'; '.join(whole)} (all derivatives, without the noise" in shown


def test_a_plan_names_the_ways_of_an_equation_and_why_a_network_refuses_one():
    (step,) = dict(estimators.alternatives_rows(plan_of("black-scholes"))).values()
    assert step.startswith("at most ") and all(f"by {name} " in step for name in ("last_layer_gn", "coordinate_gn"))
    words = dict(estimators.alternatives_rows(plan_of("names")))
    assert "not by node_cge: does not support convolutions or embeddings" in words["a step"]
    for one_order in (words, dict(estimators.alternatives_rows(plan_of("digits", estimator="cge")))):
        assert "contraction" not in one_order  # embeddings have one; cge walks the cores itself


def test_a_plan_names_the_order_of_multiplication_and_what_the_other_one_takes():
    split = plan_of("digits", estimator="rge")
    cores = plan_of("digits", estimator="rge", contractions="0")
    said = dict(estimators.alternatives_rows(split))["contraction"]
    orders = ":".join(str(layer.contraction) for layer in split.layers)
    most = [round(most_instructions(each, each.training.phases[0])) for each in (split, cores)]
    assert said.startswith(f"--contraction {orders}; core by core takes at most {most[1]:,} instructions a step and ")
    assert f"{work_bytes(cores):,} bytes" in said and f"this one {most[0]:,} and {work_bytes(split):,}" in said
    assert dict(estimators.alternatives_rows(cores))["contraction"].startswith("core by core; --contraction ")
