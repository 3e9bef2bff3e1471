// SPDX-License-Identifier: MIT
#include "train/update.h"

#include "number/real.h"
#include "ttzo.h"

// ---- learning rate --------------------------------------------------------------------------------------------------

static float power(float base, uint32_t exponent)
{
    float result = 1.0f;
    for (; exponent; exponent >>= 1, base = base * base)
        if (exponent & 1)
            result = result * base;
    return result;
}

float ttzo_rate_factor(const struct ttzo_training *training, uint32_t step)
{
    const float pi = 3.14159274f;
    uint32_t end = training->steps;
    float done = step < end ? (float)step / (float)end : 1.0f;
    float factor = 1.0f;
    if (step < training->warmup_steps)
        factor = (float)(step + 1) / (float)training->warmup_steps;
    switch ((enum ttzo_schedule)training->schedule) {
    case TTZO_SCHEDULE_STEP: return factor * power(training->decay_factor, step / training->decay_every);
    case TTZO_SCHEDULE_LINEAR: return factor * (1.0f - done);
    case TTZO_SCHEDULE_COSINE: return TTZO_HAS_CURVES ? factor * (0.5f * (1.0f + ttzo_cos(pi * done))) : factor;
    case TTZO_SCHEDULE_CONSTANT: break;
    }
    return factor;
}

// ---- pruned parameters ----------------------------------------------------------------------------------------------

// A parameter of -0.0 is pruned: its derivative counts as 0, so that no rule moves it. No step makes another parameter
// -0.0: x - x is +0.0.
static void leave_pruned(struct ttzo_trainer *trainer)
{
    const float *theta = trainer->theta, *end = theta + trainer->model->info.n_parameters;
    for (float *gradient = trainer->gradient; theta != end; theta++, gradient++)
        if (*theta == 0.0f && ttzo_is_negative_zero(*theta))
            *gradient = 0.0f;
}

// ---- update rules ---------------------------------------------------------------------------------------------------

static float gradient_norm(const struct ttzo_trainer *trainer)
{
    const float *gradient = trainer->gradient, *end = gradient + trainer->model->info.n_parameters;
    float sum = 0.0f;
    for (; gradient != end; gradient++)
        sum = TTZO_MULADD(*gradient, *gradient, sum);
    return ttzo_sqrt(sum);
}

// What a step has in common for all coordinates.
struct rule {
    const struct ttzo_phase *phase;
    float rate;
    float shrink;  // the gradient's factor: 1, or what clipping leaves of it
    float unbias1; // Adam's bias corrections
    float unbias2;
};

// One coordinate after the step.
struct moved {
    float theta;
    float v; // the first moment, of rules that have one
};

static struct rule rule_of(const struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate, float norm)
{
    uint32_t age = trainer->state.step - trainer->state.phase_start + 1;
    bool clips = phase->clip_norm > 0.0f && norm > phase->clip_norm;
    bool adam = TTZO_HAS(RULES) && phase->update == TTZO_UPDATE_ADAM;
    return (struct rule){
        .phase = phase,
        .rate = rate,
        .shrink = clips ? phase->clip_norm / norm : 1.0f,
        .unbias1 = adam ? 1.0f / (1.0f - power(phase->beta1, age)) : 1.0f,
        .unbias2 = adam ? 1.0f / (1.0f - power(phase->beta2, age)) : 1.0f,
    };
}

// Coordinate i of theta - rate * direction; the direction of each rule.
static inline struct moved move_coordinate(const struct ttzo_trainer *trainer, const struct rule *rule, uint32_t i)
{
    const struct ttzo_phase *phase = rule->phase;
    const float *v = trainer->moments;
    float g = trainer->gradient[i] * rule->shrink, theta = trainer->theta[i], rate = rule->rate;
    struct moved to = { 0.0f, 0.0f };
    switch ((enum ttzo_update)phase->update) {
    case TTZO_UPDATE_SGD: to.theta = TTZO_MULADD(-rate, g, theta); break;
    case TTZO_UPDATE_MOMENTUM:
    case TTZO_UPDATE_ADAM: break; // move_by_momentum, move_by_adam
    case TTZO_UPDATE_EMA_MOMENTUM:
        to.v = TTZO_MULADD(phase->beta1, v[i], (1.0f - phase->beta1) * g);
        to.theta = TTZO_MULADD(-rate, to.v, theta);
        break;
    case TTZO_UPDATE_SIGN: to.theta = g > 0.0f ? theta - rate : g < 0.0f ? theta + rate : theta; break;
    }
    return to;
}

// A finite number less itself is 0, any other one NaN.
static inline bool is_finite(const struct moved *to)
{
    return (to->theta - to->theta) + (to->v - to->v) == 0.0f;
}

// The same for all coordinates of momentum, which most models take: whether all are finite then.
static bool move_by_momentum(struct ttzo_trainer *trainer, const struct rule *rule, bool writes)
{
    const float shrink = rule->shrink, beta = rule->phase->beta1, rate = rule->rate;
    const float *gradient = trainer->gradient, *end = gradient + trainer->model->info.n_parameters;
    float *theta = trainer->theta, *v = trainer->moments, differences = 0.0f;
    for (; gradient != end; gradient++, theta++, v++) {
        float to_v = TTZO_MULADD(beta, *v, *gradient * shrink), to_theta = TTZO_MULADD(-rate, to_v, *theta);
        if (writes)
            *v = to_v, *theta = to_theta;
        else
            differences = differences + (to_theta - to_theta) + (to_v - to_v);
    }
    return differences == 0.0f;
}

static bool move_by_adam(struct ttzo_trainer *trainer, const struct rule *rule, bool writes)
{
    const float shrink = rule->shrink, beta1 = rule->phase->beta1, beta2 = rule->phase->beta2, rate = rule->rate;
    const float new1 = 1.0f - beta1, new2 = 1.0f - beta2, epsilon = rule->phase->epsilon;
    const float unbias1 = rule->unbias1, unbias2 = rule->unbias2;
    const uint32_t n = trainer->model->info.n_parameters;
    const float *gradient = trainer->gradient, *end = gradient + n;
    float *theta = trainer->theta, *v = trainer->moments, *square = v + n, differences = 0.0f;
    for (; gradient != end; gradient++, theta++, v++, square++) {
        float g = *gradient * shrink, to_v = TTZO_MULADD(beta1, *v, new1 * g);
        float to_square = TTZO_MULADD(beta2, *square, new2 * (g * g));
        float to_theta = TTZO_MULADD(-rate, (to_v * unbias1) / (ttzo_sqrt(to_square * unbias2) + epsilon), *theta);
        if (writes)
            *v = to_v, *square = to_square, *theta = to_theta;
        else
            differences = differences + (to_theta - to_theta) + (to_v - to_v) + (to_square - to_square);
    }
    return differences == 0.0f;
}

// Takes the step, or nothing of it when a parameter or moment would not be finite: looks at all coordinates before it
// writes the first.
static enum ttzo_error update(struct ttzo_trainer *trainer, const struct rule *rule)
{
    uint32_t n = trainer->model->info.n_parameters;
    uint8_t rule_of_update = rule->phase->update;
    if (!TTZO_HAS(RULES) || rule_of_update == TTZO_UPDATE_MOMENTUM)
        return move_by_momentum(trainer, rule, false) && move_by_momentum(trainer, rule, true) ? TTZO_ERROR_OK
                                                                                               : TTZO_ERROR_NON_FINITE;
    if (rule_of_update == TTZO_UPDATE_ADAM)
        return move_by_adam(trainer, rule, false) && move_by_adam(trainer, rule, true) ? TTZO_ERROR_OK
                                                                                       : TTZO_ERROR_NON_FINITE;
    for (uint32_t pass = 0; pass < 2; pass++) // the first one looks, the second one writes
        for (uint32_t i = 0; i < n; i++) {
            struct moved to = move_coordinate(trainer, rule, i);
            if (pass == 0) {
                if (!is_finite(&to))
                    return TTZO_ERROR_NON_FINITE;
                continue;
            }
            trainer->theta[i] = to.theta;
            if (rule_of_update == TTZO_UPDATE_EMA_MOMENTUM)
                trainer->moments[i] = to.v;
        }
    return TTZO_ERROR_OK;
}

// ---- an estimate taken ----------------------------------------------------------------------------------------------

enum ttzo_error ttzo_update_parameters(struct ttzo_trainer *trainer, const struct ttzo_phase *phase, float rate,
                                       float *norm)
{
    leave_pruned(trainer);
    *norm = gradient_norm(trainer);
    if (!ttzo_is_finite(*norm))
        return TTZO_ERROR_NON_FINITE;
    struct rule rule = rule_of(trainer, phase, rate, *norm);
    return update(trainer, &rule);
}
