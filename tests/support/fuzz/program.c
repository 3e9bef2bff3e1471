// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a residual program. The first eight say what it may read (numbers of coordinates, outputs,
// directions, unknowns and measured values; which derivatives, and whether along random directions; whether its result is a
// vector); what it may not read is no memory at all. A program that is taken is run on numbers of which some are not finite.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "programs/program.h"
#include "programs/section.h"

#define HEAD_BYTES 8u

// `count` numbers in memory of their own, NULL where nothing is granted.
static float *numbers(bool granted, uint32_t count)
{
    static const float some[] = { 0.5f, -2.0f, 0.0f, 3e38f, INFINITY, -INFINITY, NAN, 1e-40f };
    float *made = granted ? malloc(count * sizeof *made) : NULL;
    for (uint32_t i = 0; made && i < count; i++)
        made[i] = some[i % (sizeof some / sizeof *some)];
    return made;
}

static void run(const struct ttzo_program *program, const struct ttzo_program_scope *scope, uint32_t n_sampled,
                bool wants_vector)
{
    const uint32_t n = scope->n_space, m = scope->n_outputs, needs = scope->needs;
    const uint32_t slopes = scope->is_sampled ? n_sampled : n; // rows of n_x
    const bool diagonal = needs & TTZO_NEED_DIAGONAL, first = needs & TTZO_NEED_FIRST;
    float *inputs[TTZO_PROGRAM_INPUTS] = {
        numbers(true, n),           numbers(true, 1),     numbers(true, m),
        numbers(first, slopes * m), numbers(first, m),    numbers(needs & TTZO_NEED_LAPLACIAN, m),
        numbers(diagonal, n * m),   numbers(diagonal, m),
    };
    float *along = numbers(needs & TTZO_NEED_ALONG, scope->n_directions * TTZO_MAX_ORDER * m);
    float *unknowns = numbers(scope->n_unknowns, scope->n_unknowns);
    float *measured = numbers(scope->n_measured, scope->n_measured);
    float *registers = numbers(true, program->n_instructions * n);
    const struct ttzo_program_reads reads = {
        .n_outputs = m, .n_sampled = n_sampled, .along = along, .unknowns = unknowns, .measured = measured
    };
    const float *result = ttzo_program_run(program, n, (const float *const *)inputs, &reads, registers);
    volatile float seen = 0.0f;
    for (uint32_t i = 0; i < (wants_vector ? n : 1u); i++)
        seen = result[i];
    (void)seen;
    for (uint32_t i = 0; i < TTZO_PROGRAM_INPUTS; i++)
        free(inputs[i]);
    free(along), free(unknowns), free(measured), free(registers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    uint8_t directions[2 * TTZO_PDE_DIRECTION_BYTES];
    for (uint32_t k = 0; k < 2; k++) {
        const struct ttzo_pde_direction direction = { .order = (uint8_t)(1 + data[6 + k] % TTZO_MAX_ORDER) };
        ttzo_pack_pde_direction(&direction, directions + k * TTZO_PDE_DIRECTION_BYTES);
    }
    const struct ttzo_program_scope scope = { .n_space = 1u + data[0] % 4,
                                              .needs = data[1] % 16,
                                              .n_outputs = 1u + data[2] % 3,
                                              .n_directions = data[3] % 3,
                                              .directions = directions,
                                              .n_unknowns = data[4] % 3,
                                              .n_measured = data[5] % 3,
                                              .is_sampled = data[1] & 32u };
    size_t left = (size - HEAD_BYTES) & ~(size_t)3;
    uint8_t *bytes = malloc(left);
    memcpy(bytes, data + HEAD_BYTES, left);
    struct ttzo_section section = { bytes, left, true };
    struct ttzo_program program;
    ttzo_section_program(&section, &program);
    const bool wants_vector = data[1] & 16u;
    if (section.sound && ttzo_program_is_sound(&program, &scope, wants_vector))
        run(&program, &scope, 1u + data[2] / 3 % 3, wants_vector);
    free(bytes);
    return 0;
}
