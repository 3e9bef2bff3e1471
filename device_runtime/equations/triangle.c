// SPDX-License-Identifier: MIT
#include "equations/triangle.h"

#include "number/real.h"

// Row j, such that row[c] is its number in column c >= j.
static float *row_of(float *triangle, uint32_t n, uint32_t j)
{
    return triangle + j * (n + 1) - j * (j + 1) / 2;
}

// Below this squared length a column counts as used up: what is left of it is rounding, and its square would leave
// float32's normal numbers.
static const float used_up = 1e-30f;

#define COLUMNS 8u // side by side

struct place {
    uint32_t j, c, width;
};

// Columns [c, c + COLUMNS), as far as there are any, of a reflection whose vector stands in the block's column j.
static void reflect_columns(float *row, float *block, uint32_t rows, struct place at, float weight)
{
    uint32_t n = at.width - at.c < COLUMNS ? at.width - at.c : COLUMNS;
    float factors[COLUMNS];
    for (uint32_t k = 0; k < n; k++)
        factors[k] = row[at.c + k];
    for (uint32_t i = 0; i < rows; i++) {
        const float *numbers = block + i * at.width + at.c;
        const float own = block[i * at.width + at.j];
        for (uint32_t k = 0; k < n; k++)
            factors[k] = TTZO_MULADD(own, numbers[k], factors[k]);
    }
    for (uint32_t k = 0; k < n; k++) {
        factors[k] = factors[k] * weight;
        row[at.c + k] = row[at.c + k] + factors[k];
    }
    for (uint32_t i = 0; i < rows; i++) {
        float *numbers = block + i * at.width + at.c;
        const float own = block[i * at.width + at.j];
        for (uint32_t k = 0; k < n; k++)
            numbers[k] = TTZO_MULADD(factors[k], own, numbers[k]);
    }
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
    for (uint32_t c = j + 1; c < width; c += COLUMNS)
        reflect_columns(row, block, rows, (struct place){ j, c, width }, weight);
}

void ttzo_triangle_fold(float *triangle, uint32_t n, float *block, uint32_t rows)
{
    for (uint32_t j = 0; j < n; j++)
        reflect(row_of(triangle, n, j), n, j, block, rows);
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
