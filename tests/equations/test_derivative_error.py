# SPDX-License-Identifier: MIT
"""Float32 derivatives of trained networks of the zoo against automatic differentiation in double."""

import dataclasses
import json

import numpy as np
import pytest
from bundles import wave_plan, write_bundle
from click.testing import CliRunner
from plans import layer_in_double
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import Derivative, Need, Region
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.writers.onnx.pde_to_onnx import stencil
from ttzo.host_tools.cli.commands import main
from ttzo.host_tools.measure.derivative_error import derivative_errors
from ttzo.host_tools.reference.equations import pde as reference_pde
from ttzo.host_tools.reference.equations.derive import derive

pytest.importorskip("torch")

# Steps of the shipped training, on the C runtime: enough that the network bends as it will at the end.
STEPS = {"allen-cahn": 20, "black-scholes": 20, "burgers": 30, "darcy": 20, "heat10": 3, "hjb20-lq": 2, "hjb20": 20}


@pytest.fixture(scope="module")
def trained(c_library):
    """trained(name): the plan of the zoo's problem with its parameters after some steps."""
    core, known = c_library(*CORE, extra=RUN), {}

    def train(name: str):
        if name not in known:
            plan = plan_of(name)
            run = Runtime(core, plan)
            for _ in range(STEPS[name]):
                run.step(Region.collocation)
            known[name] = dataclasses.replace(plan, parameters=run.theta.copy())
        return known[name]

    return train


@pytest.mark.parametrize("name", list(STEPS))
def test_jets_of_trained_networks_are_within_1e_6_of_automatic_differentiation(trained, name):
    """As the zoo has them: hjb20's are compensated."""
    plan = trained(name)
    for found in derivative_errors(plan, plan.parameters, 100):
        assert found.relative <= 1e-6, found


def test_plain_jets_of_the_paper_s_network_err_less_than_1e_6_of_its_output(trained):
    """The solution is N = 1: all derivatives vanish, and their own size is no measure of a float's roundings."""
    plan = with_derivative(trained("hjb20"), Derivative.jet)
    output, *derivatives = derivative_errors(plan, plan.parameters, 60)
    assert output.relative <= 1e-6
    for found in derivatives:
        assert found.error <= 1e-6 * output.size, found


def with_derivative(plan: Plan, derivative: Derivative) -> Plan:
    return dataclasses.replace(plan, pde=dataclasses.replace(plan.pde, derivative=derivative))


@pytest.mark.parametrize("name", list(STEPS))
def test_compensated_jets_are_within_1e_6_even_where_derivatives_vanish(trained, name):
    plan = with_derivative(trained(name), Derivative.compensated_jet)
    for found in derivative_errors(plan, plan.parameters, 60):
        # what is left is the rounding of each result to a float, and of the four shares that make a gradient of hjb20
        assert found.relative <= 2e-7, found


@pytest.mark.parametrize("derivative", [Derivative.sparse_grid, Derivative.finite_difference])
def test_differences_in_float32_are_within_1e_3_of_their_double_result(trained, derivative):
    """On the trained network of the paper's HJB equation; the same nodes and weights in double precision."""
    plan = with_derivative(trained("hjb20"), derivative)
    points = reference_pde.validation_points(plan, 0, 6)
    found = derive(plan, plan.parameters, len(plan.layers), Need.laplacian, points, None)
    nodes, _, of_laplacian, _ = stencil(plan.pde)
    around = points.T[:, None, :].astype(np.float64) + nodes
    change = in_double(plan, around) - in_double(plan, points.T[:, None, :])
    golden = (change * of_laplacian[:, 0]).sum(1)
    assert np.sqrt(((found.laplacian[0] - golden) ** 2).mean()) <= 1e-3 * np.sqrt((golden**2).mean())


def in_double(plan: Plan, points: np.ndarray) -> np.ndarray:
    state = points.reshape(-1, plan.in_features).astype(np.float64)
    for layer in plan.layers:
        state = layer_in_double(plan.parameters, layer, state)
    return state.reshape(points.shape[:-1])


def test_bench_tells_the_errors_of_a_bundle_s_own_derivatives_and_of_the_most_precise(tmp_path):
    folder = write_bundle(tmp_path / "wave", wave_plan())
    done = CliRunner().invoke(main, ["bench", str(folder), "--derivatives", "--json"])
    told = json.loads(done.stdout)["derivatives"][str(folder)]
    errors = {name: {each["quantity"]: each["relative"] for each in found} for name, found in told.items()}
    assert list(errors) == ["jet", "compensated_jet"]
    assert max(errors["jet"].values()) <= 1e-6
    assert max(errors["compensated_jet"].values()) <= 1e-7  # the rounding of each result to a float
