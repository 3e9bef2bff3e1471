// SPDX-License-Identifier: MIT
// What estimators that share environments keep of one sample: its forward pass and what its queries need.
#ifndef TTZO_REUSE_H
#define TTZO_REUSE_H
#include "slices.h"

// Slices are made and asked about in blocks of so many fours.
#define TTZO_FOURS_AT_ONCE 12u

// Caches of one sample and scratch, carved from the work area by ttzo_reuse_begin.
struct ttzo_reuse {
    const struct ttzo_model *model;
    struct ttzo_room rooms[TTZO_MAX_LAYERS];
    float *const *buffers; // exchange buffers of forward passes and sweeps
    float *inputs;         // [in_features] of the network
    float *slopes;         // see ttzo_loss_slopes
    float *panels;         // of products under way
    float *slices;         // [fours at once][slice][4]
    float *unit_changes;   // node_cge: [widest layer] loss differences of a layer's units
    float *unit_panels;    // node_cge: the same as panels of four output modes of a core
    float *directions;     // block_rge: [queries at once][largest block]
    float *moves;          // block_rge: [queries at once][widest layer], and [widest layer][queries at once]
    float *weights;        // behind the units aimed at: panels of four outputs
    float *changes;        // [place][queries at once] changed activations of one layer
    float *arrivals;       // [queries at once][outputs, filled up to fours] changed pre-activations of the next
    float *vectors[2];     // [widest] of a change on its way through a layer without matrix
    uint16_t *numbers;     // of the moves, units aimed at that are awake
    uint16_t *places;      // which units these are
    uint16_t *bends;       // places among them where the activation is not linear
    uint16_t *listed;      // units whose activations change, farther on
    uint32_t layer;        // aimed at
    uint32_t n_awake, n_bends;
    const uint8_t *target; // of the sample
    uint64_t macs;         // multiply-adds done
};

// Numbers in the work area, and in each exchange buffer; 0 when no phase of the model reuses. 64 bits, because the model
// may not be checked yet; neither may be more than TTZO_MAX_WIDTH.
uint64_t ttzo_reuse_numbers(const struct ttzo_model *model);
uint64_t ttzo_reuse_widest(const struct ttzo_model *model);

// Once a step: carves `area` and makes what all samples share at the parameters `theta`.
void ttzo_reuse_begin(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area,
                      float *const buffers[2]);

// Once a sample: forward at theta, keeping states. Returns the row's loss.
float ttzo_reuse_forward(struct ttzo_reuse *reuse, const uint8_t *row);

#endif
