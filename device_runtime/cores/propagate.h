// SPDX-License-Identifier: MIT
// Loss differences of many small changes of one sample's forward pass, for less than a forward pass each: a change of
// some pre-activations is propagated through the rest of the network as a change, and only where it goes.
#ifndef TTZO_PROPAGATE_H
#define TTZO_PROPAGATE_H
#include "cores/query_scratch.h"

// Queries of one sample: its caches, their scratch, and the units that they move.
struct ttzo_queries {
    struct ttzo_sample_cache cache;
    struct ttzo_query_scratch scratch;
    struct ttzo_aim aim;
};

// Numbers in the work area.
uint64_t ttzo_propagate_numbers(const struct ttzo_model *model);

// Once a step: lays everything out in `area` and makes what all samples share at the parameters `theta`; `assembles`:
// for node_cge.
void ttzo_propagate_begin(struct ttzo_queries *queries, const struct ttzo_model *model, const float *theta, float *area,
                          bool assembles);

// Units of a layer that queries move: number i * columns + j of a move is unit first + i * jump + j.
struct ttzo_units {
    uint32_t layer;
    uint32_t first, rows, columns, jump;
};

// Makes ready for queries that move these units from number `from` on, none by more than `bound`: leaves out the units
// that such a move cannot change, and collects the weights after the others, as many as there is room for. Returns the
// first number that is not aimed at.
uint32_t ttzo_propagate_aim(struct ttzo_queries *queries, const struct ttzo_units *units, uint32_t from, float bound);

// What four queries move: unit number i by quads[i], or by the lines' numbers i where there are no quads.
struct ttzo_moves {
    const struct ttzo_quad *quads;
    struct ttzo_lines lines;
};

// Four queries move the units aimed at by sign (1 or -1) times `moves`. What they make of the next layer stays with the
// `quad` of that number, of those asked about together, and adds up unless it is the `first`.
void ttzo_propagate_move(struct ttzo_queries *queries, const struct ttzo_moves *moves, float sign, uint32_t quad,
                         uint32_t n_queries, bool first);

// Loss differences of the queries of such a quad.
void ttzo_propagate_ask(struct ttzo_queries *queries, uint32_t quad, uint32_t n_queries, float *differences);

// Whether no move of at most `bound` changes a unit's activation.
static inline bool ttzo_propagate_sleeps(enum ttzo_activation activation, float z, float bound)
{
    return activation == TTZO_ACTIVATION_RELU && z <= -bound;
}

// Row `place` of the matrix of layer `l` after the first, [out_features], which ttzo_goes_by_matrix: where it is kept, or in
// queries->scratch.row. Cheap where the same layer is asked again.
const float *ttzo_propagate_weights(struct ttzo_queries *queries, uint32_t l, uint32_t place);

// What the activation of a unit of layer `l` changes by when its pre-activation moves.
float ttzo_propagate_change(const struct ttzo_queries *queries, uint32_t l, uint32_t unit, float move);

// Loss differences of up to four queries, each of which changes one unit's activation: units ascending. Further units are
// any of the layer, with changes of 0.
void ttzo_propagate_ask_units(struct ttzo_queries *queries, uint32_t l, const uint16_t units[TTZO_QUERIES_AT_ONCE],
                              const float changes[TTZO_QUERIES_AT_ONCE], uint32_t n_queries, float *differences);

#endif
