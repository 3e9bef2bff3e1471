// SPDX-License-Identifier: MIT
#include "model/ask_box.h"

// A function of its own, so that the stack check knows what its pointer reaches.
__attribute__((noinline)) void ttzo_ask_box(const struct ttzo_trainer *trainer, const float *theta)
{
    const struct ttzo_box *box = &trainer->model->box;
    box->ask(box->context, theta, trainer->box_losses);
}
