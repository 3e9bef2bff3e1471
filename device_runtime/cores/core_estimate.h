// SPDX-License-Identifier: MIT
// An estimate of cge, node_cge, chain_differences, block_rge or cocd under way.
#ifndef TTZO_CORE_ESTIMATE_H
#define TTZO_CORE_ESTIMATE_H
#include "cores/estimate_base.h"
#include "cores/propagate.h"
#include "model/phase.h"

struct ttzo_core_estimate {
    struct ttzo_estimate_base base;
    struct ttzo_queries queries;
    uint32_t block; // block_rge: number of the running block (a core or a bias)
};

// Whether parameters' derivatives are made of units': node_cge and chain_differences.
static inline bool ttzo_goes_by_units(const struct ttzo_core_estimate *estimate)
{
    return TTZO_HAS(BLOCKS) && ttzo_estimator_goes_by_units(estimate->base.phase->estimator);
}

static inline bool ttzo_is_chain_differences(const struct ttzo_core_estimate *estimate)
{
    return TTZO_HAS(CHAIN) && estimate->base.phase->estimator == TTZO_ESTIMATOR_CHAIN_DIFFERENCES;
}

static inline bool ttzo_is_block_rge(const struct ttzo_core_estimate *estimate)
{
    return TTZO_HAS(BLOCKS) && estimate->base.phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE;
}

#endif
