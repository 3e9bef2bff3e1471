// SPDX-License-Identifier: MIT
// Products of four lines with some rows of a matrix, which stay where they are.
#ifndef TTZO_LISTED_PRODUCT_H
#define TTZO_LISTED_PRODUCT_H
#include <stdint.h>

// A matrix of `columns` columns: number (row, column) stands at row * row_step + column * column_step.
struct ttzo_listed_matrix {
    const float *at;
    uint32_t columns, row_step, column_step;
};

// out[column][q] = sum over i < n of left[i][q] times row rows[i] of the matrix, for four q: chains from 0 in the order of
// the list.
void ttzo_multiply_listed(float *out, const float *left, const struct ttzo_listed_matrix *matrix, const uint16_t *rows,
                          uint32_t n);

#endif
