// SPDX-License-Identifier: MIT
// Loss differences of many small changes of one sample's forward pass, for less than a forward pass each: a change of
// some pre-activations travels through the rest of the network as a change, and only where it goes.
#ifndef TTZO_TRAVEL_H
#define TTZO_TRAVEL_H
#include "reuse.h"

// Units of a layer that queries move: number i * columns + j of a move is unit first + i * jump + j.
struct ttzo_units {
    uint32_t layer;
    uint32_t first, rows, columns, jump;
};

// Makes ready for queries that move these units, none by more than `bound`: leaves out the units that such a move cannot
// wake, and collects the weights behind the others.
void ttzo_travel_aim(struct ttzo_reuse *reuse, const struct ttzo_units *units, float bound);

// Loss differences of up to TTZO_QUERIES_AT_ONCE queries aimed so: query q moves the units by sign (1 or -1) times
// moves[number][q].
void ttzo_travel_ask(struct ttzo_reuse *reuse, const float *moves, uint32_t n_queries, float sign,
                     float differences[TTZO_QUERIES_AT_ONCE]);

// What the activation of a unit of layer `l` changes by when its pre-activation moves.
float ttzo_travel_change(const struct ttzo_reuse *reuse, uint32_t l, uint32_t unit, float move);

// Loss differences of up to TTZO_QUERIES_AT_ONCE queries, each of which changes one unit's activation: units ascending.
void ttzo_travel_ask_units(struct ttzo_reuse *reuse, uint32_t l, const uint16_t *units, const float *changes,
                           uint32_t n_queries, float differences[TTZO_QUERIES_AT_ONCE]);

#endif
