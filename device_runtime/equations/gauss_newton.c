// SPDX-License-Identifier: MIT
// theta moves by sum_k a_k v_k, where a solves min |M a + r|^2 + ridge |a|^2 with the columns
// M_k = (r(theta + mu v_k) - r(theta)) / mu. Unknowns in order: last layer (last_layer_gn), random directions, the last
// two steps (subspace_gn), the equation's unknown constants one by one. The residuals r are those of an equation, or of a
// black box.
#include "equations/gauss_newton.h"

#include "equations/coordinate_gn.h"
#include "equations/derive.h"
#include "equations/frozen_features.h"
#include "equations/last_layer_columns.h"
#include "equations/pde.h"
#include "equations/scales.h"
#include "equations/triangle.h"
#include "model/ask_box.h"
#include "model/phase.h"
#include "network/layers.h"
#include "number/random.h"
#include "number/real.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

static const struct ttzo_layer *last_layer(const struct ttzo_model *model)
{
    return &model->layers[model->info.n_layers - 1];
}

// Unknowns whose columns are free: the last layer's weights and bias.
static uint32_t free_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    return phase->estimator == TTZO_ESTIMATOR_LAST_LAYER_GN ? ttzo_layer_parameters(last_layer(model)) : 0;
}

static uint32_t remembered_count(const struct ttzo_phase *phase)
{
    return phase->estimator == TTZO_ESTIMATOR_SUBSPACE_GN ? 2 : 0;
}

static uint32_t unknown_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    return free_count(model, phase) + phase->n_queries + remembered_count(phase) + ttzo_unknown_constants(model);
}

// Rows of [M, r] that are kept at a time: all of them where they are few numbers, so that each direction is made once, and
// of a black box, which gives all its residuals together.
static uint32_t block_rows(const struct ttzo_model *model, uint32_t n)
{
    uint32_t batch = model->info.batch;
    bool are_few = (uint64_t)batch * (n + 1) <= TTZO_GN_BLOCK_NUMBERS || ttzo_has_black_box(model);
    return batch > TTZO_GN_BLOCK_ROWS && are_few ? batch : TTZO_GN_BLOCK_ROWS;
}

uint64_t ttzo_gauss_newton_count(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    if (!ttzo_is_gauss_newton(phase->estimator))
        return 0;
    if (phase->estimator == TTZO_ESTIMATOR_COORDINATE_GN)
        return ttzo_coordinate_gn_count(model, phase);
    if (phase->estimator == TTZO_ESTIMATOR_FROZEN_FEATURES)
        return ttzo_frozen_features_count(model, phase);
    uint64_t n = unknown_count(model, phase), rows = block_rows(model, (uint32_t)n);
    return n * (n + 3) + rows * (n + 1) + n; // two triangles, a block of rows, the coefficients
}

uint32_t ttzo_gauss_newton_moments(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    return ttzo_is_gauss_newton(phase->estimator) ? remembered_count(phase) * model->info.n_parameters + 1 : 0;
}

bool ttzo_gauss_newton_is_sound(const struct ttzo_model *model, const struct ttzo_phase *phase)
{
    if (!ttzo_is_gauss_newton(phase->estimator))
        return true;
    if (phase->estimator == TTZO_ESTIMATOR_COORDINATE_GN)
        return ttzo_coordinate_gn_is_sound(model, phase);
    if (phase->estimator == TTZO_ESTIMATOR_FROZEN_FEATURES)
        return ttzo_frozen_features_is_sound(model, phase);
    bool is_box = model->box.gives_residuals && phase->estimator == TTZO_ESTIMATOR_SUBSPACE_GN;
    if ((model->info.loss != TTZO_LOSS_RESIDUAL && !is_box) || phase->n_queries > TTZO_MAX_COLUMNS ||
        phase->update != TTZO_UPDATE_SGD)
        return false;
    if (phase->estimator == TTZO_ESTIMATOR_LAST_LAYER_GN &&
        (model->info.n_layers < 2 || last_layer(model)->kind != TTZO_LAYER_KIND_DENSE || last_layer(model)->gather ||
         last_layer(model)->activation != TTZO_ACTIVATION_IDENTITY))
        return false;
    return unknown_count(model, phase) <= TTZO_MAX_COLUMNS;
}

// ---- a step under way -----------------------------------------------------------------------------------------------

struct gauss_newton {
    struct ttzo_trainer *trainer;
    const struct ttzo_phase *phase;
    uint32_t n, n_free; // unknowns, and how many of them are the last layer's
    float *triangle;    // of the rows
    float *solved;      // the same with the ridge
    float *block;       // [rows of a block][n + 1]
    float *a;           // [n]
    float *ridge;       // in the moments
    uint32_t rows_done; // rows evaluated
    uint32_t total;     // loss evaluations at most
};

static enum ttzo_error count_row(struct gauss_newton *gn)
{
    struct ttzo_trainer *trainer = gn->trainer;
    uint32_t batch = trainer->model->info.batch;
    gn->rows_done++;
    trainer->macs += trainer->macs_per_row;
    return gn->rows_done % batch ? TTZO_ERROR_OK : ttzo_still_wanted(trainer, gn->rows_done / batch, gn->total);
}

// ---- directions: Gaussian, each number at its tensor's scale, or at a share of its own size where that is more ------

static float larger(float a, float b)
{
    return a < b ? b : a;
}

// out = base + factor * D v, with v direction number `query` and D the numbers' scales. `out` is not `base`.
static void add_direction(const struct gauss_newton *gn, float *out, const float *base, float factor, uint32_t query)
{
    const struct ttzo_trainer *trainer = gn->trainer;
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters;
    for (uint32_t i = 0; i < n; i++)
        out[i] = 0.0f;
    ttzo_direction_add(out, out, 1.0f, n, TTZO_DIRECTION_GAUSSIAN, trainer->training.seed, trainer->state.step, query);
    for (uint32_t i = 0; i < n && ttzo_has_black_box(model); i++)
        out[i] = TTZO_MULADD(factor * ttzo_parameter_scale(i, 0, 0.0f, trainer->theta[i]), out[i], base[i]);
    if (ttzo_has_black_box(model))
        return;
    for (uint32_t l = 0; l < ttzo_scaled_count(model); l++) {
        bool is_free = gn->n_free > 0 && l + 1 == model->info.n_layers;
        struct ttzo_scaled of = ttzo_scaled_at(model, l);
        for (uint32_t i = of.first; i < of.end; i++) {
            float scale = is_free ? 0.0f : ttzo_parameter_scale(i, of.bias, of.of_core, trainer->theta[i]);
            out[i] = TTZO_MULADD(factor * scale, out[i], base[i]);
        }
    }
    for (uint32_t i = n - ttzo_unknown_constants(model); i < n; i++)
        out[i] = base[i];
}

// How long a direction is in the mean where no number is large.
static float direction_length(const struct ttzo_model *model)
{
    float squares = 0.0f;
    if (ttzo_has_black_box(model))
        squares = TTZO_BIAS_SCALE * TTZO_BIAS_SCALE * (float)model->info.n_parameters;
    for (uint32_t l = 0; l < ttzo_scaled_count(model); l++) {
        struct ttzo_scaled of = ttzo_scaled_at(model, l);
        squares = TTZO_MULADD(of.of_core * of.of_core, (float)(of.bias - of.first), squares);
        squares = TTZO_MULADD(TTZO_BIAS_SCALE * TTZO_BIAS_SCALE, (float)(of.end - of.bias), squares);
    }
    return ttzo_sqrt(squares);
}

static float length_of(const float *v, uint32_t n)
{
    float squares = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        squares = TTZO_MULADD(v[i], v[i], squares);
    return ttzo_sqrt(squares);
}

// Factor that brings remembered step `k` to a direction's length; 0 while there is none.
static float remembered_factor(const struct gauss_newton *gn, uint32_t k)
{
    uint32_t n = gn->trainer->model->info.n_parameters;
    float length = length_of(gn->trainer->moments + k * n, n);
    return length > 0.0f ? direction_length(gn->trainer->model) / length : 0.0f;
}

// trainer->perturbed = theta + mu v for unknown `c`; false when its column is zero.
static bool perturb(const struct gauss_newton *gn, uint32_t c)
{
    struct ttzo_trainer *trainer = gn->trainer;
    uint32_t n = trainer->model->info.n_parameters, query = c - gn->n_free;
    float mu = gn->phase->perturb_radius;
    if (query < gn->phase->n_queries) {
        add_direction(gn, trainer->perturbed, trainer->theta, mu, query);
        return true;
    }
    query -= gn->phase->n_queries;
    uint32_t remembered = remembered_count(gn->phase);
    if (query >= remembered) {
        for (uint32_t i = 0; i < n; i++)
            trainer->perturbed[i] = trainer->theta[i];
        uint32_t place = n - ttzo_unknown_constants(trainer->model) + query - remembered;
        trainer->perturbed[place] = trainer->theta[place] + mu;
        return true;
    }
    const float *step = trainer->moments + query * n;
    float factor = remembered_factor(gn, query);
    for (uint32_t i = 0; i < n; i++)
        trainer->perturbed[i] = TTZO_MULADD(mu * factor, step[i], trainer->theta[i]);
    return factor > 0.0f;
}

// ---- the system -----------------------------------------------------------------------------------------------------

// Before the residuals at `theta`, whose numbers stay until the next call.
static void begin_residuals(const struct gauss_newton *gn, const float *theta)
{
    if (ttzo_has_black_box(gn->trainer->model))
        ttzo_ask_box(gn->trainer, theta);
    else
        ttzo_hold_cores(gn->trainer, theta);
}

static float residual_of(const struct gauss_newton *gn, const float *theta, uint32_t row)
{
    return ttzo_has_black_box(gn->trainer->model) ? gn->trainer->box_losses[row]
                                                  : ttzo_pde_residual(gn->trainer, theta, row);
}

// Rows [first, first + count) of [M, r] into the block, their losses into base_losses.
static enum ttzo_error fill_block(struct gauss_newton *gn, uint32_t first, uint32_t count)
{
    struct ttzo_trainer *trainer = gn->trainer;
    const uint32_t width = gn->n + 1;
    float mu = gn->phase->perturb_radius, per_mu = 1.0f / mu;
    enum ttzo_error error = TTZO_ERROR_OK;
    begin_residuals(gn, trainer->theta);
    for (uint32_t i = 0; i < count && !error; i++) {
        float *row = gn->block + i * width;
        row[gn->n] = gn->n_free ? ttzo_last_layer_columns(trainer, trainer->theta, first + i, mu, row)
                                : residual_of(gn, trainer->theta, first + i);
        trainer->base_losses[first + i] = row[gn->n] * row[gn->n];
        error = count_row(gn);
    }
    for (uint32_t c = gn->n_free; c < gn->n && !error; c++) {
        bool moves = perturb(gn, c);
        if (moves)
            begin_residuals(gn, trainer->perturbed);
        for (uint32_t i = 0; i < count && !error; i++) {
            float *row = gn->block + i * width;
            row[c] = 0.0f;
            if (!moves)
                continue;
            row[c] = (residual_of(gn, trainer->perturbed, first + i) - row[gn->n]) * per_mu;
            if (!ttzo_is_finite(row[c]))
                return TTZO_ERROR_NON_FINITE;
            error = count_row(gn);
        }
    }
    return error;
}

static enum ttzo_error fold_blocks(struct gauss_newton *gn)
{
    const uint32_t batch = gn->trainer->model->info.batch, rows = block_rows(gn->trainer->model, gn->n);
    for (uint32_t first = 0; first < batch; first += rows) {
        uint32_t count = batch - first < rows ? batch - first : rows;
        enum ttzo_error error = fill_block(gn, first, count);
        if (error)
            return error;
        for (uint32_t done = 0; done < count; done += TTZO_GN_BLOCK_ROWS)
            ttzo_triangle_fold(gn->triangle, gn->n, gn->block + done * (gn->n + 1),
                               count - done < TTZO_GN_BLOCK_ROWS ? count - done : TTZO_GN_BLOCK_ROWS);
    }
    return TTZO_ERROR_OK;
}

// trainer->gradient is free until a step is composed.
static enum ttzo_error build(struct gauss_newton *gn)
{
    struct ttzo_trainer *trainer = gn->trainer;
    for (uint32_t i = 0; i < ttzo_triangle_count(gn->n); i++)
        gn->triangle[i] = 0.0f;
    trainer->pde.idle = trainer->gradient;
    trainer->pde.n_idle = trainer->model->info.n_parameters;
    enum ttzo_error error = fold_blocks(gn);
    trainer->pde.n_idle = 0;
    return error;
}

// Relative to the mean squared column: less would fit the batch's own errors.
static const float least_ridge = 1e-5f, largest_ridge = 1e12f;

// The last layer's unknowns, linear where the equation is, get a share of the directions' ridge, so that after a step
// that failed they move less too, and at least what float32 asks for.
static const float free_share = 0.01f, least_free_ridge = 1e-6f;

static float ridge_of(const struct gauss_newton *gn, uint32_t first, uint32_t end, float relative)
{
    if (first == end)
        return 0.0f;
    float mean = ttzo_triangle_squares(gn->triangle, gn->n, first, end) / (float)(end - first);
    return ttzo_sqrt(relative * mean);
}

// The coefficients at this ridge.
static void solve(struct gauss_newton *gn, float ridge)
{
    const uint32_t n = gn->n;
    float of_free = ridge_of(gn, 0, gn->n_free, larger(free_share * ridge, least_free_ridge));
    float of_others = ridge_of(gn, gn->n_free, n, ridge);
    ttzo_triangle_add_ridge(gn->triangle, gn->solved, n, gn->n_free, of_free, of_others, gn->block);
    ttzo_triangle_solve(gn->solved, n, gn->n_free, gn->phase->trust_radius, gn->a);
}

// trainer->gradient = sum_k a_k v_k; trainer->perturbed is overwritten.
static void compose(const struct gauss_newton *gn)
{
    struct ttzo_trainer *trainer = gn->trainer;
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, queries = gn->phase->n_queries;
    float *step = trainer->gradient, *one = trainer->perturbed;
    for (uint32_t i = 0; i < n; i++)
        step[i] = 0.0f;
    for (uint32_t c = 0; c < gn->n_free; c++)
        step[last_layer(model)->parameter_offset + c] = gn->a[c];
    for (uint32_t query = 0; query < queries; query++) {
        add_direction(gn, one, step, gn->a[gn->n_free + query], query);
        for (uint32_t i = 0; i < n; i++)
            step[i] = one[i];
    }
    for (uint32_t k = 0; k < remembered_count(gn->phase); k++) {
        float factor = gn->a[gn->n_free + queries + k] * remembered_factor(gn, k);
        for (uint32_t i = 0; i < n; i++)
            step[i] = TTZO_MULADD(factor, trainer->moments[k * n + i], step[i]);
    }
    uint32_t unknowns = ttzo_unknown_constants(model);
    for (uint32_t k = 0; k < unknowns; k++)
        step[n - unknowns + k] = step[n - unknowns + k] + gn->a[gn->n - unknowns + k];
}

// ---- the step -------------------------------------------------------------------------------------------------------

// The mean change of the rows' losses at trainer->perturbed.
static enum ttzo_error try_step(struct gauss_newton *gn, float *change)
{
    struct ttzo_trainer *trainer = gn->trainer;
    uint32_t batch = trainer->model->info.batch;
    float sum = 0.0f;
    begin_residuals(gn, trainer->perturbed);
    for (uint32_t j = 0; j < batch; j++) {
        float residual = residual_of(gn, trainer->perturbed, j);
        sum = sum + (residual * residual - trainer->base_losses[j]);
        enum ttzo_error error = count_row(gn);
        if (error)
            return error;
    }
    *change = sum;
    return TTZO_ERROR_OK;
}

// Whether all that accept() writes is finite: an infinite weight in front of a tanh has a finite loss.
static bool can_accept(const struct gauss_newton *gn, float rate)
{
    const struct ttzo_trainer *trainer = gn->trainer;
    for (uint32_t i = 0; i < trainer->model->info.n_parameters; i++)
        if (!ttzo_is_finite(trainer->perturbed[i]) || !ttzo_is_finite(rate * trainer->gradient[i]))
            return false;
    return true;
}

static void accept(struct gauss_newton *gn, float rate)
{
    struct ttzo_trainer *trainer = gn->trainer;
    uint32_t n = trainer->model->info.n_parameters;
    for (uint32_t i = 0; i < n; i++)
        trainer->theta[i] = trainer->perturbed[i];
    if (remembered_count(gn->phase) == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        trainer->moments[n + i] = trainer->moments[i];
        trainer->moments[i] = rate * trainer->gradient[i];
    }
}

static float mean(const float *losses, uint32_t n)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < n; j++)
        sum = sum + losses[j];
    return sum * (1.0f / (float)n);
}

static struct gauss_newton begin(struct ttzo_trainer *trainer, const struct ttzo_phase *phase)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = unknown_count(model, phase);
    float *at = trainer->gauss_newton;
    return (struct gauss_newton){
        .trainer = trainer,
        .phase = phase,
        .n = n,
        .n_free = free_count(model, phase),
        .triangle = at,
        .solved = at + ttzo_triangle_count(n),
        .block = at + 2 * ttzo_triangle_count(n),
        .a = at + 2 * ttzo_triangle_count(n) + block_rows(model, n) * (n + 1),
        .ridge = trainer->moments + remembered_count(phase) * model->info.n_parameters,
        .total = 1 + phase->n_queries + remembered_count(phase) + ttzo_unknown_constants(model) + TTZO_GN_TRIES,
    };
}

enum ttzo_error ttzo_gauss_newton(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                  struct ttzo_step_result *result)
{
    ttzo_release_cores(trainer);
    if (phase->estimator == TTZO_ESTIMATOR_COORDINATE_GN)
        return ttzo_coordinate_gn(trainer, phase, rate, result);
    if (phase->estimator == TTZO_ESTIMATOR_FROZEN_FEATURES)
        return ttzo_frozen_features(trainer, phase, rate, result);
    struct gauss_newton gn = begin(trainer, phase);
    uint32_t n = trainer->model->info.n_parameters, batch = trainer->model->info.batch;
    float ridge = *gn.ridge > 0.0f ? *gn.ridge : phase->ridge;
    bool falls = false;
    enum ttzo_error error = build(&gn);
    if (error)
        return error;
    result->loss = mean(trainer->base_losses, batch);
    if (!ttzo_is_finite(result->loss))
        return TTZO_ERROR_NON_FINITE;
    for (uint32_t k = 0; k < TTZO_GN_TRIES && !falls; k++) {
        float change;
        solve(&gn, ridge);
        compose(&gn);
        for (uint32_t i = 0; i < n; i++)
            trainer->perturbed[i] = TTZO_MULADD(rate, trainer->gradient[i], trainer->theta[i]);
        if ((error = try_step(&gn, &change)))
            return error;
        falls = change < 0.0f && can_accept(&gn, rate); // not so where the change is NaN
        ridge = ridge * (falls ? 0.3f : 10.0f);
    }
    result->gradient_norm = length_of(trainer->gradient, n);
    result->evaluations = gn.rows_done / batch;
    if (falls)
        accept(&gn, rate);
    *gn.ridge = ridge > largest_ridge ? largest_ridge : larger(ridge, least_ridge);
    return TTZO_ERROR_OK;
}
