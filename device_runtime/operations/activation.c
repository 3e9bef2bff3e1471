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

// ---- derivatives ----------------------------------------------------------------------------------------------------

#if TTZO_HAS(EQUATIONS)

// phi(z) and its derivatives.
struct bent {
    float value, first, second, third;
};

static struct bent sigmoid_bent(float z)
{
    float value = ttzo_sigmoid(z), first = TTZO_MULADD(-value, value, value);
    return (struct bent){ value, first, first * TTZO_MULADD(-2.0f, value, 1.0f),
                          first * TTZO_MULADD(-6.0f, first, 1.0f) };
}

// z s(z): each derivative is that of s times z, and as often as its order the one before.
static struct bent silu_bent(float z)
{
    struct bent s = sigmoid_bent(z);
    return (struct bent){ z * s.value, TTZO_MULADD(z, s.first, s.value), TTZO_MULADD(z, s.second, 2.0f * s.first),
                          TTZO_MULADD(z, s.third, 3.0f * s.second) };
}

static const float root_half = (float)0.70710678118654752, one_over_root_tau = (float)0.39894228040143268;

// z P(z), with P the normal distribution and p its density, p' = -z p.
static struct bent gelu_bent(float z)
{
    float square = z * z, density = one_over_root_tau * ttzo_exp(-0.5f * square);
    float share = TTZO_MULADD(0.5f, ttzo_erf(z * root_half), 0.5f);
    return (struct bent){ ttzo_gelu(z), TTZO_MULADD(z, density, share), density * (2.0f - square),
                          density * (z * (square - 4.0f)) };
}

static struct bent bent_at(enum ttzo_activation kind, float z)
{
    if (kind == TTZO_ACTIVATION_SIGMOID)
        return sigmoid_bent(z);
    if (kind == TTZO_ACTIVATION_SILU)
        return silu_bent(z);
    if (kind == TTZO_ACTIVATION_GELU)
        return gelu_bent(z);
    if (kind == TTZO_ACTIVATION_SINE) {
        float sine = ttzo_sin(z), cosine = ttzo_cos(z);
        return (struct bent){ sine, cosine, -sine, -cosine };
    }
    float value = ttzo_tanh(z), first = TTZO_MULADD(-value, value, 1.0f);
    return (struct bent){ value, first, -2.0f * value * first,
                          first * TTZO_MULADD(4.0f * value, value, -2.0f * first) };
}

// One unit, whose columns are `apart`.
static void bend_unit(const struct bent *of, const struct ttzo_jet *jet, float *columns, uint32_t apart)
{
    float *one = columns + apart, *sum = one + jet->n * apart, squares = 0.0f;
    uint32_t next = jet->n * apart; // from an order to the next
    columns[0] = of->value;
    for (uint32_t k = 0; k < jet->n; k++, one += apart) {
        float along = one[0], square = along * along;
        if (jet->order > 2) {
            float mixed = TTZO_MULADD(3.0f * of->second, along * one[next], of->first * one[2 * next]);
            one[2 * next] = TTZO_MULADD(of->third, square * along, mixed);
        }
        if (jet->order > 1)
            one[next] = TTZO_MULADD(of->second, square, of->first * one[next]);
        if (k < jet->n_summed)
            squares = TTZO_MULADD(along, along, squares);
        one[0] = of->first * along;
    }
    if (jet->n_summed)
        *sum = TTZO_MULADD(of->second, squares, of->first * *sum);
}

bool ttzo_activation_has_jet(enum ttzo_activation kind)
{
    switch (kind) {
    case TTZO_ACTIVATION_IDENTITY:
    case TTZO_ACTIVATION_TANH:
    case TTZO_ACTIVATION_SINE:
    case TTZO_ACTIVATION_SIGMOID:
    case TTZO_ACTIVATION_SILU:
    case TTZO_ACTIVATION_GELU: return true;
    default: return false;
    }
}

void ttzo_bend_jet(enum ttzo_activation kind, const struct ttzo_jet *jet, float *columns, uint32_t n)
{
    for (uint32_t i = 0; i < n && kind != TTZO_ACTIVATION_IDENTITY; i++) {
        struct bent of = bent_at(kind, columns[i]);
        bend_unit(&of, jet, columns + i, n);
    }
}

void ttzo_activation_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    struct ttzo_activation_attributes a;
    ttzo_unpack_activation_attributes(call->attributes, &a);
    for (uint32_t i = 0; i < call->numbers * ttzo_jet_columns(jet); i++)
        call->output[i] = call->inputs[0][i];
    ttzo_bend_jet((enum ttzo_activation)a.activation, jet, call->output, call->numbers);
}

#endif
