// SPDX-License-Identifier: MIT
// Sums over outputs that a cross-entropy's change is made of, for four queries side by side.
#ifndef TTZO_MOMENTS_H
#define TTZO_MOMENTS_H
#include "network/product.h"

struct ttzo_moments {
    struct ttzo_quad squares, first, second, third; // sums of a a, p a, p a a, p a a a
};

// With a = changes[j] - own, over j < n, one chain each; n > 0.
void ttzo_moments_of(struct ttzo_moments *sums, const float *p, const struct ttzo_quad *changes, uint32_t n,
                     const struct ttzo_quad *own);

#endif
