// SPDX-License-Identifier: MIT
// Recurrent cells: sums of the inputs and of h are two chains of multiply-adds, each from its bias.
#include "operations/calls.h"

#include "network/product.h"
#include "number/real.h"

#if TTZO_HAS(RECURRENT)

static uint32_t gates(uint8_t cell)
{
    return cell == TTZO_CELL_LSTM ? 4 : cell == TTZO_CELL_GRU ? 3 : 1;
}

bool ttzo_recurrent_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_recurrent_attributes a;
    ttzo_unpack_recurrent_attributes(attributes, &a);
    (void)numbers;
    uint64_t rows = (uint64_t)gates(a.cell) * a.hidden;
    *sizes =
        (struct ttzo_node_sizes){ .inputs = { (uint64_t)a.steps * a.in_features }, .n_inputs = 1, .n_matrices = 2 };
    sizes->output = a.last ? a.hidden : (uint64_t)a.steps * a.hidden;
    sizes->rows[0] = sizes->rows[1] = rows;
    sizes->columns[0] = a.in_features;
    sizes->columns[1] = a.hidden;
    sizes->parameters = rows * ((uint64_t)a.in_features + a.hidden + (a.has_bias ? 2 : 0));
    sizes->scratch = 2 * rows + 2 * a.hidden;
    sizes->macs = a.steps * rows * ((uint64_t)a.in_features + a.hidden);
    return a.cell <= TTZO_CELL_LSTM && a.steps && a.in_features && a.hidden && a.has_bias <= 1 && a.reverse <= 1 &&
           a.last <= 1 && a.reserved == 0;
}

// The next h, and of an LSTM what it remembers, from the sums a of the inputs and c of h.
static void step(uint8_t cell, uint32_t n, const float *a, const float *c, float *h, float *s)
{
    for (uint32_t i = 0; i < n; i++) {
        if (cell == TTZO_CELL_TANH) {
            h[i] = ttzo_tanh(a[i] + c[i]);
        } else if (cell == TTZO_CELL_GRU) {
            float r = ttzo_sigmoid(a[i] + c[i]), z = ttzo_sigmoid(a[n + i] + c[n + i]);
            float next = ttzo_tanh(TTZO_MULADD(r, c[2 * n + i], a[2 * n + i]));
            h[i] = TTZO_MULADD(z, h[i] - next, next);
        } else {
            float in = ttzo_sigmoid(a[i] + c[i]), keep = ttzo_sigmoid(a[n + i] + c[n + i]);
            float next = ttzo_tanh(a[2 * n + i] + c[2 * n + i]), out = ttzo_sigmoid(a[3 * n + i] + c[3 * n + i]);
            s[i] = TTZO_MULADD(in, next, keep * s[i]);
            h[i] = out * ttzo_tanh(s[i]);
        }
    }
}

void ttzo_recurrent_forward(const struct ttzo_node_call *call)
{
    struct ttzo_recurrent_attributes a;
    ttzo_unpack_recurrent_attributes(call->attributes, &a);
    uint32_t n = a.hidden, rows = gates(a.cell) * n;
    const float *weight_ih = call->parameters, *weight_hh = weight_ih + rows * a.in_features;
    const float *bias_ih = a.has_bias ? weight_hh + rows * n : NULL, *bias_hh = a.has_bias ? bias_ih + rows : NULL;
    float *of_input = call->scratch, *of_h = of_input + rows, *h = of_h + rows, *s = h + n;
    for (uint32_t i = 0; i < n; i++)
        h[i] = s[i] = 0.0f;
    for (uint32_t k = 0; k < a.steps; k++) {
        uint32_t t = a.reverse ? a.steps - 1u - k : k;
        struct ttzo_operand x = { call->inputs[0] + t * a.in_features, 0, 1 };
        ttzo_product(of_input, bias_ih, x, (struct ttzo_operand){ weight_ih, a.in_features, 1 }, 1, a.in_features, rows,
                     TTZO_DATA_NONE);
        ttzo_product(of_h, bias_hh, (struct ttzo_operand){ h, 0, 1 }, (struct ttzo_operand){ weight_hh, n, 1 }, 1, n,
                     rows, TTZO_DATA_NONE);
        step(a.cell, n, of_input, of_h, h, s);
        for (uint32_t i = 0; !a.last && i < n; i++)
            call->output[t * n + i] = h[i];
    }
    for (uint32_t i = 0; a.last && i < n; i++)
        call->output[i] = h[i];
}

#endif
