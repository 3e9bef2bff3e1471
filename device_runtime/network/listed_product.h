// SPDX-License-Identifier: MIT
// Products of four lines with some rows of a matrix, where these lie.
#ifndef TTZO_LISTED_PRODUCT_H
#define TTZO_LISTED_PRODUCT_H
#include <stdint.h>

// A matrix of `columns` columns: number (row, column) stands at row * row_step + column * column_step.
struct ttzo_listed_matrix {
    const float *at;
    uint32_t columns, row_step, column_step;
};

// out[q * stride + column] = sum over i < n of left[i][q] times row rows[i] of the matrix, for four q: chains from 0 in the
// order of the list. `left` is [n][4], `rows` ascending.
void ttzo_multiply_listed(float *out, uint32_t stride, const float *left, const struct ttzo_listed_matrix *matrix,
                          const uint16_t *rows, uint32_t n);

#endif
