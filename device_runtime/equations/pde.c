// SPDX-License-Identifier: MIT
#include "equations/pde.h"

#include "equations/compensated_basis.h"
#include "equations/compensated_columns.h"
#include "equations/compensated_jet.h"
#include "equations/derive.h"
#include "programs/program.h"
#include "model/phase.h"
#include "network/merged_layer.h"
#include "number/random.h"
#include "number/real.h"

// ---- points ---------------------------------------------------------------------------------------------------------

// A point uniform in the box. Both streams count blocks of four coordinates.
static void draw(const struct ttzo_model *model, uint64_t key, enum ttzo_stream stream, uint32_t step, uint32_t row,
                 float *point)
{
    const struct ttzo_pde *pde = &model->pde;
    uint32_t counter[4] = { 0, row, step, (uint32_t)stream }, words[4] = { 0 };
    for (uint32_t i = 0; i < model->info.in_features; i++) {
        if (i % 4 == 0) {
            ttzo_philox(counter, key, words);
            counter[0]++;
        }
        float uniform = (float)(words[i % 4] >> 8) * (1.0f / 16777216.0f);
        point[i] = TTZO_MULADD(uniform, pde->high[i] - pde->low[i], pde->low[i]);
    }
}

// The uniform point goes where the problem draws its training points.
static void place(struct ttzo_trainer *trainer)
{
    static const float zero = 0.0f;
    const struct ttzo_pde *pde = &trainer->model->pde;
    float *point = trainer->pde.point;
    uint32_t n = pde->info.n_space;
    const float *inputs[TTZO_PROGRAM_INPUTS];
    for (uint32_t i = 0; i < TTZO_PROGRAM_INPUTS; i++)
        inputs[i] = &zero;
    inputs[TTZO_PROGRAM_INPUT_X] = point;
    if (pde->info.has_time)
        inputs[TTZO_PROGRAM_INPUT_T] = point + n;
    float time = pde->info.has_time ? *ttzo_program_run(&pde->points[1], n, inputs, trainer->pde.registers) : 0.0f;
    const float *space = ttzo_program_run(&pde->points[0], n, inputs, trainer->pde.registers);
    for (uint32_t i = 0; i < n; i++)
        point[i] = space[i];
    if (pde->info.has_time)
        point[n] = time;
}

static void draw_training_point(struct ttzo_trainer *trainer, enum ttzo_sampler sampler, uint32_t row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    uint32_t time = pde->info.n_space;
    float *point = trainer->pde.point;
    draw(trainer->model, trainer->training.seed, TTZO_STREAM_COLLOCATION, trainer->state.step, row, point);
    if (pde->info.has_points)
        place(trainer);
    if (sampler == TTZO_SAMPLER_FACES) {
        const uint32_t counter[4] = { 0, row, trainer->state.step, TTZO_STREAM_FACE };
        uint32_t words[4];
        ttzo_philox(counter, trainer->training.seed, words);
        uint32_t face = words[0] % (2 * time);
        point[face / 2] = face % 2 ? pde->high[face / 2] : pde->low[face / 2];
    } else if (sampler != TTZO_SAMPLER_INTERIOR) {
        point[time] = sampler == TTZO_SAMPLER_START ? pde->low[time] : pde->high[time];
    }
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// A program where the network has these derivatives.
static float run_with(struct ttzo_trainer *trainer, const struct ttzo_program *program, const float *value,
                      const float *first, const float *laplacian, const float *diagonal)
{
    static const float zero = 0.0f;
    const struct ttzo_pde_info *info = &trainer->model->pde.info;
    const struct ttzo_pde_work *work = &trainer->pde;
    uint32_t n = info->n_space;
    const float *const inputs[TTZO_PROGRAM_INPUTS] = {
        [TTZO_PROGRAM_INPUT_X] = work->point,
        [TTZO_PROGRAM_INPUT_T] = info->has_time ? work->point + n : &zero,
        [TTZO_PROGRAM_INPUT_N] = value,
        [TTZO_PROGRAM_INPUT_N_X] = first,
        [TTZO_PROGRAM_INPUT_N_T] = info->has_time ? first + n : &zero,
        [TTZO_PROGRAM_INPUT_LAP] = laplacian,
        [TTZO_PROGRAM_INPUT_N_XX] = diagonal,
        [TTZO_PROGRAM_INPUT_N_TT] = info->has_time ? diagonal + n : &zero,
    };
    return *ttzo_program_run(program, n, inputs, work->registers);
}

static float run_at_point(struct ttzo_trainer *trainer, const struct ttzo_program *program)
{
    const struct ttzo_pde_work *work = &trainer->pde;
    return run_with(trainer, program, work->value, work->first, work->laplacian, work->diagonal);
}

// The group of a row of the batch; its point is drawn.
static uint32_t begin_row(struct ttzo_trainer *trainer, uint32_t row)
{
    const struct ttzo_row_group *groups = trainer->model->pde.groups;
    uint32_t g = 0, end = groups[0].count;
    while (row >= end)
        end += groups[++g].count;
    draw_training_point(trainer, (enum ttzo_sampler)groups[g].sampler, row);
    return g;
}

float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    uint32_t g = begin_row(trainer, row);
    ttzo_derive(trainer, theta, trainer->model->info.n_layers, pde->groups[g].needs, row);
    return pde->groups[g].root_weight * run_at_point(trainer, &pde->conditions[g]);
}

// ---- the last layer's gradient --------------------------------------------------------------------------------------

// One output of the last layer (n weights from `w`) applied to every kind of derivative of its inputs.
static float combine(const float *w, const float *features, uint32_t n, float start)
{
    for (uint32_t j = 0; j < n; j++)
        start = TTZO_MULADD(w[j], features[j], start);
    return start;
}

// The parts of the first set in work->combined; the second lies after it.
struct parts {
    float *value, *first, *laplacian, *diagonal;
};

static struct parts parts_of(const struct ttzo_trainer *trainer)
{
    uint32_t n = trainer->model->info.in_features;
    float *at = trainer->pde.combined;
    return (struct parts){ at, at + 2, at + 1, at + 2 + n };
}

// combined = derivatives at weights `w` and bias `bias`.
static void combine_all(struct ttzo_trainer *trainer, const float *w, float bias, uint32_t needs)
{
    const struct ttzo_pde_work *work = &trainer->pde;
    struct parts to = parts_of(trainer);
    uint32_t n = trainer->model->info.in_features,
             m = trainer->model->layers[trainer->model->info.n_layers - 1].in_features;
    *to.value = combine(w, work->value, m, bias);
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        *to.laplacian = combine(w, work->laplacian, m, 0.0f);
    for (uint32_t i = 0; needs && i < n; i++) {
        to.first[i] = combine(w, work->first + i * m, m, 0.0f);
        if (needs & TTZO_NEED_DIAGONAL)
            to.diagonal[i] = combine(w, work->diagonal + i * m, m, 0.0f);
    }
}

// The program where the weight of feature j is larger by mu.
static float run_beside(struct ttzo_trainer *trainer, const struct ttzo_program *program, uint32_t needs, uint32_t j,
                        float mu)
{
    const struct ttzo_pde_work *work = &trainer->pde;
    struct parts from = parts_of(trainer);
    uint32_t n = trainer->model->info.in_features,
             m = trainer->model->layers[trainer->model->info.n_layers - 1].in_features;
    float *at = work->combined + 2 + 2 * n;
    struct parts to = { at, at + 2, at + 1, at + 2 + n };
    *to.value = TTZO_MULADD(mu, work->value[j], *from.value);
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        *to.laplacian = TTZO_MULADD(mu, work->laplacian[j], *from.laplacian);
    for (uint32_t i = 0; needs && i < n; i++) {
        to.first[i] = TTZO_MULADD(mu, work->first[i * m + j], from.first[i]);
        if (needs & TTZO_NEED_DIAGONAL)
            to.diagonal[i] = TTZO_MULADD(mu, work->diagonal[i * m + j], from.diagonal[i]);
    }
    return run_with(trainer, program, to.value, to.first, to.laplacian, to.diagonal);
}

float ttzo_pde_residual_and_gradient(struct ttzo_trainer *trainer, const float *theta, uint32_t row, float mu,
                                     float *gradient)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_layer *last = &model->layers[model->info.n_layers - 1];
    const float *w = theta + last->parameter_offset;
    uint32_t g = begin_row(trainer, row), m = last->in_features, needs = model->pde.groups[g].needs;
    const struct ttzo_program *program = &model->pde.conditions[g];
    float root_weight = model->pde.groups[g].root_weight, per_mu = 1.0f / mu;
    ttzo_derive(trainer, theta, model->info.n_layers - 1u, needs, row);
    combine_all(trainer, w, last->has_bias ? w[m] : 0.0f, needs);
    struct parts at = parts_of(trainer);
    float residual = root_weight * run_with(trainer, program, at.value, at.first, at.laplacian, at.diagonal);
    for (uint32_t j = 0; j < m; j++)
        gradient[j] = (root_weight * run_beside(trainer, program, needs, j, mu) - residual) * per_mu;
    if (last->has_bias) {
        float moved = *at.value + mu;
        gradient[m] =
            (root_weight * run_with(trainer, program, &moved, at.first, at.laplacian, at.diagonal) - residual) * per_mu;
    }
    return residual;
}

// ---- how the residual follows the network --------------------------------------------------------------------------

// The slope of the residual in one of the numbers that the program reads.
static float slope_in(struct ttzo_trainer *trainer, uint32_t group, float residual, float mu, float *number)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    float kept = *number;
    *number = TTZO_MULADD(mu, 1.0f + (kept < 0.0f ? -kept : kept), kept);
    float step = *number - kept;
    float moved = pde->groups[group].root_weight * run_at_point(trainer, &pde->conditions[group]);
    *number = kept;
    return (moved - residual) / step;
}

float ttzo_pde_linearise(struct ttzo_trainer *trainer, const float *theta, uint32_t row, float mu,
                         struct ttzo_row_slopes *slopes)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    const struct ttzo_pde_work *work = &trainer->pde;
    uint32_t g = begin_row(trainer, row), needs = pde->groups[g].needs, n = trainer->model->info.in_features;
    ttzo_derive(trainer, theta, trainer->model->info.n_layers, needs, row);
    float residual = pde->groups[g].root_weight * run_at_point(trainer, &pde->conditions[g]), of_laplacian = 0.0f;
    slopes->has_derivatives = needs != 0;
    slopes->value = slope_in(trainer, g, residual, mu, work->value);
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        of_laplacian = slope_in(trainer, g, residual, mu, work->laplacian);
    for (uint32_t i = 0; i < n && needs; i++) {
        slopes->first[i] = slope_in(trainer, g, residual, mu, work->first + i);
        slopes->second[i] = i < pde->info.n_space ? of_laplacian : 0.0f;
        if (needs & TTZO_NEED_DIAGONAL)
            slopes->second[i] = slopes->second[i] + slope_in(trainer, g, residual, mu, work->diagonal + i);
    }
    return residual;
}

// ---- validation -----------------------------------------------------------------------------------------------------

void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row, float *u, float *exact)
{
    const struct ttzo_model *model = trainer->model;
    draw(model, model->pde.info.validation_seed, TTZO_STREAM_VALIDATION, 0, row, trainer->pde.point);
    ttzo_derive(trainer, trainer->theta, model->info.n_layers, 0, row);
    *u = run_at_point(trainer, &model->pde.solution);
    *exact = run_at_point(trainer, &model->pde.exact);
}

float ttzo_pde_solution(struct ttzo_trainer *trainer, const uint8_t *row)
{
    const struct ttzo_model *model = trainer->model;
    for (uint32_t i = 0; i < model->info.in_features; i++)
        trainer->pde.point[i] = ttzo_get_f32(row + 4 * i);
    ttzo_derive(trainer, trainer->theta, model->info.n_layers, 0, 0);
    return run_at_point(trainer, &model->pde.solution);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint32_t needs_of_all(const struct ttzo_pde *pde)
{
    uint32_t needs = 0;
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        needs |= pde->groups[g].needs;
    return needs;
}

// Programs that the problem lacks have no instructions.
static uint32_t longest_program(const struct ttzo_pde *pde)
{
    const struct ttzo_program *single[] = { &pde->solution, &pde->exact, &pde->points[0], &pde->points[1] };
    uint32_t longest = 0;
    for (uint32_t k = 0; k < sizeof single / sizeof single[0]; k++)
        if (single[k]->n_instructions > longest)
            longest = single[k]->n_instructions;
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        if (pde->conditions[g].n_instructions > longest)
            longest = pde->conditions[g].n_instructions;
    return longest;
}

static bool uses_last_layer(const struct ttzo_model *model)
{
    return ttzo_has_estimator(model, TTZO_ESTIMATOR_LAST_LAYER_GN);
}

// Outputs that are derived at once.
static uint32_t derived_count(const struct ttzo_model *model)
{
    return uses_last_layer(model) ? model->layers[model->info.n_layers - 1].in_features : 1;
}

// Two sets of derivatives: at the parameters, and beside them.
static uint32_t combined_count(const struct ttzo_model *model)
{
    return uses_last_layer(model) ? 2 * (2 + 2 * (uint32_t)model->info.in_features) : 0;
}

static uint32_t units_count(const struct ttzo_model *model)
{
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].activation != TTZO_ACTIVATION_IDENTITY)
            units += model->layers[l].out_features;
    return units;
}

static uint32_t values_count(const struct ttzo_model *model)
{
    return ttzo_is_compensated(model) ? 0 : units_count(model);
}

static uint32_t slopes_count(const struct ttzo_model *model)
{
    return ttzo_is_compensated(model) ? 2 * units_count(model) : units_count(model);
}

static uint32_t squares_count(const struct ttzo_model *model)
{
    bool is_jet = model->pde.info.derivative == TTZO_DERIVATIVE_JET;
    if (ttzo_is_compensated(model))
        return 2 * units_count(model);
    return is_jet && needs_of_all(&model->pde) & TTZO_NEED_LAPLACIAN ? units_count(model) : 0;
}

static uint32_t normals_count(const struct ttzo_model *model)
{
    return model->pde.info.derivative == TTZO_DERIVATIVE_MONTE_CARLO ? 4 * (uint32_t)model->info.in_features : 0;
}

static uint64_t basis_count(const struct ttzo_model *model)
{
    return ttzo_is_compensated(model) ? 2 * (uint64_t)ttzo_basis_size(model) * model->pde.info.n_space : 0;
}

static uint64_t merged_count(const struct ttzo_model *model)
{
    uint64_t numbers = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        numbers += ttzo_is_compensated(model) ? ttzo_compensated_merged(&model->layers[l])
                                              : ttzo_merged_numbers(&model->layers[l]);
    return numbers;
}

void ttzo_pde_carve(struct ttzo_trainer *trainer, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = trainer->model;
    struct ttzo_pde_work *work = &trainer->pde;
    uint64_t n = model->info.in_features, m = derived_count(model);
    work->point = ttzo_take(carve, n);
    work->value = ttzo_take(carve, m);
    work->laplacian = ttzo_take(carve, m);
    work->first = ttzo_take(carve, n * m);
    work->diagonal = ttzo_take(carve, needs_of_all(&model->pde) & TTZO_NEED_DIAGONAL ? n * m : 0);
    work->at = ttzo_take(carve, values_count(model));
    work->slope = ttzo_take(carve, slopes_count(model));
    work->squares = ttzo_take(carve, squares_count(model));
    work->normals = ttzo_take(carve, normals_count(model));
    work->merged = ttzo_take(carve, merged_count(model));
    work->basis = ttzo_take(carve, basis_count(model));
    work->combined = ttzo_take(carve, combined_count(model));
    work->registers = ttzo_take(carve, (uint64_t)longest_program(&model->pde) * model->pde.info.n_space);
    carve->numbers = ttzo_even(carve->numbers);
}
