// SPDX-License-Identifier: MIT
// A product of two matrices that both lie with the summed index first, left[k][row] and right[k][column]: tiles of 4 x 4
// or 2 x 8 outputs read neighbours of each, so that nothing is packed. Every output is one chain of multiply-adds over the
// ascending summed index.
#ifndef TTZO_COLUMN_PRODUCT_H
#define TTZO_COLUMN_PRODUCT_H
#include <stdbool.h>

#include "network/product.h"

struct ttzo_columns {
    const float *at;
    uint32_t step; // from one summed index to the next
};

// out[i * stride + j] = start + sum over k < inner of left[k][i] right[k][j], i < rows, j < columns; the start is what
// stands in `out` if it `adds`, else 0.
void ttzo_column_product(float *out, uint32_t stride, struct ttzo_columns left, struct ttzo_columns right,
                         uint32_t rows, uint32_t inner, uint32_t columns, bool adds);

// Lays `lines` lines of a matrix out like that: out[k * step + i] = number k of line i, k < inner.
void ttzo_lay_columns(float *out, uint32_t step, struct ttzo_operand matrix, uint32_t lines, uint32_t inner);

// The summed indices at which four neighbours of a matrix are not all zero lie in [first, end).
struct ttzo_range {
    uint32_t first, end;
};

// Of the n neighbours (at most four) at number 0 of each summed index.
struct ttzo_range ttzo_live_range(struct ttzo_columns four, uint32_t inner, uint32_t n);

#endif
