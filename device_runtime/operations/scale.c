// SPDX-License-Identifier: MIT
#include "operations/calls.h"

#include "number/real.h"

bool ttzo_scale_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_scale_attributes a;
    ttzo_unpack_scale_attributes(attributes, &a);
    uint64_t all = ttzo_times(ttzo_times(a.outer, a.channels), a.inner);
    (void)numbers;
    *sizes = (struct ttzo_node_sizes){ .inputs = { all }, .n_inputs = 1, .output = all, .macs = all };
    sizes->parameters = ttzo_times(a.channels, (uint64_t)a.has_weight + a.has_bias);
    return a.has_weight <= 1 && a.has_bias <= 1 && a.has_weight + a.has_bias && !(a.reserved[0] | a.reserved[1]);
}

void ttzo_scale_forward(const struct ttzo_node_call *call)
{
    struct ttzo_scale_attributes a;
    ttzo_unpack_scale_attributes(call->attributes, &a);
    const float *weight = call->parameters, *bias = weight + (a.has_weight ? a.channels : 0), *x = call->inputs[0];
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t c = 0; c < a.channels; c++)
            for (uint32_t i = 0; i < a.inner; i++, x++, out++) {
                if (a.has_weight && a.has_bias)
                    *out = TTZO_MULADD(*x, weight[c], bias[c]);
                else
                    *out = a.has_weight ? *x * weight[c] : *x + bias[c];
            }
}

#if TTZO_HAS(EQUATIONS)

// The bias belongs to the value alone.
void ttzo_scale_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    struct ttzo_scale_attributes a;
    ttzo_unpack_scale_attributes(call->attributes, &a);
    const float *x = call->inputs[0] + call->numbers;
    float *out = call->output + call->numbers;
    ttzo_scale_forward(call);
    for (uint32_t i = 0; i < (ttzo_jet_columns(jet) - 1) * call->numbers; i++)
        out[i] = a.has_weight ? x[i] * call->parameters[i / a.inner % a.channels] : x[i];
}

#endif
