// SPDX-License-Identifier: MIT
// Residual programs: a PDE's residual, conditions and solution, or a simulation's rates, as operations on registers.
#ifndef TTZO_PROGRAM_H
#define TTZO_PROGRAM_H
#include "model/model.h"

// The result of a program of `n_space` coordinates, a number or so many; it stays until inputs or registers change.
// `inputs` as in enum ttzo_program_input, `registers` room for n_instructions vectors.
const float *ttzo_program_run(const struct ttzo_program *program, uint32_t n_space,
                              const float *const inputs[TTZO_PROGRAM_INPUTS], float *registers);

// Whether every operation, register and coordinate number is such that ttzo_program_run stays inside its arrays, the
// result is a scalar (or, with `wants_vector`, a vector), and only inputs that `needs` grants are read.
bool ttzo_program_is_sound(const struct ttzo_program *program, uint32_t n_space, uint32_t needs, bool wants_vector);

#endif
