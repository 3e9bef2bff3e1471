// SPDX-License-Identifier: MIT
// Sparse grids: quadrature nodes and weights for N(0, I), walked out of a table of symmetry classes.
//
//     struct ttzo_sparse_node node;
//     for (ttzo_sparse_grid_begin(&grid, &node); ttzo_sparse_grid_next(&grid, &node);) ...
//
// The order is that of exporter/pde/sparse_grid.py: class by class; in a class choice of coordinates by choice, order
// of values by order, and for each the patterns of signs, a node and its mirror image (all signs turned) side by side.
// The origin, where it is a node, comes first.
#ifndef TTZO_SPARSE_GRID_H
#define TTZO_SPARSE_GRID_H
#include "model/model.h"

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

// Nodes of a valid grid; UINT32_MAX where there are more.
uint32_t ttzo_sparse_grid_nodes(const struct ttzo_sparse_grid *grid);

// Puts `node` before the first node of a valid grid.
void ttzo_sparse_grid_begin(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node);

// Moves `node` on; false when there is none left, and the walk must begin anew. Cost: O(n_nonzero).
bool ttzo_sparse_grid_next(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node);

#endif
