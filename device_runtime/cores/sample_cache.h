// SPDX-License-Identifier: MIT
// Per-sample caches of cge, node_cge, block_rge and cocd: layer states from the forward pass at theta, and what the
// loss differences of queries are taken against.
#ifndef TTZO_SAMPLE_CACHE_H
#define TTZO_SAMPLE_CACHE_H
#include "cores/unit_gradient.h"
#include "model/carve.h"

struct ttzo_sample_cache {
    const struct ttzo_model *model;
    struct ttzo_layer_cache layers[TTZO_MAX_LAYERS];
    bool assembles;        // the running estimator is node_cge
    bool inputs_share;     // `inputs` lie among the first layer's states, and are read again when they are wanted
    float *inputs;         // [in_features] of the network
    float *slopes;         // see ttzo_loss_with_slopes
    const uint8_t *sample; // the row as it is sent
    const uint8_t *target; // its target
};

// ---- which arrays a model needs

// Whether a phase asks about entries, or directions of them; node_cge only asks about units.
bool ttzo_asks_entries(const struct ttzo_model *model);
bool ttzo_asks_units(const struct ttzo_model *model);

// Whether caches are kept in 16 bits.
static inline bool ttzo_keeps_narrow(const struct ttzo_model *model)
{
    return TTZO_HAS(NARROW) && model->info.cache != TTZO_CACHE_FLOAT32;
}

// Whether layer `l` is multiplied out to a matrix once a step; and whether what reaches it goes through a matrix, made
// or dense.
bool ttzo_makes_matrix(const struct ttzo_model *model, uint32_t l);
bool ttzo_goes_by_matrix(const struct ttzo_model *model, uint32_t l);

// How node_cge takes layer `l`; and whether slices of its cores are made.
enum ttzo_assembled ttzo_assembled_of(const struct ttzo_model *model, uint32_t l);
bool ttzo_wants_slices(const struct ttzo_model *model, uint32_t l);

// ---- a step, a sample

// Lays the caches out, for parameters `theta` (NULL where `carve` only counts). `model` and `assembles` are set.
void ttzo_sample_cache_carve(struct ttzo_sample_cache *cache, const float *theta, struct ttzo_carve *carve);

// Once a step: makes what all samples share. Like ttzo_sample_cache_forward, adds the multiply-adds done to `macs`.
void ttzo_sample_cache_begin(struct ttzo_sample_cache *cache, uint64_t *macs);

// Once a sample: forward at theta, keeping states. Returns the row's loss; `outputs` [out_features] is scratch.
float ttzo_sample_cache_forward(struct ttzo_sample_cache *cache, const uint8_t *row, float *outputs, uint64_t *macs);

// Before the environment of core `k` of layer `l` is opened: its inputs may have been overwritten.
void ttzo_sample_cache_restore_inputs(struct ttzo_sample_cache *cache, uint32_t l, uint32_t k);

#endif
