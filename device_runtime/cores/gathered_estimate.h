// SPDX-License-Identifier: MIT
// An estimate of cge or cocd under way, in a network with convolutions or embeddings.
#ifndef TTZO_GATHERED_ESTIMATE_H
#define TTZO_GATHERED_ESTIMATE_H
#include "cores/estimate_base.h"
#include "cores/gathered_propagate.h"

struct ttzo_gathered_estimate {
    struct ttzo_estimate_base base;
    struct ttzo_gathered_queries queries;
    struct ttzo_environment environment;  // of the application
    float *slices;                        // [slice][4]
    float *moves;                         // of each core [slots / 4][moved outputs][4]: what mu times each entry moves
    uint32_t n_slots[2 * TTZO_MAX_MODES]; // of each core: slices of the sample that are not zero
    uint32_t *slot_of, *slice_in;         // of each core's slices
};

#endif
