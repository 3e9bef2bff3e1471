// SPDX-License-Identifier: MIT
// What the entries of a layer with patches or tokens move: mu times a slice of a core's environment, summed over the
// positions where an entry is used. Entries of the same slice move other outputs by the same numbers.
#ifndef TTZO_GATHERED_MOVES_H
#define TTZO_GATHERED_MOVES_H
#include "cores/gathered_estimate.h"

#if TTZO_HAS(GATHERED)

// A core of a layer whose entries are under way.
struct ttzo_moved_core {
    uint32_t l;
    struct ttzo_core core;
    uint32_t moved;      // outputs that an entry moves
    uint32_t ml, mr;     // extents of the layer's outputs before and after the core
    uint32_t outer, run; // a slice's outputs: outer times all of them, each a run of so many neighbours
    float *moves;        // [slots / 4][moved][4]
    uint32_t *n_slots;   // slices that are not zero, in the order in which they were found
    uint32_t *slot_of;  // [slices] 1 + its slot, or 0; of tokens' matrices [digits], the first slot of a digit's slices
    uint32_t *slice_in; // [slots]
};

// Numbers of the moves of all cores, and how many slices they have. 64 bits, because the layer may not be checked yet.
uint64_t ttzo_moves_numbers(const struct ttzo_layer *layer);
uint64_t ttzo_moved_slices(const struct ttzo_layer *layer);

// Whether the layer has one core whose entries move what a bias moves: the bias stands with them, as one more slice.
bool ttzo_has_bias_slice(const struct ttzo_layer *layer);

// Neighbouring outputs that a bias moves.
uint32_t ttzo_move_run(const struct ttzo_layer *layer);

// Core k of layer `l`, after the core before it (of core 0: any).
struct ttzo_moved_core ttzo_next_moved_core(const struct ttzo_moved_core *before, struct ttzo_gathered_estimate *e,
                                            uint32_t l, uint32_t k);

// The moves of all cores of layer `l`, for the row that has gone forward.
void ttzo_make_moves(struct ttzo_gathered_estimate *e, uint32_t l);

#endif
#endif
