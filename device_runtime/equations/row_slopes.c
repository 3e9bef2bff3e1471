// SPDX-License-Identifier: MIT
#include "equations/row_slopes.h"

#include "equations/derive.h"
#include "equations/directions.h"
#include "equations/jets.h"
#include "number/real.h"

#if TTZO_HAS(COORDINATES)

// ---- shapes ---------------------------------------------------------------------------------------------------------

struct ttzo_jet_shape ttzo_jet_shape(const struct ttzo_model *model, uint32_t needs)
{
    struct ttzo_jet_shape shape = { 0 };
    if (needs & ~(uint32_t)TTZO_NEED_ALONG) {
        bool curved = needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL);
        shape.n_first = ttzo_first_directions(model);
        shape.sums = ttzo_functions(model) == 1;
        shape.n_second = shape.sums ? 1u : curved ? shape.n_first : 0u;
    }
    if (needs & TTZO_NEED_ALONG)
        ttzo_highest_order(&model->pde, &shape.n_along);
    shape.width = 1 + shape.n_first + shape.n_second + shape.n_along;
    return shape;
}

uint32_t ttzo_jet_width(const struct ttzo_model *model)
{
    uint32_t widest = 0;
    for (uint32_t g = 0; g < model->pde.info.n_groups; g++) {
        uint32_t width = ttzo_jet_shape(model, model->pde.groups[g].needs).width;
        widest = width > widest ? width : widest;
    }
    return widest;
}

// ---- slopes ---------------------------------------------------------------------------------------------------------

// A residual at a point where the network is derived.
struct line {
    struct ttzo_trainer *trainer;
    const struct ttzo_program *program;
    struct ttzo_pde_parts at;
    float factor, residual, mu;
};

static float run(const struct line *line)
{
    return line->factor * ttzo_pde_run(line->trainer, line->program, &line->at);
}

// The slope in one of the numbers that the program reads.
static float slope_in(const struct line *line, float *number)
{
    float kept = *number;
    *number = TTZO_MULADD(line->mu, 1.0f + (kept < 0.0f ? -kept : kept), kept);
    float step = *number - kept, moved = run(line);
    *number = kept;
    return (moved - line->residual) / step;
}

// Those of one output: its coefficients, and the weights of its second derivatives.
static void follow_output(const struct line *line, uint32_t needs, uint32_t o, struct ttzo_row_slopes *slopes)
{
    const struct ttzo_model *model = line->trainer->model;
    const struct ttzo_jet_shape *shape = &slopes->shape;
    uint32_t n = ttzo_first_directions(model), m = ttzo_functions(model);
    float *out = slopes->coefficients + o * shape->width, *second = out + 1 + shape->n_first;
    float *weights = shape->sums ? slopes->weights : second, of_laplacian = 0.0f;
    *out++ = slope_in(line, line->at.value + o);
    for (uint32_t i = 0; i < shape->n_first; i++)
        *out++ = slope_in(line, line->at.first + i * m + o);
    if (needs & (TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL))
        of_laplacian = slope_in(line, line->at.laplacian + o);
    for (uint32_t i = 0; i < n && shape->n_second; i++) {
        float own = i < ttzo_summed_directions(model) ? of_laplacian : 0.0f;
        weights[i] = needs & TTZO_NEED_DIAGONAL ? own + slope_in(line, line->at.diagonal + i * m + o) : own;
    }
    if (shape->sums)
        *second = 1.0f;
}

// Those of one output along the directions.
static void follow_along(const struct line *line, uint32_t o, const struct ttzo_row_slopes *slopes)
{
    const struct ttzo_model *model = line->trainer->model;
    uint32_t m = ttzo_functions(model), width = slopes->shape.width;
    float *out = slopes->coefficients + o * width + (width - slopes->shape.n_along), *along = line->at.along + o;
    for (uint32_t k = 0; k < ttzo_pde_directions(&model->pde); k++, along += TTZO_MAX_ORDER * m) {
        struct ttzo_pde_direction direction;
        ttzo_unpack_pde_direction(model->pde.directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
        for (uint32_t q = 0; q < direction.order; q++)
            *out++ = slope_in(line, along + q * m);
    }
}

static void follow_unknowns(const struct line *line, const float *theta, float *out)
{
    struct ttzo_trainer *trainer = line->trainer;
    uint32_t n = ttzo_unknown_constants(trainer->model);
    const float *own = theta + trainer->model->info.n_parameters - n;
    for (uint32_t k = 0; k < n; k++) {
        float kept = trainer->pde.unknowns[k], moved = own[k] + line->mu;
        trainer->pde.unknowns[k] = ttzo_pde_unknown(&trainer->model->pde, k, moved);
        out[k] = (run(line) - line->residual) / (moved - own[k]);
        trainer->pde.unknowns[k] = kept;
    }
}

float ttzo_linearise(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_pde_row *row, uint32_t side,
                     float mu, struct ttzo_row_slopes *slopes)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_row_group *group = &model->pde.groups[row->group];
    struct line line = { .trainer = trainer,
                         .program = &model->pde.conditions[row->group],
                         .at = ttzo_pde_derived(trainer),
                         .factor = side ? -group->root_weight : group->root_weight,
                         .mu = mu };
    if (side)
        ttzo_pde_move_to_opposite(trainer, row);
    ttzo_pde_set_unknowns(trainer, theta);
    ttzo_derive(trainer, theta, model->info.n_layers, group->needs, row->number);
    line.residual = run(&line);
    slopes->shape = ttzo_jet_shape(model, group->needs);
    for (uint32_t o = 0; o < ttzo_functions(model); o++) {
        follow_output(&line, group->needs, o, slopes);
        if (slopes->shape.n_along)
            follow_along(&line, o, slopes);
    }
    follow_unknowns(&line, theta, slopes->unknowns);
    return line.residual;
}

#endif
