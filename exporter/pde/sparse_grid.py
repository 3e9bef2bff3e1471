# SPDX-License-Identifier: MIT
"""Smolyak grids of Gauss-Hermite rules: the expectation of a function under N(0, I) as a short weighted sum.

The grid of dimension D is symmetric under permutations of the coordinates and changes of sign, so it is kept as
*classes*: the non-zero |coordinates| of a node, and the one weight that all its images share. The 925 nodes of 21
dimensions, level 3, are four classes: 68 bytes of flash on a 32-bit core. The nodes come out of the classes by one
enumeration, which `SparseGrid.nodes`, device_runtime/equations/sparse_grid.c and the ONNX graph share:

    for each class, in the grid's order
      for each choice of its coordinates, ascending, in lexicographic order
        for each distinct order of its values, in lexicographic order
          for each pattern of signs: a node and its mirror image side by side

The origin, where it is a node, is the first class. Source: paper eqs. 10-13.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import TtzoError

MAX_LEVEL = 8  # classes of at most 7 coordinates: TTZO_SPARSE_MAX_NONZERO in device_runtime/equations/sparse_grid.h
MAX_DIMENSION = 65535  # coordinates are numbered by uint16_t
_ROOT_BITS = 160  # roots of Hermite polynomials are kept to so many binary places


@dataclass(frozen=True)
class NodeClass:
    """All nodes whose non-zero |coordinates| are `values` (ascending), at any places and with any signs."""

    values: tuple[float, ...]
    weight: float

    @property
    def orders(self) -> list[tuple[float, ...]]:
        """The distinct orders of the values, in lexicographic order."""
        return sorted(set(itertools.permutations(self.values)))

    def n_nodes(self, dimension: int) -> int:
        repeats = math.prod(math.factorial(self.values.count(value)) for value in set(self.values))
        n = len(self.values)
        return math.comb(dimension, n) * (math.factorial(n) // repeats) * 2**n


@dataclass(frozen=True)
class SparseGrid:
    """A quadrature rule for N(0, I) in `dimension` dimensions, exact to total degree 2 `level` - 1."""

    dimension: int
    level: int
    classes: tuple[NodeClass, ...]

    @property
    def n_nodes(self) -> int:
        return sum(node_class.n_nodes(self.dimension) for node_class in self.classes)

    @property
    def values(self) -> tuple[float, ...]:
        """The distinct non-zero |coordinates|, ascending."""
        return tuple(sorted({value for node_class in self.classes for value in node_class.values}))

    def nodes(self) -> np.ndarray:
        """All nodes, float64 [n_nodes, dimension], in the order of the enumeration."""
        return np.concatenate([_expand(node_class, self.dimension) for node_class in self.classes])

    def weights(self) -> np.ndarray:
        """Their weights, float64 [n_nodes]."""
        counts = [node_class.n_nodes(self.dimension) for node_class in self.classes]
        return np.repeat([node_class.weight for node_class in self.classes], counts)


def smolyak(dimension: int, level: int) -> SparseGrid:
    """The grid A_{D,k} of the paper's eq. 13 with D = `dimension`, k = `level`, equal nodes merged.

    Weights are computed in rational arithmetic and rounded once. Nodes whose weight is exactly zero are left out.
    Raises `TtzoError` outside 1 <= level <= 8, 1 <= dimension <= 65535.
    """
    if not 1 <= level <= MAX_LEVEL or not 1 <= dimension <= MAX_DIMENSION:
        raise TtzoError(
            f"a sparse grid of {dimension} dimensions and level {level} cannot be made",
            f"choose a dimension from 1 to {MAX_DIMENSION} and a level from 1 to {MAX_LEVEL}",
        )
    classes = []
    for points in _multisets(min(dimension, level - 1), level - 1):
        weight = _weight(points, dimension, level)
        if weight:
            classes.append(NodeClass(tuple(sorted(float(_rule(n)[i][0]) for n, i in points)), float(weight)))
    return SparseGrid(dimension, level, tuple(sorted(classes, key=lambda c: (len(c.values), c.values))))


# ---- weights --------------------------------------------------------------------------------------------------------


def _hermite(n: int, x: Fraction) -> Fraction:
    """The probabilists' Hermite polynomial He_n(x)."""
    before, now = Fraction(0), Fraction(1)
    for k in range(n):
        before, now = now, x * now - k * before
    return now


@cache
def _rule(n: int) -> tuple[tuple[Fraction, Fraction], ...]:
    """The n-point Gauss-Hermite rule for N(0, 1): (node, weight) of the nodes >= 0, ascending.

    Two Newton steps (He_n' = n He_{n-1}) take the double-precision roots to about 200 bits. The weight of node x is
    n! / (n He_{n-1}(x))^2.
    """
    rule: list[tuple[Fraction, Fraction]] = []
    for start in np.polynomial.hermite_e.hermegauss(n)[0][n // 2 :]:
        node = Fraction(0) if n % 2 and not rule else Fraction(float(start))
        for _ in range(2):
            node -= _hermite(n, node) / (n * _hermite(n - 1, node))
            node = Fraction(round(node * 2**_ROOT_BITS), 2**_ROOT_BITS)
        rule.append((node, math.factorial(n) / (n * _hermite(n - 1, node)) ** 2))
    return tuple(rule)


def _multisets(length: int, budget: int) -> list[tuple[tuple[int, int], ...]]:
    """The sets, with repetition, of at most `length` non-zero one-dimensional nodes (rule, index) whose rules' levels
    above 1 sum to at most `budget`.

    Rules of different size share no node but 0 (their polynomials are irreducible, Schur 1929), so such a set is a class.
    """
    points = [(n, i) for n in range(2, budget + 2) for i in range(n % 2, (n + 1) // 2)]
    return [
        chosen
        for count in range(length + 1)
        for chosen in itertools.combinations_with_replacement(points, count)
        if sum(n - 1 for n, _ in chosen) <= budget
    ]


def _weight(points: tuple[tuple[int, int], ...], dimension: int, level: int) -> Fraction:
    """The merged weight of a node with these non-zero coordinates.

    The rules of the other coordinates all hold the node 0. With G(z) = sum over odd n of V_n(0) z^(n-1), the products
    of theirs whose levels exceed 1 by e in total sum to the coefficient of z^e in G^(D - len(points)).
    """
    used = sum(n - 1 for n, _ in points)
    zeros = _power([_rule(n)[0][1] if n % 2 else Fraction(0) for n in range(1, level + 1)], dimension - len(points))
    merged = sum(
        (-1) ** (level - 1 - q) * math.comb(dimension - 1, level - 1 - q) * zeros[q - used] for q in range(used, level)
    )
    return merged * math.prod(_rule(n)[i][1] for n, i in points)


def _power(series: list[Fraction], exponent: int) -> list[Fraction]:
    """The power of a series whose constant term is 1, cut to the same length (n p_n = sum (k e - (n-k)) s_k p_(n-k))."""
    power = [Fraction(1)]
    for n in range(1, len(series)):
        terms = ((k * exponent - (n - k)) * series[k] * power[n - k] for k in range(1, n + 1))
        power.append(Fraction(sum(terms)) / n)
    return power


# ---- the enumeration ------------------------------------------------------------------------------------------------


def _signs(n: int) -> np.ndarray:
    """Sign patterns [2^n, n]. Pattern 2p has + at the first coordinate and bit j - 1 of p as the sign of coordinate j
    (1 means -); pattern 2p + 1 is its mirror image."""
    patterns = []
    for pattern in range(2**n):
        bits = [0, *((pattern >> j) & 1 for j in range(1, n))][:n]
        patterns.append([1 - 2 * (bit ^ (pattern & 1)) for bit in bits])
    return np.array(patterns, np.float64).reshape(2**n, n)


def _signed_orders(node_class: NodeClass) -> np.ndarray:
    """The values of the non-zero coordinates of all nodes at one choice of places, float64 [orders * signs, n]."""
    orders = np.array(node_class.orders, np.float64)
    signed = orders[:, None, :] * _signs(len(node_class.values))
    return signed.reshape(math.prod(signed.shape[:2]), len(node_class.values))


def _expand(node_class: NodeClass, dimension: int) -> np.ndarray:
    n = len(node_class.values)
    places = np.array(list(itertools.combinations(range(dimension), n)), np.intp)[:, None, :]
    values = _signed_orders(node_class)
    nodes = np.zeros((len(places), len(values), dimension))
    np.put_along_axis(nodes, np.broadcast_to(places, (len(places), *values.shape)), values[None], axis=2)
    return nodes.reshape(-1, dimension)


# ---- writers --------------------------------------------------------------------------------------------------------


def to_c(grid: SparseGrid, name: str = "sparse_grid") -> str:
    """The grid as C data, `const struct ttzo_sparse_grid NAME`, for the enumerator in device_runtime/equations/sparse_grid.h.

    Numbers are the doubles of `grid` rounded to the nearest float32. Equal grids give equal text.
    """
    values = grid.values
    lines = [
        "// SPDX-License-Identifier: MIT",
        f"// Smolyak Gauss-Hermite grid for N(0, I): {grid.dimension} dimensions, level {grid.level}, {grid.n_nodes} nodes.",
        '#include "equations/sparse_grid.h"',
        "",
        f"static const float {name}_values[] = {{ // non-zero |coordinates|",
        *(f"    {_c_float(value)}," for value in values or (0.0,)),
        "};",
        f"static const struct ttzo_sparse_class {name}_classes[] = {{ // weight, non-zero coordinates, their values",
    ]
    for node_class in grid.classes:
        numbers = ", ".join(str(values.index(value)) for value in node_class.values) or "0"
        text = f"    {{ {_c_float(node_class.weight)}, {len(node_class.values)}, {{ {numbers} }} }},"
        lines.append(f"{text} // nodes: {node_class.n_nodes(grid.dimension)}")
    return "\n".join(
        [
            *lines,
            "};",
            f"const struct ttzo_sparse_grid {name} = {{",
            f"    {grid.dimension}, {len(grid.classes)}, {len(values)}, {name}_values, {name}_classes,",
            "};",
            "",
        ]
    )


def _c_float(value: float) -> str:
    return f"{np.float32(value)!s}f"


def to_onnx(grid: SparseGrid):
    """An `onnx.ModelProto` without inputs that yields `nodes` float32 [n_nodes, dimension] and `weights` float32
    [n_nodes], each the nearest float32 to the double of `grid`, in the order of the enumeration.

    The graph holds the compact form: for each class its signed orders, multiplied onto one-hot rows of the places.
    """
    from onnx import TensorProto, helper, numpy_helper  # only here: the tables themselves need no onnx

    graph_nodes, constants = [], {}

    def constant(label: str, array: np.ndarray) -> str:
        constants[label] = numpy_helper.from_array(array, label)
        return label

    def op(kind: str, inputs: list[str], output: str, **attributes) -> str:
        graph_nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    rows, weights = [], []
    for number, node_class in enumerate(grid.classes):
        n, label = len(node_class.values), f"class{number}"
        count = np.array([node_class.n_nodes(grid.dimension)], np.int64)
        weight = constant(f"{label}.weight", np.array(node_class.weight, np.float32))
        weights.append(op("Expand", [weight, constant(f"{label}.count", count)], f"{label}.weights"))
        if n == 0:
            rows.append(constant(f"{label}.nodes", np.zeros((1, grid.dimension), np.float32)))
            continue
        coordinates = constant("coordinates", np.arange(grid.dimension, dtype=np.int64))
        values = constant(f"{label}.values", _signed_orders(node_class).astype(np.float32))
        places = op("Transpose", [_places(n, label, coordinates, constant, op)], f"{label}.places", perm=[1, 0])
        column = op("Unsqueeze", [places, constant("last", np.array([-1], np.int64))], f"{label}.columns")
        is_place = op("Equal", [column, coordinates], f"{label}.is_place")
        one_hot = op("Cast", [is_place], f"{label}.one_hot", to=TensorProto.FLOAT)
        product = op("MatMul", [values, one_hot], f"{label}.product")
        shape = constant("rows", np.array([-1, grid.dimension], np.int64))
        rows.append(op("Reshape", [product, shape], f"{label}.nodes"))
    op("Concat", rows, "nodes", axis=0)
    op("Concat", weights, "weights", axis=0)
    outputs = [
        helper.make_tensor_value_info("nodes", TensorProto.FLOAT, [grid.n_nodes, grid.dimension]),
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, [grid.n_nodes]),
    ]
    graph = helper.make_graph(graph_nodes, "sparse_grid", [], outputs, list(constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="ttzo")


def _places(n: int, label: str, coordinates: str, constant, op) -> str:
    """Adds the nodes for all n ascending coordinates, int64 [n, choices]: where i_1 < i_2 < ... in the n-fold cube."""
    if n == 1:
        return op("Unsqueeze", [coordinates, constant("first", np.array([0], np.int64))], f"{label}.all")
    axes = []
    for axis in range(n):
        shape = constant(f"axis{axis}of{n}", np.array([-1 if k == axis else 1 for k in range(n)], np.int64))
        axes.append(op("Reshape", [coordinates, shape], f"{label}.axis{axis}"))
    ascending = op("Less", axes[:2], f"{label}.ascending1")
    for axis in range(1, n - 1):
        less = op("Less", axes[axis : axis + 2], f"{label}.less{axis + 1}")
        ascending = op("And", [ascending, less], f"{label}.ascending{axis + 1}")
    return op("NonZero", [ascending], f"{label}.all")


def write_tables(grid: SparseGrid, folder: Path, name: str = "sparse_grid") -> tuple[Path, Path]:
    """Writes `NAME.c` and `NAME.onnx` into an existing folder and returns their paths."""
    c_path, onnx_path = folder / f"{name}.c", folder / f"{name}.onnx"
    c_path.write_text(to_c(grid, name), encoding="utf-8", newline="\n")
    onnx_path.write_bytes(to_onnx(grid).SerializeToString(deterministic=True))
    return c_path, onnx_path
