// SPDX-License-Identifier: MIT
// Sums, differences and products of two arrays, the second repeated along outer and inner axes of the first.
#include "operations/calls.h"

static bool broadcast_sizes(const uint8_t *attributes, uint8_t most_minus, struct ttzo_node_sizes *sizes)
{
    struct ttzo_broadcast_attributes a;
    ttzo_unpack_broadcast_attributes(attributes, &a);
    uint64_t all = ttzo_times(ttzo_times(a.outer, a.middle), a.inner);
    *sizes = (struct ttzo_node_sizes){ .inputs = { all, a.middle }, .n_inputs = 2, .output = all };
    return a.minus <= most_minus && !(a.reserved[0] | a.reserved[1] | a.reserved[2]);
}

bool ttzo_add_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return broadcast_sizes(attributes, 1, sizes);
}

bool ttzo_multiply_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return broadcast_sizes(attributes, 0, sizes);
}

void ttzo_add_forward(const struct ttzo_node_call *call)
{
    struct ttzo_broadcast_attributes a;
    ttzo_unpack_broadcast_attributes(call->attributes, &a);
    const float *x = call->inputs[0];
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t m = 0; m < a.middle; m++)
            for (uint32_t i = 0; i < a.inner; i++, x++)
                *out++ = a.minus ? *x - call->inputs[1][m] : *x + call->inputs[1][m];
}

void ttzo_multiply_forward(const struct ttzo_node_call *call)
{
    struct ttzo_broadcast_attributes a;
    ttzo_unpack_broadcast_attributes(call->attributes, &a);
    const float *x = call->inputs[0];
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t m = 0; m < a.middle; m++)
            for (uint32_t i = 0; i < a.inner; i++)
                *out++ = *x++ * call->inputs[1][m];
}
