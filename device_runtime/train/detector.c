// SPDX-License-Identifier: MIT
// Anomalies by the error with which a network gives a row back. Host twin: host_tools/training/detector.py.
#include <float.h>

#include "number/real.h"
#include "ttzo.h"

static float input_at(const struct ttzo_model *model, const uint8_t *row, uint32_t i)
{
    float raw = model->info.input_number == TTZO_NUMBER_UINT8   ? (float)row[i]
                : model->info.input_number == TTZO_NUMBER_INT16 ? (float)ttzo_get_i16(row + 2 * i)
                                                                : ttzo_get_f32(row + 4 * i);
    return TTZO_MULADD(raw, model->info.input_scale, model->info.input_offset);
}

float ttzo_row_error(const struct ttzo_model *model, const float *outputs, const uint8_t *row)
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < model->info.in_features; i++) {
        float error = outputs[i] - input_at(model, row, i);
        sum = TTZO_MULADD(error, error, sum);
    }
    return sum / (float)model->info.in_features;
}

void ttzo_detector_begin(struct ttzo_detector *detector, uint32_t votes, uint32_t of)
{
    uint32_t looks = of < 1 ? 1 : of > 32 ? 32 : of;
    *detector = (struct ttzo_detector){ .threshold = FLT_MAX, .votes = votes < 1 ? 1 : votes, .of = looks };
}

enum ttzo_error ttzo_detector_learn(struct ttzo_detector *detector, float error)
{
    if (!ttzo_is_finite(error))
        return TTZO_ERROR_BAD_INPUT;
    uint32_t kept = detector->count < TTZO_DETECTOR_LARGEST ? detector->count : TTZO_DETECTOR_LARGEST;
    float carried = error; // sinks to its place among the largest
    for (uint32_t i = 0; i < kept; i++)
        if (carried > detector->largest[i]) {
            float next = detector->largest[i];
            detector->largest[i] = carried;
            carried = next;
        }
    if (kept < TTZO_DETECTOR_LARGEST)
        detector->largest[kept] = carried;
    float before = error - detector->mean; // Welford
    detector->count++;
    detector->mean += before / (float)detector->count;
    detector->squares += before * (error - detector->mean);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_detector_percentile(struct ttzo_detector *detector, float percent)
{
    if (!(percent > 0.0f && percent < 100.0f) || detector->count == 0)
        return TTZO_ERROR_OUT_OF_RANGE;
    uint32_t above = (uint32_t)((float)detector->count * (100.0f - percent) / 100.0f);
    if (above >= TTZO_DETECTOR_LARGEST || above >= detector->count)
        return TTZO_ERROR_OUT_OF_RANGE;
    detector->threshold = detector->largest[above];
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_detector_gaussian(struct ttzo_detector *detector, float deviations)
{
    if (!ttzo_is_finite(deviations) || detector->count == 0)
        return TTZO_ERROR_OUT_OF_RANGE;
    detector->threshold = detector->mean + deviations * ttzo_sqrt(detector->squares / (float)detector->count);
    return TTZO_ERROR_OK;
}

bool ttzo_detector_alarm(struct ttzo_detector *detector, float error)
{
    bool is_above = !(error <= detector->threshold); // what is no number is an anomaly too
    detector->recent = detector->recent << 1 | is_above;
    uint32_t votes = 0;
    for (uint32_t i = 0; i < detector->of; i++)
        votes += detector->recent >> i & 1u;
    return votes >= detector->votes;
}
