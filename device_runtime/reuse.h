// SPDX-License-Identifier: MIT
// Loss differences of many small changes of one sample's forward pass, for less than a forward pass each: a change of
// some pre-activations travels through the rest of the network as a change, and only where it goes.
#ifndef TTZO_REUSE_H
#define TTZO_REUSE_H
#include "environments.h"
#include "product.h"

// Caches of one sample and scratch, carved from the work area by ttzo_reuse_begin.
struct ttzo_reuse {
    const struct ttzo_model *model;
    struct ttzo_room rooms[TTZO_MAX_LAYERS];
    float *const *buffers; // exchange buffers of forward passes and sweeps
    float *inputs;         // [in_features] of the network
    float *slopes;         // see ttzo_loss_slopes
    float *slices;         // [queries at once][slice]
    float *unit_changes;   // node_cge: [widest layer] loss differences of a layer's units
    float *directions;     // block_rge: [queries at once][largest block]
    float *moves;          // block_rge: [queries at once][widest layer]
    float *changes;        // [place][queries at once] changed activations of one layer
    float *arrivals;       // [queries at once][out_features] changed pre-activations of the next
    float *vectors[2];     // [widest] of a change on its way through a layer without matrix
    uint16_t *places;      // units whose activations change
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

// Changes of a layer's pre-activations, for each query: unit first + i * jump + j changes by at[query][i][j].
struct ttzo_moves {
    const float *at;
    uint32_t query_stride;
    uint32_t first, rows, columns, jump;
};

// Loss differences of up to TTZO_QUERIES_AT_ONCE queries that move pre-activations of layer `l` by sign (1 or -1) times
// `moves`.
void ttzo_reuse_differences(struct ttzo_reuse *reuse, uint32_t l, const struct ttzo_moves *moves, uint32_t n_queries,
                            float sign, float differences[TTZO_QUERIES_AT_ONCE]);

#endif
