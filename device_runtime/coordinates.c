// SPDX-License-Identifier: MIT
#include "coordinates.h"

#include "estimator.h"
#include "loss.h"
#include "network.h"
#include "random.h"
#include "real.h"
#include "reuse.h"

#define Q TTZO_QUERIES_AT_ONCE

// One estimate under way. trainer->gradient gathers the samples' loss differences and is scaled at the end.
struct estimate {
    struct ttzo_trainer *trainer;
    struct ttzo_reuse reuse;
    const struct ttzo_phase *phase;
    bool antithetic;
    uint32_t window_first, window_length; // cocd: coordinates that are made afresh, cyclically
    uint32_t block;                       // block_rge: number of the running block
    uint32_t done;                        // samples
};

static enum ttzo_error still_wanted(const struct estimate *e)
{
    const struct ttzo_trainer *trainer = e->trainer;
    if (trainer->poll && !trainer->poll(trainer->poll_context, e->done, trainer->model->info.batch))
        return TTZO_ERROR_CANCELLED;
    return TTZO_ERROR_OK;
}

// L(+moves) - L(0), or L(+moves) - L(-moves), of each query.
static void ask(struct estimate *e, uint32_t l, const struct ttzo_moves *moves, uint32_t n_queries,
                  float differences[Q])
{
    float below[Q];
    ttzo_reuse_differences(&e->reuse, l, moves, n_queries, 1.0f, differences);
    if (!e->antithetic)
        return;
    ttzo_reuse_differences(&e->reuse, l, moves, n_queries, -1.0f, below);
    for (uint32_t q = 0; q < n_queries; q++)
        differences[q] = differences[q] - below[q];
}

// ---- a core's entries: slices, four at a time -----------------------------------------------------------------------

// Up to Q slices of the open core, slice s = (a, n, b) in C order, and where their entries lie: entry m of slice s is
// coordinate first[s] + m * m_stride.
struct chunk {
    uint32_t count, slice_size, m_stride;
    uint32_t first[Q];
};

static bool in_window(const struct estimate *e, uint32_t coordinate)
{
    uint32_t n = e->trainer->model->info.n_parameters;
    return (coordinate + n - e->window_first) % n < e->window_length;
}

static bool wants_any(const struct estimate *e, uint32_t first, uint32_t stride, uint32_t count)
{
    for (uint32_t m = 0; m < count; m++)
        if (in_window(e, first + m * stride))
            return true;
    return false;
}

// Fills a chunk from slice number *next on; false when there is none left.
static bool next_chunk(struct estimate *e, const struct ttzo_environment *environment, uint32_t *next,
                       struct chunk *chunk)
{
    const struct ttzo_core *core = &environment->core;
    uint32_t total = core->left * core->n * core->right;
    *chunk = (struct chunk){ .slice_size = environment->ml * environment->mr, .m_stride = core->n * core->right };
    for (; *next < total && chunk->count < Q; ++*next) {
        uint32_t a = *next / chunk->m_stride, rest = *next % chunk->m_stride;
        uint32_t first = environment->room->layer->parameter_offset + core->offset + a * core->m * chunk->m_stride + rest;
        if (!wants_any(e, first, chunk->m_stride, core->m))
            continue;
        e->reuse.macs += ttzo_environment_slice(environment, a, rest / core->right, rest % core->right,
                                                e->reuse.slices + chunk->count * chunk->slice_size);
        chunk->first[chunk->count++] = first;
    }
    return chunk->count > 0;
}

// ---- cge: a query for each entry ------------------------------------------------------------------------------------

static void query_chunk(struct estimate *e, uint32_t l, const struct ttzo_environment *environment,
                        const struct chunk *chunk)
{
    float *gradient = e->trainer->gradient, differences[Q];
    float mu = e->phase->perturb_radius;
    for (uint32_t i = 0; i < chunk->count * chunk->slice_size; i++)
        e->reuse.slices[i] = mu * e->reuse.slices[i];
    for (uint32_t m = 0; m < environment->core.m; m++) {
        const struct ttzo_moves moves = { e->reuse.slices,  chunk->slice_size, m * environment->mr,
                                          environment->ml, environment->mr,   environment->core.m * environment->mr };
        ask(e, l, &moves, chunk->count, differences);
        for (uint32_t q = 0; q < chunk->count; q++) {
            uint32_t i = chunk->first[q] + m * chunk->m_stride;
            if (in_window(e, i))
                gradient[i] = gradient[i] + differences[q];
        }
    }
}

// The difference when one unit's pre-activation moves by mu.
static float query_unit(struct estimate *e, uint32_t l, uint32_t unit)
{
    float differences[Q], mu = e->phase->perturb_radius;
    ask(e, l, &(struct ttzo_moves){ &mu, 1, unit, 1, 1, 0 }, 1, differences);
    return differences[0];
}

// ---- node_cge: a query for each unit, entries from them -------------------------------------------------------------

// Every entry's derivative is the sum over the units it moves of slice times the unit's: assembled, not queried.
static void assemble_chunk(struct estimate *e, const struct ttzo_environment *environment, const struct chunk *chunk)
{
    float *gradient = e->trainer->gradient;
    uint32_t jump = environment->core.m * environment->mr;
    for (uint32_t m = 0; m < environment->core.m; m++)
        for (uint32_t q = 0; q < chunk->count; q++) {
            const float *slice = e->reuse.slices + q * chunk->slice_size;
            float sum = 0.0f;
            for (uint32_t i = 0; i < environment->ml; i++)
                e->reuse.macs += ttzo_product(
                    &sum, &sum, (struct ttzo_operand){ slice + i * environment->mr, 0, 1 },
                    (struct ttzo_operand){ e->reuse.unit_changes + m * environment->mr + i * jump, 0, 1 }, 1,
                    environment->mr, 1, TTZO_DATA_RIGHT);
            gradient[chunk->first[q] + m * chunk->m_stride] = gradient[chunk->first[q] + m * chunk->m_stride] + sum;
        }
}

// ---- a layer --------------------------------------------------------------------------------------------------------

static enum ttzo_error gradient_of_cores(struct estimate *e, uint32_t l)
{
    const struct ttzo_room *room = &e->reuse.rooms[l];
    bool assembles = e->phase->estimator == TTZO_ESTIMATOR_NODE_CGE;
    struct ttzo_environment environment = { 0 };
    enum ttzo_error error;
    for (uint32_t k = 0; k < ttzo_layer_length(room->layer); k++) {
        struct chunk chunk;
        uint32_t next = 0;
        e->reuse.macs += ttzo_environment_open(&environment, room, k, e->reuse.buffers);
        while (next_chunk(e, &environment, &next, &chunk)) {
            if (assembles)
                assemble_chunk(e, &environment, &chunk);
            else
                query_chunk(e, l, &environment, &chunk);
            if ((error = still_wanted(e)))
                return error;
        }
    }
    return TTZO_ERROR_OK;
}

static enum ttzo_error gradient_of_layer(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = e->reuse.rooms[l].layer;
    uint32_t bias = layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features;
    bool keeps_units = e->phase->estimator == TTZO_ESTIMATOR_NODE_CGE;
    for (uint32_t unit = 0; unit < layer->out_features; unit++) {
        bool wanted = layer->has_bias && in_window(e, bias + unit);
        float difference = keeps_units || wanted ? query_unit(e, l, unit) : 0.0f;
        if (keeps_units)
            e->reuse.unit_changes[unit] = difference;
        if (wanted)
            e->trainer->gradient[bias + unit] = e->trainer->gradient[bias + unit] + difference;
    }
    return gradient_of_cores(e, l);
}

// ---- block_rge: random directions of one core, weight or bias at a time ---------------------------------------------

// moves [ml][m][mr] += one slice [ml][mr] times the direction's entries (a, :, n, b), `entries` with stride.
static void add_slice(float *moves, const float *slice, const float *entries, uint32_t stride,
                      const struct ttzo_environment *environment)
{
    uint32_t m = environment->core.m, mr = environment->mr;
    for (uint32_t i = 0; i < environment->ml; i++, slice += mr)
        for (uint32_t j = 0; j < m; j++, moves += mr)
            for (uint32_t u = 0; u < mr; u++)
                moves[u] = TTZO_MULADD(entries[j * stride], slice[u], moves[u]);
}

// moves[q] += direction[q] times every slice of the core, slice by slice.
static void add_moves(struct estimate *e, const struct ttzo_environment *environment, uint32_t block_size, uint32_t n)
{
    const struct ttzo_core *core = &environment->core;
    uint32_t out_features = environment->room->layer->out_features, m_stride = core->n * core->right;
    for (uint32_t s = 0; s < core->left * m_stride; s++) {
        uint32_t a = s / m_stride, rest = s % m_stride;
        e->reuse.macs +=
            ttzo_environment_slice(environment, a, rest / core->right, rest % core->right, e->reuse.slices);
        for (uint32_t q = 0; q < n; q++)
            add_slice(e->reuse.moves + q * out_features, e->reuse.slices,
                      e->reuse.directions + q * block_size + a * core->m * m_stride + rest, m_stride, environment);
        e->reuse.macs += n * out_features;
    }
}

// One block of layer l: a core (with its open environment), or the bias (without).
static enum ttzo_error gradient_of_block(struct estimate *e, uint32_t l, const struct ttzo_environment *environment,
                                         uint32_t offset, uint32_t size)
{
    const struct ttzo_trainer *trainer = e->trainer;
    enum ttzo_direction kind = (enum ttzo_direction)e->phase->direction;
    uint32_t out_features = e->reuse.rooms[l].layer->out_features, total = e->phase->n_queries;
    float differences[Q], mu = e->phase->perturb_radius, *gradient = trainer->gradient + offset;
    for (uint32_t first = 0; first < total; first += Q) {
        uint32_t n = total - first < Q ? total - first : Q, number = e->block * total + first;
        for (uint32_t i = 0; i < n * size; i++)
            e->reuse.directions[i] = 0.0f;
        for (uint32_t q = 0; q < n; q++)
            ttzo_direction_add(e->reuse.directions + q * size, e->reuse.directions + q * size, 1.0f, size, kind,
                               trainer->training.seed, trainer->state.step, number + q);
        for (uint32_t i = 0; i < n * out_features; i++)
            e->reuse.moves[i] = environment ? 0.0f : e->reuse.directions[i];
        if (environment)
            add_moves(e, environment, size, n);
        for (uint32_t i = 0; i < n * out_features; i++)
            e->reuse.moves[i] = mu * e->reuse.moves[i];
        ask(e, l, &(struct ttzo_moves){ e->reuse.moves, out_features, 0, 1, out_features, 0 }, n, differences);
        for (uint32_t q = 0; q < n; q++)
            for (uint32_t i = 0; i < size; i++)
                gradient[i] = TTZO_MULADD(differences[q], e->reuse.directions[q * size + i], gradient[i]);
        enum ttzo_error error = still_wanted(e);
        if (error)
            return error;
    }
    e->block++;
    return TTZO_ERROR_OK;
}

static enum ttzo_error gradient_of_blocks(struct estimate *e, uint32_t l)
{
    const struct ttzo_room *room = &e->reuse.rooms[l];
    const struct ttzo_layer *layer = room->layer;
    struct ttzo_environment environment = { 0 };
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        e->reuse.macs += ttzo_environment_open(&environment, room, k, e->reuse.buffers);
        enum ttzo_error error = gradient_of_block(e, l, &environment, layer->parameter_offset + core.offset,
                                                  core.left * core.m * core.n * core.right);
        if (error)
            return error;
    }
    if (!layer->has_bias)
        return TTZO_ERROR_OK;
    return gradient_of_block(e, l, NULL, layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features,
                             layer->out_features);
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

static uint32_t number_of_blocks(const struct ttzo_model *model)
{
    uint32_t blocks = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        blocks += ttzo_layer_length(&model->layers[l]) + model->layers[l].has_bias;
    return blocks;
}

// Queries of the estimate: loss evaluations but for the one at theta and for their second sides.
static uint32_t number_of_queries(const struct estimate *e)
{
    const struct ttzo_model *model = e->trainer->model;
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        units += model->layers[l].out_features;
    switch ((enum ttzo_estimator)e->phase->estimator) {
    case TTZO_ESTIMATOR_NODE_CGE: return units;
    case TTZO_ESTIMATOR_BLOCK_RGE: return number_of_blocks(model) * e->phase->n_queries;
    default: return e->window_length;
    }
}

static enum ttzo_error one_sample(struct estimate *e)
{
    enum ttzo_error error = TTZO_ERROR_OK;
    e->block = 0;
    for (uint32_t l = 0; l < e->trainer->model->info.n_layers && !error; l++)
        error = e->phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE ? gradient_of_blocks(e, l) : gradient_of_layer(e, l);
    e->done++;
    return error ? error : still_wanted(e);
}

// From sums over samples to the estimate; cocd: what lies outside the window is the decayed buffer.
static void finish(struct estimate *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    bool blocks = e->phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE;
    float sides = e->antithetic ? 2.0f : 1.0f, repeats = blocks ? (float)e->phase->n_queries : 1.0f;
    float mean = 1.0f / (float)trainer->model->info.batch, scale = 1.0f / (sides * repeats * e->phase->perturb_radius);
    const float *buffer = ttzo_gradient_buffer(trainer, e->phase);
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        trainer->gradient[i] = in_window(e, i) ? trainer->gradient[i] * mean * scale : e->phase->beta2 * buffer[i];
}

enum ttzo_error ttzo_estimate_by_cores(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                       const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    struct estimate e = { .trainer = trainer, .phase = phase, .window_length = n,
                          .antithetic = phase->difference == TTZO_DIFFERENCE_ANTITHETIC };
    if (phase->estimator == TTZO_ESTIMATOR_COCD) {
        uint64_t steps = trainer->state.step - trainer->state.phase_start;
        e.window_length = phase->n_queries < n ? phase->n_queries : n;
        e.window_first = (uint32_t)(steps * e.window_length % n);
    }
    ttzo_reuse_begin(&e.reuse, model, trainer->theta, trainer->reuse_area, trainer->activations);
    for (uint32_t i = 0; i < n; i++)
        trainer->gradient[i] = 0.0f;
    float sum = 0.0f;
    for (uint32_t j = 0; j < batch; j++) {
        float row_loss = ttzo_reuse_forward(&e.reuse, rows->bytes + (size_t)trainer->batch_rows[j] * trainer->row_bytes);
        sum = sum + row_loss;
        if (!ttzo_is_finite(row_loss))
            return TTZO_ERROR_NON_FINITE;
        enum ttzo_error error = one_sample(&e);
        if (error)
            return error;
    }
    trainer->macs += e.reuse.macs;
    finish(&e);
    *loss = sum * (1.0f / (float)batch);
    *evaluations = 1 + (e.antithetic ? 2 : 1) * number_of_queries(&e);
    return ttzo_is_finite(*loss) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}
