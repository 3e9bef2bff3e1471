// SPDX-License-Identifier: MIT
// The derivatives of a network that is no chain of layers: jets through its nodes, or plain forward passes beside the point.
#ifndef TTZO_GRAPH_JETS_H
#define TTZO_GRAPH_JETS_H
#include "equations/walk.h"

#if TTZO_HAS(OPERATIONS) && TTZO_HAS(EQUATIONS)

// Whether an equation's derivatives are computed through this graph.
bool ttzo_graph_suits_equation(const struct ttzo_model *model);

// Columns of a jet that pass the nodes at once, at most; without jets 1.
uint32_t ttzo_graph_columns_at_once(const struct ttzo_model *model);

// Numbers of both exchange buffers: the arena with those columns, and what lies beside it where derivatives are differences.
void ttzo_graph_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2]);

// The value alone; value, first derivatives, and the Laplacian or each second derivative; those along the section's
// directions.
void ttzo_graph_value(const struct ttzo_derivation *d);
void ttzo_graph_derive_by_jets(const struct ttzo_derivation *d);
void ttzo_graph_derive_along(const struct ttzo_derivation *d);

// Of the first n pairs of nodes beside the point, [n_inputs][TTZO_PAIRS_AT_ONCE] in trainer->activations[1], once the value is known: the
// outputs are value + even +- odd, [m][2][TTZO_PAIRS_AT_ONCE], even parts first.
const float *ttzo_graph_pairs(const struct ttzo_derivation *d, uint32_t n);

#else

static inline bool ttzo_graph_suits_equation(const struct ttzo_model *model)
{
    (void)model;
    return false;
}

static inline uint32_t ttzo_graph_columns_at_once(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline void ttzo_graph_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    (void)model;
    numbers[0] = numbers[1] = 0;
}

static inline void ttzo_graph_value(const struct ttzo_derivation *d)
{
    (void)d;
}

static inline void ttzo_graph_derive_by_jets(const struct ttzo_derivation *d)
{
    (void)d;
}

static inline void ttzo_graph_derive_along(const struct ttzo_derivation *d)
{
    (void)d;
}

static inline const float *ttzo_graph_pairs(const struct ttzo_derivation *d, uint32_t n)
{
    (void)n;
    return d->trainer->activations[1];
}

#endif
#endif
