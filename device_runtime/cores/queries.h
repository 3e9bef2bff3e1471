// SPDX-License-Identifier: MIT
// What the queries of one sample share, and the units that a query moves.
#ifndef TTZO_QUERIES_H
#define TTZO_QUERIES_H
#include "cores/query_scratch.h"
#include "network/layers.h"

// Queries of one sample: its caches, their scratch, and the units that they move.
struct ttzo_queries {
    struct ttzo_sample_cache cache;
    struct ttzo_query_scratch scratch;
    struct ttzo_aim aim;
};

// Units of a layer that queries move: number i * columns + j of a move is unit first + i * jump + j.
struct ttzo_units {
    uint32_t layer;
    uint32_t first, rows, columns, jump;
};

static inline bool ttzo_is_last_layer(const struct ttzo_queries *queries, uint32_t l)
{
    return l + 1u == queries->cache.model->info.n_layers;
}

// Whether changes pass the layer by a matrix.
static inline bool ttzo_propagates_by_matrix(const struct ttzo_layer_cache *cache)
{
    return cache->has_matrix || ttzo_layer_length(cache->layer) == 1;
}

#endif
