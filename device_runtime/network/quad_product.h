// SPDX-License-Identifier: MIT
// Products of panels with what belongs to four queries.
#ifndef TTZO_QUAD_PRODUCT_H
#define TTZO_QUAD_PRODUCT_H
#include <stdint.h>

// out[i][q] = sum over k < inner of left[i][k] right[k][q], i < rows, for the four q of a quad; `left` are the panels
// (panels.h) of `rows` lines, and inner > 0. Rows up to the next multiple of four may be written too. A chain begins
// with its first product, so that a zero may have another sign than one that is added to zero.
void ttzo_multiply_quads(float *out, const float *left, const float *right, uint32_t rows, uint32_t inner);

#endif
