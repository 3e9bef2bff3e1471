// SPDX-License-Identifier: MIT
#include "cores/coordinate_window.h"

#include "model/phase.h"
#include "number/quotient.h"

struct ttzo_coordinate_window ttzo_coordinate_window_of(const struct ttzo_trainer *trainer,
                                                        const struct ttzo_phase *phase)
{
    uint32_t n = trainer->model->info.n_parameters;
    struct ttzo_coordinate_window window = { 0, n, n };
    if (phase->estimator == TTZO_ESTIMATOR_COCD) {
        uint64_t steps = trainer->state.step - trainer->state.phase_start;
        window.length = phase->n_coordinates < n ? phase->n_coordinates : n;
        ttzo_quotient(steps * window.length, n, &window.first);
    }
    return window;
}

void ttzo_coordinate_window_finish(const struct ttzo_coordinate_window *window, struct ttzo_trainer *trainer,
                                   const struct ttzo_phase *phase, uint32_t repeats)
{
    float sides = phase->difference == TTZO_DIFFERENCE_ANTITHETIC ? 2.0f : 1.0f;
    float mean = 1.0f / (float)trainer->model->info.batch;
    float scale = 1.0f / (sides * (float)repeats * phase->perturb_radius);
    const float *buffer = ttzo_last_estimate(trainer, phase);
    float *gradient = trainer->gradient, *end = gradient + window->n;
    if (window->length == window->n) { // all are asked
        for (; gradient != end; gradient++)
            *gradient = *gradient * mean * scale;
        return;
    }
    for (uint32_t i = 0; i < window->n; i++)
        gradient[i] = ttzo_is_asked(window, i) ? gradient[i] * mean * scale : phase->stale_decay * buffer[i];
}
