// SPDX-License-Identifier: MIT
#include "identification/normal_equations.h"

#include "number/real.h"

#define LEAST_PIVOT 1e-7f // of a matrix whose diagonal is 1 and more: float32's rounding

static struct ttzo_unknown unknown_at(const struct ttzo_fit *fit, uint32_t i)
{
    struct ttzo_unknown unknown;
    ttzo_unpack_unknown(fit->parts.unknowns + i * TTZO_UNKNOWN_BYTES, &unknown);
    return unknown;
}

static uint32_t place(uint32_t i, uint32_t j)
{
    return i >= j ? ttzo_packed(i) + j : ttzo_packed(j) + i;
}

void ttzo_fit_clamp(const struct ttzo_fit *fit, float *theta)
{
    for (uint32_t i = 0; i < fit->n_unknowns; i++) {
        struct ttzo_unknown unknown = unknown_at(fit, i);
        theta[i] = theta[i] < unknown.low ? unknown.low : theta[i] > unknown.high ? unknown.high : theta[i];
    }
}

// Row i of P d.
static float prior_pull(const struct ttzo_fit *fit, const float *theta, uint32_t i)
{
    float sum = 0.0f;
    for (uint32_t j = 0; j < fit->n_unknowns; j++)
        sum = TTZO_MULADD(fit->prior[place(i, j)], theta[j] - fit->prior_theta[j], sum);
    return sum;
}

float ttzo_fit_prior_cost(const struct ttzo_fit *fit, const float *theta)
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < fit->n_unknowns; i++)
        sum = TTZO_MULADD(theta[i] - fit->prior_theta[i], prior_pull(fit, theta, i), sum);
    return sum;
}

// The scaled matrix with the ridge, and the right-hand side in fit->step; what stays has scale 0.
static void set_up(struct ttzo_fit *fit)
{
    uint32_t n = fit->n_unknowns;
    const float *gradient = fit->accepted + ttzo_packed(n);
    for (uint32_t i = 0; i < n; i++) {
        struct ttzo_unknown unknown = unknown_at(fit, i);
        float pull = gradient[i] + prior_pull(fit, fit->theta, i);
        float square = fit->accepted[place(i, i)] + fit->prior[place(i, i)];
        bool pressed = (fit->theta[i] <= unknown.low && pull > 0.0f) || (fit->theta[i] >= unknown.high && pull < 0.0f);
        fit->scale[i] = square > 0.0f && !pressed ? 1.0f / ttzo_sqrt(square) : 0.0f;
        fit->step[i] = -pull * fit->scale[i];
    }
    float ridge = fit->places[TTZO_IDENTIFICATION_RIDGE];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            float entry = (fit->accepted[place(i, j)] + fit->prior[place(i, j)]) * fit->scale[i] * fit->scale[j];
            fit->matrix[place(i, j)] = i == j ? 1.0f + ridge : entry;
        }
}

// Cholesky's factor in the place of the matrix, then both triangles.
static void solve(struct ttzo_fit *fit)
{
    uint32_t n = fit->n_unknowns;
    float *l = fit->matrix, *x = fit->step;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++) {
            float sum = l[place(i, j)];
            for (uint32_t k = 0; k < j; k++)
                sum = TTZO_MULADD(-l[place(i, k)], l[place(j, k)], sum);
            l[place(i, j)] = i == j ? ttzo_sqrt(sum > LEAST_PIVOT ? sum : LEAST_PIVOT) : sum / l[place(j, j)];
        }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < i; k++)
            x[i] = TTZO_MULADD(-l[place(i, k)], x[k], x[i]);
        x[i] = x[i] / l[place(i, i)];
    }
    for (uint32_t i = n; i-- > 0;) {
        for (uint32_t k = i + 1; k < n; k++)
            x[i] = TTZO_MULADD(-l[place(k, i)], x[k], x[i]);
        x[i] = x[i] / l[place(i, i)];
    }
}

float ttzo_fit_propose(struct ttzo_fit *fit)
{
    float longest = fit->phase->trust_radius, squares = 0.0f;
    set_up(fit);
    solve(fit);
    for (uint32_t i = 0; i < fit->n_unknowns; i++) {
        float step = fit->step[i] * fit->scale[i];
        step = ttzo_is_finite(step) ? step : 0.0f;
        if (longest > 0.0f)
            step = step > longest ? longest : step < -longest ? -longest : step;
        fit->candidate[i] = fit->theta[i] + step;
    }
    ttzo_fit_clamp(fit, fit->candidate);
    for (uint32_t i = 0; i < fit->n_unknowns; i++) {
        float moved = fit->candidate[i] - fit->theta[i];
        squares = TTZO_MULADD(moved, moved, squares);
    }
    return ttzo_sqrt(squares);
}
