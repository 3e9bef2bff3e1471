// SPDX-License-Identifier: MIT
// What estimators that share environments keep of one sample: its forward pass and what its queries need.
#ifndef TTZO_SAMPLE_CACHE_H
#define TTZO_SAMPLE_CACHE_H
#include "cores/unit_gradient.h"
#include "cores/slices.h"

// Slices are made and asked about in blocks of up to so many fours. With caches of 16 bits there is room for the second
// number, and for more where other arrays are not needed meanwhile.
#define TTZO_QUADS_AT_ONCE 12u
#define TTZO_QUADS_IF_NARROW 2u

// With caches of 16 bits, so many units that queries move are looked at together.
#define TTZO_UNITS_IF_NARROW 24u

// Caches of one sample and scratch, carved from the work area by ttzo_sample_cache_begin.
struct ttzo_reuse {
    const struct ttzo_model *model;
    struct ttzo_layer_cache rooms[TTZO_MAX_LAYERS];
    bool narrow;           // caches of 16 bits
    bool assembles;        // the running estimator is node_cge
    float *inputs;         // [in_features] of the network; with narrow caches among the first layer's states, where that can be
    bool inputs_share;     // whether they are
    const uint8_t *sample; // as it travels
    float *slopes;         // see ttzo_loss_slopes
    float *panels;         // of products under way; with narrow caches in one place with weights, changes and arrivals
    float *slices;         // [fours at once][slice][4], where no states make room for them
    uint64_t slices_size;
    float *unit_changes;   // node_cge: [widest layer] loss differences of a layer's units
    float *unit_panels;    // node_cge: the same as panels of four output modes of a core
    float *directions;     // block_rge: [queries at once][largest block]
    float *moves;          // block_rge: [queries at once][widest layer], and [widest layer][queries at once]
    float *row;            // [outputs] of a layer's matrix, where that is not kept
    float *weights;        // behind the units aimed at: panels of four outputs
    float *changes;        // [place][queries at once] changed activations of one layer
    float *all_arrivals;   // [fours at once][queries at once][outputs, filled up to fours] changed pre-activations
    float *arrivals;       // those of the running four
    float *vectors[2];     // [widest] of a change on its way through a layer without matrix
    uint16_t *numbers;     // of the moves, units aimed at that are awake
    uint16_t *places;      // which units these are
    uint16_t *bends;       // places among them where the activation is not linear
    uint16_t *listed;      // units whose activations change, farther on
    uint32_t layer;        // aimed at
    uint32_t halves_of;     // layer whose halves are in `halves`; 0 for none
    struct ttzo_halves halves;
    uint32_t units_at_once; // that have room in what follows
    uint32_t quads_at_once; // of arrivals
    uint32_t arrivals_size;
    uint32_t n_awake, n_bends;
    const uint8_t *target; // of the sample
    uint64_t macs;         // multiply-adds done
};

// Where the slices of core `k` of layer `l` are made, and how many fours of them go together.
struct ttzo_slices_place {
    float *at; // NULL where queries read the state's numbers themselves
    uint32_t fours;
};

struct ttzo_slices_place ttzo_slices_place_of(const struct ttzo_reuse *reuse, uint32_t l, uint32_t k);

// Once a step: carves `area` and makes what all samples share at the parameters `theta`; `assembles`: for node_cge.
void ttzo_sample_cache_begin(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area,
                      bool assembles);

// Once a sample: forward at theta, keeping states. Returns the row's loss.
float ttzo_sample_cache_forward(struct ttzo_reuse *reuse, const uint8_t *row);

// Before the environment of core `k` of layer `l` is opened: its inputs may have been overwritten.
void ttzo_sample_cache_restore_inputs(struct ttzo_reuse *reuse, uint32_t l, uint32_t k);

#if TTZO_HAS(CORES)

// Numbers in the work area; 0 when no phase of the model reuses. 64 bits, because the model may not be checked yet; no
// more than TTZO_MAX_WIDTH are taken.
uint64_t ttzo_sample_cache_numbers(const struct ttzo_model *model);

#else

static inline uint64_t ttzo_sample_cache_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

#endif
#endif
