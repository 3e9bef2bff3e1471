// SPDX-License-Identifier: MIT
#include "equations/triangle.h"

#include "contract/ttzo_contract.h"
#include "network/lanes.h"
#include "number/real.h"

// Row j, such that row[c] is its number in column c >= j.
static float *row_of(float *triangle, uint32_t n, uint32_t j)
{
    return triangle + j * (n + 1) - j * (j + 1) / 2;
}

// Below this squared length a column counts as used up: what is left of it is rounding, and its square would leave
// float32's normal numbers.
static const float used_up = 1e-30f;

// A reflection under way: its vector stands in the block's column `own` [rows], `width` apart.
struct reflection {
    const float *own;
    uint32_t rows, width;
    float weight;
};

#define GROUPS 4u // of columns side by side
#define AT_ONCE (GROUPS * TTZO_LANES)

// AT_ONCE columns of the triangle's row and of the block, from these on.
static void reflect_groups(const struct reflection *r, float *row, float *column)
{
    ttzo_lanes factors[GROUPS], weight = ttzo_lanes_of(r->weight);
    for (uint32_t k = 0; k < GROUPS; k++)
        factors[k] = ((ttzo_lanes *)row)[k];
    for (uint32_t i = 0; i < r->rows; i++) {
        const ttzo_lanes *numbers = (const ttzo_lanes *)(column + i * r->width);
        ttzo_lanes own = ttzo_lanes_of(r->own[i * r->width]);
        for (uint32_t k = 0; k < GROUPS; k++)
            factors[k] = TTZO_MULADD(own, numbers[k], factors[k]);
    }
    for (uint32_t k = 0; k < GROUPS; k++) {
        factors[k] = factors[k] * weight;
        ((ttzo_lanes *)row)[k] = ((ttzo_lanes *)row)[k] + factors[k];
    }
    for (uint32_t i = 0; i < r->rows; i++) {
        ttzo_lanes *numbers = (ttzo_lanes *)(column + i * r->width), own = ttzo_lanes_of(r->own[i * r->width]);
        for (uint32_t k = 0; k < GROUPS; k++)
            numbers[k] = TTZO_MULADD(factors[k], own, numbers[k]);
    }
}

static void reflect_column(const struct reflection *r, float *row, float *column)
{
    float dot = *row;
    for (uint32_t i = 0; i < r->rows; i++)
        dot = TTZO_MULADD(r->own[i * r->width], column[i * r->width], dot);
    float factor = dot * r->weight;
    *row = *row + factor;
    for (uint32_t i = 0; i < r->rows; i++)
        column[i * r->width] = TTZO_MULADD(factor, r->own[i * r->width], column[i * r->width]);
}

// One reflection: what the block holds in column j goes into the triangle's row j. The reflection's vector is (1, w),
// w = column / head.
static void reflect(float *row, uint32_t n, uint32_t j, float *block, uint32_t rows)
{
    const uint32_t width = n + 1;
    float squares = 0.0f;
    for (uint32_t i = 0; i < rows; i++)
        squares = TTZO_MULADD(block[i * width + j], block[i * width + j], squares);
    if (!(squares > used_up))
        return;
    float length = ttzo_sqrt(TTZO_MULADD(row[j], row[j], squares));
    float turned = row[j] > 0.0f ? -length : length;
    float head = row[j] - turned, weight = head / turned, per_head = 1.0f / head;
    row[j] = turned;
    for (uint32_t i = 0; i < rows; i++)
        block[i * width + j] = block[i * width + j] * per_head;
    const struct reflection r = { block + j, rows, width, weight };
    uint32_t c = j + 1;
    for (; width - c >= AT_ONCE; c += AT_ONCE)
        reflect_groups(&r, row + c, block + c);
    for (; c < width; c++)
        reflect_column(&r, row + c, block + c);
}

void ttzo_triangle_fold(float *triangle, uint32_t n, float *block, uint32_t rows)
{
    for (uint32_t j = 0; j < n; j++)
        reflect(row_of(triangle, n, j), n, j, block, rows);
}

void ttzo_triangle_add_ridge(const float *triangle, float *solved, uint32_t n, uint32_t n_first, float of_first,
                             float of_others, float *block)
{
    const uint32_t width = n + 1;
    for (uint32_t i = 0; i < ttzo_triangle_count(n); i++)
        solved[i] = triangle[i];
    for (uint32_t first = 0; first < n; first += TTZO_GN_BLOCK_ROWS) {
        uint32_t count = n - first < TTZO_GN_BLOCK_ROWS ? n - first : TTZO_GN_BLOCK_ROWS;
        for (uint32_t i = 0; i < count * width; i++)
            block[i] = 0.0f;
        for (uint32_t i = 0; i < count; i++)
            block[i * width + first + i] = first + i < n_first ? of_first : of_others;
        ttzo_triangle_fold(solved, n, block, count);
    }
}

float ttzo_triangle_squares(const float *triangle, uint32_t n, uint32_t first, uint32_t end)
{
    float squares = 0.0f;
    const float *at = triangle;
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t c = j; c <= n; c++, at++)
            if (c >= first && c < end)
                squares = TTZO_MULADD(*at, *at, squares);
    return squares;
}

static void shorten(float *a, uint32_t n, float radius)
{
    float squares = 0.0f;
    for (uint32_t c = 0; c < n; c++)
        squares = TTZO_MULADD(a[c], a[c], squares);
    float length = ttzo_sqrt(squares);
    if (!(radius > 0.0f && length > radius))
        return;
    float factor = radius / length;
    for (uint32_t c = 0; c < n; c++)
        a[c] = a[c] * factor;
}

void ttzo_triangle_solve(const float *triangle, uint32_t n, uint32_t n_free, float radius, float *a)
{
    const float *row = triangle + ttzo_triangle_count(n);
    for (uint32_t j = n; j-- > 0;) {
        row -= n + 1 - j; // at column j
        float sum = -row[n - j];
        for (uint32_t c = j + 1; c < n; c++)
            sum = TTZO_MULADD(-row[c - j], a[c], sum);
        a[j] = row[0] < 0.0f || row[0] > 0.0f ? sum / row[0] : 0.0f;
        if (j == n_free)
            shorten(a + n_free, n - n_free, radius);
    }
}

void ttzo_triangle_solve_twice(const float *triangle, uint32_t n, const float *b, float *y)
{
    const float *row = triangle;
    for (uint32_t j = 0; j < n; j++)
        y[j] = -b[j];
    for (uint32_t j = 0; j < n; row += n + 1 - j, j++) { // R' t = -b, t in the place of y
        y[j] = row[0] < 0.0f || row[0] > 0.0f ? y[j] / row[0] : 0.0f;
        for (uint32_t c = j + 1; c < n; c++)
            y[c] = TTZO_MULADD(-row[c - j], y[j], y[c]);
    }
    for (uint32_t j = n; j-- > 0;) { // R y = t
        row -= n + 1 - j;            // at column j
        for (uint32_t c = j + 1; c < n; c++)
            y[j] = TTZO_MULADD(-row[c - j], y[c], y[j]);
        y[j] = row[0] < 0.0f || row[0] > 0.0f ? y[j] / row[0] : 0.0f;
    }
}

void ttzo_triangle_scale(float *triangle, uint32_t n, float factor)
{
    for (uint32_t i = 0; i < ttzo_triangle_count(n); i++)
        triangle[i] = triangle[i] * factor;
}
