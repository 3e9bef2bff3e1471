// SPDX-License-Identifier: MIT
#include "operations/calls.h"

bool ttzo_transpose_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_transpose_attributes a;
    uint64_t all = 1;
    uint32_t seen = 0;
    ttzo_unpack_transpose_attributes(attributes, &a);
    (void)numbers;
    for (uint32_t i = 0; i < 4; i++) {
        all = ttzo_times(all, a.sizes[i]);
        seen |= a.axes[i] < 4 ? 1u << a.axes[i] : 0u;
    }
    *sizes = (struct ttzo_node_sizes){ .inputs = { all }, .n_inputs = 1, .output = all };
    return seen == 15;
}

void ttzo_transpose_forward(const struct ttzo_node_call *call)
{
    struct ttzo_transpose_attributes a;
    ttzo_unpack_transpose_attributes(call->attributes, &a);
    uint32_t strides[4], n[4], step[4]; // of the input's axes; size and stride of the output's
    for (uint32_t i = 4, stride = 1; i-- > 0; stride *= a.sizes[i])
        strides[i] = stride;
    for (uint32_t i = 0; i < 4; i++) {
        n[i] = a.sizes[a.axes[i]];
        step[i] = strides[a.axes[i]];
    }
    const float *x = call->inputs[0];
    float *out = call->output;
    for (uint32_t i = 0; i < n[0]; i++)
        for (uint32_t j = 0; j < n[1]; j++)
            for (uint32_t k = 0; k < n[2]; k++)
                for (uint32_t l = 0; l < n[3]; l++)
                    *out++ = x[i * step[0] + j * step[1] + k * step[2] + l * step[3]];
}
