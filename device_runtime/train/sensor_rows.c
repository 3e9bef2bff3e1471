// SPDX-License-Identifier: MIT
// Rows from a program's own numbers, in the place of bytes from a host; and training on one of them at a time.
#include "network/loss.h"
#include "network/network.h"
#include "number/real.h"
#include "ttzo.h"

// ---- inputs ---------------------------------------------------------------------------------------------------------

// The largest and smallest raw number; of float32 there is none.
static void raw_range(const struct ttzo_model *model, int32_t *low, int32_t *high)
{
    bool is_byte = model->info.input_number == TTZO_NUMBER_UINT8;
    *low = is_byte ? 0 : INT16_MIN;
    *high = is_byte ? UINT8_MAX : INT16_MAX;
}

static void put_raw(const struct ttzo_model *model, uint8_t *row, uint32_t i, int32_t raw)
{
    if (model->info.input_number == TTZO_NUMBER_UINT8)
        row[i] = (uint8_t)raw;
    else
        ttzo_put_i16(row + 2 * i, (int16_t)raw);
}

// Whether `inputs` and `row` are there and `inputs` holds all n numbers of a row of the model.
static enum ttzo_error check_row(const struct ttzo_model *model, const void *inputs, uint32_t n, const uint8_t *row,
                                 uint32_t *detail)
{
    if (!model || !inputs || !row || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = model->info.in_features;
    return n == model->info.in_features ? TTZO_ERROR_OK : TTZO_ERROR_OUT_OF_RANGE;
}

// What the network reads where a sensor has read `number`: with normalised columns (number - centre - rest) factor. The
// centre is taken away first: a column of a large mean and a small deviation would lose its digits otherwise.
static float network_input(const struct ttzo_model *model, uint32_t i, float number)
{
    uint32_t n = ttzo_reading_columns(model);
    if (n == 0)
        return number;
    const float *column = model->columns + i / (model->info.in_features / n);
    return ((number - column[0]) - column[n]) * column[2 * n];
}

// Input i of a row; whether it fits there.
static bool pack_input(const struct ttzo_model *model, uint8_t *row, uint32_t i, float input)
{
    const float round = 12582912.0f; // adding it rounds |x| < 2^22 to the nearest integer, ties to even
    int32_t low, high;
    raw_range(model, &low, &high);
    float raw = (input - model->info.input_offset) / model->info.input_scale;
    if (!ttzo_is_finite(raw))
        return false;
    if (model->info.input_number == TTZO_NUMBER_FLOAT32) {
        ttzo_put_f32(row + 4 * i, raw);
        return true;
    }
    if (ttzo_reading_columns(model) != 0) // far from all training rows: clipped, as the host does
        raw = raw<(float)low ? (float)low : raw>(float) high ? (float)high : raw;
    float whole = raw > (float)low - 1.0f && raw < (float)high + 1.0f ? (raw + round) - round : (float)high + 1.0f;
    if (whole < (float)low || whole > (float)high)
        return false;
    put_raw(model, row, i, (int32_t)whole);
    return true;
}

enum ttzo_error ttzo_pack_inputs(const struct ttzo_model *model, const float *inputs, uint32_t n, uint8_t *row,
                                 uint32_t *detail)
{
    enum ttzo_error error = check_row(model, inputs, n, row, detail);
    if (error)
        return error;
    for (*detail = 0; *detail < n; ++*detail)
        if (!pack_input(model, row, *detail, network_input(model, *detail, inputs[*detail])))
            return TTZO_ERROR_BAD_INPUT;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_pack_integers(const struct ttzo_model *model, const int32_t *inputs, uint32_t n, uint8_t *row,
                                   uint32_t *detail)
{
    enum ttzo_error error = check_row(model, inputs, n, row, detail);
    if (error)
        return error;
    int32_t low, high;
    raw_range(model, &low, &high);
    for (*detail = 0; *detail < n; ++*detail) {
        int32_t raw = inputs[*detail];
        if (ttzo_reading_columns(model) != 0) {
            if (!pack_input(model, row, *detail, network_input(model, *detail, (float)raw)))
                return TTZO_ERROR_BAD_INPUT;
        } else if (model->info.input_number == TTZO_NUMBER_FLOAT32)
            ttzo_put_f32(row + 4 * *detail, (float)raw);
        else if (raw < low || raw > high)
            return TTZO_ERROR_BAD_INPUT;
        else
            put_raw(model, row, *detail, raw);
    }
    return TTZO_ERROR_OK;
}

// ---- rows of a region -----------------------------------------------------------------------------------------------

// Row `row` of batch or dataset, which counts no longer until it is taken over; NULL when there is none.
static uint8_t *row_to_write(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row)
{
    struct ttzo_rows *rows = region == TTZO_REGION_BATCH     ? &trainer->batch
                             : region == TTZO_REGION_DATASET ? &trainer->dataset
                                                             : NULL;
    if (!rows || row >= rows->capacity)
        return NULL;
    ttzo_abandon_step_on(trainer, rows);
    rows->count = 0;
    return rows->bytes + (size_t)row * trainer->row_bytes;
}

enum ttzo_error ttzo_set_inputs(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                const float *inputs, uint32_t n, uint32_t *detail)
{
    if (!trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = row;
    uint8_t *place = row_to_write(trainer, region, row);
    return place ? ttzo_pack_inputs(trainer->model, inputs, n, place, detail) : TTZO_ERROR_OUT_OF_RANGE;
}

enum ttzo_error ttzo_set_integers(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                  const int32_t *inputs, uint32_t n, uint32_t *detail)
{
    if (!trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = row;
    uint8_t *place = row_to_write(trainer, region, row);
    return place ? ttzo_pack_integers(trainer->model, inputs, n, place, detail) : TTZO_ERROR_OUT_OF_RANGE;
}

enum ttzo_error ttzo_set_class(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row, uint32_t place,
                               uint32_t label, uint32_t *detail)
{
    if (!trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = row;
    if (ttzo_loss_places(trainer->model) == 0)
        return TTZO_ERROR_BAD_REQUEST;
    uint8_t *bytes = row_to_write(trainer, region, row);
    if (!bytes || place >= ttzo_loss_places(trainer->model))
        return TTZO_ERROR_OUT_OF_RANGE;
    if (label > UINT16_MAX)
        return TTZO_ERROR_BAD_LABEL;
    ttzo_put_u16(bytes + ttzo_input_bytes(trainer->model) + 2 * place, (uint16_t)label);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_set_outputs(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                 const float *outputs, uint32_t n, uint32_t *detail)
{
    if (!trainer || !outputs || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = row;
    if (ttzo_loss_places(trainer->model) != 0)
        return TTZO_ERROR_BAD_REQUEST;
    uint8_t *bytes = row_to_write(trainer, region, row);
    if (!bytes || 4 * n != ttzo_target_bytes(trainer->model))
        return TTZO_ERROR_OUT_OF_RANGE;
    for (*detail = 0; *detail < n; ++*detail) {
        if (!ttzo_is_finite(outputs[*detail]))
            return TTZO_ERROR_BAD_INPUT;
        ttzo_put_f32(bytes + ttzo_input_bytes(trainer->model) + 4 * *detail, outputs[*detail]);
    }
    return TTZO_ERROR_OK;
}

// ---- one sample at a time -------------------------------------------------------------------------------------------

// Counts the sample that stands in row `waiting`; a step when the batch is full.
static enum ttzo_error learn(struct ttzo_trainer *trainer, struct ttzo_step_result *result, bool *stepped,
                             uint32_t *detail)
{
    uint32_t batch = trainer->model->info.batch;
    if (++trainer->waiting < batch)
        return TTZO_ERROR_OK;
    trainer->waiting = 0;
    enum ttzo_error error = ttzo_take_rows(trainer, TTZO_REGION_BATCH, batch, detail);
    if (!error)
        error = ttzo_step(trainer, TTZO_REGION_BATCH, result, detail);
    *stepped = !error;
    return error;
}

enum ttzo_error ttzo_learn_class(struct ttzo_trainer *trainer, const float *inputs, uint32_t n, uint32_t label,
                                 struct ttzo_step_result *result, bool *stepped, uint32_t *detail)
{
    if (!trainer || !result || !stepped || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *stepped = false;
    *detail = trainer->waiting;
    if (ttzo_loss_places(trainer->model) != 1)
        return TTZO_ERROR_BAD_REQUEST;
    if (label >= ttzo_loss_classes(trainer->model))
        return TTZO_ERROR_BAD_LABEL;
    enum ttzo_error error = ttzo_set_class(trainer, TTZO_REGION_BATCH, trainer->waiting, 0, label, detail);
    if (!error)
        error = ttzo_set_inputs(trainer, TTZO_REGION_BATCH, trainer->waiting, inputs, n, detail);
    return error ? error : learn(trainer, result, stepped, detail);
}

enum ttzo_error ttzo_learn_outputs(struct ttzo_trainer *trainer, const float *inputs, uint32_t n, const float *outputs,
                                   uint32_t n_outputs, struct ttzo_step_result *result, bool *stepped, uint32_t *detail)
{
    if (!trainer || !result || !stepped || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *stepped = false;
    enum ttzo_error error = ttzo_set_outputs(trainer, TTZO_REGION_BATCH, trainer->waiting, outputs, n_outputs, detail);
    if (!error)
        error = ttzo_set_inputs(trainer, TTZO_REGION_BATCH, trainer->waiting, inputs, n, detail);
    return error ? error : learn(trainer, result, stepped, detail);
}
