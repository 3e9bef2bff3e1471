// SPDX-License-Identifier: MIT
#include "train/settings.h"

#include "model/phase.h"
#include "number/real.h"

static bool at_least(float x, float least)
{
    return ttzo_is_finite(x) && x >= least;
}

static bool decay_is_sound(float beta)
{
    return beta >= 0.0f && beta < 1.0f;
}

// Numbered as in the header; -1 when all are in range.
static int bad_in_training(const struct ttzo_training *t)
{
    const bool sound[] = {
        true, // seed
        t->steps >= 1,
        t->n_phases >= 1 && t->n_phases <= TTZO_MAX_PHASES,
        t->schedule <= TTZO_SCHEDULE_COSINE,
        t->plateau_patience >= 1,
        true, // warmup_steps
        t->decay_every >= 1,
        at_least(t->decay_factor, 0.0f),
        t->plateau_window >= 1,
        at_least(t->plateau_tolerance, 0.0f),
    };
    for (unsigned i = 0; i < sizeof sound / sizeof sound[0]; i++)
        if (!sound[i])
            return (int)i;
    return -1;
}

static int bad_in_phase(const struct ttzo_phase *p)
{
    const bool sound[] = {
        p->estimator <= TTZO_ESTIMATOR_LAST_LAYER_GN,
        p->direction <= TTZO_DIRECTION_GAUSSIAN,
        p->difference <= TTZO_DIFFERENCE_ANTITHETIC,
        p->update <= TTZO_UPDATE_SIGN,
        p->n_queries >= 1 && p->n_queries <= TTZO_MAX_QUERIES,
        at_least(p->perturb_radius, 1e-30f),
        at_least(p->learning_rate, 0.0f),
        decay_is_sound(p->beta1),
        decay_is_sound(p->beta2),
        at_least(p->epsilon, 0.0f),
        at_least(p->clip_norm, 0.0f),
    };
    for (unsigned i = 0; i < sizeof sound / sizeof sound[0]; i++)
        if (!sound[i])
            return (int)i;
    return -1;
}

enum ttzo_error ttzo_check_settings(const struct ttzo_training *training, const struct ttzo_phase *phases,
                                    uint32_t *detail)
{
    int bad = bad_in_training(training);
    for (uint32_t p = 0; bad < 0 && p < training->n_phases; p++) {
        bad = bad_in_phase(&phases[p]);
        if (bad >= 0)
            bad += (int)(TTZO_SETTING_NUMBERS * (p + 1));
    }
    if (bad < 0)
        return TTZO_ERROR_OK;
    *detail = (uint32_t)bad;
    return TTZO_ERROR_BAD_SETTING;
}

enum ttzo_error ttzo_check_fixed(const struct ttzo_training *training, const struct ttzo_phase *phases,
                                 const struct ttzo_model *exported, uint32_t *detail)
{
    *detail = 2;
    if (training->n_phases != exported->training.n_phases)
        return TTZO_ERROR_FIXED_AT_EXPORT;
    for (uint32_t p = 0; p < training->n_phases; p++) {
        const struct ttzo_phase *wanted = &phases[p], *given = &exported->phases[p];
        const bool same[] = { wanted->estimator == given->estimator, wanted->direction == given->direction,
                              wanted->difference == given->difference, wanted->update == given->update };
        for (uint32_t i = 0; i < 4; i++)
            if (!same[i]) {
                *detail = TTZO_SETTING_NUMBERS * (p + 1) + i;
                return TTZO_ERROR_FIXED_AT_EXPORT;
            }
        bool too_many = given->estimator == TTZO_ESTIMATOR_RGE && wanted->n_queries > ttzo_difference_capacity(exported);
        if (too_many || (ttzo_is_gauss_newton(given->estimator) && wanted->n_queries != given->n_queries)) {
            *detail = TTZO_SETTING_NUMBERS * (p + 1) + 4;
            return TTZO_ERROR_FIXED_AT_EXPORT;
        }
    }
    return TTZO_ERROR_OK;
}
