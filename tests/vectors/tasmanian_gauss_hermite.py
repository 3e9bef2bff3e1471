# SPDX-License-Identifier: MIT
"""Writes tasmanian_gauss_hermite.json: sparse grids as Tasmanian makes them, the expected values of test_sparse_grid.py.

    python tests/vectors/tasmanian_gauss_hermite.py        needs Tasmanian (made with 8.2) and numpy; no randomness

Tasmanian integrates against exp(-|x|^2): its nodes times sqrt(2) and weights times pi^(-D/2) are those for N(0, I).
Its level counts from 0. Small grids are written node by node, in lexicographic order; large ones by class: the
ascending non-zero |coordinates|, how many nodes have them, and the smallest and largest of their weights.
"""

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import Tasmanian

BY_NODE = [(2, 1), (2, 2), (2, 3), (2, 4), (3, 3)]
BY_CLASS = [(3, 4), (5, 2), (5, 3), (5, 4), (21, 3), (21, 4)]


def rule(dimension: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Tasmanian's nodes [n, dimension] and weights [n] for N(0, I), in lexicographic order of the nodes."""
    grid = Tasmanian.makeGlobalGrid(dimension, 1, level - 1, "level", "gauss-hermite")
    nodes = grid.getPoints() * np.sqrt(2.0)
    order = np.lexsort(np.round(nodes, 9).T[::-1])
    return nodes[order], (grid.getQuadratureWeights() * np.pi ** (-dimension / 2))[order]


def classes(nodes: np.ndarray, weights: np.ndarray) -> list[dict]:
    """The nodes grouped by their non-zero |coordinates|, which are distinguished at 9 decimals."""

    def key(row):
        return tuple(sorted(float(x) for x in np.round(np.abs(row[0]), 9) if x))

    groups = []
    for _, rows in groupby(sorted(zip(nodes, weights, strict=True), key=key), key):
        members = list(rows)
        some = members[0][0]
        values = sorted(abs(float(x)) for x in some if abs(x) > 1e-9)
        of_class = [float(weight) for _, weight in members]
        groups.append({"values": values, "n_nodes": len(members), "weights": [min(of_class), max(of_class)]})
    return groups


def vectors() -> dict:
    by_node, by_class = [], []
    for dimension, level in BY_NODE:
        nodes, weights = rule(dimension, level)
        by_node.append({"dimension": dimension, "level": level, "nodes": nodes.tolist(), "weights": weights.tolist()})
    for dimension, level in BY_CLASS:
        by_class.append({"dimension": dimension, "level": level, "classes": classes(*rule(dimension, level))})
    return {"made_with": f"Tasmanian {Tasmanian.__version__}", "by_node": by_node, "by_class": by_class}


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(
        json.dumps(vectors(), separators=(",", ":")).replace("},{", "},\n{") + "\n"
    )
