// SPDX-License-Identifier: MIT
#include "equations/directions.h"

#include "number/random.h"
#include "number/real.h"

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
