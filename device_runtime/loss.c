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

static float cross_entropy_change(const float *p, const float *changes, uint32_t n, uint32_t row_class)
{
    float sum = 0.0f, last = 0.0f, growth = 0.0f; // growth = expm1(last): changes of several outputs are often equal
    for (uint32_t j = 0; j < n; j++) {
        float against = changes[j] - changes[row_class];
        if (against != last) {
            last = against;
            growth = ttzo_expm1(against);
        }
        sum = TTZO_MULADD(p[j], growth, sum);
    }
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
