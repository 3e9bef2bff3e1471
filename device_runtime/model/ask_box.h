// SPDX-License-Identifier: MIT
// A black box, asked.
#ifndef TTZO_ASK_BOX_H
#define TTZO_ASK_BOX_H
#include "model/trainer.h"

// The numbers that the model's black box gives at `theta`, into trainer->box_losses.
void ttzo_ask_box(const struct ttzo_trainer *trainer, const float *theta);

#endif
