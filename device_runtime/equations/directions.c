// SPDX-License-Identifier: MIT
#include "equations/directions.h"

#include "number/random.h"
#include "number/real.h"
#include "programs/program.h"

static bool is_odd(uint32_t bits)
{
    for (uint32_t shift = 16; shift > 0; shift /= 2)
        bits ^= bits >> shift;
    return bits & 1u;
}

static void write_inputs(const struct ttzo_model *model, uint32_t first, uint32_t n, float *columns, uint32_t stride)
{
    for (uint32_t i = 0; i < model->info.in_features; i++, columns += stride)
        for (uint32_t k = 0; k < n; k++)
            columns[k] = i == first + k ? model->info.input_scale : 0.0f;
}

// A random sign for each coordinate, common to all directions, times row k of a Hadamard matrix: the products of two
// coordinates cancel over the directions, unless a multiple of n_sampled lies between their numbers.
void ttzo_write_directions(const struct ttzo_trainer *trainer, uint32_t row, uint32_t first, uint32_t n, float *columns,
                           uint32_t stride)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n_sampled = ttzo_sampled_directions(&model->pde), n_space = model->pde.info.n_space, words[4] = { 0 };
    uint32_t counter[4] = { 0, row, trainer->state.step, TTZO_STREAM_JET };
    if (!n_sampled) {
        write_inputs(model, first, n, columns, stride);
        return;
    }
    float scale = model->info.input_scale, size = scale * (1.0f / ttzo_sqrt((float)n_sampled));
    for (uint32_t i = 0; i < model->info.in_features; i++, columns += stride) {
        if (i % 128 == 0) {
            ttzo_philox(counter, trainer->training.seed, words);
            counter[0]++;
        }
        bool is_time = i == n_space, bit = words[i / 32 % 4] >> i % 32 & 1u;
        for (uint32_t k = first; k < first + n; k++)
            if (is_time || k == n_sampled)
                columns[k - first] = is_time && k == n_sampled ? scale : 0.0f;
            else
                columns[k - first] = bit != is_odd(k & i) ? -size : size;
    }
}

// ---- the directions of the equation's section ------------------------------------------------------------------------

const float *ttzo_pde_vector(struct ttzo_trainer *trainer, uint32_t number)
{
    static const float zero = 0.0f;
    const struct ttzo_pde *pde = &trainer->model->pde;
    const struct ttzo_pde_work *work = &trainer->pde;
    const float *inputs[TTZO_PROGRAM_INPUTS];
    for (uint32_t i = 0; i < TTZO_PROGRAM_INPUTS; i++)
        inputs[i] = &zero;
    inputs[TTZO_PROGRAM_INPUT_X] = work->point;
    if (pde->info.has_time)
        inputs[TTZO_PROGRAM_INPUT_T] = work->point + pde->info.n_space;
    return ttzo_program_run(&pde->vectors[number], pde->info.n_space, inputs, NULL, work->registers);
}

void ttzo_write_along(struct ttzo_trainer *trainer, const struct ttzo_pde_direction *direction, float *columns,
                      uint32_t stride)
{
    const struct ttzo_model *model = trainer->model;
    float scale = model->info.input_scale;
    if (direction->first == TTZO_VECTOR_DIRECTION) {
        const float *vector = ttzo_pde_vector(trainer, direction->second);
        for (uint32_t i = 0; i < model->pde.info.n_space; i++)
            columns[i * stride] = scale * vector[i];
        return;
    }
    columns[direction->second * stride] = direction->factor * scale;
    columns[direction->first * stride] = scale;
}

uint32_t ttzo_highest_order(const struct ttzo_pde *pde, uint32_t *columns)
{
    uint32_t highest = 0;
    *columns = 0;
    for (uint32_t k = 0; k < ttzo_pde_directions(pde); k++) {
        struct ttzo_pde_direction direction;
        ttzo_unpack_pde_direction(pde->directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
        highest = direction.order > highest ? direction.order : highest;
        *columns += direction.order;
    }
    return highest;
}

uint32_t ttzo_whole_jet(const struct ttzo_model *model)
{
    uint32_t n_directions = ttzo_first_directions(model), needs = 0;
    for (uint32_t g = 0; g < model->pde.info.n_groups; g++)
        needs |= model->pde.groups[g].needs;
    return needs & TTZO_NEED_DIAGONAL ? 1 + 2 * n_directions
                                      : 1 + n_directions + (needs & TTZO_NEED_LAPLACIAN ? 1u : 0u);
}
