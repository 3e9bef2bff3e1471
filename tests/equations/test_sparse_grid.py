# SPDX-License-Identifier: MIT
"""Sparse grids: closed forms, polynomial exactness, a brute-force construction, Tasmanian, and one order everywhere."""

import ctypes
import itertools
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttzo.device_runtime.contract import TtzoError
from ttzo.exporter.pde.sparse_grid import MAX_LEVEL, smolyak, to_c, to_onnx, write_tables

TASMANIAN = json.loads((Path(__file__).parents[1] / "vectors" / "tasmanian_gauss_hermite.json").read_text())
GRIDS = [(1, 1), (1, 3), (1, 8), (2, 2), (2, 4), (3, 3), (4, 5), (6, 4), (21, 1), (21, 2), (21, 3), (21, 4), (7, 8)]


def weight_of(grid, *values):
    """The weight of the class with these |coordinates|; the values of the level-3 grid are exact in float64."""
    return next(c.weight for c in grid.classes if c.values == values)


def sorted_rule(nodes, weights):
    """The rule in lexicographic order of its nodes, which differ by far more than 9 decimals."""
    order = np.lexsort(np.round(nodes, 9).T[::-1])
    return nodes[order], weights[order]


# ---- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "n_nodes"), [(2, 13), (3, 25), (21, 925)])
def test_level_3_has_2dd_2d_1_nodes(dimension, n_nodes):
    grid = smolyak(dimension, 3)
    assert grid.n_nodes == n_nodes == 2 * dimension**2 + 2 * dimension + 1
    assert grid.nodes().shape == (n_nodes, dimension)
    assert len(np.unique(grid.nodes(), axis=0)) == n_nodes


@pytest.mark.parametrize("dimension", [2, 3, 4, 10, 21, 100, 784])
def test_level_3_weights_are_the_closed_forms_rounded_once(dimension):
    grid = smolyak(dimension, 3)
    centre = 2 * dimension / 3 + (dimension - 1) * (dimension - 2) / 2
    assert weight_of(grid) == pytest.approx(centre, rel=2**-52)  # the expected value itself is rounded twice
    assert weight_of(grid, 1.0) == -(dimension - 1) / 2
    assert weight_of(grid, math.sqrt(3)) == 1 / 6
    assert weight_of(grid, 1.0, 1.0) == 1 / 4
    assert len(grid.classes) == 4


def test_21_dimensions_of_level_3_have_the_papers_weights_and_amplification():
    weights = smolyak(21, 3).weights()
    assert Counter(weights) == {204.0: 1, -10.0: 42, 1 / 6: 42, 0.25: 840}
    assert math.fsum(abs(weights)) == pytest.approx(841, rel=2**-52)  # 1/6 is not a binary number


def test_the_four_and_five_point_rules_have_their_closed_forms():
    four, five = smolyak(1, 4), smolyak(1, 5)
    root6, root10 = math.sqrt(6), math.sqrt(10)
    expected_4 = {math.sqrt(3 - root6): (3 + root6) / 12, math.sqrt(3 + root6): (3 - root6) / 12}
    expected_5 = {
        0.0: 8 / 15,
        math.sqrt(5 - root10): (7 + 2 * root10) / 60,
        math.sqrt(5 + root10): (7 - 2 * root10) / 60,
    }
    for grid, expected in ((four, expected_4), (five, expected_5)):
        found = {abs(float(x)): w for (x,), w in zip(grid.nodes(), grid.weights(), strict=True)}
        # the closed forms above lose a few units in the last place by cancellation
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=8e-16)
        np.testing.assert_allclose(
            [found[x] for x in sorted(found)], [expected[x] for x in sorted(expected)], rtol=8e-15
        )


@pytest.mark.parametrize("level", range(1, MAX_LEVEL + 1))
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_weights_sum_to_one(dimension, level):
    weights = smolyak(dimension, level).weights()
    # each weight is rounded once, so the sum is off by at most half a unit of each
    assert abs(math.fsum(weights) - 1) <= 2**-53 * math.fsum(abs(weights))


@pytest.mark.parametrize(("dimension", "level"), [(d, k) for d in range(1, 5) for k in range(1, 5)])
def test_monomials_up_to_degree_2k_minus_1_are_exact(dimension, level):
    grid = smolyak(dimension, level)
    nodes, weights = grid.nodes(), grid.weights()
    for exponents in itertools.product(range(2 * level), repeat=dimension):
        if sum(exponents) > 2 * level - 1:
            continue
        terms = weights * np.prod(nodes ** np.array(exponents), axis=1)
        # E x^p = (p-1)!! for even p, 0 for odd p
        moment = math.prod(0 if p % 2 else math.prod(range(p - 1, 0, -2)) for p in exponents)
        # rounding: each term carries a few units in its last place, up to the degree's worth of multiplications
        assert abs(math.fsum(terms) - moment) <= 4 * level * 2**-52 * math.fsum(abs(terms)), exponents


# ---- other constructions --------------------------------------------------------------------------------------------


def combination_formula(dimension, level):
    """Eq. 13 written out: all tensor products, equal nodes (at 10 decimals) merged in a dictionary."""
    rules = {n: np.polynomial.hermite_e.hermegauss(n) for n in range(1, level + 1)}
    merged = defaultdict(float)
    for levels in itertools.product(range(1, level + 1), repeat=dimension):
        excess = level - 1 - (sum(levels) - dimension)
        if not 0 <= excess <= dimension - 1:
            continue
        factor = (-1) ** excess * math.comb(dimension - 1, excess)
        for numbers in itertools.product(*(range(n) for n in levels)):
            node = tuple(round(float(rules[n][0][i]), 10) + 0.0 for n, i in zip(levels, numbers, strict=True))
            product = math.prod(rules[n][1][i] for n, i in zip(levels, numbers, strict=True))
            merged[node] += factor * product / math.sqrt(2 * math.pi) ** dimension
    kept = {node: weight for node, weight in merged.items() if abs(weight) > 1e-10}
    return np.array(list(kept)), np.array(list(kept.values()))


@pytest.mark.parametrize(("dimension", "level"), [(1, 4), (2, 1), (2, 2), (2, 3), (2, 5), (3, 4), (4, 3), (3, 6)])
def test_the_grid_is_the_combination_formula(dimension, level):
    grid = smolyak(dimension, level)
    nodes, weights = sorted_rule(grid.nodes(), grid.weights())
    expected_nodes, expected_weights = sorted_rule(*combination_formula(dimension, level))
    np.testing.assert_allclose(nodes, expected_nodes, rtol=0, atol=1e-10)  # the dictionary's keys have 10 decimals
    np.testing.assert_allclose(weights, expected_weights, rtol=0, atol=1e-12)  # sums of a few hundred doubles


# Tasmanian's one-dimensional rules are good to about 1e-15; a merged weight sums many of them.
TASMANIAN_RTOL = 1e-12


@pytest.mark.parametrize("case", TASMANIAN["by_node"], ids=lambda case: f"{case['dimension']}-{case['level']}")
def test_nodes_and_weights_are_tasmanians(case):
    grid = smolyak(case["dimension"], case["level"])
    nodes, weights = sorted_rule(grid.nodes(), grid.weights())
    np.testing.assert_allclose(nodes, case["nodes"], rtol=TASMANIAN_RTOL)
    np.testing.assert_allclose(weights, case["weights"], rtol=TASMANIAN_RTOL)


@pytest.mark.parametrize("case", TASMANIAN["by_class"], ids=lambda case: f"{case['dimension']}-{case['level']}")
def test_classes_are_tasmanians(case):
    grid = smolyak(case["dimension"], case["level"])
    assert len(grid.classes) == len(case["classes"])
    for ours, theirs in zip(
        grid.classes, sorted(case["classes"], key=lambda c: (len(c["values"]), c["values"])), strict=True
    ):
        assert ours.n_nodes(grid.dimension) == theirs["n_nodes"]
        np.testing.assert_allclose(ours.values, theirs["values"], rtol=TASMANIAN_RTOL)
        np.testing.assert_allclose([ours.weight] * 2, theirs["weights"], rtol=TASMANIAN_RTOL)


@pytest.mark.parametrize(("dimension", "level"), [(1, 5), (4, 4), (5, 5), (21, 3), (21, 4)])
def test_installed_tasmanian_makes_the_same_grid(dimension, level):
    pytest.importorskip("Tasmanian", reason="Tasmanian is not installed; its committed figures are tested above")
    from vectors.tasmanian_gauss_hermite import rule

    grid = smolyak(dimension, level)
    nodes, weights = sorted_rule(grid.nodes(), grid.weights())
    expected_nodes, expected_weights = rule(dimension, level)
    np.testing.assert_allclose(nodes, expected_nodes, rtol=TASMANIAN_RTOL, atol=1e-15)
    np.testing.assert_allclose(weights, expected_weights, rtol=TASMANIAN_RTOL)


# ---- symmetry and the one enumeration -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "level"), GRIDS)
def test_every_node_has_its_mirror_image_beside_it(dimension, level):
    nodes = smolyak(dimension, level).nodes()
    first = 0 if nodes[0].any() else 1  # the origin is its own mirror image
    np.testing.assert_array_equal(nodes[first::2], -nodes[first + 1 :: 2])
    assert nodes[first:].any(axis=1).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_rule_stays_the_same_when_coordinates_are_permuted_and_turned(dimension, level, random):
    grid = smolyak(dimension, level)
    nodes, weights = grid.nodes(), grid.weights()
    permutation = random.sample(range(dimension), dimension)
    signs = np.array([random.choice((-1, 1)) for _ in range(dimension)])
    moved = sorted_rule(nodes[:, permutation] * signs, weights)
    for ours, theirs in zip(sorted_rule(nodes, weights), moved, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_order_is_the_one_the_page_promises():
    class_11 = smolyak(3, 3).nodes()[13:]  # after 1 origin, 6 nodes of 1 and 6 of sqrt 3
    expected = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for a, b in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
            expected.append([0, 0, 0])
            expected[-1][i], expected[-1][j] = a, b
    np.testing.assert_array_equal(class_11, expected)


def test_a_grid_outside_the_limits_is_refused_with_a_hint():
    for dimension, level in ((0, 3), (3, 0), (3, MAX_LEVEL + 1), (65536, 2)):
        with pytest.raises(TtzoError, match=f"{dimension} dimensions and level {level}") as caught:
            smolyak(dimension, level)
        assert "choose a dimension" in caught.value.hint


# ---- C --------------------------------------------------------------------------------------------------------------

SHIM = """\
#include <stddef.h>
uint32_t walk(float *nodes, float *weights, uint32_t capacity);
uint32_t table_bytes(void);
uint32_t counted(void);
bool is_valid(uint16_t dimension, uint8_t n_values, const float *values, uint8_t n_classes,
              const struct ttzo_sparse_class *classes);

uint32_t walk(float *nodes, float *weights, uint32_t capacity)
{
    struct ttzo_sparse_node node;
    uint32_t count = 0;
    for (ttzo_sparse_grid_begin(&grid, &node); ttzo_sparse_grid_next(&grid, &node) && count < capacity; count++) {
        if (node.number != count) {
            return 0;
        }
        for (unsigned k = 0; k < node.n_nonzero; k++) {
            nodes[(size_t)count * grid.dimension + node.index[k]] = node.value[k];
        }
        weights[count] = node.weight;
    }
    return count;
}

uint32_t counted(void) { return ttzo_sparse_grid_nodes(&grid); }

uint32_t table_bytes(void) { return sizeof grid + sizeof grid_values + sizeof grid_classes; }

bool is_valid(uint16_t dimension, uint8_t n_values, const float *values, uint8_t n_classes,
              const struct ttzo_sparse_class *classes)
{
    struct ttzo_sparse_grid checked = { dimension, n_classes, n_values, values, classes };
    return ttzo_sparse_grid_is_valid(&checked) && ttzo_sparse_grid_is_valid(&grid);
}
"""


@pytest.fixture(scope="module")
def compiled(c_library):
    """`compiled(grid)`: the written table, the device's enumerator and the shim as an open library."""
    return lambda grid: c_library("equations/sparse_grid.c", "number/real.c", extra=to_c(grid, "grid") + SHIM)


@pytest.mark.parametrize(("dimension", "level"), GRIDS)
def test_c_walks_the_nodes_in_the_order_of_python(dimension, level, compiled):
    grid = smolyak(dimension, level)
    nodes = np.zeros((grid.n_nodes + 1, dimension), np.float32)
    weights = np.zeros(grid.n_nodes + 1, np.float32)
    library = compiled(grid)
    count = library.walk(nodes.ctypes.data_as(ctypes.c_void_p), weights.ctypes.data_as(ctypes.c_void_p), len(weights))
    assert count == grid.n_nodes == ctypes.c_uint32(library.counted()).value
    np.testing.assert_array_equal(nodes[:-1], grid.nodes().astype(np.float32))
    np.testing.assert_array_equal(weights[:-1], grid.weights().astype(np.float32))


def test_21_dimensions_of_level_3_cost_at_most_200_bytes_of_flash(compiled):
    assert compiled(smolyak(21, 3)).table_bytes() <= 200


class SparseClass(ctypes.Structure):
    _fields_ = [("weight", ctypes.c_float), ("n_nonzero", ctypes.c_uint8), ("value", ctypes.c_uint8 * 7)]


@pytest.mark.parametrize(
    ("dimension", "values", "node_class", "valid"),
    [
        (3, [1.0, 2.0], SparseClass(1.0, 2, (0, 1)), True),
        (1, [1.0, 2.0], SparseClass(1.0, 2, (0, 1)), False),  # more non-zero coordinates than coordinates
        (9, [1.0, 2.0], SparseClass(1.0, 8), False),  # more than a node has room for
        (3, [1.0, 2.0], SparseClass(1.0, 1, (2,)), False),  # a value that is not there
        (3, [1.0, 2.0], SparseClass(1.0, 2, (1, 0)), False),  # values fall
        (3, [2.0, 2.0], SparseClass(1.0, 1, (0,)), False),  # a value twice
        (3, [-1.0, 2.0], SparseClass(1.0, 1, (1,)), False),  # a negative magnitude
        (3, [1.0, math.inf], SparseClass(1.0, 1, (0,)), False),
        (3, [1.0, math.nan], SparseClass(1.0, 1, (0,)), False),
        (3, [1.0, 2.0], SparseClass(math.nan, 1, (0,)), False),
        (0, [1.0, 2.0], SparseClass(1.0, 0), False),
    ],
)
def test_a_damaged_table_is_found_before_it_is_walked(dimension, values, node_class, valid, compiled):
    library = compiled(smolyak(4, 4))
    library.is_valid.restype = ctypes.c_bool
    array = (ctypes.c_float * len(values))(*values)
    assert library.is_valid(dimension, len(values), array, 1, ctypes.byref(node_class)) == valid


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "level"), GRIDS)
def test_onnx_yields_the_nodes_in_the_order_of_python(dimension, level):
    grid, model = smolyak(dimension, level), to_onnx(smolyak(dimension, level))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    nodes, weights = session.run(["nodes", "weights"], {})
    np.testing.assert_array_equal(nodes, grid.nodes().astype(np.float32))
    np.testing.assert_array_equal(weights, grid.weights().astype(np.float32))


def test_onnx_holds_the_compact_form():
    grid = smolyak(21, 3)
    assert to_onnx(grid).ByteSize() < 4 * grid.n_nodes * (grid.dimension + 1) / 10  # a tenth of the dense table


def test_files_are_the_same_on_every_run(tmp_path):
    written = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        written.append([path.read_bytes() for path in write_tables(smolyak(5, 4), tmp_path / name)])
    assert written[0] == written[1]
