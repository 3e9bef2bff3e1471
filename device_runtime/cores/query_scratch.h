// SPDX-License-Identifier: MIT
// Scratch of the queries of one sample (loss differences of small changes of its forward pass), and what they aim at.
#ifndef TTZO_QUERY_SCRATCH_H
#define TTZO_QUERY_SCRATCH_H
#include "cores/sample_cache.h"
#include "cores/slices.h"

struct ttzo_query_scratch {
    float *panels; // operands of products under way; with narrow caches in one place with weights, changes, arrivals
    float *slices; // [quads at once][slice][4], where no states make room for them
    uint64_t slices_size;
    float *unit_changes; // node_cge: [widest layer] loss differences of a layer's units
    float *unit_panels;  // node_cge: the same as panels of four output modes of a core
    float *directions;   // block_rge: [queries at once][largest block]
    float *moves;        // block_rge: [widest layer][queries at once]
    float *row;          // [outputs] of a layer's matrix, where that is not kept; of one query; slopes of moved outputs
    float *changes;      // [place][queries at once] changed activations of one layer
    float *all_arrivals; // [quads at once][outputs, a multiple of 4][queries at once] changed pre-activations
    float *arrivals;     // those of the running quad
    float *vectors[2];   // [widest] of a change on its way through a layer without matrix
    uint16_t *listed;    // units whose activations change, farther on
    uint32_t quads_at_once, arrivals_size; // quads in all_arrivals; numbers of one
    uint32_t halves_of;                    // layer whose halves are in `halves`; 0 for none
    struct ttzo_halves halves;
    uint64_t macs; // multiply-adds done
};

// The units that the queries under way move.
struct ttzo_aim {
    uint32_t layer;
    float *weights;         // after the units: panels of four outputs of the next layer
    uint16_t *numbers;      // of the moves: the units among them whose change counts
    uint16_t *places;       // which units these are
    uint16_t *bends;        // places among them where the activation is not linear
    uint32_t units_at_once; // room in these arrays
    uint32_t n_awake, n_bends;
    bool moved_alone; // outputs move, and the loss differences depend on these alone
};

// Lays scratch and aim out for the layers of `cache`, which is laid out.
void ttzo_query_scratch_carve(struct ttzo_query_scratch *scratch, struct ttzo_aim *aim,
                              const struct ttzo_sample_cache *cache, struct ttzo_carve *carve);

// Where the slices of core `k` of layer `l` are made, and how many quads of them go together.
struct ttzo_slices_place {
    float *at; // NULL where queries read the state's numbers themselves
    uint32_t quads;
};

struct ttzo_slices_place ttzo_slices_place_of(const struct ttzo_query_scratch *scratch,
                                              const struct ttzo_sample_cache *cache, uint32_t l, uint32_t k);

#endif
