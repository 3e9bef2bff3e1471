// SPDX-License-Identifier: MIT
#include "operations/operation.h"

void ttzo_int8_rows(const uint8_t *constants, uint32_t rows, uint32_t columns, uint32_t first, uint32_t n, float *out)
{
    const uint8_t *numbers = constants + 4 * rows + first * columns;
    for (uint32_t i = 0; i < n; i++) {
        float scale = ttzo_get_f32(constants + 4 * (first + i));
        for (uint32_t j = 0; j < columns; j++)
            *out++ = (float)(int8_t)*numbers++ * scale;
    }
}
