// SPDX-License-Identifier: MIT
// Sparse grids: quadrature nodes and weights for N(0, I), walked out of a table of symmetry classes.
//
//     struct ttzo_sparse_node node;
//     for (ttzo_sparse_grid_begin(&grid, &node); ttzo_sparse_grid_next(&grid, &node);) ...
//
// The order is that of exporter/pde/sparse_grid.py: class by class; in a class choice of coordinates by choice, order of
// values by order, and for each the patterns of signs, a node and its mirror image (all signs turned) side by side.
// The origin, where it is a node, comes first.
#ifndef TTZO_SPARSE_GRID_H
#define TTZO_SPARSE_GRID_H
#include <stdbool.h>
#include <stdint.h>

#define TTZO_SPARSE_MAX_NONZERO 7u // non-zero coordinates of one node: the level of the grid minus 1, at most

// All nodes with these non-zero |coordinates|, at any places and with any signs.
struct ttzo_sparse_class {
    float weight;                           // of each node
    uint8_t n_nonzero;                      // entries of `value` that count
    uint8_t value[TTZO_SPARSE_MAX_NONZERO]; // numbers in the grid's `values`, ascending, repeats allowed
};

// A grid: data only, written by exporter/pde/sparse_grid.py (`to_c`).
struct ttzo_sparse_grid {
    uint16_t dimension;
    uint8_t n_classes;
    uint8_t n_values;
    const float *values;                     // [n_values] distinct non-zero |coordinates|, ascending
    const struct ttzo_sparse_class *classes; // [n_classes]
};

// One node: `dimension` coordinates of which n_nonzero differ from 0.
struct ttzo_sparse_node {
    uint32_t number; // in the enumeration, from 0
    float weight;
    uint8_t n_nonzero;
    uint16_t index[TTZO_SPARSE_MAX_NONZERO]; // [n_nonzero] which coordinates, ascending
    float value[TTZO_SPARSE_MAX_NONZERO];    // [n_nonzero] their values

    // where the walk stands
    uint8_t class_number;
    uint8_t sign_pattern;
    uint8_t order[TTZO_SPARSE_MAX_NONZERO]; // [n_nonzero] number of each coordinate's |value|
    bool started;
};

// Whether every number of a grid is such that the walk stays inside its arrays. Once, before the first walk.
bool ttzo_sparse_grid_is_valid(const struct ttzo_sparse_grid *grid);

// Puts `node` before the first node of a valid grid.
void ttzo_sparse_grid_begin(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node);

// Moves `node` on; false when there is none left, and the walk must begin anew. Cost: O(n_nonzero).
bool ttzo_sparse_grid_next(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node);

#endif
