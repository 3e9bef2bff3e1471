// SPDX-License-Identifier: MIT
#include "operations/calls.h"

#include "number/real.h"

bool ttzo_activation_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_activation_attributes a;
    ttzo_unpack_activation_attributes(attributes, &a);
    *sizes = (struct ttzo_node_sizes){ .inputs = { numbers }, .n_inputs = 1, .output = numbers };
    bool has_slope = a.activation == TTZO_ACTIVATION_LEAKY_RELU;
    return a.activation <= TTZO_ACTIVATION_GELU && a.slope >= 0.0f && (has_slope ? a.slope < 1.0f : a.slope == 0.0f) &&
           (a.reserved[0] | a.reserved[1] | a.reserved[2]) == 0;
}

static float hard_swish(float z)
{
    float share = TTZO_MULADD(z, 0.166666672f, 0.5f);
    return z * (share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share);
}

// Of NaN it is NaN: a broken forward pass must not look like a dead unit.
static float activated(enum ttzo_activation kind, float z, float slope)
{
    switch (kind) {
    case TTZO_ACTIVATION_RELU: return z < 0.0f ? 0.0f : z;
    case TTZO_ACTIVATION_TANH: return ttzo_tanh(z);
    case TTZO_ACTIVATION_SINE: return ttzo_sin(z);
    case TTZO_ACTIVATION_LEAKY_RELU: return z < 0.0f ? z * slope : z;
    case TTZO_ACTIVATION_RELU6: return z < 0.0f ? 0.0f : z > 6.0f ? 6.0f : z;
    case TTZO_ACTIVATION_HARD_SWISH: return hard_swish(z);
    case TTZO_ACTIVATION_SIGMOID: return ttzo_sigmoid(z);
    case TTZO_ACTIVATION_SILU: return z * ttzo_sigmoid(z);
    case TTZO_ACTIVATION_GELU: return ttzo_gelu(z);
    case TTZO_ACTIVATION_IDENTITY: break;
    }
    return z;
}

void ttzo_activation_forward(const struct ttzo_node_call *call)
{
    struct ttzo_activation_attributes a;
    ttzo_unpack_activation_attributes(call->attributes, &a);
    for (uint32_t i = 0; i < call->numbers; i++)
        call->output[i] = activated((enum ttzo_activation)a.activation, call->inputs[0][i], a.slope);
}
