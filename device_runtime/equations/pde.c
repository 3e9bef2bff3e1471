// SPDX-License-Identifier: MIT
#include "equations/pde.h"

#include "equations/compensated_basis.h"
#include "equations/compensated_columns.h"
#include "equations/compensated_jet.h"
#include "equations/derive.h"
#include "equations/directions.h"
#include "equations/pde_rows.h"
#include "programs/program.h"
#include "model/phase.h"
#include "network/gathered_layer.h"
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

void ttzo_pde_draw_feature(struct ttzo_trainer *trainer, uint32_t unit)
{
    draw(trainer->model, trainer->training.seed, TTZO_STREAM_FEATURES, trainer->state.step, unit, trainer->pde.point);
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
    if (TTZO_HAS(SYSTEMS) && group->sampler == TTZO_SAMPLER_READINGS) {
        move_to_reading(trainer, group, row);
        return 0;
    }
    if (group->sampler != TTZO_SAMPLER_INTERIOR)
        point[time] = group->sampler == TTZO_SAMPLER_START ? pde->low[time] : pde->high[time];
    return 0;
}

// ---- rows -----------------------------------------------------------------------------------------------------------

float ttzo_pde_run(struct ttzo_trainer *trainer, const struct ttzo_program *program, const struct ttzo_pde_parts *at)
{
    static const float zeros[TTZO_MAX_FIELDS];
    const struct ttzo_pde_info *info = &trainer->model->pde.info;
    const struct ttzo_pde_work *work = &trainer->pde;
    uint32_t n = info->n_space, m = ttzo_functions(trainer->model);
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
    const struct ttzo_program_reads reads = { m, ttzo_sampled_directions(&trainer->model->pde), at->along,
                                              work->unknowns, work->reading };
    return *ttzo_program_run(program, n, inputs, &reads, work->registers);
}

static float run_at_point(struct ttzo_trainer *trainer, const struct ttzo_program *program)
{
    const struct ttzo_pde_parts at = ttzo_pde_derived(trainer);
    return ttzo_pde_run(trainer, program, &at);
}

struct ttzo_pde_row ttzo_pde_begin_row(struct ttzo_trainer *trainer, uint32_t number)
{
    const struct ttzo_row_group *groups = trainer->model->pde.groups;
    uint32_t g = 0, end = groups[0].count;
    while (number >= end)
        end += groups[++g].count;
    return (struct ttzo_pde_row){ number, g, draw_training_point(trainer, &groups[g], number) };
}

void ttzo_pde_move_to_opposite(struct ttzo_trainer *trainer, const struct ttzo_pde_row *row)
{
    move_to_face(trainer, row->face ^ 1u);
}

float ttzo_pde_unknown(const struct ttzo_pde *pde, uint32_t k, float number)
{
    return pde->units[k] > 0.0f ? pde->units[k] * number : ttzo_exp(number);
}

void ttzo_pde_set_unknowns(struct ttzo_trainer *trainer, const float *theta)
{
    uint32_t n = ttzo_unknown_constants(trainer->model);
    const float *own = theta + trainer->model->info.n_parameters - n;
    for (uint32_t k = 0; k < n; k++)
        trainer->pde.unknowns[k] = ttzo_pde_unknown(&trainer->model->pde, k, own[k]);
}

static float run_condition(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_pde_row *row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    ttzo_pde_set_unknowns(trainer, theta);
    ttzo_derive(trainer, theta, trainer->model->info.n_layers, pde->groups[row->group].needs, row->number);
    return run_at_point(trainer, &pde->conditions[row->group]);
}

float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t number)
{
    struct ttzo_pde_row row = ttzo_pde_begin_row(trainer, number);
    float made = run_condition(trainer, theta, &row);
    if (ttzo_pde_has_opposite(trainer->model, &row)) {
        ttzo_pde_move_to_opposite(trainer, &row);
        made = made - run_condition(trainer, theta, &row);
    }
    return trainer->model->pde.groups[row.group].root_weight * made;
}

// ---- validation -----------------------------------------------------------------------------------------------------

void ttzo_pde_validate(struct ttzo_trainer *trainer, uint32_t row)
{
    const struct ttzo_model *model = trainer->model;
    ttzo_release_cores(trainer);
    draw(model, model->pde.info.validation_seed, TTZO_STREAM_VALIDATION, 0, row, trainer->pde.point);
    ttzo_derive(trainer, trainer->theta, model->info.n_layers, 0, row);
}

void ttzo_pde_solve(struct ttzo_trainer *trainer, const uint8_t *row)
{
    const struct ttzo_model *model = trainer->model;
    for (uint32_t i = 0; i < model->info.in_features; i++)
        trainer->pde.point[i] = ttzo_get_f32(row + 4 * i);
    ttzo_release_cores(trainer);
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
    longest = longer(longest, pde->solution, TTZO_FUNCTION_PLACES);
    longest = longer(longest, pde->exact, TTZO_FUNCTION_PLACES);
    longest = longer(longest, pde->vectors, TTZO_VECTOR_PLACES);
    return longer(longest, pde->points, 2);
}

static bool uses_last_layer(const struct ttzo_model *model)
{
    return ttzo_has_estimator(model, TTZO_ESTIMATOR_LAST_LAYER_GN);
}

// Outputs that are derived at once.
static uint32_t derived_count(const struct ttzo_model *model)
{
    uint32_t outputs = ttzo_functions(model);
    uint32_t features = uses_last_layer(model) ? model->layers[model->info.n_layers - 1].in_features : 0;
    return features > outputs ? features : outputs;
}

// Two sets of derivatives: at the parameters, and beside them.
static uint32_t combined_count(const struct ttzo_model *model)
{
    return uses_last_layer(model) ? 2 * ttzo_pde_set_numbers(model) : 0;
}

static uint32_t units_count(const struct ttzo_model *model)
{
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].activation != TTZO_ACTIVATION_IDENTITY)
            units += (uint32_t)ttzo_layer_outputs(&model->layers[l]);
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

uint32_t ttzo_pde_spare_bytes(const struct ttzo_model *model)
{
    uint64_t bytes = ttzo_is_compensated(model) ? 4 * ttzo_compensated_shared(model) : 0;
    return bytes < UINT32_MAX ? (uint32_t)bytes : 0;
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
    work->along = ttzo_take(carve, (uint64_t)ttzo_pde_along(model) * m);
    work->unknowns = ttzo_take(carve, ttzo_unknown_constants(model));
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
