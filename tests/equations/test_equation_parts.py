# SPDX-License-Identifier: MIT
"""A runtime with an equation's own parts alone trains it to the bits of the whole one, and names what it lacks."""

import dataclasses

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime
from test_coordinate_gn import dense_plan, phase_of, wave
from test_systems import GN, plan_of, system

from ttzo.device_runtime import FOLDER, core_sources
from ttzo.device_runtime.contract import DeviceError, Part, Region
from ttzo.exporter import pde
from ttzo.exporter.plan.parts import parts_of

FEW = Part.equations | Part.coordinates


@pytest.fixture(scope="module")
def few(c_library):
    sources = [str(path.relative_to(FOLDER)) for path in core_sources({part.name for part in Part if not part & FEW})]
    return c_library(*sources, extra=RUN, flags=(f"-DTTZO_PARTS={int(FEW)}u", "-O0"))


def test_an_equation_trains_to_the_same_bits_without_the_parts_it_does_not_need(few, c_library):
    plan = dense_plan(wave((9, 5, 4)), (3, 5, 4, 1), np.random.default_rng(2), phase_of())
    assert parts_of(plan) == {Part.equations, Part.coordinates}
    devices = [Runtime(core, plan) for core in (few, c_library(*CORE, extra=RUN))]
    steps = [[device.step(Region.collocation) for _ in range(3)] for device in devices]
    assert [step.loss for step in steps[0]] == [step.loss for step in steps[1]]
    assert devices[0].theta.tobytes() == devices[1].theta.tobytes()


def one(**changes) -> pde.Problem:
    return dataclasses.replace(pde.Problem(space=[(0, 1)] * 2, residual=lambda p: p.lap - p.u, rows=4), **changes)


@pytest.mark.parametrize(
    "problem",
    [
        system(),
        one(residual=lambda p: p.d(p.u, 0, 1)),
        one(conditions=[pde.periodic(lambda p: p.u, rows=2)]),
        one(residual=lambda p: p.lap - pde.atan(p.u)),
        one(residual=lambda p: p.lap - p.k * p.u, unknowns={"k": 1.0}),
        one(conditions=[pde.at_readings([(0.5, 0.5, 0.0)])]),
        one(
            conditions=[
                pde.on_faces(lambda p: p.u, axis=k % 2, side=side) for k in range(2) for side in ("low", "high")
            ]
        ),
    ],
    ids=["several functions", "directions", "periodic", "atan", "constants", "readings", "many conditions"],
)
def test_what_systems_have_beyond_other_equations_is_a_part(few, problem):
    plan = plan_of(problem, GN["coordinate_gn"], widths=(4,))
    assert parts_of(plan) == {Part.equations, Part.coordinates, Part.systems}
    with pytest.raises(DeviceError) as refused:
        Runtime(few, plan)
    assert (refused.value.name, refused.value.detail) == ("not_built_in", Part.systems)


def test_unit_directions_are_a_part():
    assert parts_of(plan_of(one(), GN["subspace_gn"], widths=(4,))) == {Part.equations}
