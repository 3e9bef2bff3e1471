// SPDX-License-Identifier: MIT
#include "operations/calls.h"

#include "number/real.h"

#if TTZO_HAS(ATTENTION)

bool ttzo_soft_max_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_soft_max_attributes a;
    ttzo_unpack_soft_max_attributes(attributes, &a);
    (void)numbers;
    uint64_t all = ttzo_times(ttzo_times(a.outer, a.size), a.inner);
    *sizes = (struct ttzo_node_sizes){ .inputs = { all }, .n_inputs = 1, .output = all };
    return a.size && a.causal <= 1 && (!a.causal || (a.inner == 1 && a.outer % a.size == 0));
}

// The first n of `size` numbers that lie `stride` apart; the others become 0.
static void soft_max(const float *x, float *out, uint32_t size, uint32_t n, uint32_t stride)
{
    float largest = x[0], sum = 0.0f;
    for (uint32_t k = 1; k < n; k++)
        if (x[k * stride] > largest)
            largest = x[k * stride];
    for (uint32_t k = 0; k < n; k++) {
        out[k * stride] = ttzo_exp(x[k * stride] - largest);
        sum = sum + out[k * stride];
    }
    for (uint32_t k = 0; k < size; k++)
        out[k * stride] = k < n ? out[k * stride] / sum : 0.0f;
}

void ttzo_soft_max_forward(const struct ttzo_node_call *call)
{
    struct ttzo_soft_max_attributes a;
    ttzo_unpack_soft_max_attributes(call->attributes, &a);
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t i = 0; i < a.inner; i++) {
            uint32_t at = outer * a.size * a.inner + i;
            soft_max(call->inputs[0] + at, call->output + at, a.size, a.causal ? outer % a.size + 1 : a.size, a.inner);
        }
}

#endif
