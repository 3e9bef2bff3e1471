// SPDX-License-Identifier: MIT
// Step s draws units of scale s % TTZO_FEATURE_SCALES, every other time round along one coordinate in space and time each: w = scale times
// Gaussian numbers over half the box, b such that the unit bends at a random point of the box. Of the drawn layers, the
// one whose least squares leaves the smallest residuals at rows that it was not fitted to stays.
#include "equations/frozen_features.h"

#include "equations/coordinate_columns.h"
#include "equations/pde.h"
#include "equations/triangle.h"
#include "network/layers.h"
#include "number/random.h"
#include "number/real.h"

#if TTZO_HAS(FEATURES) && TTZO_HAS(COORDINATES)

// ---- sizes ----------------------------------------------------------------------------------------------------------

// A step under way, and where its numbers lie.
struct search {
    struct ttzo_trainer *trainer;
    struct ttzo_column_work columns_work;
    uint32_t n;               // unknowns: the last layer's numbers
    float *triangle, *solved; // without and with the ridge
    float *block;             // [TTZO_GN_BLOCK_ROWS][n + 1]
    float *answer;            // [n]
    uint64_t macs_before;
};

static void carve_numbers(struct search *search, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    search->n = ttzo_last_coordinates(model);
    search->triangle = ttzo_take(carve, ttzo_triangle_count(search->n));
    search->solved = ttzo_take(carve, ttzo_triangle_count(search->n));
    search->block = ttzo_take(carve, TTZO_GN_BLOCK_ROWS * (uint64_t)(search->n + 1));
    search->answer = ttzo_take(carve, search->n);
    ttzo_column_carve(model, &search->columns_work, carve);
}

uint64_t ttzo_frozen_features_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    struct ttzo_carve carve = { NULL, 0 };
    struct search counting;
    if (phase->estimator != TTZO_ESTIMATOR_FROZEN_FEATURES)
        return 0;
    carve_numbers(&counting, model, &carve);
    return carve.numbers;
}

bool ttzo_frozen_features_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    const struct ttzo_layer *first = model->layers, *last = first + 1;
    if (model->info.n_layers != 2 || model->info.loss != TTZO_LOSS_RESIDUAL || phase->update != TTZO_UPDATE_SGD)
        return false;
    return ttzo_asks_all(model) && ttzo_unknown_constants(model) == 0 && first->has_bias &&
           (first->activation == TTZO_ACTIVATION_TANH || first->activation == TTZO_ACTIVATION_SINE) &&
           last->activation == TTZO_ACTIVATION_IDENTITY && ttzo_last_coordinates(model) <= TTZO_MAX_COLUMNS;
}

// ---- features -------------------------------------------------------------------------------------------------------

static const float scales[TTZO_FEATURE_SCALES] = { 0.5f, 0.75f, 1.1f, 1.6f, 2.4f, 3.6f, 5.4f, 8.0f };

// Unit j: its weights, Gaussian numbers in `w`, become what bends at the point; returns the bias.
static float turn_unit(const struct ttzo_model *model, uint32_t trial, uint32_t j, const float *point, float *w)
{
    const struct ttzo_model_info *info = &model->info;
    uint32_t n = info->in_features, n_space = model->pde.info.n_space;
    bool along_one = trial / TTZO_FEATURE_SCALES % 2 != 0;
    uint32_t seen = along_one ? 1u + model->pde.info.has_time : n;
    float bias = 0.0f, spread = ttzo_sqrt((float)seen), scale = scales[trial % TTZO_FEATURE_SCALES];
    for (uint32_t i = 0; i < n; i++) {
        float half = 0.5f * (model->pde.high[i] - model->pde.low[i]),
              size = scale / (spread * (info->input_scale * half));
        w[i] = along_one && i != j % n_space && i < n_space ? 0.0f : size * w[i];
        bias = TTZO_MULADD(-w[i], TTZO_MULADD(point[i], info->input_scale, info->input_offset), bias);
    }
    return bias;
}

// trainer->perturbed = a drawn hidden layer, and a last layer of zeros.
static void draw_layer(struct ttzo_trainer *trainer)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_layer *layer = &model->layers[0];
    uint32_t n = layer->in_features, units = layer->out_features;
    float *out = trainer->perturbed, *bias = out + n * units;
    for (uint32_t i = 0; i < model->info.n_parameters; i++)
        out[i] = 0.0f;
    ttzo_direction_add(out, out, 1.0f, n * units, TTZO_DIRECTION_GAUSSIAN, trainer->training.seed, trainer->state.step,
                       0);
    for (uint32_t j = 0; j < units; j++) {
        ttzo_pde_draw_feature(trainer, j);
        bias[j] = turn_unit(model, trainer->state.step, j, trainer->pde.point, out + n * j);
    }
}

// ---- the step -------------------------------------------------------------------------------------------------------

static uint32_t evaluations(const struct search *search)
{
    const struct ttzo_trainer *trainer = search->trainer;
    uint64_t one = trainer->macs_per_row * trainer->model->info.batch, done = trainer->macs - search->macs_before;
    return one ? (uint32_t)((done + one - 1) / one) : 1;
}

static enum ttzo_error row_is_done(const struct search *search)
{
    uint32_t done = evaluations(search);
    return ttzo_still_wanted(search->trainer, done, done + 1);
}

// At a row of the next step: what was drawn is fitted to this step's rows, and theta to those of a step before.
static float residual_of_next(struct ttzo_trainer *trainer, const float *theta, uint32_t row)
{
    trainer->state.step++;
    float residual = ttzo_pde_residual(trainer, theta, row);
    trainer->state.step--;
    return residual;
}

// The losses at theta.
static enum ttzo_error evaluate(struct search *search, float *mean)
{
    struct ttzo_trainer *trainer = search->trainer;
    uint32_t rows = trainer->model->info.batch;
    float sum = 0.0f;
    for (uint32_t row = 0; row < rows; row++) {
        float residual = residual_of_next(trainer, trainer->theta, row);
        trainer->base_losses[row] = residual * residual;
        sum = sum + trainer->base_losses[row];
        trainer->macs += trainer->macs_per_row;
        enum ttzo_error error = row_is_done(search);
        if (error)
            return error;
    }
    *mean = sum * (1.0f / (float)rows);
    return ttzo_is_finite(*mean) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}

static enum ttzo_error fold_rows(struct search *search, float mu)
{
    struct ttzo_trainer *trainer = search->trainer;
    uint32_t rows = trainer->model->info.batch, width = search->n + 1;
    for (uint32_t i = 0; i < ttzo_triangle_count(search->n); i++)
        search->triangle[i] = 0.0f;
    for (uint32_t first = 0; first < rows; first += TTZO_GN_BLOCK_ROWS) {
        uint32_t count = rows - first < TTZO_GN_BLOCK_ROWS ? rows - first : TTZO_GN_BLOCK_ROWS;
        for (uint32_t i = 0; i < count; i++) {
            float *row = search->block + i * width;
            row[search->n] = ttzo_row_columns(trainer, trainer->perturbed, &search->columns_work, first + i, mu, 0,
                                              search->n, row, 1);
            enum ttzo_error error = row_is_done(search);
            if (error)
                return error;
            for (uint32_t u = 0; u < width; u++)
                if (!ttzo_is_finite(row[u]))
                    return TTZO_ERROR_NON_FINITE;
        }
        ttzo_triangle_fold(search->triangle, search->n, search->block, count);
    }
    return TTZO_ERROR_OK;
}

// The last layer at this ridge, into trainer->perturbed; returns its length.
static float solve(struct search *search, float ridge)
{
    struct ttzo_trainer *trainer = search->trainer;
    uint32_t n = search->n, offset = trainer->model->layers[1].parameter_offset;
    float mean = ttzo_triangle_squares(search->triangle, n, 0, n) / (float)n, squares = 0.0f;
    ttzo_triangle_add_ridge(search->triangle, search->solved, n, n, ttzo_sqrt(ridge * mean), 0.0f, search->block);
    ttzo_triangle_solve(search->solved, n, 0, 0.0f, search->answer);
    for (uint32_t u = 0; u < n; u++) {
        trainer->perturbed[offset + u] = search->answer[u];
        squares = TTZO_MULADD(search->answer[u], search->answer[u], squares);
    }
    return ttzo_sqrt(squares);
}

// Whether the losses fall at trainer->perturbed; false where they are NaN.
static enum ttzo_error compare(struct search *search, bool *falls)
{
    struct ttzo_trainer *trainer = search->trainer;
    float change = 0.0f;
    for (uint32_t row = 0; row < trainer->model->info.batch; row++) {
        float residual = residual_of_next(trainer, trainer->perturbed, row);
        change = change + (residual * residual - trainer->base_losses[row]);
        trainer->macs += trainer->macs_per_row;
        enum ttzo_error error = row_is_done(search);
        if (error)
            return error;
    }
    *falls = change < 0.0f;
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        *falls = *falls && ttzo_is_finite(trainer->perturbed[i]);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_frozen_features(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                     struct ttzo_step_result *result)
{
    struct search search = { .trainer = trainer, .macs_before = trainer->macs };
    struct ttzo_carve carve = { trainer->gauss_newton, 0 };
    bool falls = false;
    (void)rate; // a least squares has none
    carve_numbers(&search, trainer->model, &carve);
    enum ttzo_error error = evaluate(&search, &result->loss);
    if (error)
        return error;
    draw_layer(trainer);
    if ((error = fold_rows(&search, phase->perturb_radius)))
        return error;
    result->gradient_norm = solve(&search, phase->ridge);
    if ((error = compare(&search, &falls)))
        return error;
    for (uint32_t i = 0; falls && i < trainer->model->info.n_parameters; i++)
        trainer->theta[i] = trainer->perturbed[i];
    result->evaluations = evaluations(&search);
    trainer->macs = search.macs_before + result->evaluations * trainer->macs_per_row * trainer->model->info.batch;
    return TTZO_ERROR_OK;
}

#endif
