// SPDX-License-Identifier: MIT
// Layer norm and RMS norm of the last axis.
#include "operations/calls.h"

#include "number/real.h"

#if TTZO_HAS(ATTENTION)

static bool norm_sizes(const uint8_t *attributes, uint8_t most_bias, struct ttzo_node_sizes *sizes)
{
    struct ttzo_norm_attributes a;
    ttzo_unpack_norm_attributes(attributes, &a);
    uint64_t all = ttzo_times(a.outer, a.size);
    *sizes = (struct ttzo_node_sizes){ .inputs = { all }, .n_inputs = 1, .output = all, .macs = 2 * all };
    sizes->parameters = ttzo_times(a.size, (uint64_t)a.has_weight + a.has_bias);
    return a.size && a.has_weight <= 1 && a.has_bias <= most_bias && a.epsilon > 0.0f && a.epsilon < 1.0f &&
           !(a.reserved[0] | a.reserved[1]);
}

bool ttzo_layer_norm_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return norm_sizes(attributes, 1, sizes);
}

bool ttzo_rms_norm_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    (void)numbers;
    return norm_sizes(attributes, 0, sizes);
}

static void norm_forward(const struct ttzo_node_call *call, bool centred)
{
    struct ttzo_norm_attributes a;
    ttzo_unpack_norm_attributes(call->attributes, &a);
    const float *weight = call->parameters, *bias = weight + (a.has_weight ? a.size : 0), *x = call->inputs[0];
    float *out = call->output, n = (float)a.size;
    for (uint32_t outer = 0; outer < a.outer; outer++, x += a.size, out += a.size) {
        float sum = 0.0f, squares = 0.0f;
        for (uint32_t k = 0; centred && k < a.size; k++)
            sum = sum + x[k];
        float mean = sum / n;
        for (uint32_t k = 0; k < a.size; k++) {
            out[k] = centred ? x[k] - mean : x[k];
            squares = TTZO_MULADD(out[k], out[k], squares);
        }
        float inverse = 1.0f / ttzo_sqrt(squares / n + a.epsilon);
        for (uint32_t k = 0; k < a.size; k++) {
            float y = out[k] * inverse;
            if (a.has_weight && a.has_bias)
                out[k] = TTZO_MULADD(y, weight[k], bias[k]);
            else
                out[k] = a.has_weight ? y * weight[k] : a.has_bias ? y + bias[k] : y;
        }
    }
}

void ttzo_layer_norm_forward(const struct ttzo_node_call *call)
{
    norm_forward(call, true);
}

void ttzo_rms_norm_forward(const struct ttzo_node_call *call)
{
    norm_forward(call, false);
}

#endif
