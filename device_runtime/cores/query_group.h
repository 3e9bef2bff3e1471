// SPDX-License-Identifier: MIT
// Queries that move the same units of a layer, asked together.
#ifndef TTZO_QUERY_GROUP_H
#define TTZO_QUERY_GROUP_H
#include "cores/propagate.h"

// Quad i of the n moves the units by moves[i * size], or where there are no moves by its lines.
struct ttzo_query_group {
    struct ttzo_units units;
    float bound; // of the moves
    const float *moves;
    uint32_t size, n;
    const struct ttzo_slices *slices;
    const struct ttzo_slice_quad *quads;
    float (*differences)[TTZO_QUERIES_AT_ONCE]; // what comes of them
};

// L(+moves) - L(0) of each query, or L(+moves) - L(-moves) if `antithetic`, into the group's differences.
void ttzo_query_group_ask(const struct ttzo_query_group *group, struct ttzo_queries *queries, bool antithetic);

#endif
