// SPDX-License-Identifier: MIT
// cge and cocd for networks with convolutions or embeddings. A weight moves the outputs of its application at every
// position: one channel of an image. Four weights that move the same outputs are asked side by side.
#ifndef TTZO_GATHERED_GRADIENT_H
#define TTZO_GATHERED_GRADIENT_H
#include "cores/gathered_estimate.h"

#if TTZO_HAS(CORES) && TTZO_HAS(GATHERED)

// Whether the estimator is supported for such a model: which one it is, and the size of the layers after the first.
bool ttzo_gathered_gradient_is_sound(const struct ttzo_model *model, uint8_t estimator);

// Numbers in the work area; 64 bits, because the model may not be checked yet.
uint64_t ttzo_gathered_gradient_numbers(const struct ttzo_model *model);

// Once a step; the base is set.
void ttzo_gathered_gradient_begin(struct ttzo_gathered_estimate *e);

// A row's forward pass; returns its loss.
float ttzo_gathered_gradient_forward(struct ttzo_gathered_estimate *e, const uint8_t *row);

// The row's loss differences into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_gathered_gradient_of_row(struct ttzo_gathered_estimate *e);

#else

static inline bool ttzo_gathered_gradient_is_sound(const struct ttzo_model *model, uint8_t estimator)
{
    (void)model, (void)estimator;
    return false;
}

static inline uint64_t ttzo_gathered_gradient_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline void ttzo_gathered_gradient_begin(struct ttzo_gathered_estimate *e)
{
    (void)e;
}

static inline float ttzo_gathered_gradient_forward(struct ttzo_gathered_estimate *e, const uint8_t *row)
{
    (void)e, (void)row;
    return 0.0f;
}

static inline enum ttzo_error ttzo_gathered_gradient_of_row(struct ttzo_gathered_estimate *e)
{
    (void)e;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
