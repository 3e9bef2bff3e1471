// SPDX-License-Identifier: MIT
// A simulation's way in, and where the numbers of its fit lie. Host twin: exporter/ode/simulation.py.
#ifndef TTZO_SIMULATION_H
#define TTZO_SIMULATION_H
#include "model/carve.h"
#include "model/trainer.h"

#define TTZO_IDENTIFICATION_PLACES 16u // enum ttzo_identification: numbers at the beginning of the moments
#define TTZO_SWEEP_SUMS 6u             // enum ttzo_sweep_sum: numbers after J'J and J'r in the sums of a sweep

// The pieces of a checked section.
struct ttzo_simulation_parts {
    const uint8_t *unknowns; // [K][TTZO_UNKNOWN_BYTES]
    const float *scales;     // [Y]
    struct ttzo_program rates[TTZO_MAX_STATES], initial[TTZO_MAX_STATES], measured[TTZO_MAX_MEASURED];
};

// A fit: K unknowns, S states, M inputs, Y measured columns; simulation 0 is at the candidate, simulation 1 + i has
// unknown i moved. J'J is packed: entry (i, j), j <= i, lies at i (i + 1) / 2 + j.
struct ttzo_fit {
    struct ttzo_trainer *trainer;
    const struct ttzo_phase *phase;
    struct ttzo_simulation_parts parts;
    uint32_t n_unknowns, n_states, n_inputs, n_measured;
    uint32_t n_values; // S + M + K: the vector x of a program

    // a working copy of the moments, in their order
    float *places;      // [TTZO_IDENTIFICATION_PLACES]
    float *candidate;   // [K] theta of the running sweep
    float *best;        // [K] of the starts before
    float *prior_theta; // [K] where earlier logs ended
    float *prior;       // packed J'J of earlier logs
    float *accepted;    // sums at theta: packed J'J, J'r [K], enum ttzo_sweep_sum
    float *running;     // those of the running sweep
    float *states;      // [1 + K][S]
    float *inputs;      // [M] of the row before
    float *residuals;   // [Y] of the row before

    float *theta;     // [K] a working copy
    float *values;    // [K] the constants at the candidate
    float *moved;     // [K] each of them at theta + mu
    float *x;         // [S + M + K]
    float *rates;     // [S]
    float *sum;       // [S]
    float *row;       // [1 + K] residuals of one measured column
    float *matrix;    // packed [K][K]
    float *scale;     // [K]
    float *step;      // [K]
    float *registers; // of the longest program
    uint64_t work;    // instructions of programs run
};

#if TTZO_HAS(IDENTIFICATION)

// Whether the section of a model with loss simulation is sound, and its phase is one of simulation_gn.
bool ttzo_simulation_is_sound(const struct ttzo_model *model);

// Numbers of the moments, and of what a step needs besides, of a model whose section is sound.
uint32_t ttzo_simulation_moments(const struct ttzo_model *model);
uint32_t ttzo_simulation_numbers(const struct ttzo_model *model);

// The fit of a trainer, its working copies filled.
void ttzo_fit_open(struct ttzo_fit *fit, struct ttzo_trainer *trainer, const struct ttzo_phase *phase);

static inline uint32_t ttzo_packed(uint32_t n)
{
    return n * (n + 1) / 2;
}

#else

static inline bool ttzo_simulation_is_sound(const struct ttzo_model *model)
{
    (void)model;
    return false;
}

static inline uint32_t ttzo_simulation_moments(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

static inline uint32_t ttzo_simulation_numbers(const struct ttzo_model *model)
{
    (void)model;
    return 0;
}

#endif
#endif
