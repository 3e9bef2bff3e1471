// SPDX-License-Identifier: MIT
// block_rge: random directions of one core, dense weight or bias at a time.
#ifndef TTZO_BLOCK_GRADIENT_H
#define TTZO_BLOCK_GRADIENT_H
#include "cores/core_estimate.h"

// The blocks of layer `l` into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_block_gradient(struct ttzo_core_estimate *e, uint32_t l);

#endif
