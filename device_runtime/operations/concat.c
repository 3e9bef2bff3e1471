// SPDX-License-Identifier: MIT
#include "operations/calls.h"

bool ttzo_concat_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_concat_attributes a;
    ttzo_unpack_concat_attributes(attributes, &a);
    (void)numbers;
    *sizes = (struct ttzo_node_sizes){ .n_inputs = a.sizes[2] ? 3 : 2 };
    for (uint32_t k = 0; k < 3; k++) {
        sizes->inputs[k] = ttzo_times(a.outer, a.sizes[k]);
        sizes->output += sizes->inputs[k];
    }
    return a.sizes[0] && a.sizes[1];
}

void ttzo_concat_forward(const struct ttzo_node_call *call)
{
    struct ttzo_concat_attributes a;
    ttzo_unpack_concat_attributes(call->attributes, &a);
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t k = 0; k < 3; k++)
            for (uint32_t i = 0; i < a.sizes[k]; i++)
                *out++ = call->inputs[k][outer * a.sizes[k] + i];
}
