// SPDX-License-Identifier: MIT
// A training run's lifetime: its memory, its settings, and how data get in and out. What a step does is in train.c.
#include "equations/columns.h"
#include "equations/derive.h"
#include "train/estimator.h"
#include "equations/gauss_newton.h"
#include "network/loss.h"
#include "network/network.h"
#include "equations/pde.h"
#include "cores/sample_cache.h"
#include "train/settings.h"
#include "network/sparse_rows.h"

// ---- the work buffer, carved in the order of exporter/costs/memory.py -----------------------------------------------------

static uint32_t padded(uint32_t bytes)
{
    return (bytes + 7u) & ~7u;
}

static uint32_t moments_count(const struct ttzo_model *model)
{
    uint32_t most = 0, n = model->info.n_parameters;
    for (uint32_t p = 0; p < model->training.n_phases && p < TTZO_MAX_PHASES; p++) {
        const struct ttzo_phase *phase = &model->phases[p];
        uint32_t needs = n * ttzo_moments_per_parameter(phase) + ttzo_gauss_newton_moments(model, phase);
        if (needs > most)
            most = needs;
    }
    return most;
}

// Whether some phase needs the parameters of a query and the gradient at the same time.
static bool keeps_both(const struct ttzo_model *model)
{
    for (uint32_t p = 0; p < model->training.n_phases && p < TTZO_MAX_PHASES; p++)
        if (model->phases[p].estimator == TTZO_ESTIMATOR_CGE_PLAIN ||
            ttzo_is_gauss_newton(model->phases[p].estimator))
            return true;
    return false;
}

static uint32_t gauss_newton_count(const struct ttzo_model *model)
{
    uint64_t most = 0;
    for (uint32_t p = 0; p < model->training.n_phases && p < TTZO_MAX_PHASES; p++) {
        uint64_t needs = ttzo_gauss_newton_count(model, &model->phases[p]);
        if (needs > most)
            most = needs;
    }
    return (uint32_t)most;
}

static void *take(uint8_t **at, uint32_t bytes)
{
    void *piece = *at;
    *at += padded(bytes);
    return piece;
}

// Rows of the region batch. A PDE trains on points of its own: the region only serves the host's questions.
static uint32_t batch_capacity(const struct ttzo_model *model)
{
    const uint32_t enough = 16;
    return ttzo_has_equation(model) && model->info.batch > enough ? enough : model->info.batch;
}

// Numbers of exchange buffer 0 or 1.
static uint32_t buffer_numbers(const struct ttzo_model *model, uint32_t buffer)
{
    uint64_t of_column[2];
    if (!ttzo_has_equation(model))
        return (uint32_t)ttzo_network_buffer(model);
    ttzo_columns_buffers(model, of_column);
    return (uint32_t)of_column[buffer] * ttzo_derive_columns(model);
}

// A forward pass and what reusing estimators keep are never needed at once; with the gradient before it the memory is
// also the stage of the moments.
static uint32_t shared_bytes(const struct ttzo_model *model)
{
    uint32_t forward = padded(4 * buffer_numbers(model, 0)) + padded(4 * buffer_numbers(model, 1)) +
                       padded(4 * (uint32_t)ttzo_network_prepared(model)) +
                       padded(4 * (uint32_t)ttzo_network_scratch(model));
    uint32_t reuse = padded(4 * (uint32_t)ttzo_reuse_numbers(model)), n = padded(4 * model->info.n_parameters);
    uint32_t moments = padded(4 * moments_count(model)), before = keeps_both(model) ? 2 * n : n;
    uint32_t stage = moments > before ? moments - before : 0, most = forward > reuse ? forward : reuse;
    return most > stage ? most : stage;
}

uint32_t ttzo_state_bytes(const struct ttzo_model *model)
{
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    uint32_t pde = ttzo_has_equation(model) ? padded(4 * (uint32_t)ttzo_pde_work_count(model)) : 0;
    return padded(4 * n) + padded(4 * moments_count(model)) + 2 * padded(4 * batch) +
           padded(4 * ttzo_difference_capacity(model)) + pde + padded(4 * gauss_newton_count(model));
}

uint32_t ttzo_work_bytes(const struct ttzo_model *model)
{
    return ttzo_state_bytes(model) + (keeps_both(model) ? 2 : 1) * padded(4 * model->info.n_parameters) +
           shared_bytes(model) + padded(batch_capacity(model) * ttzo_row_bytes(model));
}

static void carve(struct ttzo_trainer *trainer, uint8_t *at)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    trainer->theta = take(&at, 4 * n);
    trainer->moments = take(&at, 4 * trainer->n_moments);
    trainer->base_losses = take(&at, 4 * batch);
    trainer->batch_rows = take(&at, 4 * batch);
    trainer->differences = take(&at, 4 * ttzo_difference_capacity(model));
    if (ttzo_has_equation(model))
        ttzo_pde_carve(trainer, take(&at, 4 * (uint32_t)ttzo_pde_work_count(model)));
    trainer->gauss_newton = take(&at, 4 * gauss_newton_count(model));
    trainer->gradient = take(&at, 4 * n);
    trainer->perturbed = keeps_both(model) ? take(&at, 4 * n) : trainer->gradient;
    uint8_t *shared = take(&at, shared_bytes(model));
    trainer->reuse_area = (float *)(void *)shared;
    trainer->activations[0] = take(&shared, 4 * buffer_numbers(model, 0));
    trainer->activations[1] = take(&shared, 4 * buffer_numbers(model, 1));
    trainer->prepared = take(&shared, 4 * (uint32_t)ttzo_network_prepared(model));
    trainer->scratch = take(&shared, 4 * (uint32_t)ttzo_network_scratch(model));
    batch = batch_capacity(model);
    trainer->batch = (struct ttzo_rows){ take(&at, batch * trainer->row_bytes), batch, 0 };
    uint32_t left = trainer->work_capacity - trainer->work_bytes;
    trainer->dataset = (struct ttzo_rows){ at, left / trainer->row_bytes, 0 };
}

// ---- lifetime -------------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_open(struct ttzo_trainer *trainer, const struct ttzo_model *model, void *work, size_t work_bytes,
                          uint32_t *detail)
{
    enum ttzo_error error = ttzo_check_model(model, detail);
    if (error)
        return error;
    *detail = ttzo_work_bytes(model);
    if (work_bytes < *detail || (uintptr_t)work % 8)
        return TTZO_ERROR_OUT_OF_MEMORY;
    *trainer = (struct ttzo_trainer){
        .model = model,
        .n_moments = moments_count(model),
        .row_bytes = ttzo_row_bytes(model),
        .macs_per_sample = ttzo_network_macs(model),
        .macs_per_row = (uint64_t)ttzo_network_macs(model) * (ttzo_has_equation(model) ? ttzo_derive_passes(model) : 1u),
        .work_bytes = *detail,
        .work_capacity = work_bytes < UINT32_MAX ? (uint32_t)work_bytes : UINT32_MAX,
    };
    carve(trainer, work);
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
    union { uint32_t bits; float value; } infinity = { 0x7F800000u };
    trainer->training = model->training;
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
        trainer->phases[p] = model->phases[p];
    trainer->state = (struct ttzo_state){ .best_window = infinity.value };
    for (uint32_t i = 0; i < model->info.n_parameters; i++)
        trainer->theta[i] = model->parameters[i];
    for (uint32_t i = 0; i < trainer->n_moments; i++)
        trainer->moments[i] = 0.0f;
}

enum ttzo_error ttzo_configure(struct ttzo_trainer *trainer, const struct ttzo_training *training,
                               const struct ttzo_phase phases[TTZO_MAX_PHASES], uint32_t *detail)
{
    enum ttzo_error error = ttzo_check_fixed(training, phases, trainer->model, detail);
    if (!error)
        error = ttzo_check_settings(training, phases, detail);
    if (error)
        return error;
    trainer->training = *training;
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
        trainer->phases[p] = phases[p];
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_set_state(struct ttzo_trainer *trainer, const struct ttzo_state *state, uint32_t *detail)
{
    *detail = 1;
    if (state->phase >= trainer->training.n_phases)
        return TTZO_ERROR_BAD_REQUEST;
    *detail = 2;
    if (state->phase_start > state->step)
        return TTZO_ERROR_BAD_REQUEST;
    trainer->state = *state;
    return TTZO_ERROR_OK;
}

// ---- regions --------------------------------------------------------------------------------------------------------

// The memory behind a region as it is written: the stage for parameters and moments, else the rows themselves.
struct region {
    uint8_t *bytes;
    uint32_t size;
    struct ttzo_rows *rows; // NULL but for batch and dataset
    float *target;          // NULL but for parameters and moments
};

static bool find_region(struct ttzo_trainer *trainer, enum ttzo_region name, struct region *found)
{
    // Between steps, `gradient` and what lies behind it hold nothing that is needed: the stage.
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

enum ttzo_error ttzo_write(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t offset, const uint8_t *bytes,
                           uint32_t count, uint32_t *detail)
{
    struct region region;
    *detail = offset;
    if (!find_region(trainer, name, &region) || offset > region.size || count > region.size - offset)
        return TTZO_ERROR_OUT_OF_RANGE;
    if (region.rows)
        region.rows->count = 0; // no longer whole, until the next commit
    if (name == TTZO_REGION_SPARSE)
        trainer->sparse.count = 0;
    for (uint32_t i = 0; i < count; i++)
        region.bytes[offset + i] = bytes[i];
    return TTZO_ERROR_OK;
}

// Whether the model knows all tokens of a row; of a model without, whatever stands there.
static bool knows_tokens(const struct ttzo_model *model, const uint8_t *row)
{
    const struct ttzo_layer *first = &model->layers[0];
    if (!ttzo_gathers(first) || first->gather != TTZO_GATHER_TOKENS)
        return true;
    for (uint32_t t = 0; t < first->width; t++) {
        int32_t token = model->info.input_number == TTZO_NUMBER_UINT8 ? row[t] : ttzo_get_i16(row + 2 * t);
        if (token < 0 || token >= first->in_features)
            return false;
    }
    return true;
}

enum ttzo_error ttzo_take_rows(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t count, uint32_t *detail)
{
    struct region region;
    uint32_t input_bytes = ttzo_input_bytes(trainer->model);
    *detail = count;
    if (!find_region(trainer, name, &region) || !region.rows || count > region.rows->capacity)
        return TTZO_ERROR_OUT_OF_RANGE;
    region.rows->count = 0;
    if (trainer->model->info.loss == TTZO_LOSS_CROSS_ENTROPY)
        for (*detail = 0; *detail < count; ++*detail)
            if (ttzo_get_u16(region.bytes + *detail * trainer->row_bytes + input_bytes) >=
                trainer->model->info.out_features)
                return TTZO_ERROR_BAD_LABEL;
    for (*detail = 0; *detail < count; ++*detail)
        if (!knows_tokens(trainer->model, region.bytes + *detail * trainer->row_bytes))
            return TTZO_ERROR_BAD_TOKEN;
    region.rows->count = count;
    return TTZO_ERROR_OK;
}

// Tokens are looked at in the whole row, in the memory of the region batch.
static enum ttzo_error take_sparse(struct ttzo_trainer *trainer, uint32_t count, uint32_t *detail)
{
    struct ttzo_sparse *sparse = &trainer->sparse;
    uint32_t n_rows;
    sparse->count = 0;
    enum ttzo_error error = ttzo_sparse_check(trainer->model, sparse->bytes, count, &n_rows, detail);
    if (error)
        return error;
    if (ttzo_gathers(&trainer->model->layers[0]) && trainer->model->layers[0].gather == TTZO_GATHER_TOKENS)
        for (trainer->batch.count = *detail = 0; *detail < n_rows; ++*detail) {
            ttzo_sparse_row(trainer->model, sparse->bytes, *detail, trainer->batch.bytes);
            if (!knows_tokens(trainer->model, trainer->batch.bytes))
                return TTZO_ERROR_BAD_TOKEN;
        }
    sparse->count = n_rows;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_commit(struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t count, uint32_t crc,
                            uint32_t *detail)
{
    struct region region;
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
    for (uint32_t i = 0; i < count / 4; i++)
        region.target[i] = ttzo_get_f32(region.bytes + 4 * i);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_read(const struct ttzo_trainer *trainer, enum ttzo_region name, uint32_t offset, uint32_t count,
                          const uint8_t **bytes, uint32_t *detail)
{
    const float *source = name == TTZO_REGION_PARAMETERS ? trainer->theta : trainer->moments;
    uint32_t size = 4 * (name == TTZO_REGION_PARAMETERS ? trainer->model->info.n_parameters : trainer->n_moments);
    *detail = offset;
    if (name > TTZO_REGION_MOMENTS || offset > size || count > size - offset)
        return TTZO_ERROR_OUT_OF_RANGE;
    *bytes = (const uint8_t *)source + offset;
    return TTZO_ERROR_OK;
}
