# SPDX-License-Identifier: MIT
"""Every slip of a person in an equation is a sentence with their line; what is right is exported and taken by the device."""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime

pytest.importorskip("torch")

from ttzo.device_runtime.contract import Region, TtzoError
from ttzo.exporter import pde
from ttzo.exporter.export import plan_of
from ttzo.exporter.zoo import get

PATH = Path(__file__).parents[1] / "vectors" / "pde_problems.py"

# name: words of the sentence, words of the next step; {} where the equation is right, or its note
ANSWERS = {
    "ok": {},
    "u_x": ("no `u_x`", "p.grad[0]"),
    "u_xy": ("no `u_xy`", "p.d(p.u, 0, 1)"),
    "mixed": ("no attribute of an expression", "p.d(expression, 0, 1)"),
    "torchsin": ("torch's sin cannot be traced", "pde.sin"),
    "npsin": ("numpy's sin cannot be traced", "pde.sin"),
    "npconst": {},
    "npconst_right": {},
    "npexp": {},
    "rpow": {},
    "spacetuple": ("coordinate 0 of space is 0, not a pair", "space=[(0, 1)]"),
    "space3": ("is (0, 1, 2), not a pair", "space=[(0, 1)]"),
    "spacerev": ("goes from 1 to 0", "lower bound comes first"),
    "spaceinf": ("goes from 0 to inf", "finite"),
    "spacenan": ("goes from 0 to nan", "finite"),
    "spaceempty": ("space is [], no coordinate", "as its coordinate, without time"),
    "timezero": ("time goes from 0 to 0", "differ"),
    "timescalar": ("time is 1.0, not a pair", "time=(0, 1)"),
    "condsingle": ("conditions is a Condition, not a list", "conditions=[...]"),
    "condlambda": ("condition 0 is a function", "pde.on_faces"),
    "condrows0": ("rows of condition 0 is 0", "whole number"),
    "condrowsf": ("rows of condition 0 is 2.5", "whole number"),
    "condweightneg": ("condition 0 has weight -1", "positive weight"),
    "rowsf": ("rows is 10.5", "whole number"),
    "rows0": ("rows is 0", "whole number"),
    "notime": {},
    "notime_ut": ("a problem without time has no u_t", "time=(low, high)"),
    "notime_start": ("condition 0 is one of time", "time=(low, high)"),
    "system": ("2 outputs for a PDE", ""),
    "twoout": ("pde.Problem(fields=[..]) names several", ""),
    "zero": ("the residual does not contain u", "what should be zero"),
    "none": ("residual returns nothing", "return"),
    "noreturn": ("residual returns nothing", "return"),
    "nonet": ("the residual does not contain u", "what should be zero"),
    "chain": ("cannot branch", "pde.where"),
    "ifexpr": ("cannot branch", "pde.where"),
    "andexpr": {},
    "vec": ("a vector of 2 coordinates", "pde.sum"),
    "idx": ("no coordinate 1 among 1", "count from 0"),
    "slicex": ("parts of a vector", "one by one"),
    "lognan": ("not finite at 100 % of its points", "logarithms"),
    "exactnan": {"note": "exact is not finite at 100 %"},
    "exactnp": ("numpy's sin cannot be traced", "pde.sin"),
    "exact2": ("exact takes 1 argument, it is given 2", "lambda x, t"),
    "inverse": ("torch's numbers cannot be traced", "Python number"),
    "third": ("no attribute of an expression", "p.d("),
    "biharm": ("no attribute of an expression", "p.laplacian(expression)"),
    "huge": ("the constant 1e+39 becomes inf in float32", "scale the equation"),
    "tiny": ("the constant 1e-46 becomes 0 in float32", "scale the equation"),
    "inp3": ("a network of 3 inputs", ""),
    "conv": {},
    "relu": ("ends in a ReLU, whose second derivative is 0", "Tanh"),
    "sqrt_t": {},
    "one_over_t": ("condition is not finite at 100 %", "divisions by zero"),
    "kwarg": ("unexpected keyword argument 'initial'", "line"),
    "raises": ("residual failed: KeyError: 'k'", "correct that line"),
    "solbad": ("solution takes 2 arguments, it is given 3", "lambda n, x, t"),
    "solvec": ("solution returns a vector of 2", "pde.sum"),
    "pointsbad": ("outside the domain", "the box"),
    "pointsraise": ("points takes 1 argument, it is given 2", "lambda x, t"),
    "faces_neumann": {},
    "bigscale": {"note": "coordinates go up to 1e+09"},
    "deep": ("nested too deeply", "fewer operations"),
    "strproblem": ("option problem is 'heat'", "ttzo.pde.Problem"),
    "exact_over_t": {},
    "exact_some": {"note": "exact is not finite at 4"},
    "pt_notime": ("a problem without time has no t", "time=(low, high)"),
    "utt_notime": ("a problem without time has no u_tt", "time=(low, high)"),
    "pow65": {},
    "negbase": ("% of its points, whatever u is", "powers of negative numbers"),
}
# what Python itself says, and no equation at all
WITHOUT_LINE = ("kwarg", "strproblem")
WRONG = [name for name, answer in ANSWERS.items() if isinstance(answer, tuple)]
RIGHT = [name for name, answer in ANSWERS.items() if isinstance(answer, dict)]


@pytest.fixture(scope="module")
def functions():
    spec = importlib.util.spec_from_file_location("pde_problems", PATH)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    return {name: f for name, f in vars(source).items() if inspect.isfunction(f) and name not in ("net", "opt")}


def test_every_function_has_its_answer(functions):
    assert set(functions) == {"P", *ANSWERS}


@pytest.mark.parametrize("name", WRONG)
def test_a_slip_is_a_sentence_with_the_person_s_line(name, functions):
    said, hint = ANSWERS[name]
    with pytest.raises(TtzoError) as told:
        plan_of(f"{PATH}:{name}")
    assert said in str(told.value) and hint in told.value.hint
    if name in WITHOUT_LINE:
        return
    line = int(re.search(r"pde_problems\.py:(\d+): ", str(told.value))[1])
    ranges = [inspect.getsourcelines(functions[each]) for each in (name, "P")]  # P calls pde.Problem for all of them
    assert any(first <= line < first + len(lines) for lines, first in ranges)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_exported_and_the_device_takes_a_step(name, c_library):
    plan = plan_of(f"{PATH}:{name}")
    note = ANSWERS[name].get("note", "")
    notes = plan.metadata.get("notes", ())
    assert note in "".join(notes) and bool(note) == bool(notes)
    if name == "bigscale":  # what the note says
        return
    device = Runtime(c_library(*CORE, extra=RUN), plan)
    assert np.isfinite(device.step(Region.collocation).loss)
    assert note == "" or plan.pde.exact is None


def test_an_unknown_constant_that_stands_nowhere_is_refused_by_name():
    problem = pde.Problem(space=[(0, 1)], residual=lambda p: p.lap - p.k, unknowns={"k": 1.0, "other": 2.0})
    with pytest.raises(TtzoError, match=r"test_slips\.py:\d+: neither .* contains the unknown constant other"):
        pde.trace(problem)


def test_readings_without_what_was_measured_are_refused_with_the_line():
    problem = pde.Problem(space=[(0, 1)], residual=lambda p: p.lap, conditions=[pde.at_readings([(0.5,)])])
    with pytest.raises(TtzoError, match=r"test_slips\.py:\d+: a reading has 1 numbers, the point alone has 1"):
        pde.trace(problem)


def test_a_grid_s_cost_follows_its_level_and_one_too_large_is_refused_with_its_numbers():
    burgers = get("burgers").problem
    cost = {level: pde.trace(burgers, "sparse_grid", level=level).passes for level in (2, 3, 5)}
    assert cost == {2: 5, 3: 2 * 2 * 2 + 2 * 2 + 1, 5: pde.trace(burgers, "sparse_grid", level=5).grid.n_nodes}
    with pytest.raises(TtzoError, match=r"level 6 in 21 dimensions has [\d,]+ nodes") as told:
        plan_of("hjb20", derivative="sparse_grid", level=6)
    assert "--level" in str(told.value)


def test_powers_of_numpy_s_numbers_and_high_whole_powers_are_those_of_python():
    from ttzo.exporter.pde.expression import leaf
    from ttzo.exporter.pde.program import compile_expression
    from ttzo.host_tools.reference.programs import program

    x = np.array([[-0.9, 0.0, 0.5, 1.0]], np.float32)
    t = np.zeros(4, np.float32)

    def value(of):
        made = compile_expression(of(leaf("x", 1)[0]))
        return program.run(made, 1, [x, t, *[None] * 6])

    np.testing.assert_allclose(value(lambda a: a**65), x[0].astype(float) ** 65, rtol=1e-5)
    np.testing.assert_allclose(value(lambda a: a ** np.int64(3)), x[0] ** 3, rtol=1e-6)
    np.testing.assert_allclose(value(lambda a: np.float64(2.0) * a - np.float32(0.5)), 2 * x[0] - 0.5, rtol=1e-6)
    np.testing.assert_allclose(value(lambda a: 2**a), 2.0 ** x[0], rtol=1e-6)
    both = value(lambda a: pde.where((a > 0.2) & (a < 0.7) | ~(a < 0.9), 1.0, 0.0))
    np.testing.assert_array_equal(both, [0, 0, 1, 1])


@pytest.mark.parametrize("name", ["heat10", "burgers", "black-scholes", "darcy"])
def test_the_zoo_s_exact_solutions_stay(name):
    problem = get(name).problem
    assert pde.why_no_exact(problem) == "" and (pde.trace(problem).exact is None) == (problem.exact is None)
