// SPDX-License-Identifier: MIT
// Matrix products. Every output is one chain of multiply-adds over the ascending summed index, so that no choice of
// tile, packing or loop order changes a bit of it. With TTZO_TILE=0 all of them are plain loops: the reference.
#ifndef TTZO_MATMUL_H
#define TTZO_MATMUL_H
#include <stdint.h>

// A matrix operand: `outer` steps along the index that survives, `inner` along the summed one.
struct ttzo_operand {
    const float *at;
    uint32_t outer, inner;
};

// out[rows, columns] = start + left . right, summed over `inner`; `start` lies like out, NULL means zeros.
void ttzo_multiply(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right, uint32_t rows,
                   uint32_t inner, uint32_t columns);

// ---- panels: four lines of a matrix side by side, [inner][4], for the fastest tile. Both operands of a product are
// cut into panels; where lines are no multiple of four, the last panel is filled up with any numbers, and what comes of them is dropped.

// Numbers in the panels of `lines` lines.
uint32_t ttzo_panel_numbers(uint32_t lines, uint32_t inner);

// Packs a matrix of `lines` lines.
void ttzo_pack_panels(float *panels, struct ttzo_operand matrix, uint32_t lines, uint32_t inner);

// out[i * row_stride + j] = start + sum over k of left[i][k] right[j][k], i < rows, j < 4: `left` are the panels of
// `rows` lines, `right` is one panel, of which `columns` <= 4 lines count. `start` lies like out, NULL means zeros.
// All panels are 8-byte aligned.
void ttzo_multiply_panels(float *out, uint32_t row_stride, const float *start, const float *left, const float *right,
                          uint32_t rows, uint32_t inner, uint32_t columns);

#endif
