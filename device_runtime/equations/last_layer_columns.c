// SPDX-License-Identifier: MIT
#include "equations/last_layer_columns.h"

#include "equations/derive.h"
#include "equations/directions.h"
#include "equations/pde_rows.h"
#include "network/layers.h"
#include "number/real.h"

static const struct ttzo_layer *last_layer(const struct ttzo_model *model)
{
    return &model->layers[model->info.n_layers - 1];
}

// One output of the last layer (n weights from `w`) applied to every kind of derivative of its inputs.
static float combine(const float *w, const float *features, uint32_t n, float start)
{
    for (uint32_t j = 0; j < n; j++)
        start = TTZO_MULADD(w[j], features[j], start);
    return start;
}

// The parts of set 0 (at the parameters) or 1 (beside them).
static struct ttzo_pde_parts parts_of(const struct ttzo_trainer *trainer, uint32_t set)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = ttzo_first_directions(model), outputs = ttzo_functions(model);
    float *at = trainer->pde.combined + set * ttzo_pde_set_numbers(model);
    float *first = at + 2 * outputs;
    return (struct ttzo_pde_parts){ at, first, at + outputs, first + n * outputs, first + 2 * n * outputs };
}

// The kinds of derivatives that `needs` asks for, one after the other: where each stands in both sets and among the
// features, and how many rows it has.
struct kind {
    float *whole, *beside;
    const float *features;
    uint32_t rows;
};

#define KINDS 5u

static uint32_t list_kinds(const struct ttzo_trainer *trainer, uint32_t needs, struct kind kinds[KINDS])
{
    struct ttzo_pde_parts whole = parts_of(trainer, 0), beside = parts_of(trainer, 1),
                          features = ttzo_pde_derived(trainer);
    uint32_t n = ttzo_first_directions(trainer->model), count = 0;
    kinds[count++] = (struct kind){ whole.value, beside.value, features.value, 1 };
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        kinds[count++] = (struct kind){ whole.laplacian, beside.laplacian, features.laplacian, 1 };
    if (needs)
        kinds[count++] = (struct kind){ whole.first, beside.first, features.first, n };
    if (needs & TTZO_NEED_DIAGONAL)
        kinds[count++] = (struct kind){ whole.diagonal, beside.diagonal, features.diagonal, n };
    if (needs & TTZO_NEED_ALONG)
        kinds[count++] = (struct kind){ whole.along, beside.along, features.along, ttzo_pde_along(trainer->model) };
    return count;
}

// Set 0: the outputs and their derivatives from those of the features.
static void combine_all(struct ttzo_trainer *trainer, const float *theta, const struct kind *kinds, uint32_t count)
{
    const struct ttzo_layer *last = last_layer(trainer->model);
    const float *w = theta + last->parameter_offset;
    uint32_t m = last->in_features, outputs = ttzo_functions(trainer->model);
    const float *biases = last->has_bias ? w + m * outputs : NULL;
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < kinds[k].rows; i++)
            for (uint32_t o = 0; o < outputs; o++)
                kinds[k].whole[i * outputs + o] =
                    combine(w + o * m, kinds[k].features + i * m, m, k == 0 && biases ? biases[o] : 0.0f);
}

// Set 1: the same where output o weighs feature j by mu more.
static void combine_beside(struct ttzo_trainer *trainer, const struct kind *kinds, uint32_t count, uint32_t o,
                           uint32_t j, float mu)
{
    const struct ttzo_layer *last = last_layer(trainer->model);
    uint32_t m = last->in_features, outputs = ttzo_functions(trainer->model);
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < kinds[k].rows; i++) {
            const float *from = kinds[k].whole + i * outputs;
            float *to = kinds[k].beside + i * outputs;
            for (uint32_t other = 0; other < outputs; other++)
                to[other] = from[other];
            to[o] = TTZO_MULADD(mu, kinds[k].features[i * m + j], from[o]);
        }
}

// A row's residual at its point, and its derivatives into (or, with `subtracts`, from) `gradient`.
static float residual_and_gradient_at_point(struct ttzo_trainer *trainer, const float *theta,
                                            const struct ttzo_pde_row *row, float mu, bool subtracts, float *gradient)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_layer *last = last_layer(model);
    const struct ttzo_program *program = &model->pde.conditions[row->group];
    const struct ttzo_pde_parts whole = parts_of(trainer, 0), beside = parts_of(trainer, 1);
    uint32_t needs = model->pde.groups[row->group].needs, m = last->in_features, outputs = ttzo_functions(model);
    float root_weight = model->pde.groups[row->group].root_weight, per_mu = 1.0f / mu;
    struct kind kinds[KINDS];
    uint32_t n = outputs * (m + (last->has_bias ? 1u : 0u));
    ttzo_pde_set_unknowns(trainer, theta);
    ttzo_derive(trainer, theta, model->info.n_layers - 1u, needs, row->number);
    uint32_t count = list_kinds(trainer, needs, kinds);
    combine_all(trainer, theta, kinds, count);
    float residual = root_weight * ttzo_pde_run(trainer, program, &whole);
    for (uint32_t c = 0; c < n; c++) {
        struct ttzo_pde_parts at = beside;
        float moved[TTZO_FUNCTION_PLACES];
        if (c < outputs * m) {
            combine_beside(trainer, kinds, count, c / m, c % m, mu);
        } else { // a bias moves a value alone
            for (uint32_t o = 0; o < outputs; o++)
                moved[o] = whole.value[o] + (o == c - outputs * m ? mu : 0.0f);
            at = whole;
            at.value = moved;
        }
        float column = (root_weight * ttzo_pde_run(trainer, program, &at) - residual) * per_mu;
        gradient[c] = subtracts ? gradient[c] - column : column;
    }
    return residual;
}

float ttzo_last_layer_columns(struct ttzo_trainer *trainer, const float *theta, uint32_t number, float mu,
                              float *gradient)
{
    struct ttzo_pde_row row = ttzo_pde_begin_row(trainer, number);
    float residual = residual_and_gradient_at_point(trainer, theta, &row, mu, false, gradient);
    if (ttzo_pde_has_opposite(trainer->model, &row)) {
        ttzo_pde_move_to_opposite(trainer, &row);
        residual = residual - residual_and_gradient_at_point(trainer, theta, &row, mu, true, gradient);
    }
    return residual;
}
