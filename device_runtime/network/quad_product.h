// SPDX-License-Identifier: MIT
// Products of panels with what belongs to four queries.
#ifndef TTZO_QUAD_PRODUCT_H
#define TTZO_QUAD_PRODUCT_H
#include "network/product.h"

// For each of the quads: out[i][q] = sum over k < inner of panel line i, number k, times moves[numbers[k]][q], i < rows,
// for the four q; `panels` (panels.h) are those of `rows` lines, and inner > 0. From quad to quad out and moves are so
// many numbers apart. `changes` [inner][4] is scratch; without `numbers` it holds the moves of the only quad. Rows up to
// the next multiple of four may be written too. A chain may begin with its first product, so that a zero has another
// sign than one that is added to zero.
void ttzo_multiply_quads(float *out, uint32_t out_step, const float *panels, const float *moves, uint32_t moves_step,
                         const uint16_t *numbers, float *changes, uint32_t rows, uint32_t inner, uint32_t n_quads);

#endif
