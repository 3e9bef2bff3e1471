// SPDX-License-Identifier: MIT
// An estimate of cge, node_cge, block_rge or cocd under way.
#ifndef TTZO_CORE_ESTIMATE_H
#define TTZO_CORE_ESTIMATE_H
#include "cores/estimate_base.h"
#include "cores/propagate.h"

struct ttzo_core_estimate {
    struct ttzo_estimate_base base;
    struct ttzo_queries queries;
    uint32_t block; // block_rge: number of the running block (a core or a bias)
};

static inline bool ttzo_is_node_cge(const struct ttzo_core_estimate *estimate)
{
    return TTZO_HAS(BLOCKS) && estimate->base.phase->estimator == TTZO_ESTIMATOR_NODE_CGE;
}

static inline bool ttzo_is_block_rge(const struct ttzo_core_estimate *estimate)
{
    return TTZO_HAS(BLOCKS) && estimate->base.phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE;
}

#endif
