// SPDX-License-Identifier: MIT
// Residual programs: a PDE's residual, conditions and solution, or a simulation's rates, as operations on registers.
#ifndef TTZO_PROGRAM_H
#define TTZO_PROGRAM_H
#include "model/model.h"

// What a program reads beside its inputs.
struct ttzo_program_reads {
    uint32_t
        n_outputs; // of the network; the inputs from n on hold a number for each: [n_outputs], [n_space][n_outputs]
    uint32_t n_sampled; // of sampled_jet: n_x holds the derivatives along random directions, [n_sampled][n_outputs]
    const float *along; // [n_directions][TTZO_MAX_ORDER][n_outputs] derivatives along directions
    const float *unknowns, *measured;
};

// The result of a program of `n_space` coordinates, a number or so many; it stays until inputs or registers change.
// `inputs` as in enum ttzo_program_input, `registers` room for n_instructions vectors; `reads` may be NULL for programs
// that are sound in a scope of one output without directions.
const float *ttzo_program_run(const struct ttzo_program *program, uint32_t n_space,
                              const float *const inputs[TTZO_PROGRAM_INPUTS], const struct ttzo_program_reads *reads,
                              float *registers);

// What there is for programs to read.
struct ttzo_program_scope {
    uint32_t n_space, needs; // sum of enum ttzo_need
    uint32_t n_outputs, n_directions;
    const uint8_t *directions; // [n_directions] records
    uint32_t n_unknowns, n_measured;
    bool is_sampled; // n_x is read by products of gradients alone
};

// Whether every operation, register and plain number is such that ttzo_program_run stays inside its arrays, the result
// is a scalar (or, with `wants_vector`, a vector), and only what the scope grants is read.
bool ttzo_program_is_sound(const struct ttzo_program *program, const struct ttzo_program_scope *scope,
                           bool wants_vector);

#endif
