// SPDX-License-Identifier: MIT
// A training run's lifetime: its memory, its settings, and how data get in and out. What a step does is in train.c.
#include "equations/derive.h"
#include "model/needed_parts.h"
#include "operations/graph.h"
#include "network/loss.h"
#include "network/packed_rows.h"
#include "network/sparse_rows.h"
#include "number/crc32.h"
#include "number/real.h"
#include "number/self_test.h"
#include "train/settings.h"
#include "train/work_memory.h"
#include "ttzo.h"

#define WORK_ALIGNMENT 8u // of the work buffer, in bytes; its arrays begin at multiples of it

// ---- lifetime -------------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_open(struct ttzo_trainer *trainer, const struct ttzo_model *model, void *work, size_t work_bytes,
                          uint32_t *detail)
{
    if (!detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = !trainer ? 1 : !model ? 2 : 3;
    if (!trainer || !model || !work)
        return TTZO_ERROR_NULL_POINTER;
    *detail = WORK_ALIGNMENT;
    if ((uintptr_t)work % WORK_ALIGNMENT)
        return TTZO_ERROR_MISALIGNED;
    *detail = ttzo_self_test();
    if (*detail)
        return TTZO_ERROR_INEXACT_BUILD;
    *detail = ttzo_needed_parts(model) & ~(uint32_t)TTZO_PARTS;
    if (*detail)
        return TTZO_ERROR_NOT_BUILT_IN;
    enum ttzo_error error = ttzo_check_model(model, detail);
    if (error)
        return error;
    *detail = ttzo_work_bytes(model);
    if (work_bytes < *detail)
        return TTZO_ERROR_OUT_OF_MEMORY;
    *trainer = (struct ttzo_trainer){
        .model = model,
        .n_moments = ttzo_moments_count(model),
        .row_bytes = ttzo_row_bytes(model),
        .macs_per_sample = ttzo_forward_macs(model),
        .macs_per_row =
            (uint64_t)ttzo_forward_macs(model) * (ttzo_has_equation(model) ? ttzo_derive_passes(model) : 1u),
        .work_bytes = *detail,
        .work_capacity = work_bytes < UINT32_MAX ? (uint32_t)work_bytes : UINT32_MAX,
    };
    ttzo_carve_work(trainer, work);
    ttzo_reset(trainer);
    return TTZO_ERROR_OK;
}

void ttzo_lend_sparse(struct ttzo_trainer *trainer, void *memory, uint32_t bytes)
{
    trainer->sparse = (struct ttzo_sparse){ memory, bytes, 0 };
}

void ttzo_reset(struct ttzo_trainer *trainer)
{
    const struct ttzo_model *model = trainer->model;
    union {
        uint32_t bits;
        float value;
    } infinity = { 0x7F800000u };
    trainer->training = model->training;
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
        trainer->phases[p] = model->phases[p];
    trainer->state = (struct ttzo_state){ .best_window = infinity.value };
    trainer->waiting = 0;
    ttzo_abandon_step(trainer);
    for (uint32_t i = 0; i < model->info.n_parameters; i++)
        trainer->theta[i] = model->parameters[i];
    for (uint32_t i = 0; i < trainer->n_moments; i++)
        trainer->moments[i] = 0.0f;
}

enum ttzo_error ttzo_configure(struct ttzo_trainer *trainer, const struct ttzo_training *training,
                               const struct ttzo_phase phases[TTZO_MAX_PHASES], uint32_t *detail)
{
    if (!trainer || !training || !phases || !detail)
        return TTZO_ERROR_NULL_POINTER;
    enum ttzo_error error = ttzo_check_fixed(training, phases, trainer->model, detail);
    if (!error)
        error = ttzo_check_settings(training, phases, detail);
    if (error)
        return error;
    ttzo_abandon_step(trainer);
    trainer->training = *training;
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
        trainer->phases[p] = phases[p];
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_set_state(struct ttzo_trainer *trainer, const struct ttzo_state *state, uint32_t *detail)
{
    if (!trainer || !state || !detail)
        return TTZO_ERROR_NULL_POINTER;
    const struct ttzo_training *settings = &trainer->training;
    // field by field, in the record's order: the first that cannot be is the detail
    bool possible[] = {
        true,
        state->phase < settings->n_phases,
        state->phase_start <= state->step,
        state->window_count <= settings->plateau_window,
        ttzo_is_finite(state->window_sum),
        state->best_window == state->best_window, // infinite before the first window, never NaN
        state->windows_without_progress <= settings->plateau_patience,
    };
    for (*detail = 0; *detail < sizeof possible / sizeof *possible; ++*detail)
        if (!possible[*detail])
            return TTZO_ERROR_BAD_REQUEST;
    ttzo_abandon_step(trainer);
    trainer->state = *state;
    return TTZO_ERROR_OK;
}

// ---- regions --------------------------------------------------------------------------------------------------------

// The memory of a region as it is written: the stage for parameters and moments, else the rows themselves.
struct region {
    uint8_t *bytes;
    uint32_t size;
    struct ttzo_rows *rows; // NULL except for batch and dataset
    float *target;          // NULL except for parameters and moments
};

static bool find_region(struct ttzo_trainer *trainer, enum ttzo_region name, struct region *found)
{
    // Between steps, `gradient` and what lies after it hold nothing that is needed: the stage.
    uint8_t *stage = (uint8_t *)trainer->gradient;
    switch (name) {
    case TTZO_REGION_PARAMETERS:
        *found = (struct region){ stage, 4 * trainer->model->info.n_parameters, NULL, trainer->theta };
        return true;
    case TTZO_REGION_MOMENTS:
        *found = (struct region){ stage, 4 * trainer->n_moments, NULL, trainer->moments };
        return true;
    case TTZO_REGION_BATCH:
        *found = (struct region){ trainer->batch.bytes, trainer->batch.capacity * trainer->row_bytes, &trainer->batch,
                                  NULL };
        return true;
    case TTZO_REGION_DATASET:
        *found = (struct region){ trainer->dataset.bytes, trainer->dataset.capacity * trainer->row_bytes,
                                  &trainer->dataset, NULL };
        return true;
    case TTZO_REGION_SPARSE:
        *found = (struct region){ trainer->sparse.bytes, trainer->sparse.capacity, NULL, NULL };
        return true;
    case TTZO_REGION_COLLOCATION: return false;
    }
    return false;
}

static bool has_place(const struct region *region, uint32_t offset, uint32_t count)
{
    return offset <= region->size && count <= region->size - offset;
}

// The rows of a region are about to change: it is no longer whole, until the next commit.
static void open_rows(struct ttzo_trainer *trainer, struct ttzo_rows *rows)
{
    ttzo_abandon_step_on(trainer, rows);
    rows->count = 0;
}

enum ttzo_error ttzo_write(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t offset, const uint8_t *bytes,
                           uint32_t count, uint32_t *detail)
{
    struct region region;
    if (!trainer || (!bytes && count) || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = offset;
    if (!find_region(trainer, name, &region) || !has_place(&region, offset, count))
        return TTZO_ERROR_OUT_OF_RANGE;
    if (region.target) // their stage is where the estimate is made
        ttzo_abandon_step(trainer);
    if (region.rows)
        open_rows(trainer, region.rows);
    if (name == TTZO_REGION_SPARSE)
        trainer->sparse.count = 0;
    for (uint32_t i = 0; i < count; i++)
        region.bytes[offset + i] = bytes[i];
    return TTZO_ERROR_OK;
}

#if TTZO_HAS(PACKING)

enum ttzo_error ttzo_write_packed(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t offset, uint32_t count,
                                  const uint8_t *packed, uint32_t packed_bytes, uint32_t *detail)
{
    struct region region;
    if (!trainer || (!packed && packed_bytes) || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = TTZO_PART_PACKING;
    if (!trainer->model->rows.packing)
        return TTZO_ERROR_NOT_BUILT_IN;
    *detail = offset;
    if (!find_region(trainer, name, &region) || !region.rows || !has_place(&region, offset, count))
        return TTZO_ERROR_OUT_OF_RANGE;
    *detail = count;
    if (!ttzo_unpack_rows(trainer->model->packing, packed, packed_bytes, NULL, count))
        return TTZO_ERROR_BAD_PACKED_ROWS;
    open_rows(trainer, region.rows);
    ttzo_unpack_rows(trainer->model->packing, packed, packed_bytes, region.bytes + offset, count);
    return TTZO_ERROR_OK;
}

#endif

// Whether all tokens of a row are among the `known` ones.
static bool knows_tokens(const struct ttzo_model *model, uint32_t known, const uint8_t *row)
{
    for (uint32_t t = 0; t < model->info.in_features; t++) {
        int32_t token = model->info.input_number == TTZO_NUMBER_UINT8 ? row[t] : ttzo_get_i16(row + 2 * t);
        if (token < 0 || (uint32_t)token >= known)
            return false;
    }
    return true;
}

// The first number of the rows [0, count) that is not finite; numbers of all rows where there is none.
static uint32_t first_not_finite(const struct ttzo_trainer *trainer, const uint8_t *bytes, uint32_t count)
{
    uint32_t n = count * (trainer->row_bytes / 4), i = 0;
    while (i < n && ttzo_is_finite(ttzo_get_f32(bytes + 4 * (size_t)i)))
        i++;
    return i;
}

enum ttzo_error ttzo_take_rows(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t count, uint32_t *detail)
{
    struct region region;
    if (!trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    uint32_t input_bytes = ttzo_input_bytes(trainer->model);
    *detail = count;
    if (!find_region(trainer, name, &region) || !region.rows || count > region.rows->capacity)
        return TTZO_ERROR_OUT_OF_RANGE;
    open_rows(trainer, region.rows);
    for (*detail = 0; *detail < count; ++*detail)
        if (!ttzo_target_is_sound(trainer->model, region.bytes + *detail * trainer->row_bytes + input_bytes))
            return TTZO_ERROR_BAD_LABEL;
    if (ttzo_has_simulation(trainer->model)) {
        *detail = first_not_finite(trainer, region.bytes, count);
        if (*detail < count * (trainer->row_bytes / 4))
            return TTZO_ERROR_BAD_NUMBER;
    }
    uint32_t known = ttzo_known_tokens(trainer->model);
    for (*detail = 0; known && *detail < count; ++*detail)
        if (!knows_tokens(trainer->model, known, region.bytes + *detail * trainer->row_bytes))
            return TTZO_ERROR_BAD_TOKEN;
    region.rows->count = count;
    return TTZO_ERROR_OK;
}

// Tokens are looked at in the whole row, in the memory of the region batch.
static enum ttzo_error take_sparse(struct ttzo_trainer *trainer, uint32_t count, uint32_t *detail)
{
    struct ttzo_sparse *sparse = &trainer->sparse;
    uint32_t n_rows;
    ttzo_abandon_step(trainer);
    sparse->count = 0;
    enum ttzo_error error = ttzo_sparse_check(trainer->model, sparse->bytes, count, &n_rows, detail);
    if (error)
        return error;
    uint32_t known = ttzo_known_tokens(trainer->model);
    if (known)
        for (trainer->batch.count = *detail = 0; *detail < n_rows; ++*detail) {
            ttzo_sparse_row(trainer->model, sparse->bytes, *detail, trainer->batch.bytes);
            if (!knows_tokens(trainer->model, known, trainer->batch.bytes))
                return TTZO_ERROR_BAD_TOKEN;
        }
    sparse->count = n_rows;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_commit(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t count, uint32_t crc,
                            uint32_t *detail)
{
    struct region region;
    if (!trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = count;
    if (!find_region(trainer, name, &region) || count > region.size || (region.target && count != region.size))
        return TTZO_ERROR_OUT_OF_RANGE;
    if (ttzo_crc32(0, region.bytes, count) != crc)
        return TTZO_ERROR_BAD_CHECKSUM;
    if (name == TTZO_REGION_SPARSE)
        return take_sparse(trainer, count, detail);
    if (region.rows && count % trainer->row_bytes)
        return TTZO_ERROR_OUT_OF_RANGE;
    if (region.rows)
        return ttzo_take_rows(trainer, name, count / trainer->row_bytes, detail);
    for (*detail = 0; *detail < count / 4; ++*detail)
        if (!ttzo_is_finite(ttzo_get_f32(region.bytes + 4 * *detail)))
            return TTZO_ERROR_BAD_NUMBER;
    ttzo_abandon_step(trainer);
    for (uint32_t i = 0; i < count / 4; i++)
        region.target[i] = ttzo_get_f32(region.bytes + 4 * i);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_read(const struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t offset, uint32_t count,
                          const uint8_t **bytes, uint32_t *detail)
{
    if (!trainer || !bytes || !detail)
        return TTZO_ERROR_NULL_POINTER;
    const float *source = name == TTZO_REGION_PARAMETERS ? trainer->theta : trainer->moments;
    uint32_t size = 4 * (name == TTZO_REGION_PARAMETERS ? trainer->model->info.n_parameters : trainer->n_moments);
    *detail = offset;
    if (name > TTZO_REGION_MOMENTS || offset > size || count > size - offset)
        return TTZO_ERROR_OUT_OF_RANGE;
    *bytes = (const uint8_t *)source + offset;
    return TTZO_ERROR_OK;
}
