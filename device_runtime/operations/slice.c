// SPDX-License-Identifier: MIT
#include "operations/calls.h"

bool ttzo_slice_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_slice_attributes a;
    ttzo_unpack_slice_attributes(attributes, &a);
    (void)numbers;
    *sizes = (struct ttzo_node_sizes){ .inputs = { ttzo_times(ttzo_times(a.outer, a.size), a.inner) }, .n_inputs = 1 };
    sizes->output = ttzo_times(ttzo_times(a.outer, a.count), a.inner);
    return a.count && a.step && a.first + (uint64_t)(a.count - 1) * a.step < a.size;
}

void ttzo_slice_forward(const struct ttzo_node_call *call)
{
    struct ttzo_slice_attributes a;
    ttzo_unpack_slice_attributes(call->attributes, &a);
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t k = 0; k < a.count; k++) {
            const float *from = call->inputs[0] + (outer * a.size + a.first + k * a.step) * a.inner;
            for (uint32_t i = 0; i < a.inner; i++)
                *out++ = from[i];
        }
}
