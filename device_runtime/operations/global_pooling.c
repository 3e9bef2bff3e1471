// SPDX-License-Identifier: MIT
#include "operations/calls.h"

#if TTZO_HAS(POOLING)

static bool axis_sizes(const uint8_t *attributes, struct ttzo_node_sizes *sizes)
{
    struct ttzo_axis_attributes a;
    ttzo_unpack_axis_attributes(attributes, &a);
    *sizes = (struct ttzo_node_sizes){ .inputs = { ttzo_times(ttzo_times(a.outer, a.size), a.inner) }, .n_inputs = 1 };
    sizes->output = ttzo_times(a.outer, a.inner);
    return a.size != 0;
}

bool ttzo_global_mean_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return axis_sizes(attributes, sizes);
}

bool ttzo_global_max_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return axis_sizes(attributes, sizes);
}

void ttzo_global_mean_forward(const struct ttzo_node_call *call)
{
    struct ttzo_axis_attributes a;
    ttzo_unpack_axis_attributes(call->attributes, &a);
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t i = 0; i < a.inner; i++) {
            const float *x = call->inputs[0] + outer * a.size * a.inner + i;
            float sum = 0.0f;
            for (uint32_t k = 0; k < a.size; k++)
                sum = sum + x[k * a.inner];
            *out++ = sum / (float)a.size;
        }
}

void ttzo_global_max_forward(const struct ttzo_node_call *call)
{
    struct ttzo_axis_attributes a;
    ttzo_unpack_axis_attributes(call->attributes, &a);
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t i = 0; i < a.inner; i++) {
            const float *x = call->inputs[0] + outer * a.size * a.inner + i;
            float best = x[0];
            for (uint32_t k = 1; k < a.size; k++) {
                float v = x[k * a.inner];
                best = v > best || v != v ? v : best;
            }
            *out++ = best;
        }
}

#endif
