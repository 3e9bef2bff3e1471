// SPDX-License-Identifier: MIT
#include "train/settings.h"

#include "model/phase.h"

enum ttzo_error ttzo_check_settings(const struct ttzo_training *training, const struct ttzo_phase *phases,
                                    uint32_t *detail)
{
    int bad = ttzo_training_field_out_of_range(training);
    for (uint32_t p = 0; bad < 0 && p < training->n_phases; p++) {
        bad = ttzo_phase_field_out_of_range(&phases[p]);
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
    *detail = TTZO_PART_CURVES;
    if (!TTZO_HAS_CURVES && training->schedule == TTZO_SCHEDULE_COSINE)
        return TTZO_ERROR_NOT_BUILT_IN;
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
        bool too_many =
            given->estimator == TTZO_ESTIMATOR_RGE && wanted->n_queries > ttzo_difference_capacity(exported);
        if (given->estimator == TTZO_ESTIMATOR_COORDINATE_GN && wanted->n_coordinates != given->n_coordinates) {
            *detail = TTZO_SETTING_NUMBERS * (p + 1) + 11;
            return TTZO_ERROR_FIXED_AT_EXPORT;
        }
        if (too_many || (ttzo_is_gauss_newton(given->estimator) && wanted->n_queries != given->n_queries)) {
            *detail = TTZO_SETTING_NUMBERS * (p + 1) + 4;
            return TTZO_ERROR_FIXED_AT_EXPORT;
        }
    }
    return TTZO_ERROR_OK;
}
