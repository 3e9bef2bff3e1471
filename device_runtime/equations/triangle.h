// SPDX-License-Identifier: MIT
// Least squares by QR, streamed: rows are folded into a triangle by Householder reflections, a block at a time.
#ifndef TTZO_TRIANGLE_H
#define TTZO_TRIANGLE_H
#include <stdint.h>

// The upper triangle R of n unknowns with the right side Q'b as column n: row j holds columns j to n, one row after
// the other. All zeros before the first fold.
static inline uint32_t ttzo_triangle_count(uint32_t n)
{
    return n * (n + 3) / 2;
}

// Folds `rows` rows [a, b] of n + 1 numbers each into the triangle; the rows are used up. Cost: rows n^2 MAC.
void ttzo_triangle_fold(float *triangle, uint32_t n, float *block, uint32_t rows);

// `solved` becomes the triangle with a ridge folded in: `of_first` for the unknowns below `n_first`, `of_others` for the rest.
// `block` holds TTZO_GN_BLOCK_ROWS rows of n + 1 numbers.
void ttzo_triangle_add_ridge(const float *triangle, float *solved, uint32_t n, uint32_t n_first, float of_first,
                             float of_others, float *block);

// Squared length of the columns [first, end) of what was folded in.
float ttzo_triangle_squares(const float *triangle, uint32_t n, uint32_t first, uint32_t end);

// a [n] with R a = -Q'b, the unknowns [n_free, n) first: when `radius` > 0 and they are longer, they are shortened to
// it, and the others are solved for what is left.
void ttzo_triangle_solve(const float *triangle, uint32_t n, uint32_t n_free, float radius, float *a);

// y [n] with R'R y = -b, from the first n columns alone.
void ttzo_triangle_solve_twice(const float *triangle, uint32_t n, const float *b, float *y);

// Multiplies all of it by `factor`.
void ttzo_triangle_scale(float *triangle, uint32_t n, float factor);

#endif
