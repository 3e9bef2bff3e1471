// SPDX-License-Identifier: MIT
// The product where the right numbers of neighbouring columns are neighbours in memory, on processors with vectors.
#ifndef TTZO_LANES_PRODUCT_H
#define TTZO_LANES_PRODUCT_H
#include "network/lanes.h"
#include "network/operand.h"

#if TTZO_LANES > 1

// out[rows][columns] = start + left . right over `inner` summed indices, each number a chain of its own in their order;
// start NULL: from 0; it may be `out`. right.outer is 1.
void ttzo_lanes_product(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right,
                        uint32_t rows, uint32_t inner, uint32_t columns);

#endif

#endif
