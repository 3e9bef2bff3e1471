// SPDX-License-Identifier: MIT
// Changes of some outputs on their way through a network with convolutions or embeddings: four queries side by side,
// only through what they touch. A convolution after them multiplies changes alone.
#ifndef TTZO_GATHERED_PROPAGATE_H
#define TTZO_GATHERED_PROPAGATE_H
#include "cores/gathered_cache.h"

struct ttzo_gathered_scratch {
    float *changes;      // [place][4] of a layer's outputs
    float *arrivals;     // [output][4]
    float *lines;        // [k][4] changes that a patch reads
    float *made;         // [out_feature][4] of a position
    uint16_t *places;    // outputs that change, ascending
    uint16_t *change_at; // [inputs] of an image: 1 + which of the changes stands there; 0 except while they arrive
    uint16_t *rows;      // [k] where in the patch each line stands
};

struct ttzo_gathered_queries {
    struct ttzo_gathered_cache cache;
    struct ttzo_gathered_scratch scratch;
};

// Lays scratch out for the model of the cache.
void ttzo_gathered_scratch_carve(struct ttzo_gathered_scratch *scratch, const struct ttzo_model *model,
                                 struct ttzo_carve *carve);

// Adds those of the outputs [first, end) of layer `l` that change to the n that do. Move q of output i is
// sign * moves[i * step + q]. Returns how many there are then.
uint32_t ttzo_gathered_changes(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t first,
                               uint32_t end, const float *moves, uint32_t step, float sign);

// Loss differences of queries whose n changes of layer `l` are listed.
void ttzo_gathered_propagate(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries,
                             float differences[TTZO_QUERIES_AT_ONCE]);

#endif
