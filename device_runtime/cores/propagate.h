// SPDX-License-Identifier: MIT
// Loss differences of many small changes of one sample's forward pass, for less than a forward pass each: a change of
// some pre-activations is propagated through the rest of the network as a change, and only where it goes.
#ifndef TTZO_PROPAGATE_H
#define TTZO_PROPAGATE_H
#include "cores/queries.h"
#include "network/layers.h"

// Numbers in the work area.
uint64_t ttzo_propagate_numbers(const struct ttzo_model *model);

// Once a step: lays everything out in `area` and makes what all samples share at the parameters `theta`; `assembles`:
// for node_cge.
void ttzo_propagate_begin(struct ttzo_queries *queries, const struct ttzo_model *model, const float *theta, float *area,
                          bool assembles);

// Queries that move the same units of a layer, asked together: quad i of the n moves them by moves[i * size], or where
// there are no moves by its lines.
struct ttzo_query_group {
    struct ttzo_units units;
    float bound; // of the moves
    const float *moves;
    uint32_t size, n, n_queries; // of all quads
    const struct ttzo_slices *slices;
    const struct ttzo_slice_quad *quads;
    float (*differences)[TTZO_QUERIES_AT_ONCE]; // what comes of them
};

// The group's queries move the units aimed at (aim.h) by sign (1 or -1) times their moves. What they make of the next
// layer adds up, unless these units are the `first` of the group; `ask`: they are the last, and the loss differences are
// found: L(moves) - L(0) of each query, and for a negative sign, what stood there less that.
void ttzo_propagate_group(struct ttzo_queries *queries, const struct ttzo_query_group *group, float sign, bool first,
                          bool ask);

// Whether no move of at most `bound` changes a unit's activation.
static inline bool ttzo_propagate_sleeps(enum ttzo_activation activation, float z, float bound)
{
    return activation == TTZO_ACTIVATION_RELU && z <= -bound;
}

// What the activation of a unit of layer `l` changes by when its pre-activation moves.
float ttzo_propagate_change(const struct ttzo_queries *queries, uint32_t l, uint32_t unit, float move);

// Loss differences of up to four queries, each of which changes one unit's activation: units ascending. Further units are
// any of the layer, with changes of 0.
void ttzo_propagate_ask_units(struct ttzo_queries *queries, uint32_t l, const uint16_t units[TTZO_QUERIES_AT_ONCE],
                              const float changes[TTZO_QUERIES_AT_ONCE], uint32_t n_queries, float *differences);

#endif
