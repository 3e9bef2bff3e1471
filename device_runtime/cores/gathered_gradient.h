// SPDX-License-Identifier: MIT
// cge and cocd for networks with convolutions or embeddings. A weight moves the outputs of its application at every
// position: one channel of an image. Four weights that move the same outputs go on side by side, only through what they
// touch: a convolution behind them looks at the moved channels alone.
#ifndef TTZO_GATHERED_GRADIENT_H
#define TTZO_GATHERED_GRADIENT_H
#include "model/trainer.h"

#if TTZO_HAS(CORES) && TTZO_HAS(GATHERED)

// Whether the estimator can be had for such a model: what it is, and its layers behind the first.
bool ttzo_gathered_gradient_is_sound(const struct ttzo_model *model, uint8_t estimator);

// Numbers in the work area; 64 bits, because the model may not be checked yet.
uint64_t ttzo_gathered_gradient_numbers(const struct ttzo_model *model);

// As ttzo_estimate, sample by sample; trainer->poll counts them.
enum ttzo_error ttzo_estimate_applied(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                      const struct ttzo_phase *phase, float *loss, uint32_t *evaluations);

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

static inline enum ttzo_error ttzo_estimate_applied(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                                    const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    (void)trainer, (void)rows, (void)phase, (void)loss, (void)evaluations;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
