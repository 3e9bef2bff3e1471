// SPDX-License-Identifier: MIT
#include "loss.h"

#include "real.h"

bool ttzo_is_finite(float x)
{
    return x - x == 0.0f;
}

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

static float cross_entropy_change(const float *p, const float *changes, uint32_t n, uint32_t row_class)
{
    float own = changes[row_class], squares = 0.0f, first = 0.0f, second = 0.0f, third = 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        float against = changes[j] - own;
        squares = TTZO_MULADD(against, against, squares);
        float moment = p[j] * against;
        first = first + moment;
        moment = moment * against;
        second = second + moment;
        third = TTZO_MULADD(moment, against, third);
    }
    if (squares < TTZO_SMALL_SQUARES)
        return small_log1p(TTZO_MULADD(third, 0.166666672f, TTZO_MULADD(second, 0.5f, first)));
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(p[j], ttzo_expm1(changes[j] - own), sum);
    return ttzo_log1p(sum);
}

float ttzo_loss_change(const struct ttzo_model *model, const float *slopes, const float *changes, const uint8_t *target)
{
    uint32_t n = model->info.out_features;
    if (model->info.loss == TTZO_LOSS_CROSS_ENTROPY)
        return cross_entropy_change(slopes, changes, n, ttzo_get_u16(target));
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = TTZO_MULADD(changes[j], slopes[j] + changes[j], sum);
    return sum * (1.0f / (float)n);
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
