// SPDX-License-Identifier: MIT
// Products of a matrix with four columns that stand side by side, such as the patches at four positions of an image.
#ifndef TTZO_FOUR_COLUMNS_H
#define TTZO_FOUR_COLUMNS_H
#include <stdbool.h>
#include <stdint.h>

#include "network/lanes.h"

// Whether this build has a kernel for them; where it has none, ttzo_product is as fast.
#if TTZO_LANES == 4 || (TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP))
#define TTZO_HAS_FOUR_COLUMNS true
#else
#define TTZO_HAS_FOUR_COLUMNS false
#endif

// out[row * row_step + column] = bias[row * bias_step], or 0 where `bias` is NULL, plus the sum over k < inner of
// rows[row * rows_step + k] * right[k * right_step + column], for four columns and n rows: one chain of multiply-adds over
// ascending k. inner > 0. To be called only where TTZO_HAS_FOUR_COLUMNS.
void ttzo_multiply_four_columns(float *out, uint32_t row_step, const float *bias, uint32_t bias_step, const float *rows,
                                uint32_t rows_step, const float *right, uint32_t right_step, uint32_t n,
                                uint32_t inner);

#endif
