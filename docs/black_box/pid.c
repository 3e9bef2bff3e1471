// SPDX-License-Identifier: MIT
// Tunes a PID controller by forward passes: its three gains are the parameters, and a loss is what one run of a simulated
// plant costs. Prints the loss before and after, and the gains. See docs/black_box.md.
#include <stdio.h>

#include "ttzo.h"

#define PLANTS 3    // the same controller drives them all
#define TICKS 400u  // of a run
#define TICK 0.025f // seconds

// A mass on a spring with friction: mass a + friction v + spring x = force.
struct plant {
    float mass, friction, spring;
};

static struct plant plants[PLANTS] = { { 1.0f, 0.6f, 1.0f }, { 1.5f, 0.6f, 1.0f }, { 1.0f, 0.3f, 2.0f } };

// Mean squared distance from 1 after the set point jumps there, and a price for force.
static float run(const struct plant *plant, const float *gains)
{
    float x = 0.0f, v = 0.0f, sum = 0.0f, before = 1.0f, cost = 0.0f;
    for (uint32_t t = 0; t < TICKS; t++) {
        float error = 1.0f - x;
        sum = sum + error * TICK;
        float force = gains[0] * error + gains[1] * sum + gains[2] * ((error - before) / TICK);
        force = force > 20.0f ? 20.0f : force < -20.0f ? -20.0f : force;
        before = error;
        v = v + TICK * ((force - plant->friction * v - plant->spring * x) / plant->mass);
        x = x + TICK * v;
        cost = cost + error * error + 0.001f * force * force;
    }
    return cost / (float)TICKS;
}

static void pid_black_box(void *context, const float *theta, float *losses)
{
    const struct plant *each = context;
    for (uint32_t i = 0; i < PLANTS; i++)
        losses[i] = run(&each[i], theta);
}

static const float start[3] = { 1.0f, 0.1f, 0.1f };
static uint64_t work[80]; // at least ttzo_work_bytes(&model)

int main(void)
{
    const struct ttzo_black_box box = {
        .ask = pid_black_box,
        .context = plants,
        .start = start,
        .n_parameters = 3,
        .n_losses = PLANTS,
        .seed = 1,
        .steps = 150,
        .schedule = TTZO_SCHEDULE_LINEAR,
        .phase = { .estimator = TTZO_ESTIMATOR_RGE,
                   .direction = TTZO_DIRECTION_GAUSSIAN,
                   .difference = TTZO_DIFFERENCE_ANTITHETIC,
                   .update = TTZO_UPDATE_ADAM,
                   .n_queries = 4,
                   .perturb_radius = 0.02f,
                   .learning_rate = 0.15f,
                   .beta1 = 0.9f,
                   .beta2 = 0.999f,
                   .epsilon = 1e-8f },
    };
    static struct ttzo_model model;
    static struct ttzo_trainer trainer;
    struct ttzo_step_result result;
    float first = 0.0f;
    uint32_t detail = 0;

    ttzo_black_box_model(&model, &box);
    enum ttzo_error error = ttzo_open(&trainer, &model, work, sizeof work, &detail);
    for (uint32_t step = 0; step < box.steps && !error; step++) {
        error = ttzo_step(&trainer, TTZO_REGION_COLLOCATION, &result, &detail);
        first = step ? first : result.loss;
    }
    if (error) {
        printf("error %d, detail %u\n", (int)error, (unsigned)detail);
        return 1;
    }
    printf("loss %.9g -> %.9g, gains %.9g %.9g %.9g\n", (double)first, (double)result.loss, (double)trainer.theta[0],
           (double)trainer.theta[1], (double)trainer.theta[2]);
    return 0;
}
