// SPDX-License-Identifier: MIT
#include "equations/pde.h"

#include "equations/compensated_basis.h"
#include "equations/compensated_columns.h"
#include "equations/compensated_jet.h"
#include "equations/derive.h"
#include "equations/directions.h"
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
    float time =
        pde->info.has_time ? *ttzo_program_run(&pde->points[1], n, inputs, NULL, trainer->pde.registers) : 0.0f;
    const float *space = ttzo_program_run(&pde->points[0], n, inputs, NULL, trainer->pde.registers);
    for (uint32_t i = 0; i < n; i++)
        point[i] = space[i];
    if (pde->info.has_time)
        point[n] = time;
}

// On face 2 i the coordinate i is at its lower bound, on face 2 i + 1 at its upper one.
static void move_to_face(struct ttzo_trainer *trainer, uint32_t face)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    trainer->pde.point[face / 2] = face % 2 ? pde->high[face / 2] : pde->low[face / 2];
}

// The readings follow each other, from step to step.
static void move_to_reading(struct ttzo_trainer *trainer, const struct ttzo_row_group *group, uint32_t row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    uint32_t n = trainer->model->info.in_features, width = n + pde->info.n_measured;
    uint64_t turn = (uint64_t)trainer->state.step * group->count + row;
    const float *reading = pde->readings + (size_t)(turn % pde->info.n_readings) * width;
    for (uint32_t i = 0; i < n; i++)
        trainer->pde.point[i] = reading[i];
    trainer->pde.reading = reading + n;
}

// Draws the point of a row of that group; gives the face on which it lies, where it lies on one.
static uint32_t draw_training_point(struct ttzo_trainer *trainer, const struct ttzo_row_group *group, uint32_t row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    uint32_t time = pde->info.n_space;
    float *point = trainer->pde.point;
    draw(trainer->model, trainer->training.seed, TTZO_STREAM_COLLOCATION, trainer->state.step, row, point);
    if (pde->info.has_points)
        place(trainer);
    if (group->n_faces > 0) {
        const uint32_t counter[4] = { 0, row, trainer->state.step, TTZO_STREAM_FACE };
        uint32_t words[4];
        ttzo_philox(counter, trainer->training.seed, words);
        uint32_t face = group->first_face + words[0] % group->n_faces;
        move_to_face(trainer, face);
        return face;
    }
    if (group->sampler == TTZO_SAMPLER_READINGS) {
        move_to_reading(trainer, group, row);
        return 0;
    }
    if (group->sampler != TTZO_SAMPLER_INTERIOR)
        point[time] = group->sampler == TTZO_SAMPLER_START ? pde->low[time] : pde->high[time];
    return 0;
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// A network's outputs and derivatives, a number for each of m outputs or features: [m], [in_features][m], or of
// `along` [n_directions][TTZO_MAX_ORDER][m].
struct parts {
    float *value, *first, *laplacian, *diagonal, *along;
};

static struct parts derived(const struct ttzo_trainer *trainer)
{
    const struct ttzo_pde_work *work = &trainer->pde;
    return (struct parts){ work->value, work->first, work->laplacian, work->diagonal, work->along };
}

// A program where the network's outputs have these derivatives.
static float run_with(struct ttzo_trainer *trainer, const struct ttzo_program *program, const struct parts *at)
{
    static const float zeros[TTZO_MAX_FIELDS];
    const struct ttzo_pde_info *info = &trainer->model->pde.info;
    const struct ttzo_pde_work *work = &trainer->pde;
    uint32_t n = info->n_space, m = trainer->model->info.out_features;
    const float *const inputs[TTZO_PROGRAM_INPUTS] = {
        [TTZO_PROGRAM_INPUT_X] = work->point,
        [TTZO_PROGRAM_INPUT_T] = info->has_time ? work->point + n : zeros,
        [TTZO_PROGRAM_INPUT_N] = at->value,
        [TTZO_PROGRAM_INPUT_N_X] = at->first,
        [TTZO_PROGRAM_INPUT_N_T] = info->has_time ? at->first + ttzo_summed_directions(trainer->model) * m : zeros,
        [TTZO_PROGRAM_INPUT_LAP] = at->laplacian,
        [TTZO_PROGRAM_INPUT_N_XX] = at->diagonal,
        [TTZO_PROGRAM_INPUT_N_TT] = info->has_time ? at->diagonal + n * m : zeros,
    };
    const struct ttzo_program_reads reads = { m, info->n_sampled, at->along, work->unknowns, work->reading };
    return *ttzo_program_run(program, n, inputs, &reads, work->registers);
}

static float run_at_point(struct ttzo_trainer *trainer, const struct ttzo_program *program)
{
    const struct parts at = derived(trainer);
    return run_with(trainer, program, &at);
}

// A row of the batch: its group, and the face on which its point lies, where it lies on one. The point is drawn.
struct row {
    uint32_t number, group, face;
};

static struct row begin_row(struct ttzo_trainer *trainer, uint32_t number)
{
    const struct ttzo_row_group *groups = trainer->model->pde.groups;
    uint32_t g = 0, end = groups[0].count;
    while (number >= end)
        end += groups[++g].count;
    return (struct row){ number, g, draw_training_point(trainer, &groups[g], number) };
}

static bool has_opposite(const struct ttzo_trainer *trainer, const struct row *row)
{
    return trainer->model->pde.groups[row->group].sampler == TTZO_SAMPLER_OPPOSITE;
}

// The unknown constants stand at the end of theta.
static void set_unknowns(struct ttzo_trainer *trainer, const float *theta)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    const float *own = theta + trainer->model->info.n_parameters - pde->info.n_unknowns;
    for (uint32_t k = 0; k < pde->info.n_unknowns; k++)
        trainer->pde.unknowns[k] = pde->units[k] > 0.0f ? pde->units[k] * own[k] : ttzo_exp(own[k]);
}

static float run_condition(struct ttzo_trainer *trainer, const float *theta, const struct row *row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    set_unknowns(trainer, theta);
    ttzo_derive(trainer, theta, trainer->model->info.n_layers, pde->groups[row->group].needs, row->number);
    return run_at_point(trainer, &pde->conditions[row->group]);
}

float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t number)
{
    struct row row = begin_row(trainer, number);
    float made = run_condition(trainer, theta, &row);
    if (has_opposite(trainer, &row)) {
        move_to_face(trainer, row.face ^ 1u);
        made = made - run_condition(trainer, theta, &row);
    }
    return trainer->model->pde.groups[row.group].root_weight * made;
}

// ---- the last layer's gradient --------------------------------------------------------------------------------------

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

static uint32_t along_count(const struct ttzo_model *model)
{
    return TTZO_MAX_ORDER * (uint32_t)model->pde.info.n_directions;
}

// Numbers of one set in work->combined.
static uint32_t set_count(const struct ttzo_model *model)
{
    return model->info.out_features * (2 + 2 * ttzo_first_directions(model) + along_count(model));
}

// The parts of set 0 (at the parameters) or 1 (beside them).
static struct parts parts_of(const struct ttzo_trainer *trainer, uint32_t set)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = ttzo_first_directions(model), outputs = model->info.out_features;
    float *at = trainer->pde.combined + set * set_count(model);
    float *first = at + 2 * outputs;
    return (struct parts){ at, first, at + outputs, first + n * outputs, first + 2 * n * outputs };
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
    struct parts whole = parts_of(trainer, 0), beside = parts_of(trainer, 1), features = derived(trainer);
    uint32_t n = ttzo_first_directions(trainer->model), count = 0;
    kinds[count++] = (struct kind){ whole.value, beside.value, features.value, 1 };
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        kinds[count++] = (struct kind){ whole.laplacian, beside.laplacian, features.laplacian, 1 };
    if (needs)
        kinds[count++] = (struct kind){ whole.first, beside.first, features.first, n };
    if (needs & TTZO_NEED_DIAGONAL)
        kinds[count++] = (struct kind){ whole.diagonal, beside.diagonal, features.diagonal, n };
    if (needs & TTZO_NEED_ALONG)
        kinds[count++] = (struct kind){ whole.along, beside.along, features.along, along_count(trainer->model) };
    return count;
}

// Set 0: the outputs and their derivatives from those of the features.
static void combine_all(struct ttzo_trainer *trainer, const float *theta, const struct kind *kinds, uint32_t count)
{
    const struct ttzo_layer *last = last_layer(trainer->model);
    const float *w = theta + last->parameter_offset;
    uint32_t m = last->in_features, outputs = last->out_features;
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
    uint32_t m = last->in_features, outputs = last->out_features;
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
static float residual_and_gradient_at_point(struct ttzo_trainer *trainer, const float *theta, const struct row *row,
                                            float mu, bool subtracts, float *gradient)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_layer *last = last_layer(model);
    const struct ttzo_program *program = &model->pde.conditions[row->group];
    const struct parts whole = parts_of(trainer, 0), beside = parts_of(trainer, 1);
    uint32_t needs = model->pde.groups[row->group].needs, m = last->in_features, outputs = last->out_features;
    float root_weight = model->pde.groups[row->group].root_weight, per_mu = 1.0f / mu;
    struct kind kinds[KINDS];
    uint32_t n = outputs * (m + (last->has_bias ? 1u : 0u));
    set_unknowns(trainer, theta);
    ttzo_derive(trainer, theta, model->info.n_layers - 1u, needs, row->number);
    uint32_t count = list_kinds(trainer, needs, kinds);
    combine_all(trainer, theta, kinds, count);
    float residual = root_weight * run_with(trainer, program, &whole);
    for (uint32_t c = 0; c < n; c++) {
        struct parts at = beside;
        float moved[TTZO_MAX_FIELDS];
        if (c < outputs * m) {
            combine_beside(trainer, kinds, count, c / m, c % m, mu);
        } else { // a bias moves a value alone
            for (uint32_t o = 0; o < outputs; o++)
                moved[o] = whole.value[o] + (o == c - outputs * m ? mu : 0.0f);
            at = whole;
            at.value = moved;
        }
        float column = (root_weight * run_with(trainer, program, &at) - residual) * per_mu;
        gradient[c] = subtracts ? gradient[c] - column : column;
    }
    return residual;
}

float ttzo_pde_residual_and_gradient(struct ttzo_trainer *trainer, const float *theta, uint32_t number, float mu,
                                     float *gradient)
{
    struct row row = begin_row(trainer, number);
    float residual = residual_and_gradient_at_point(trainer, theta, &row, mu, false, gradient);
    if (has_opposite(trainer, &row)) {
        move_to_face(trainer, row.face ^ 1u);
        residual = residual - residual_and_gradient_at_point(trainer, theta, &row, mu, true, gradient);
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

float ttzo_pde_linearise(struct ttzo_trainer *trainer, const float *theta, uint32_t number, float mu,
                         struct ttzo_row_slopes *slopes)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    const struct ttzo_pde_work *work = &trainer->pde;
    struct row row = begin_row(trainer, number);
    uint32_t g = row.group, needs = pde->groups[g].needs, n_summed = ttzo_summed_directions(trainer->model);
    float residual = pde->groups[g].root_weight * run_condition(trainer, theta, &row), of_laplacian = 0.0f;
    slopes->has_derivatives = needs != 0;
    slopes->value = slope_in(trainer, g, residual, mu, work->value);
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        of_laplacian = slope_in(trainer, g, residual, mu, work->laplacian);
    for (uint32_t i = 0; i < n_summed + pde->info.has_time && needs; i++) {
        slopes->first[i] = slope_in(trainer, g, residual, mu, work->first + i);
        slopes->second[i] = i < n_summed ? of_laplacian : 0.0f;
        if (needs & TTZO_NEED_DIAGONAL)
            slopes->second[i] = slopes->second[i] + slope_in(trainer, g, residual, mu, work->diagonal + i);
    }
    return residual;
}

// ---- validation -----------------------------------------------------------------------------------------------------

void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row)
{
    const struct ttzo_model *model = trainer->model;
    draw(model, model->pde.info.validation_seed, TTZO_STREAM_VALIDATION, 0, row, trainer->pde.point);
    ttzo_derive(trainer, trainer->theta, model->info.n_layers, 0, row);
}

void ttzo_pde_solve(struct ttzo_trainer *trainer, const uint8_t *row)
{
    const struct ttzo_model *model = trainer->model;
    for (uint32_t i = 0; i < model->info.in_features; i++)
        trainer->pde.point[i] = ttzo_get_f32(row + 4 * i);
    ttzo_derive(trainer, trainer->theta, model->info.n_layers, 0, 0);
}

float ttzo_pde_solution(struct ttzo_trainer *trainer, uint32_t field)
{
    return run_at_point(trainer, &trainer->model->pde.solution[field]);
}

float ttzo_pde_exact(struct ttzo_trainer *trainer, uint32_t field)
{
    return run_at_point(trainer, &trainer->model->pde.exact[field]);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint32_t needs_of_all(const struct ttzo_pde *pde)
{
    uint32_t needs = 0;
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        needs |= pde->groups[g].needs;
    return needs;
}

static uint32_t longer(uint32_t longest, const struct ttzo_program *programs, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (programs[k].n_instructions > longest)
            longest = programs[k].n_instructions;
    return longest;
}

// Programs that the problem lacks have no instructions.
static uint32_t longest_program(const struct ttzo_pde *pde)
{
    uint32_t longest = longer(0, pde->conditions, pde->info.n_groups);
    longest = longer(longest, pde->solution, TTZO_MAX_FIELDS);
    longest = longer(longest, pde->exact, TTZO_MAX_FIELDS);
    longest = longer(longest, pde->vectors, TTZO_MAX_PDE_VECTORS);
    return longer(longest, pde->points, 2);
}

static bool uses_last_layer(const struct ttzo_model *model)
{
    return ttzo_has_estimator(model, TTZO_ESTIMATOR_LAST_LAYER_GN);
}

// Outputs that are derived at once.
static uint32_t derived_count(const struct ttzo_model *model)
{
    uint32_t outputs = model->info.out_features, features = last_layer(model)->in_features;
    return uses_last_layer(model) && features > outputs ? features : outputs;
}

// Two sets of derivatives: at the parameters, and beside them.
static uint32_t combined_count(const struct ttzo_model *model)
{
    return uses_last_layer(model) ? 2 * set_count(model) : 0;
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
    if (ttzo_is_compensated(model))
        return 2 * units_count(model);
    return ttzo_carries_jets(model) && needs_of_all(&model->pde) & TTZO_NEED_LAPLACIAN ? units_count(model) : 0;
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
    uint64_t n = ttzo_first_directions(model), m = derived_count(model);
    work->point = ttzo_take(carve, model->info.in_features);
    work->value = ttzo_take(carve, m);
    work->laplacian = ttzo_take(carve, m);
    work->first = ttzo_take(carve, n * m);
    work->diagonal = ttzo_take(carve, needs_of_all(&model->pde) & TTZO_NEED_DIAGONAL ? n * m : 0);
    work->along = ttzo_take(carve, along_count(model) * m);
    work->unknowns = ttzo_take(carve, model->pde.info.n_unknowns);
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
