// SPDX-License-Identifier: MIT
// cge and cocd on graphs. A parameter changes the arrays that its node reaches: these nodes run again, the others keep what
// they made of the row. A parameter that several nodes share changes all of them. So whatever runs forward is trained.
#ifndef TTZO_GRAPH_GRADIENT_H
#define TTZO_GRAPH_GRADIENT_H
#include "cores/estimate_base.h"
#include "model/carve.h"

// An estimate under way.
struct ttzo_graph_estimate {
    struct ttzo_estimate_base base;
    uint32_t *kept_at; // [n_arrays] where each array of the row's forward pass lies in `kept`, if it is needed again
    uint8_t *reached;  // [n_arrays] 1 for those that a query has changed
    float *kept;       // what the first trained node and those after it read and write, one beside the other
    float *changed;    // [arena] those of a query
    float *scratch;
    float *slopes;  // [out_features] of the loss
    float *changes; // [out_features] of the outputs
    const uint8_t *target;
    uint64_t macs;
};

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS)

// Numbers in the work area; 64 bits, because the model may not be checked yet.
uint64_t ttzo_graph_gradient_numbers(const struct ttzo_model *model);

// Once a step; the base is set.
void ttzo_graph_gradient_begin(struct ttzo_graph_estimate *e);

// A row's forward pass; returns its loss.
float ttzo_graph_gradient_forward(struct ttzo_graph_estimate *e, const uint8_t *row);

// The row's loss differences into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e);

#else

static inline uint64_t ttzo_graph_gradient_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline void ttzo_graph_gradient_begin(struct ttzo_graph_estimate *e)
{
    (void)e;
}

static inline float ttzo_graph_gradient_forward(struct ttzo_graph_estimate *e, const uint8_t *row)
{
    (void)e, (void)row;
    return 0.0f;
}

static inline enum ttzo_error ttzo_graph_gradient_of_row(struct ttzo_graph_estimate *e)
{
    (void)e;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
