// SPDX-License-Identifier: MIT
#include "identification/simulate.h"

#include "number/real.h"
#include "programs/program.h"

// ---- constants ------------------------------------------------------------------------------------------------------

static float value_of(const struct ttzo_fit *fit, uint32_t i, float theta)
{
    struct ttzo_unknown unknown;
    ttzo_unpack_unknown(fit->parts.unknowns + i * TTZO_UNKNOWN_BYTES, &unknown);
    return unknown.unit > 0.0f ? unknown.unit * theta : ttzo_exp(theta);
}

void ttzo_simulate_values(struct ttzo_fit *fit)
{
    for (uint32_t i = 0; i < fit->n_unknowns; i++) {
        fit->values[i] = value_of(fit, i, fit->candidate[i]);
        fit->moved[i] = value_of(fit, i, fit->candidate[i] + fit->phase->perturb_radius);
    }
}

// ---- programs -------------------------------------------------------------------------------------------------------

static float run(struct ttzo_fit *fit, const struct ttzo_program *program)
{
    static const float zero = 0.0f;
    const float *inputs[TTZO_PROGRAM_INPUTS];
    for (uint32_t i = 0; i < TTZO_PROGRAM_INPUTS; i++)
        inputs[i] = &zero;
    inputs[TTZO_PROGRAM_INPUT_X] = fit->x;
    fit->work += program->n_instructions;
    return *ttzo_program_run(program, fit->n_values, inputs, NULL, fit->registers);
}

// The constants of simulation j into x.
static void put_values(struct ttzo_fit *fit, uint32_t j)
{
    float *to = fit->x + fit->n_states + fit->n_inputs;
    for (uint32_t i = 0; i < fit->n_unknowns; i++)
        to[i] = i + 1 == j ? fit->moved[i] : fit->values[i];
}

static void put_states(struct ttzo_fit *fit, const float *states)
{
    for (uint32_t s = 0; s < fit->n_states; s++)
        fit->x[s] = states[s];
}

static void put_inputs(struct ttzo_fit *fit, const float *inputs)
{
    for (uint32_t i = 0; i < fit->n_inputs; i++)
        fit->x[fit->n_states + i] = inputs[i];
}

// The inputs where a part `share` of the time between two rows has passed.
static void put_inputs_between(struct ttzo_fit *fit, const float *inputs, float share)
{
    uint32_t linear = fit->trainer->model->simulation.info.linear_inputs;
    for (uint32_t i = 0; i < fit->n_inputs; i++) {
        float before = fit->inputs[i];
        fit->x[fit->n_states + i] = linear >> i & 1u ? TTZO_MULADD(share, inputs[i] - before, before) : before;
    }
}

// ---- integration ----------------------------------------------------------------------------------------------------

void ttzo_simulate_begin(struct ttzo_fit *fit, const float *inputs)
{
    for (uint32_t j = 0; j <= fit->n_unknowns; j++) {
        put_values(fit, j);
        put_inputs(fit, inputs);
        for (uint32_t s = 0; s < fit->n_states; s++)
            fit->x[s] = 0.0f;
        for (uint32_t s = 0; s < fit->n_states; s++)
            fit->states[j * fit->n_states + s] = run(fit, &fit->parts.initial[s]);
    }
}

// The rates where x stands, added to the step's sum `weight` times; x goes to y + h times them.
static void stage(struct ttzo_fit *fit, const float *y, float h, float weight)
{
    for (uint32_t s = 0; s < fit->n_states; s++)
        fit->rates[s] = run(fit, &fit->parts.rates[s]);
    for (uint32_t s = 0; s < fit->n_states; s++) {
        fit->sum[s] = TTZO_MULADD(weight, fit->rates[s], fit->sum[s]);
        fit->x[s] = TTZO_MULADD(h, fit->rates[s], y[s]);
    }
}

static uint32_t substeps(const struct ttzo_fit *fit, float time)
{
    float longest = fit->trainer->model->simulation.info.substep;
    uint32_t n = 1;
    while (n < TTZO_MAX_SUBSTEPS && (float)n * longest < time)
        n++;
    return n;
}

static void advance_one(struct ttzo_fit *fit, uint32_t n, float time, const float *inputs, float *y)
{
    float share = 1.0f / (float)n, h = time * share, half = 0.5f * h, sixth = h * (1.0f / 6.0f);
    for (uint32_t k = 0; k < n; k++) {
        float at = (float)k;
        put_states(fit, y);
        for (uint32_t s = 0; s < fit->n_states; s++)
            fit->sum[s] = 0.0f;
        put_inputs_between(fit, inputs, at * share);
        stage(fit, y, half, 1.0f);
        put_inputs_between(fit, inputs, (at + 0.5f) * share);
        stage(fit, y, half, 2.0f);
        stage(fit, y, h, 2.0f);
        put_inputs_between(fit, inputs, (at + 1.0f) * share);
        stage(fit, y, h, 1.0f);
        for (uint32_t s = 0; s < fit->n_states; s++)
            y[s] = TTZO_MULADD(sixth, fit->sum[s], y[s]);
    }
}

void ttzo_simulate_advance(struct ttzo_fit *fit, float time, const float *inputs)
{
    uint32_t n = substeps(fit, time);
    for (uint32_t j = 0; j <= fit->n_unknowns; j++) {
        float *y = fit->states + j * fit->n_states;
        put_values(fit, j);
        advance_one(fit, n, time, inputs, y);
    }
}

void ttzo_simulate_measure(struct ttzo_fit *fit, uint32_t y, const float *inputs, float measured)
{
    for (uint32_t j = 0; j <= fit->n_unknowns; j++) {
        put_values(fit, j);
        put_states(fit, fit->states + j * fit->n_states);
        put_inputs(fit, inputs);
        fit->row[j] = (run(fit, &fit->parts.measured[y]) - measured) * fit->parts.scales[y];
    }
}
