// SPDX-License-Identifier: MIT
// chain_differences: difference quotients carried backwards. The last layer's units are asked as by node_cge; what the loss
// changes by when a unit of an earlier layer moves is what its activation changes by, through the next layer alone, times
// the quotients of that layer's units. This is back-propagation with difference quotients in the place of derivatives.
#ifndef TTZO_CHAIN_DIFFERENCES_H
#define TTZO_CHAIN_DIFFERENCES_H
#include "cores/core_estimate.h"

#if TTZO_HAS(CORES) && TTZO_HAS(CHAIN)

// From the differences of the units of layer `l` + 1, in queries.scratch.unit_changes, to those of layer `l` in their place;
// adds them into the derivatives of its bias.
void ttzo_chain_differences_ask(struct ttzo_core_estimate *e, uint32_t l);

#else

static inline void ttzo_chain_differences_ask(struct ttzo_core_estimate *e, uint32_t l)
{
    (void)e, (void)l;
}

#endif

#endif
