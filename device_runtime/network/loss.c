// SPDX-License-Identifier: MIT
#include "network/loss.h"

#include "number/real.h"

// log(sum_j exp(z_j - max)) - (z_class - max)
static float cross_entropy(float *z, uint32_t n, uint32_t row_class)
{
    float largest = z[0], sum = 0.0f;
    for (uint32_t j = 1; j < n; j++)
        if (z[j] > largest)
            largest = z[j];
    for (uint32_t j = 0; j < n; j++) {
        z[j] = z[j] - largest;
        sum = sum + ttzo_exp(z[j]);
    }
    return ttzo_log(sum) - z[row_class];
}

static float mean_squared_error(const float *z, uint32_t n, const uint8_t *target)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        float difference = z[j] - ttzo_get_f32(target + 4 * j);
        sum = TTZO_MULADD(difference, difference, sum);
    }
    return sum * (1.0f / (float)n);
}

float ttzo_row_loss(const struct ttzo_model *model, float *outputs, const uint8_t *target)
{
    uint32_t n = model->info.out_features;
    if (model->info.loss == TTZO_LOSS_CROSS_ENTROPY)
        return cross_entropy(outputs, n, ttzo_get_u16(target));
    return mean_squared_error(outputs, n, target);
}

// ---- changes --------------------------------------------------------------------------------------------------------

static void softmax(const float *z, uint32_t n, float *p)
{
    float largest = z[0], sum = 0.0f;
    for (uint32_t j = 1; j < n; j++)
        if (z[j] > largest)
            largest = z[j];
    for (uint32_t j = 0; j < n; j++) {
        p[j] = ttzo_exp(z[j] - largest);
        sum = sum + p[j];
    }
    for (uint32_t j = 0; j < n; j++)
        p[j] = p[j] / sum;
}

void ttzo_loss_slopes(const struct ttzo_model *model, const float *outputs, const uint8_t *target, float *slopes)
{
    uint32_t n = model->info.out_features;
    if (model->info.loss == TTZO_LOSS_CROSS_ENTROPY)
        softmax(outputs, n, slopes);
    else
        for (uint32_t j = 0; j < n; j++)
            slopes[j] = 2.0f * (outputs[j] - ttzo_get_f32(target + 4 * j));
}

// Below this sum of squared changes, three moments say as much as expm1 and log1p: what they leave out is less than
// 2^-18 / 24 of the largest change.
#ifndef TTZO_SMALL_SQUARES
#define TTZO_SMALL_SQUARES 0.000244140625f // 2^-12
#endif

// log1p(s)
static float small_log1p(float s)
{
    float q = TTZO_MULADD(s, -0.25f, 0.333333343f);
    q = TTZO_MULADD(s, q, -0.5f);
    return TTZO_MULADD(s * s, q, s);
}

struct moments {
    float squares, first, second, third; // sums of a a, p a, p a a, p a a a
};

static inline void add_moment(struct moments *sums, float p, float against)
{
    float moment = p * against;
    sums->squares = TTZO_MULADD(against, against, sums->squares);
    sums->first = sums->first + moment;
    moment = moment * against;
    sums->second = sums->second + moment;
    sums->third = TTZO_MULADD(moment, against, sums->third);
}

static float large_change(const float *p, const float *changes, uint32_t n, float own)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(p[j], ttzo_expm1(changes[j] - own), sum);
    return ttzo_log1p(sum);
}

static inline float change_of(const struct moments *sums, const float *p, const float *changes, uint32_t n, float own)
{
    if (sums->squares < TTZO_SMALL_SQUARES)
        return small_log1p(TTZO_MULADD(sums->third, 0.166666672f, TTZO_MULADD(sums->second, 0.5f, sums->first)));
    return large_change(p, changes, n, own);
}

static float cross_entropy_change(const float *p, const float *changes, uint32_t n, uint32_t row_class)
{
    float own = changes[row_class];
    struct moments sums = { 0.0f, 0.0f, 0.0f, 0.0f };
    for (uint32_t j = 0; j < n; j++)
        add_moment(&sums, p[j], changes[j] - own);
    return change_of(&sums, p, changes, n, own);
}

// Four rows, which share the loads of p.
static void cross_entropy_changes(const float *p, const float *a, uint32_t stride, uint32_t n, uint32_t row_class,
                                  float differences[4])
{
    const float *b = a + stride, *c = b + stride, *d = c + stride;
    float of_a = a[row_class], of_b = b[row_class], of_c = c[row_class], of_d = d[row_class];
    struct moments to_a = { 0.0f, 0.0f, 0.0f, 0.0f }, to_b = to_a, to_c = to_a, to_d = to_a;
    for (uint32_t j = 0; j < n; j++) {
        float share = p[j];
        add_moment(&to_a, share, a[j] - of_a);
        add_moment(&to_b, share, b[j] - of_b);
        add_moment(&to_c, share, c[j] - of_c);
        add_moment(&to_d, share, d[j] - of_d);
    }
    differences[0] = change_of(&to_a, p, a, n, of_a);
    differences[1] = change_of(&to_b, p, b, n, of_b);
    differences[2] = change_of(&to_c, p, c, n, of_c);
    differences[3] = change_of(&to_d, p, d, n, of_d);
}

static float squared_change(const float *slopes, const float *changes, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(changes[j], slopes[j] + changes[j], sum);
    return sum * (1.0f / (float)n);
}

void ttzo_loss_changes(const struct ttzo_model *model, const float *slopes, const float *changes, uint32_t stride,
                       uint32_t n, const uint8_t *target, float *differences)
{
    uint32_t outputs = model->info.out_features;
    bool classes = model->info.loss == TTZO_LOSS_CROSS_ENTROPY;
    uint32_t row_class = classes ? ttzo_get_u16(target) : 0;
    for (; classes && n >= 4; n -= 4, changes += 4 * stride, differences += 4)
        cross_entropy_changes(slopes, changes, stride, outputs, row_class, differences);
    for (; n; n--, changes += stride)
        *differences++ = classes ? cross_entropy_change(slopes, changes, outputs, row_class)
                                 : squared_change(slopes, changes, outputs);
}

// ---- hits -----------------------------------------------------------------------------------------------------------

bool ttzo_row_correct(const struct ttzo_model *model, const float *outputs, const uint8_t *target)
{
    if (model->info.loss != TTZO_LOSS_CROSS_ENTROPY)
        return false;
    uint32_t best = 0;
    for (uint32_t j = 1; j < model->info.out_features; j++)
        if (outputs[j] > outputs[best])
            best = j;
    return best == ttzo_get_u16(target);
}
