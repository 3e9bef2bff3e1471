// SPDX-License-Identifier: MIT
// An operand of a product.
#ifndef TTZO_OPERAND_H
#define TTZO_OPERAND_H
#include <stdint.h>

// A matrix: `outer` steps along the index that survives, `inner` along the summed one.
struct ttzo_operand {
    const float *at;
    uint32_t outer, inner;
};

#endif
