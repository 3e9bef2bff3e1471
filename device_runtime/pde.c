// SPDX-License-Identifier: MIT
#include "pde.h"

#include "derive.h"
#include "program.h"
#include "random.h"
#include "real.h"

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

static void draw_training_point(struct ttzo_trainer *trainer, enum ttzo_sampler sampler, uint32_t row)
{
    const struct ttzo_pde *pde = &trainer->model->pde;
    uint32_t time = pde->info.n_space;
    float *point = trainer->pde.point;
    draw(trainer->model, trainer->training.seed, TTZO_STREAM_COLLOCATION, trainer->state.step, row, point);
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

static float run_at_point(struct ttzo_trainer *trainer, const struct ttzo_program *program)
{
    static const float zero = 0.0f;
    const struct ttzo_pde_info *info = &trainer->model->pde.info;
    const struct ttzo_pde_work *work = &trainer->pde;
    uint32_t n = info->n_space;
    const float *const inputs[TTZO_PROGRAM_INPUTS] = {
        [TTZO_PROGRAM_INPUT_X] = work->point,
        [TTZO_PROGRAM_INPUT_T] = info->has_time ? work->point + n : &zero,
        [TTZO_PROGRAM_INPUT_N] = work->value,
        [TTZO_PROGRAM_INPUT_N_X] = work->first,
        [TTZO_PROGRAM_INPUT_N_T] = info->has_time ? work->first + n : &zero,
        [TTZO_PROGRAM_INPUT_LAP] = work->laplacian,
        [TTZO_PROGRAM_INPUT_N_XX] = work->diagonal,
        [TTZO_PROGRAM_INPUT_N_TT] = info->has_time ? work->diagonal + n : &zero,
    };
    return ttzo_program_run(program, n, inputs, work->registers);
}

float ttzo_pde_residual(struct ttzo_trainer *trainer, const float *theta, uint32_t row)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_row_group *group = model->pde.groups;
    uint32_t end = group->count;
    while (row >= end)
        end += (++group)->count;
    draw_training_point(trainer, (enum ttzo_sampler)group->sampler, row);
    ttzo_derive(trainer, theta, model->info.n_layers, group->needs, row);
    return group->root_weight * run_at_point(trainer, &model->pde.conditions[group - model->pde.groups]);
}

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

static uint32_t longest_program(const struct ttzo_pde *pde)
{
    uint32_t longest = pde->solution.n_instructions;
    if (pde->info.has_exact && pde->exact.n_instructions > longest)
        longest = pde->exact.n_instructions;
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        if (pde->conditions[g].n_instructions > longest)
            longest = pde->conditions[g].n_instructions;
    return longest;
}

static uint32_t slopes_count(const struct ttzo_model *model)
{
    return model->pde.info.derivative == TTZO_DERIVATIVE_JET ? ttzo_slopes_count(model) : 0;
}

uint64_t ttzo_pde_work_count(const struct ttzo_model *model)
{
    uint64_t n = model->info.in_features, m = model->info.out_features;
    uint64_t derivatives = needs_of_all(&model->pde) & TTZO_NEED_DIAGONAL ? 2 : 1;
    return 3 * n + 3 * m + derivatives * n * m + slopes_count(model) +
           (uint64_t)longest_program(&model->pde) * model->pde.info.n_space;
}

void ttzo_pde_carve(struct ttzo_trainer *trainer, float *at)
{
    const struct ttzo_model *model = trainer->model;
    struct ttzo_pde_work *work = &trainer->pde;
    uint32_t n = model->info.in_features, m = model->info.out_features;
    work->point = at;
    work->node = work->point + n;
    work->normal = work->node + n;
    work->value = work->normal + n;
    work->laplacian = work->value + m;
    work->pair = work->laplacian + m;
    work->first = work->pair + m;
    work->diagonal = work->first + n * m;
    work->slopes = work->diagonal + (needs_of_all(&model->pde) & TTZO_NEED_DIAGONAL ? n * m : 0);
    work->registers = work->slopes + slopes_count(model);
}
