# SPDX-License-Identifier: MIT
"""A PDE in Python becomes a program, or an error that names the line."""

import math

import numpy as np
import pytest

from ttzo.device_runtime.contract import Derivative, Need, Sampler
from ttzo.exporter import pde
from ttzo.exporter.pde.differentiate import Calculus
from ttzo.exporter.pde.expression import leaf
from ttzo.exporter.pde.program import compile_expression
from ttzo.host_tools.reference.programs import program as reference_program


def problem(residual, **options) -> pde.Problem:
    return pde.Problem(**{"space": [(0.0, 1.0)] * 3, "time": (0.0, 1.0), "residual": residual} | options)


# ---- what cannot be traced -------------------------------------------------------------------------------------------


def branches(p):
    if p.u > 0:
        return p.u
    return -p.u


def calls_math(p):
    return math.sin(p.u)


def calls_numpy(p):
    return np.sin(p.u)


def compares(p):
    return pde.where(p.u == 1.0, 1.0, 0.0)


def asks_for_more(p):
    return p.u.norm()


def leaves_the_vector(p):
    return p.grad[3]


def sums_a_scalar(p):
    return pde.sum(p.u)


def adds_text(p):
    return p.u + "1"


@pytest.mark.parametrize(
    "residual",
    [branches, calls_math, calls_numpy, compares, asks_for_more, leaves_the_vector, sums_a_scalar, adds_text],
)
def test_what_cannot_be_traced_is_refused_by_its_line(residual):
    with pytest.raises(pde.PdeError) as refused:
        pde.trace(problem(residual))
    first = residual.__code__.co_firstlineno
    assert f"test_pde_trace.py:{first + 1}: " in str(refused.value)
    assert refused.value.hint


def test_a_vector_is_no_residual():
    with pytest.raises(pde.PdeError, match="vector of 3 coordinates"):
        pde.trace(problem(lambda p: p.grad))


def test_a_program_that_is_too_long_is_refused():
    def endless(p):
        value = p.u
        for k in range(100):
            value = pde.sin(value) + pde.cos(k * p.x[k % 3])
        return value

    with pytest.raises(pde.PdeError, match="instructions"):
        pde.trace(problem(endless))


def test_a_program_that_nests_too_deeply_is_refused():
    def bottomless(p):
        value = p.u
        for _ in range(5000):
            value = pde.sin(value)
        return value

    with pytest.raises(pde.PdeError, match="nested"):
        pde.trace(problem(bottomless))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"space": [(0.0, 0.0)]}, "from 0 to 0"),
        ({"space": [(0.0, math.inf)]}, "from 0 to inf"),
        ({"time": None, "conditions": [pde.at_end(lambda p: p.u)]}, "one of time"),
        ({"rows": 0}, "rows is 0"),
        ({"conditions": [pde.on_faces(lambda p: p.u, weight=-1.0)]}, "weight"),
        ({"conditions": [pde.on_faces(lambda p: p.u)] * 16}, "kinds of rows"),
    ],
)
def test_an_inconsistent_problem_is_refused(options, words):
    with pytest.raises(pde.PdeError, match=words):
        pde.trace(problem(lambda p: p.u, **options))


# ---- derivatives of an ansatz ----------------------------------------------------------------------------------------


def evaluate(e, x: np.ndarray, t: np.ndarray, n: dict[str, np.ndarray]) -> np.ndarray:
    """An expression at points [3, k], the network's output and derivatives given."""
    inputs = [x, t, n["n"], n["n_x"], n["n_t"], n["n_xx"].sum(0), n["n_xx"], n["n_tt"]]
    inputs = [np.float32(value) for value in inputs]
    return reference_program.run(compile_expression(e), 3, inputs)


def network(x: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
    """n = exp(x_0 - x_1 + 2 t) sin(x_2), with its derivatives."""
    n, along = np.exp(x[0] - x[1] + 2 * t) * np.sin(x[2]), np.exp(x[0] - x[1] + 2 * t) * np.cos(x[2])
    return {"n": n, "n_x": np.array([n, -n, along]), "n_t": 2 * n, "n_xx": np.array([n, n, -n]), "n_tt": 4 * n}


ANSATZES = [
    lambda n, x, t: (1 - t) * n + pde.sum(x),
    lambda n, x, t: x[0] * (1 - x[0]) * n * t + pde.exp(-t) * pde.sum(pde.sin(x)),
    lambda n, x, t: pde.tanh(n * pde.sum(x * x)) / (1 + t * t),
    lambda n, x, t: pde.where(x[1] < 0.5, n * x[1], 0.5 * n) + abs(x[2] - 2.0) ** 1.5,
    lambda n, x, t: pde.atan(n * x[0]) + pde.atan2(n + 1.0, x[1] * t) + pde.sinh(x[2] * n) * pde.cosh(t * x[0]),
    lambda n, x, t: pde.maximum(n, 5.0 * x[0]) + pde.minimum(t, n) + pde.abs(x[2] - n) + pde.tan(x[1] * t),
    lambda n, x, t: n**1.5 + (x[0] + 1.0) ** n + 2.0 ** (x[1] * t) + pde.abs(n) ** -0.5,
    lambda n, x, t: pde.log1p(pde.sum(x * n) ** 2) + pde.sqrt(pde.sum(x * x) + 1.0) + pde.expm1(x[0] * t),
]


@pytest.mark.parametrize("ansatz", ANSATZES)
def test_derivatives_of_an_ansatz_are_those_of_differences(ansatz):
    rng = np.random.default_rng(0)
    x, t, h = rng.uniform(0.1, 0.4, (3, 5)), rng.uniform(0.1, 0.9, 5), 1e-4

    def u(x, t):  # in double precision: pde's functions take NumPy arrays too
        return ansatz(network(x, t)["n"], x, t)

    shifts = np.eye(3)[:, :, None] * h
    first = np.array([(u(x + s, t) - u(x - s, t)) / (2 * h) for s in shifts])
    second = np.array([(u(x + s, t) - 2 * u(x, t) + u(x - s, t)) / h**2 for s in shifts])
    in_time = (u(x, t + h) - u(x, t - h)) / (2 * h)
    twice = (u(x, t + h) - 2 * u(x, t) + u(x, t - h)) / h**2
    leaves = leaf("n", 3), leaf("x", 3), leaf("t", 3)
    point = pde.Point({"u": ansatz(*leaves)}, leaves[1], leaves[2], Calculus(3))
    found = [point.u_t, point.u_tt, point.lap, *point.grad, *point.second]
    wanted = [in_time, twice, second.sum(0), *first, *second]
    for mine, its in zip(found, wanted, strict=True):
        # float32 programs against differences whose own error is about 1e-6
        np.testing.assert_allclose(evaluate(mine, x, t, network(x, t)), its, rtol=2e-5, atol=2e-5)


def test_only_what_is_read_is_needed():
    wants = {
        lambda p: p.u: 0,
        lambda p: p.u_t + pde.sum(p.grad): Need.first,
        lambda p: p.lap: Need.laplacian,
        lambda p: p.second[1]: Need.diagonal,
        lambda p: p.u_tt - p.lap: Need.diagonal | Need.laplacian,
    }
    for residual, needs in wants.items():
        assert pde.trace(problem(residual)).groups[0].condition.needs == needs


def test_normal_cdf_is_that_of_the_error_function():
    z = np.linspace(-6, 6, 1001)
    exact = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    assert np.abs(pde.normal_cdf(z) - exact).max() < 8e-8  # the formula's stated bound, rounded up


FUNCTIONS = {
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tan": math.tan,
    "abs": abs,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_the_standard_library_in_a_program_in_numpy_and_in_torch(name):
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.linspace(-1.5, 1.5, 101), [1e-6, -1e-6]])
    exact = np.array([FUNCTIONS[name](v) for v in x])
    function = getattr(pde, name)
    inputs = [np.float32(x[None]), np.zeros(len(x), np.float32), *[None] * 6]
    program = compile_expression(function(leaf("x", 1)[0]))
    # 16 roundings of 2^-24 at most, and of x itself, which tan's slope of 200 enlarges
    np.testing.assert_allclose(reference_program.run(program, 1, inputs), exact, rtol=5e-6, atol=0)
    np.testing.assert_allclose(function(x), exact, rtol=1e-14)
    np.testing.assert_allclose(function(torch.from_numpy(x)).numpy(), exact, rtol=1e-14)


# ---- names -----------------------------------------------------------------------------------------------------------


def test_derivatives_go_by_name():
    for derivative in Derivative:
        assert pde.trace(problem(lambda p: p.lap), derivative=derivative.name).derivative == derivative
    with pytest.raises(pde.PdeError, match="no derivative 'backprop'"):
        pde.trace(problem(lambda p: p.lap), derivative="backprop")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"points": lambda x, t: x}, "does not return a pair"),
        ({"points": lambda x, t: (2.0 * x, t)}, "outside the domain"),
        ({"points": lambda x, t: (x, t - 0.1)}, "outside the domain"),
        ({"points": lambda x, t: ([x[0], x[1]], t)}, "2 coordinates in space, the problem has 3"),
        ({"points": lambda x, t: (x, x)}, "vector of 3 coordinates"),
        ({"solution": lambda n, x, t: (n, n)}, "2 values, not one"),
        ({"fields": ["u", "v"], "solution": lambda n, x, t: n[0]}, "1 values for the fields u, v"),
        ({"fields": ["u", "v"], "exact": lambda x, t: (x[0], x[1], t)}, "3 values for the fields u, v"),
        ({"fields": "uv"}, "not a list of names"),
        ({"fields": ["u", "x"]}, "called 'x'"),
        ({"fields": ["u", "u"]}, "one name"),
        ({"conditions": [pde.on_faces(lambda p: p.u, axis=3)]}, "axis of condition 0 is 3"),
        ({"conditions": [pde.on_faces(lambda p: p.u, side="low")]}, "side of condition 0 is 'low'"),
        ({"conditions": [pde.at_end(lambda p: p.u_n)]}, "no normal for u_n here"),
        ({"residual": lambda p: p.d(p.u, 0, 1, 2)}, "order 3 in three inputs"),
        ({"residual": lambda p: p.d(p.u, 0, 0, 1, 1)}, "order 4"),
        ({"residual": lambda p: p.d(p.u, 3)}, "no coordinate 3"),
        ({"residual": lambda p: p.d(p.u)}, "given no coordinate"),
        ({"residual": lambda p: p.d(p.u, "t"), "time": None}, "without time has no t"),
    ],
)
def test_points_and_systems_that_no_device_could_have_are_refused(options, words):
    with pytest.raises(pde.PdeError, match=words):
        pde.trace(problem(**{"residual": lambda p: p.u} | options))


def test_points_may_be_a_vector_or_its_coordinates():
    """Both ways to write a place run to the same numbers."""
    ways = (lambda x, t: (x * x, t), lambda x, t: ([each * each for each in x], t))
    rng = np.random.default_rng(0)
    x, t = rng.uniform(0, 1, (3, 5)).astype(np.float32), rng.uniform(0, 1, 5).astype(np.float32)
    inputs = [x, t, *[None] * 6]
    for way in ways:
        space, time = pde.trace(problem(lambda p: p.u, points=way)).points
        assert (reference_program.run(space, 3, inputs) == x * x).all()
        assert (reference_program.run(time, 3, inputs) == t).all()


def test_rows_come_in_the_order_they_were_written():
    conditions = [pde.on_faces(lambda p: p.u, weight=4.0, rows=7), pde.at_start(lambda p: p.u, rows=2)]
    groups = pde.trace(problem(lambda p: p.lap, conditions=conditions, rows=5)).groups
    assert [(g.sampler, g.count, g.root_weight) for g in groups] == [
        (Sampler.interior, 5, 1.0),
        (Sampler.faces, 7, 2.0),
        (Sampler.start, 2, 1.0),
    ]
