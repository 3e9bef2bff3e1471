// SPDX-License-Identifier: MIT
#include "model/phase.h"

bool ttzo_has_estimator(const struct ttzo_model *model, enum ttzo_estimator estimator)
{
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++)
        if (model->phases[p].estimator == estimator)
            return true;
    return false;
}

bool ttzo_estimator_goes_by_units(uint8_t estimator)
{
    return estimator == TTZO_ESTIMATOR_NODE_CGE || estimator == TTZO_ESTIMATOR_CHAIN_DIFFERENCES;
}

bool ttzo_estimator_reuses(uint8_t estimator)
{
    return estimator == TTZO_ESTIMATOR_CGE || ttzo_estimator_goes_by_units(estimator) ||
           estimator == TTZO_ESTIMATOR_BLOCK_RGE || estimator == TTZO_ESTIMATOR_COCD;
}

bool ttzo_is_gauss_newton(uint8_t estimator)
{
    return estimator == TTZO_ESTIMATOR_SUBSPACE_GN || estimator == TTZO_ESTIMATOR_LAST_LAYER_GN ||
           estimator == TTZO_ESTIMATOR_COORDINATE_GN || estimator == TTZO_ESTIMATOR_FROZEN_FEATURES;
}

static uint32_t arrays_of_update(const struct ttzo_phase *phase)
{
    switch ((enum ttzo_update)phase->update) {
    case TTZO_UPDATE_ADAM: return 2;
    case TTZO_UPDATE_MOMENTUM:
    case TTZO_UPDATE_EMA_MOMENTUM: return 1;
    default: return 0;
    }
}

uint32_t ttzo_moments_per_parameter(const struct ttzo_phase *phase)
{
    return arrays_of_update(phase) + (phase->estimator == TTZO_ESTIMATOR_COCD ? 1u : 0u);
}

float *ttzo_last_estimate(const struct ttzo_trainer *trainer, const struct ttzo_phase *phase)
{
    return trainer->moments + arrays_of_update(phase) * trainer->model->info.n_parameters;
}

uint32_t ttzo_difference_capacity(const struct ttzo_model *model)
{
    uint32_t most = 0;
    for (uint32_t p = 0; p < ttzo_phase_count(model); p++) {
        uint32_t wanted = model->phases[p].n_queries, least = TTZO_MIN_QUERY_ROOM;
        if (model->phases[p].estimator != TTZO_ESTIMATOR_RGE)
            continue;
        wanted = wanted < least ? least : wanted < TTZO_MAX_QUERIES ? wanted : TTZO_MAX_QUERIES;
        most = wanted > most ? wanted : most;
    }
    return most;
}
