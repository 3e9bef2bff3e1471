// SPDX-License-Identifier: MIT
// Sums, differences and products of two arrays, the second repeated along outer and inner axes of the first.
#include "number/real.h"
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

// ---- derivatives ----------------------------------------------------------------------------------------------------

#if TTZO_HAS(EQUATIONS)

// Columns of a product, those of a and the product `apart`, those of b `b_apart`: Leibniz's rule.
static void product_rule(const struct ttzo_jet *jet, const float *a, uint32_t apart, const float *b, uint32_t b_apart,
                         float *out)
{
    const float x = a[0], y = b[0];
    uint32_t next = jet->n * apart, b_next = jet->n * b_apart; // from an order to the next
    float crossed = 0.0f;
    *out = x * y;
    for (uint32_t k = 0; k < jet->n; k++) {
        a += apart, b += b_apart, out += apart;
        out[0] = TTZO_MULADD(a[0], y, x * b[0]);
        if (jet->order > 1)
            out[next] = TTZO_MULADD(2.0f * a[0], b[0], TTZO_MULADD(a[next], y, x * b[b_next]));
        if (jet->order > 2) {
            float mixed = TTZO_MULADD(a[next], b[0], a[0] * b[b_next]);
            out[2 * next] = TTZO_MULADD(3.0f, mixed, TTZO_MULADD(a[2 * next], y, x * b[2 * b_next]));
        }
        if (k < jet->n_summed)
            crossed = TTZO_MULADD(a[0], b[0], crossed);
    }
    if (jet->n_summed)
        out[apart] = TTZO_MULADD(2.0f, crossed, TTZO_MULADD(a[apart], y, x * b[b_apart]));
}

void ttzo_multiply_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    struct ttzo_broadcast_attributes a;
    ttzo_unpack_broadcast_attributes(call->attributes, &a);
    const float *x = call->inputs[0];
    float *out = call->output;
    for (uint32_t outer = 0; outer < a.outer; outer++)
        for (uint32_t m = 0; m < a.middle; m++)
            for (uint32_t i = 0; i < a.inner; i++)
                product_rule(jet, x++, call->numbers, call->inputs[1] + m, a.middle, out++);
}

#endif
