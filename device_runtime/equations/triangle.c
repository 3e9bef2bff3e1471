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
    for (uint32_t c = j + 1; c < width; c++) {
        float dot = row[c];
        for (uint32_t i = 0; i < rows; i++)
            dot = TTZO_MULADD(block[i * width + j], block[i * width + c], dot);
        float factor = dot * weight;
        row[c] = row[c] + factor;
        for (uint32_t i = 0; i < rows; i++)
            block[i * width + c] = TTZO_MULADD(factor, block[i * width + j], block[i * width + c]);
    }
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
