// SPDX-License-Identifier: MIT
// theta moves by D a, where a solves min |J D a + r|^2 + ridge |a|^2. J has a column for each coordinate asked, D holds
// the parameters' scales, and the last layer and the others each have a ridge of their own, relative to their mean
// squared column.
//
// Where there are fewer coordinates than rows, rows of [J D, r] are folded into a triangle, as gauss_newton.c does it.
// Else the columns of J D are, each over the root of its ridge: R'R = J D W D J', and a = -W D J' y with
// (R'R + ridge) y = r. Columns are made `n_coordinates` at a time: all of them stay where that many fit, else they are
// made anew once y is known.
#include "equations/coordinate_gn.h"

#include "equations/coordinate_columns.h"
#include "equations/derive.h"
#include "equations/graph_columns.h"
#include "equations/pde.h"
#include "equations/scales.h"
#include "equations/triangle.h"
#include "model/carve.h"
#include "network/layers.h"
#include "number/real.h"

#if TTZO_HAS(COORDINATES)

// ---- sizes ----------------------------------------------------------------------------------------------------------

// A step under way, and where its numbers lie.
struct coordinate_gn {
    struct ttzo_trainer *trainer;
    const struct ttzo_phase *phase;
    struct ttzo_column_work columns_work;
    uint32_t n, n_last, rows; // coordinates, of which the first ones are the last layer's; residuals
    uint32_t order;           // of the triangle
    uint32_t at_once;         // columns
    float *triangle, *solved; // without and with the ridge
    float *block;             // [TTZO_GN_BLOCK_ROWS][order + 1]
    float *columns;           // [at_once][rows], of the second way
    float *residuals;         // [rows]
    float *answer;            // [order] a, or y
    float weights[2];         // of the second way: one over the mean squared column, of the last layer and the others
    uint64_t macs_before;
};

static bool is_by_rows(const struct ttzo_model *model)
{
    return ttzo_coordinates(model) < model->info.batch;
}

static void carve_numbers(struct coordinate_gn *gn, const struct ttzo_model *model, const struct ttzo_phase *phase,
                          struct ttzo_carve *carve)
{
    gn->n = ttzo_coordinates(model);
    gn->n_last = ttzo_last_coordinates(model);
    gn->rows = model->info.batch;
    gn->order = is_by_rows(model) ? gn->n : gn->rows;
    gn->at_once = phase->n_coordinates < gn->n ? phase->n_coordinates : gn->n;
    uint64_t order = gn->order;
    gn->triangle = ttzo_take(carve, order * (order + 3) / 2);
    gn->solved = ttzo_take(carve, order * (order + 3) / 2);
    gn->block = ttzo_take(carve, TTZO_GN_BLOCK_ROWS * (order + 1));
    gn->columns = ttzo_take(carve, is_by_rows(model) ? 0 : (uint64_t)gn->at_once * gn->rows);
    gn->residuals = ttzo_take(carve, gn->rows);
    gn->answer = ttzo_take(carve, order);
    ttzo_column_carve(model, &gn->columns_work, carve);
}

uint64_t ttzo_coordinate_gn_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    struct ttzo_carve carve = { NULL, 0 };
    struct coordinate_gn counting;
    if (phase->estimator != TTZO_ESTIMATOR_COORDINATE_GN)
        return 0;
    carve_numbers(&counting, model, phase, &carve);
    return carve.numbers;
}

// Behind other layers than dense ones, columns follow one output's first and unmixed second derivatives at one point.
static bool has_columns(const struct ttzo_model *model)
{
    if (ttzo_asks_all(model) || ttzo_is_graph(model))
        return ttzo_asks_all(model);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].gather)
            return false;
    for (uint32_t g = 0; g < model->pde.info.n_groups; g++)
        if (model->pde.groups[g].sampler == TTZO_SAMPLER_OPPOSITE)
            return false;
    return ttzo_functions(model) == 1 && ttzo_pde_directions(&model->pde) == 0 && ttzo_unknown_constants(model) == 0;
}

// Whether a dense layer without activation, with parameters of its own, comes last, after something else.
static bool ends_in_layer(const struct ttzo_model *model)
{
    uint32_t n_layers = model->info.n_layers;
    if (ttzo_is_graph(model))
        return ttzo_graph_ends_in_layer(model);
    const struct ttzo_layer *last = n_layers < 2 ? NULL : &model->layers[n_layers - 1];
    return last && last->kind == TTZO_LAYER_KIND_DENSE && !last->gather && last->activation == TTZO_ACTIVATION_IDENTITY;
}

bool ttzo_coordinate_gn_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    if (!ends_in_layer(model))
        return false;
    uint32_t n = ttzo_coordinates(model);
    return n && model->info.loss == TTZO_LOSS_RESIDUAL && has_columns(model) && phase->update == TTZO_UPDATE_SGD &&
           (n < model->info.batch ? n : model->info.batch) <= TTZO_MAX_COLUMNS &&
           n <= TTZO_MAX_PARAMETERS / model->info.batch;
}

// ---- work done, in loss evaluations ----------------------------------------------------------------------------------

static uint32_t evaluations(const struct coordinate_gn *gn)
{
    uint64_t one = gn->trainer->macs_per_row * gn->rows, done = gn->trainer->macs - gn->macs_before;
    return one ? (uint32_t)((done + one - 1) / one) : 1;
}

static enum ttzo_error row_is_done(const struct coordinate_gn *gn)
{
    uint32_t done = evaluations(gn);
    return ttzo_still_wanted(gn->trainer, done, done + TTZO_GN_TRIES);
}

// ---- scales ---------------------------------------------------------------------------------------------------------

// Those of the coordinates into `scales`; the last layer's and the unknown constants' are 1.
static void write_scales(const struct coordinate_gn *gn, float *scales)
{
    const struct ttzo_model *model = gn->trainer->model;
    uint32_t u = 0, l = 0;
    for (; u < gn->n_last; u++)
        scales[u] = 1.0f;
    for (uint32_t k = gn->n - ttzo_unknown_constants(model); k < gn->n; k++)
        scales[k] = 1.0f;
    while (u < gn->n - ttzo_unknown_constants(model)) {
        uint32_t place = ttzo_coordinate_place(model, u);
        struct ttzo_scaled of = ttzo_scaled_at(model, l);
        while (place >= of.end)
            of = ttzo_scaled_at(model, ++l);
        for (; place < of.end; place++, u++)
            scales[u] = ttzo_parameter_scale(place, of.bias, of.of_core, gn->trainer->theta[place]);
    }
}

// trainer->perturbed is free until a step is tried.
static float *scales_of(const struct coordinate_gn *gn)
{
    return gn->trainer->perturbed;
}

// ---- the triangle ---------------------------------------------------------------------------------------------------

static const float last_share = 0.01f; // of the others' ridge: its unknowns are linear where the equation is

static enum ttzo_error keep_residual(struct coordinate_gn *gn, uint32_t row, float residual)
{
    gn->residuals[row] = residual;
    gn->trainer->base_losses[row] = residual * residual;
    return row_is_done(gn);
}

static bool all_finite(const float *numbers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!ttzo_is_finite(numbers[i]))
            return false;
    return true;
}

static enum ttzo_error fold_rows(struct coordinate_gn *gn)
{
    const float *scales = scales_of(gn);
    uint32_t width = gn->n + 1;
    for (uint32_t first = 0; first < gn->rows; first += TTZO_GN_BLOCK_ROWS) {
        uint32_t count = gn->rows - first < TTZO_GN_BLOCK_ROWS ? gn->rows - first : TTZO_GN_BLOCK_ROWS;
        for (uint32_t i = 0; i < count; i++) {
            float *row = gn->block + i * width;
            row[gn->n] = ttzo_row_columns(gn->trainer, gn->trainer->theta, &gn->columns_work, first + i,
                                          gn->phase->perturb_radius, 0, gn->n, row, 1);
            enum ttzo_error error = keep_residual(gn, first + i, row[gn->n]);
            if (error)
                return error;
            if (!all_finite(row, width))
                return TTZO_ERROR_NON_FINITE;
            for (uint32_t u = 0; u < gn->n; u++)
                row[u] = scales[u] * row[u];
        }
        ttzo_triangle_fold(gn->triangle, gn->n, gn->block, count);
    }
    return TTZO_ERROR_OK;
}

// The columns of the coordinates [first, end).
static enum ttzo_error make_columns(struct coordinate_gn *gn, uint32_t first, uint32_t end)
{
    for (uint32_t row = 0; row < gn->rows; row++) {
        float residual = ttzo_row_columns(gn->trainer, gn->trainer->theta, &gn->columns_work, row,
                                          gn->phase->perturb_radius, first, end, gn->columns + row, gn->rows);
        enum ttzo_error error = keep_residual(gn, row, residual);
        if (error)
            return error;
    }
    return all_finite(gn->columns, (end - first) * gn->rows) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}

// Folds `count` columns from `column` on, each times its scale, as rows; returns the sum of their squares after `squares`.
static float fold_columns(struct coordinate_gn *gn, float *triangle, const float *column, const float *scales,
                          uint32_t count, float squares)
{
    uint32_t width = gn->rows + 1;
    for (uint32_t first = 0; first < count; first += TTZO_GN_BLOCK_ROWS) {
        uint32_t n = count - first < TTZO_GN_BLOCK_ROWS ? count - first : TTZO_GN_BLOCK_ROWS;
        for (uint32_t k = 0; k < n; k++) {
            float *out = gn->block + k * width;
            for (uint32_t i = 0; i < gn->rows; i++) {
                out[i] = scales[first + k] * column[(first + k) * gn->rows + i];
                squares = TTZO_MULADD(out[i], out[i], squares);
            }
            out[gn->rows] = 0.0f;
        }
        ttzo_triangle_fold(triangle, gn->rows, gn->block, n);
    }
    return squares;
}

// triangle = that of its own columns times root `weight` and the other ones' times root `other_weight`, which stand in
// `solved`.
static void join_triangles(struct coordinate_gn *gn)
{
    uint32_t n = gn->rows, width = n + 1;
    const float *at = gn->solved;
    ttzo_triangle_scale(gn->triangle, n, ttzo_sqrt(gn->weights[0]));
    ttzo_triangle_scale(gn->solved, n, ttzo_sqrt(gn->weights[1]));
    for (uint32_t first = 0; first < n; first += TTZO_GN_BLOCK_ROWS) {
        uint32_t count = n - first < TTZO_GN_BLOCK_ROWS ? n - first : TTZO_GN_BLOCK_ROWS;
        for (uint32_t k = 0; k < count; k++)
            for (uint32_t c = 0; c < width; c++)
                gn->block[k * width + c] = c < first + k ? 0.0f : *at++;
        ttzo_triangle_fold(gn->triangle, n, gn->block, count);
    }
}

static float weight_of(float squares, uint32_t count, float share)
{
    return squares > 0.0f ? (float)count / (share * squares) : 0.0f;
}

static enum ttzo_error fold_all_columns(struct coordinate_gn *gn)
{
    const float *scales = scales_of(gn);
    float of_last = 0.0f, of_others = 0.0f;
    for (uint32_t i = 0; i < ttzo_triangle_count(gn->rows); i++)
        gn->solved[i] = 0.0f;
    for (uint32_t first = 0; first < gn->n; first += gn->at_once) {
        uint32_t end = gn->n - first < gn->at_once ? gn->n : first + gn->at_once;
        uint32_t middle = gn->n_last < first ? first : gn->n_last < end ? gn->n_last : end;
        enum ttzo_error error = make_columns(gn, first, end);
        if (error)
            return error;
        of_last = fold_columns(gn, gn->triangle, gn->columns, scales + first, middle - first, of_last);
        of_others = fold_columns(gn, gn->solved, gn->columns + (middle - first) * gn->rows, scales + middle,
                                 end - middle, of_others);
    }
    gn->weights[0] = weight_of(of_last, gn->n_last, last_share);
    gn->weights[1] = weight_of(of_others, gn->n - gn->n_last, 1.0f);
    join_triangles(gn);
    return TTZO_ERROR_OK;
}

static enum ttzo_error build(struct coordinate_gn *gn)
{
    write_scales(gn, scales_of(gn));
    for (uint32_t i = 0; i < ttzo_triangle_count(gn->order); i++)
        gn->triangle[i] = 0.0f;
    return is_by_rows(gn->trainer->model) ? fold_rows(gn) : fold_all_columns(gn);
}

// ---- the step at one ridge ------------------------------------------------------------------------------------------

static void add_ridge(struct coordinate_gn *gn, float ridge)
{
    uint32_t n = gn->order, n_first = 0;
    float of_first = 0.0f, of_others = ttzo_sqrt(ridge);
    if (is_by_rows(gn->trainer->model)) {
        uint32_t others = n - gn->n_last;
        float last = ttzo_triangle_squares(gn->triangle, n, 0, gn->n_last) / (float)gn->n_last;
        float other = others ? ttzo_triangle_squares(gn->triangle, n, gn->n_last, n) / (float)others : 0.0f;
        n_first = gn->n_last;
        of_first = ttzo_sqrt(last_share * ridge * last);
        of_others = ttzo_sqrt(ridge * other);
    }
    ttzo_triangle_add_ridge(gn->triangle, gn->solved, n, n_first, of_first, of_others, gn->block);
}

// a_u of the coordinates [first, end) into `a`: by the columns that are there.
static void find_coefficients(const struct coordinate_gn *gn, const float *scales, uint32_t first, uint32_t end,
                              float *a)
{
    for (uint32_t u = first; u < end; u++) {
        const float *column = gn->columns + (u - first) * gn->rows;
        float dot = 0.0f;
        for (uint32_t i = 0; i < gn->rows; i++)
            dot = TTZO_MULADD(column[i], gn->answer[i], dot);
        a[u] = scales[u] * dot * gn->weights[u < gn->n_last ? 0 : 1];
    }
}

// All coefficients, into trainer->gradient; made column by column where the columns did not stay.
static enum ttzo_error solve(struct coordinate_gn *gn, float ridge, float *a)
{
    const float *scales = scales_of(gn);
    add_ridge(gn, ridge);
    if (is_by_rows(gn->trainer->model)) {
        ttzo_triangle_solve(gn->solved, gn->n, 0, 0.0f, gn->answer);
        for (uint32_t u = 0; u < gn->n; u++)
            a[u] = gn->answer[u];
        return TTZO_ERROR_OK;
    }
    ttzo_triangle_solve_twice(gn->solved, gn->rows, gn->residuals, gn->answer);
    for (uint32_t first = 0; first < gn->n; first += gn->at_once) {
        uint32_t end = gn->n - first < gn->at_once ? gn->n : first + gn->at_once;
        enum ttzo_error error = gn->at_once < gn->n ? make_columns(gn, first, end) : TTZO_ERROR_OK;
        if (error)
            return error;
        find_coefficients(gn, scales, first, end, a);
    }
    return TTZO_ERROR_OK;
}

static float length_of(const float *v, uint32_t n)
{
    float squares = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        squares = TTZO_MULADD(v[i], v[i], squares);
    return ttzo_sqrt(squares);
}

// What is left of a step whose coefficients, the last layer's apart, are longer than the trust radius.
static float shortened(const struct coordinate_gn *gn, const float *a)
{
    float radius = gn->phase->trust_radius, length = length_of(a + gn->n_last, gn->n - gn->n_last);
    return radius > 0.0f && length > radius ? radius / length : 1.0f;
}

// trainer->perturbed = theta + rate D a, a in trainer->gradient; the step takes the place of a. Returns its length.
static float compose(struct coordinate_gn *gn, float rate)
{
    struct ttzo_trainer *trainer = gn->trainer;
    const float *scales = scales_of(gn);
    float *step = trainer->gradient, factor = shortened(gn, step);
    for (uint32_t u = 0; u < gn->n; u++)
        step[u] = factor * scales[u] * step[u];
    float length = length_of(step, gn->n);
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        trainer->perturbed[i] = trainer->theta[i];
    for (uint32_t u = 0; u < gn->n; u++) {
        uint32_t place = ttzo_coordinate_place(trainer->model, u);
        trainer->perturbed[place] = TTZO_MULADD(rate, step[u], trainer->theta[place]);
    }
    return length;
}

// The change of the rows' losses at trainer->perturbed.
static enum ttzo_error try_step(struct coordinate_gn *gn, float *change)
{
    struct ttzo_trainer *trainer = gn->trainer;
    float sum = 0.0f;
    ttzo_hold_cores(trainer, trainer->perturbed);
    for (uint32_t row = 0; row < gn->rows; row++) {
        float residual = ttzo_pde_residual(trainer, trainer->perturbed, row);
        sum = sum + (residual * residual - trainer->base_losses[row]);
        trainer->macs += trainer->macs_per_row;
        enum ttzo_error error = row_is_done(gn);
        if (error)
            return error;
    }
    *change = sum;
    return TTZO_ERROR_OK;
}

// ---- the step -------------------------------------------------------------------------------------------------------

static const float largest_ridge = 1e12f;

static float mean(const float *losses, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        sum = sum + losses[i];
    return sum * (1.0f / (float)n);
}

static enum ttzo_error run(struct coordinate_gn *gn, float rate, struct ttzo_step_result *result)
{
    struct ttzo_trainer *trainer = gn->trainer;
    float *kept = trainer->moments, ridge = *kept > 0.0f ? *kept : gn->phase->ridge;
    uint32_t n = trainer->model->info.n_parameters;
    bool falls = false;
    enum ttzo_error error = build(gn);
    if (error)
        return error;
    result->loss = mean(trainer->base_losses, gn->rows);
    if (!ttzo_is_finite(result->loss))
        return TTZO_ERROR_NON_FINITE;
    for (uint32_t k = 0; k < TTZO_GN_TRIES && !falls; k++) {
        float change;
        write_scales(gn, scales_of(gn));
        if ((error = solve(gn, ridge, trainer->gradient)))
            return error;
        result->gradient_norm = compose(gn, rate);
        if ((error = try_step(gn, &change)))
            return error;
        falls = change < 0.0f && all_finite(trainer->perturbed, n); // not so where the change is NaN
        ridge = ridge * (falls ? 0.3f : 10.0f);
    }
    for (uint32_t i = 0; falls && i < n; i++)
        trainer->theta[i] = trainer->perturbed[i];
    *kept = ridge < gn->phase->ridge ? gn->phase->ridge : ridge > largest_ridge ? largest_ridge : ridge;
    result->evaluations = evaluations(gn);
    trainer->macs = gn->macs_before + result->evaluations * trainer->macs_per_row * gn->rows;
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_coordinate_gn(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                   struct ttzo_step_result *result)
{
    struct coordinate_gn gn = { .trainer = trainer, .phase = phase, .macs_before = trainer->macs };
    struct ttzo_carve carve = { trainer->gauss_newton, 0 };
    carve_numbers(&gn, trainer->model, phase, &carve);
    return run(&gn, rate, result);
}

#endif
