// SPDX-License-Identifier: MIT
#include "identification/simulation.h"

#include "number/real.h"
#include "programs/program.h"
#include "programs/section.h"

// ---- the section ----------------------------------------------------------------------------------------------------

static bool read_parts(const struct ttzo_model *model, struct ttzo_simulation_parts *parts)
{
    const struct ttzo_simulation_info *info = &model->simulation.info;
    struct ttzo_section section = { model->simulation.section, info->section_bytes, true };
    if (!ttzo_section_bytes(&section, TTZO_SIMULATION_INFO_BYTES))
        return false;
    parts->unknowns = ttzo_section_bytes(&section, TTZO_UNKNOWN_BYTES * (size_t)model->info.n_parameters);
    parts->scales = ttzo_section_numbers(&section, info->n_measured);
    for (uint32_t s = 0; s < info->n_states; s++)
        ttzo_section_program(&section, &parts->rates[s]);
    for (uint32_t s = 0; s < info->n_states; s++)
        ttzo_section_program(&section, &parts->initial[s]);
    for (uint32_t y = 0; y < info->n_measured; y++)
        ttzo_section_program(&section, &parts->measured[y]);
    return section.sound && section.left == 0;
}

static bool sizes_are_sound(const struct ttzo_model *model)
{
    const struct ttzo_simulation_info *info = &model->simulation.info;
    return model->info.n_parameters >= 1 && model->info.n_parameters <= TTZO_MAX_UNKNOWNS && info->n_states >= 1 &&
           info->n_states <= TTZO_MAX_STATES && info->n_inputs <= TTZO_MAX_LOG_INPUTS && info->n_measured >= 1 &&
           info->n_measured <= TTZO_MAX_MEASURED && info->n_starts >= 1 && info->tries >= 1 &&
           info->section_bytes % 4 == 0 && ttzo_is_finite(info->substep) && info->substep > 0.0f &&
           ttzo_is_finite(info->spread) && info->spread >= 0.0f;
}

static bool unknowns_are_sound(const struct ttzo_model *model, const struct ttzo_simulation_parts *parts)
{
    for (uint32_t i = 0; i < model->info.n_parameters; i++) {
        struct ttzo_unknown unknown;
        ttzo_unpack_unknown(parts->unknowns + i * TTZO_UNKNOWN_BYTES, &unknown);
        if (!ttzo_is_finite(unknown.low) || !ttzo_is_finite(unknown.high) || !(unknown.low < unknown.high) ||
            !ttzo_is_finite(unknown.unit) || !(unknown.unit >= 0.0f))
            return false;
    }
    for (uint32_t y = 0; y < model->simulation.info.n_measured; y++)
        if (!ttzo_is_finite(parts->scales[y]) || !(parts->scales[y] > 0.0f))
            return false;
    return true;
}

static bool programs_are_sound(const struct ttzo_program *programs, uint32_t n, uint32_t n_values)
{
    const struct ttzo_program_scope scope = { .n_space = n_values, .n_outputs = 1 };
    for (uint32_t k = 0; k < n; k++)
        if (!ttzo_program_is_sound(&programs[k], &scope, false))
            return false;
    return true;
}

static uint32_t values_count(const struct ttzo_model *model)
{
    return (uint32_t)model->simulation.info.n_states + model->simulation.info.n_inputs + model->info.n_parameters;
}

bool ttzo_simulation_is_sound(const struct ttzo_model *model)
{
    const struct ttzo_simulation_info *info = &model->simulation.info;
    struct ttzo_simulation_parts parts;
    uint32_t n = values_count(model);
    return sizes_are_sound(model) && read_parts(model, &parts) && unknowns_are_sound(model, &parts) &&
           programs_are_sound(parts.rates, info->n_states, n) && programs_are_sound(parts.initial, info->n_states, n) &&
           programs_are_sound(parts.measured, info->n_measured, n) && model->info.in_features == 2u + info->n_inputs &&
           model->info.out_features == info->n_measured && model->info.input_number == TTZO_NUMBER_FLOAT32 &&
           model->info.input_scale == 1.0f && model->info.input_offset == 0.0f &&
           model->info.cache == TTZO_CACHE_FLOAT32 && model->training.n_phases == 1 &&
           model->phases[0].estimator == TTZO_ESTIMATOR_SIMULATION_GN && model->phases[0].update == TTZO_UPDATE_SGD;
}

// ---- places ---------------------------------------------------------------------------------------------------------

static void carve_moments(struct ttzo_fit *fit, struct ttzo_carve *carve)
{
    uint32_t n = fit->n_unknowns, sums = ttzo_packed(n) + n + TTZO_SWEEP_SUMS;
    fit->places = ttzo_take(carve, TTZO_IDENTIFICATION_PLACES);
    fit->candidate = ttzo_take(carve, n);
    fit->best = ttzo_take(carve, n);
    fit->prior_theta = ttzo_take(carve, n);
    fit->prior = ttzo_take(carve, ttzo_packed(n));
    fit->accepted = ttzo_take(carve, sums);
    fit->running = ttzo_take(carve, sums);
    fit->states = ttzo_take(carve, (n + 1) * fit->n_states);
    fit->inputs = ttzo_take(carve, fit->n_inputs);
    fit->residuals = ttzo_take(carve, fit->n_measured);
}

static void carve_rest(struct ttzo_fit *fit, struct ttzo_carve *carve, uint32_t longest)
{
    uint32_t n = fit->n_unknowns;
    fit->theta = ttzo_take(carve, n);
    fit->values = ttzo_take(carve, n);
    fit->moved = ttzo_take(carve, n);
    fit->x = ttzo_take(carve, fit->n_values);
    fit->rates = ttzo_take(carve, fit->n_states);
    fit->sum = ttzo_take(carve, fit->n_states);
    fit->row = ttzo_take(carve, n + 1);
    fit->matrix = ttzo_take(carve, ttzo_packed(n));
    fit->scale = ttzo_take(carve, n);
    fit->step = ttzo_take(carve, n);
    fit->registers = ttzo_take(carve, longest * fit->n_values);
}

static uint32_t longest_of(const struct ttzo_program *programs, uint32_t n, uint32_t longest)
{
    for (uint32_t k = 0; k < n; k++)
        if (programs[k].n_instructions > longest)
            longest = programs[k].n_instructions;
    return longest;
}

static struct ttzo_fit fit_of(const struct ttzo_model *model)
{
    const struct ttzo_simulation_info *info = &model->simulation.info;
    return (struct ttzo_fit){ .n_unknowns = model->info.n_parameters,
                              .n_states = info->n_states,
                              .n_inputs = info->n_inputs,
                              .n_measured = info->n_measured,
                              .n_values = values_count(model) };
}

static uint32_t longest_program(const struct ttzo_fit *fit)
{
    uint32_t longest = longest_of(fit->parts.rates, fit->n_states, 0);
    longest = longest_of(fit->parts.initial, fit->n_states, longest);
    return longest_of(fit->parts.measured, fit->n_measured, longest);
}

uint32_t ttzo_simulation_moments(const struct ttzo_model *model)
{
    struct ttzo_fit fit = fit_of(model);
    struct ttzo_carve carve = { NULL, 0 };
    carve_moments(&fit, &carve);
    return (uint32_t)carve.numbers;
}

uint32_t ttzo_simulation_numbers(const struct ttzo_model *model)
{
    struct ttzo_fit fit = fit_of(model);
    struct ttzo_carve carve = { NULL, 0 };
    if (!read_parts(model, &fit.parts))
        return 0;
    carve_moments(&fit, &carve);
    carve_rest(&fit, &carve, longest_program(&fit));
    return (uint32_t)carve.numbers;
}

void ttzo_fit_open(struct ttzo_fit *fit, struct ttzo_trainer *trainer, const struct ttzo_phase *phase)
{
    struct ttzo_carve carve = { trainer->simulation, 0 };
    *fit = fit_of(trainer->model);
    fit->trainer = trainer;
    fit->phase = phase;
    read_parts(trainer->model, &fit->parts);
    carve_moments(fit, &carve);
    carve_rest(fit, &carve, longest_program(fit));
    for (uint32_t i = 0; i < trainer->n_moments; i++)
        trainer->simulation[i] = trainer->moments[i];
    for (uint32_t i = 0; i < fit->n_unknowns; i++)
        fit->theta[i] = trainer->theta[i];
}
