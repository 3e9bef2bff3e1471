// SPDX-License-Identifier: MIT
#include "run.h"

#include "network/loss.h"
#include "network/network.h"
#include "number/random.h"

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint32_t padded(size_t bytes)
{
    return ((uint32_t)bytes + 7u) & ~7u;
}

// Bytes of `memory` before the work buffer.
static uint32_t run_bytes(uint32_t n_layers)
{
    return padded(sizeof(struct ttzo_run)) + padded(n_layers * sizeof(struct ttzo_layer));
}

// The facts at a bundle's beginning; false when no bundle begins so.
static bool read_head(const uint8_t *head, uint32_t count, struct ttzo_model_info *info)
{
    struct ttzo_bundle_header header;
    if (count < TTZO_BUNDLE_HEADER_BYTES + TTZO_MODEL_INFO_BYTES)
        return false;
    ttzo_unpack_bundle_header(head, &header);
    ttzo_unpack_model_info(head + TTZO_BUNDLE_HEADER_BYTES, info);
    return header.magic == TTZO_BUNDLE_MAGIC && info->n_layers <= TTZO_MAX_LAYERS;
}

static uint32_t offset_in(const struct ttzo_run *run, const void *place)
{
    return (uint32_t)((const uint8_t *)place - (const uint8_t *)run);
}

uint32_t ttzo_run_parts(void)
{
    return TTZO_PARTS;
}

uint32_t ttzo_run_need(const uint8_t *head, uint32_t count)
{
    struct ttzo_model_info info;
    if (!read_head(head, count, &info) || info.work_bytes > UINT32_MAX - run_bytes(TTZO_MAX_LAYERS))
        return 0;
    return run_bytes(info.n_layers) + info.work_bytes;
}

static void tell_sizes(struct ttzo_run *run)
{
    const struct ttzo_model_info *info = &run->model.info;
    const struct ttzo_trainer *trainer = &run->trainer;
    run->facts = (struct ttzo_run_facts){
        .steps = trainer->training.steps,
        .n_parameters = info->n_parameters,
        .n_moments = trainer->n_moments,
        .batch = info->batch,
        .in_features = info->in_features,
        .out_features = info->out_features,
        .input_number = info->input_number,
        .input_bytes = ttzo_input_bytes(&run->model),
        .row_bytes = trainer->row_bytes,
        .classes_a_row = ttzo_loss_places(&run->model),
        .parameters_at = offset_in(run, trainer->theta),
        .moments_at = offset_in(run, trainer->moments),
        .batch_at = offset_in(run, trainer->batch.bytes),
        .capacity = trainer->batch.capacity,
        .has_equation = info->loss == TTZO_LOSS_RESIDUAL,
        .reading_bytes = ttzo_reading_columns(&run->model) ? 4 * info->in_features : 0,
    };
}

// Whether these bytes begin in the first `count` of the memory.
static bool begins_in(const void *memory, uint32_t count, const uint8_t *bytes)
{
    return (uintptr_t)bytes >= (uintptr_t)memory && (uintptr_t)bytes - (uintptr_t)memory < count;
}

uint32_t ttzo_run_open(void *memory, uint32_t memory_bytes, const uint8_t *bundle, uint32_t bundle_bytes)
{
    struct ttzo_run *run = memory;
    struct ttzo_layer *layers = (void *)((uint8_t *)memory + padded(sizeof *run));
    struct ttzo_model_info info = { 0 };
    uint32_t detail = 2, before;
    enum ttzo_error error = read_head(bundle, bundle_bytes, &info) ? TTZO_ERROR_OK : TTZO_ERROR_BAD_BUNDLE;
    before = run_bytes(info.n_layers);
    bool lasts = !begins_in(memory, memory_bytes, bundle);
    if (!error && (memory_bytes < before || (uintptr_t)memory % 8 || begins_in(memory, before, bundle) ||
                   (!lasts && (info.loss == TTZO_LOSS_RESIDUAL || info.has_loss_section || info.has_row_section ||
                               info.n_layers == 0)))) {
        detail = before;
        error = TTZO_ERROR_OUT_OF_MEMORY;
    }
    if (!error)
        error = ttzo_read_bundle(bundle, bundle_bytes, layers, &run->model, &detail);
    if (!error && !lasts && begins_in(memory, before + ttzo_state_bytes(&run->model), bundle)) {
        detail = before + ttzo_state_bytes(&run->model);
        error = TTZO_ERROR_OUT_OF_MEMORY;
    }
    if (!error)
        error = ttzo_open(&run->trainer, &run->model, (uint8_t *)memory + before, memory_bytes - before, &detail);
    if (!error) {
        run->line = NULL;
        run->bundle_bytes = bundle_bytes;
        run->exported_at = (uint32_t)((const uint8_t *)run->model.parameters - bundle);
        tell_sizes(run);
    }
    if (memory_bytes >= sizeof run->facts)
        run->facts.detail = detail;
    return (uint32_t)error;
}

uint32_t ttzo_run_lend(void *memory, const uint8_t *bundle, uint32_t count)
{
    struct ttzo_run *run = memory;
    struct ttzo_bundle_header header;
    run->model.parameters = NULL;
    if (!count)
        return TTZO_ERROR_OK;
    if (begins_in(memory, offset_in(run, run->trainer.dataset.bytes), bundle))
        run->trainer.batch.count = 0;
    run->facts.detail = 4;
    if (count != run->bundle_bytes || (uintptr_t)bundle % sizeof(float) ||
        ttzo_crc32(0, bundle, count - 4) != ttzo_get_u32(bundle + count - 4))
        return TTZO_ERROR_BAD_BUNDLE;
    ttzo_unpack_bundle_header(bundle, &header);
    for (uint32_t i = 0; i < TTZO_HASH_BYTES; i++)
        if (header.hash[i] != run->model.hash[i])
            return TTZO_ERROR_BAD_BUNDLE;
    run->model.parameters = (const float *)(const void *)(bundle + run->exported_at);
    return TTZO_ERROR_OK;
}

uint32_t ttzo_run_reset(void *memory)
{
    struct ttzo_run *run = memory;
    run->facts.detail = 0;
    if (!run->model.parameters)
        return TTZO_ERROR_BAD_REQUEST;
    ttzo_reset(&run->trainer);
    return ttzo_run_told(run, TTZO_ERROR_OK);
}

// ---- rows into the region batch -------------------------------------------------------------------------------------

uint32_t ttzo_run_row(void *memory, uint32_t slot, uint32_t n)
{
    const struct ttzo_trainer *trainer = &((struct ttzo_run *)memory)->trainer;
    uint64_t position = (uint64_t)trainer->state.step * trainer->model->info.batch + slot;
    return ttzo_sample_row(trainer->training.seed, position, n);
}

static void copy(uint8_t *to, const uint8_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

// The inputs of a row from `width` bytes at `from`: readings (4-byte aligned), or packed already.
static enum ttzo_error put_inputs(struct ttzo_run *run, uint8_t *to, const uint8_t *from, uint32_t width,
                                  bool are_readings)
{
    if (are_readings)
        return ttzo_pack_inputs(&run->model, (const float *)(const void *)from, run->facts.in_features, to,
                                &run->facts.detail);
    copy(to, from, width);
    return TTZO_ERROR_OK;
}

// The target of row `row` as it is sent; y has `width` bytes for each row.
static void put_target(uint8_t *to, uint32_t target_bytes, const uint8_t *y, uint32_t width, uint32_t row)
{
    for (uint32_t i = 0; i < target_bytes; i++) // a class of one byte is filled up with zeros
        to[i] = i < width ? y[(size_t)row * width + i] : 0;
}

uint32_t ttzo_run_gather(void *memory, const uint8_t *x, uint32_t x_bytes, const uint8_t *y, uint32_t y_bytes,
                         uint32_t layout, uint32_t first, uint32_t count)
{
    struct ttzo_run *run = memory;
    const struct ttzo_run_facts *facts = &run->facts;
    bool are_readings = TTZO_HAS(READINGS) && layout & TTZO_READINGS;
    layout &= ~(uint32_t)TTZO_READINGS;
    uint32_t x_width = are_readings                 ? facts->reading_bytes
                       : layout == TTZO_LAYOUT_ROWS ? facts->row_bytes
                                                    : facts->input_bytes;
    uint32_t target_bytes = facts->row_bytes - facts->input_bytes;
    uint32_t n = x_width ? x_bytes / x_width : 0, y_width = layout == TTZO_LAYOUT_PAIRS && n ? y_bytes / n : 0;
    bool y_is_sound =
        layout != TTZO_LAYOUT_PAIRS || y_width == target_bytes || (facts->classes_a_row == 1 && y_width == 1);
    bool next = first == UINT32_MAX;

    run->facts.detail = next ? 0 : first;
    if (!n || x_bytes != n * x_width || (n && y_bytes != n * y_width) || !y_is_sound || count > facts->capacity ||
        (!next && (first > n || count > n - first)))
        return TTZO_ERROR_OUT_OF_RANGE;
    run->trainer.batch.count = 0; // until all rows are there
    for (uint32_t j = 0; j < count; j++) {
        uint32_t row = next ? ttzo_run_row(memory, j, n) : first + j;
        uint8_t *to = run->trainer.batch.bytes + (size_t)j * facts->row_bytes;
        enum ttzo_error error = put_inputs(run, to, x + (size_t)row * x_width, x_width, are_readings);
        if (error)
            return (uint32_t)error;
        if (layout != TTZO_LAYOUT_ROWS)
            put_target(to + facts->input_bytes, target_bytes, y, y_width, row);
    }
    return ttzo_run_take(memory, count);
}

uint32_t ttzo_run_take(void *memory, uint32_t count)
{
    struct ttzo_run *run = memory;
    return (uint32_t)ttzo_take_rows(&run->trainer, TTZO_REGION_BATCH, count, &run->facts.detail);
}

// ---- work -----------------------------------------------------------------------------------------------------------

uint32_t ttzo_run_step(void *memory, uint32_t region)
{
    struct ttzo_run *run = memory;
    struct ttzo_step_result result;
    enum ttzo_error error = ttzo_step(&run->trainer, (enum ttzo_region)region, &result, &run->facts.detail);
    if (!error) {
        run->facts.loss = result.loss;
        run->facts.gradient_norm = result.gradient_norm;
        run->facts.evaluations = result.evaluations;
    }
    return ttzo_run_told(run, error);
}

uint32_t ttzo_run_evaluate(void *memory, uint32_t count)
{
    struct ttzo_run *run = memory;
    const struct ttzo_trainer *trainer = &run->trainer;
    run->facts.n_judged = 0;
    for (uint32_t j = 0; j < count && count <= trainer->batch.count; j++)
        run->facts.n_judged += ttzo_row_judged(&run->model, trainer->batch.bytes + (size_t)j * trainer->row_bytes +
                                                                run->facts.input_bytes);
    return (uint32_t)ttzo_evaluate(&run->trainer, TTZO_REGION_BATCH, 0, count, &run->facts.loss, &run->facts.n_correct,
                                   &run->facts.detail);
}

uint32_t ttzo_run_solution_error(void *memory, uint32_t region, uint32_t first, uint32_t count)
{
    struct ttzo_run *run = memory;
    return (uint32_t)ttzo_solution_error(&run->trainer, (enum ttzo_region)region, first, count, &run->facts.loss,
                                         &run->facts.squared_exact, &run->facts.detail);
}

uint32_t ttzo_run_predict(void *memory, uint32_t row, uint8_t *out, uint32_t out_bytes, uint32_t at)
{
    struct ttzo_run *run = memory;
    const float *outputs;
    uint32_t n = run->facts.out_features;
    run->facts.detail = row;
    if (at > out_bytes || 4 * n > out_bytes - at)
        return TTZO_ERROR_OUT_OF_RANGE;
    enum ttzo_error error = ttzo_predict(&run->trainer, row, &outputs, &run->facts.detail);
    for (uint32_t i = 0; !error && i < n; i++)
        ttzo_put_f32(out + at + 4 * i, outputs[i]);
    return (uint32_t)error;
}

// ---- saving ---------------------------------------------------------------------------------------------------------

uint32_t ttzo_run_status(void *memory, uint8_t *bytes, uint32_t count)
{
    struct ttzo_run *run = memory;
    const struct ttzo_trainer *trainer = &run->trainer;
    run->facts.detail = count;
    if (count != TTZO_STATUS_REPLY_BYTES)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_pack_state(&trainer->state, bytes);
    ttzo_pack_training(&trainer->training, bytes + TTZO_STATE_BYTES);
    for (uint32_t i = 0; i < TTZO_MAX_PHASES; i++)
        ttzo_pack_phase(&trainer->phases[i], bytes + TTZO_STATE_BYTES + TTZO_TRAINING_BYTES + i * TTZO_PHASE_BYTES);
    return TTZO_ERROR_OK;
}

uint32_t ttzo_run_restore(void *memory, const uint8_t *bytes, uint32_t count)
{
    struct ttzo_run *run = memory;
    struct ttzo_state state;
    struct ttzo_training training;
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    run->facts.detail = count;
    if (count != TTZO_STATUS_REPLY_BYTES)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_unpack_state(bytes, &state);
    ttzo_unpack_training(bytes + TTZO_STATE_BYTES, &training);
    for (uint32_t i = 0; i < TTZO_MAX_PHASES; i++)
        ttzo_unpack_phase(bytes + TTZO_STATE_BYTES + TTZO_TRAINING_BYTES + i * TTZO_PHASE_BYTES, &phases[i]);
    enum ttzo_error error = ttzo_configure(&run->trainer, &training, phases, &run->facts.detail);
    if (!error)
        error = ttzo_set_state(&run->trainer, &state, &run->facts.detail);
    return ttzo_run_told(run, error);
}

uint32_t ttzo_run_write(void *memory, uint32_t region, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    struct ttzo_run *run = memory;
    return (uint32_t)ttzo_write(&run->trainer, (enum ttzo_region)region, offset, bytes, count, &run->facts.detail);
}

uint32_t ttzo_run_commit(void *memory, uint32_t region, uint32_t count, uint32_t crc)
{
    struct ttzo_run *run = memory;
    return (uint32_t)ttzo_commit(&run->trainer, (enum ttzo_region)region, count, crc, &run->facts.detail);
}
