// SPDX-License-Identifier: MIT
// One derivation under way, and the network's layers one after the other with their cores merged.
#ifndef TTZO_WALK_H
#define TTZO_WALK_H
#include "equations/columns.h"
#include "model/trainer.h"
#include "network/gathered_layer.h"
#include "network/merged_layer.h"

// One derivation under way.
struct ttzo_derivation {
    struct ttzo_trainer *trainer;
    const struct ttzo_model *model;
    const struct ttzo_pde_work *work;
    const float *theta;
    uint32_t n_layers, needs, row;
    uint32_t n_inputs, n_space, m;
    uint32_t n_directions, n_summed; // of jets: directions.h
};

static inline bool ttzo_is_needed(const struct ttzo_derivation *d, uint32_t what)
{
    return (d->needs & what) != 0;
}

static inline void ttzo_fill(float *out, uint32_t n, float value)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = value;
}

// The layers one after the other, and the work memory that belongs to each.
struct ttzo_walk {
    const struct ttzo_derivation *d;
    uint32_t l, buffer, n_columns;
    float *merged, *at, *slope, *squares;
};

static inline struct ttzo_walk ttzo_begin_walk(const struct ttzo_derivation *d, uint32_t n_columns)
{
    const struct ttzo_pde_work *work = d->work;
    return (struct ttzo_walk){ d, 0, 0, n_columns, work->merged, work->at, work->slope, work->squares };
}

// Units of the layer that is being walked.
static inline uint32_t ttzo_units_of(const struct ttzo_walk *w)
{
    return (uint32_t)ttzo_layer_outputs(&w->d->model->layers[w->l]);
}

// The next layer's linear part: its columns, and its activation. The caller turns them in place, and then calls
// ttzo_leave_layer.
static inline float *ttzo_enter_layer(struct ttzo_walk *w, bool has_value, bool skip_zeros,
                                      enum ttzo_activation *activation)
{
    const struct ttzo_derivation *d = w->d;
    const struct ttzo_layer *layer = &d->model->layers[w->l];
    uint64_t numbers = ttzo_merged_numbers(layer);
    float *const *buffers = d->trainer->activations;
    if (numbers) {
        struct ttzo_layer merged = ttzo_merged_layer(layer);
        ttzo_columns_forward(&merged, w->merged, buffers, &w->buffer, w->n_columns, has_value, skip_zeros);
    } else {
        ttzo_columns_forward(layer, d->theta, buffers, &w->buffer, w->n_columns, has_value, skip_zeros);
    }
    w->merged += numbers;
    *activation = (enum ttzo_activation)layer->activation;
    return buffers[w->buffer];
}

static inline void ttzo_leave_layer(struct ttzo_walk *w)
{
    bool bends = w->d->model->layers[w->l].activation != TTZO_ACTIVATION_IDENTITY;
    uint32_t units = bends ? ttzo_units_of(w) : 0;
    w->l++;
    w->at += units;
    w->slope += units;
    w->squares += units;
}

#endif
