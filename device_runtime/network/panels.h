// SPDX-License-Identifier: MIT
// The fastest matrix product: both operands are packed into panels, four lines side by side, [inner][4], and a tile of
// 4 x 4 outputs stays in registers. Every output is one chain of multiply-adds over the ascending summed index, so that
// no tile changes a bit of it.
#ifndef TTZO_PANELS_H
#define TTZO_PANELS_H
#include <stddef.h>

#include "network/product.h"

// Numbers in the panels of `lines` lines.
uint32_t ttzo_panel_numbers(uint32_t lines, uint32_t inner);

// Packs a matrix of `lines` lines. Where they are no multiple of four, the last panel is filled up with any numbers,
// and what comes of them is dropped.
void ttzo_pack_panels(float *panels, struct ttzo_operand matrix, uint32_t lines, uint32_t inner);

// n further right panels: from one to the next `right` moves by right_step numbers, out by out_step.
struct ttzo_more_panels {
    uint32_t n, out_step, right_step;
};

// The product below where rows > 0 is a multiple of four, and all four columns count. With `more` panels `start` is NULL.
void ttzo_multiply_tiles(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                         uint32_t rows, uint32_t inner, const struct ttzo_more_panels *more);

// The same for any rows and columns.
void ttzo_multiply_ragged(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                          uint32_t rows, uint32_t inner, uint32_t columns);

// out[i * row_stride + j] = start + sum over k of left[i][k] right[j][k], i < rows, j < columns: `left` are the panels
// of `rows` lines, `right` is one panel, of which `columns` <= 4 lines count. `start` lies like out, NULL means zeros.
// All panels are 8-byte aligned.
static inline void ttzo_multiply_panels(float *out, uint32_t row_stride, const float *start, const float *left,
                                        const float *right, uint32_t rows, uint32_t inner, uint32_t columns)
{
    if (columns == 4 && rows % 4 == 0 && rows)
        ttzo_multiply_tiles(out, row_stride, start, left, right, rows, inner, NULL);
    else
        ttzo_multiply_ragged(out, row_stride, start, left, right, rows, inner, columns);
}

#endif
