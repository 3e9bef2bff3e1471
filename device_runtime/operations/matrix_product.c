// SPDX-License-Identifier: MIT
#include "operations/calls.h"

#include "network/product.h"

#if TTZO_HAS(ATTENTION)

bool ttzo_matrix_product_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_product_attributes a;
    ttzo_unpack_product_attributes(attributes, &a);
    (void)numbers;
    *sizes = (struct ttzo_node_sizes){ .n_inputs = 2 };
    sizes->inputs[0] = ttzo_times(ttzo_times(a.count, a.rows), a.inner);
    sizes->inputs[1] = ttzo_times(ttzo_times(a.count, a.inner), a.columns);
    sizes->output = ttzo_times(ttzo_times(a.count, a.rows), a.columns);
    sizes->macs = ttzo_times(sizes->output, a.inner);
    return a.inner && a.transposed <= 1;
}

void ttzo_matrix_product_forward(const struct ttzo_node_call *call)
{
    struct ttzo_product_attributes a;
    ttzo_unpack_product_attributes(call->attributes, &a);
    const float *left = call->inputs[0], *right = call->inputs[1];
    float *out = call->output;
    for (uint32_t g = 0; g < a.count; g++) {
        struct ttzo_operand rows = { left, a.inner, 1 };
        struct ttzo_operand columns = { right, a.transposed ? a.inner : 1, a.transposed ? 1 : a.columns };
        ttzo_product(out, NULL, rows, columns, a.rows, a.inner, a.columns, TTZO_DATA_NONE);
        left += a.rows * a.inner;
        right += a.inner * a.columns;
        out += a.rows * a.columns;
    }
}

#endif
