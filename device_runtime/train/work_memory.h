// SPDX-License-Identifier: MIT
// Where a training run's arrays lie in the work buffer, and how large it must be.
#ifndef TTZO_WORK_MEMORY_H
#define TTZO_WORK_MEMORY_H
#include "model/carve.h"
#include "model/trainer.h"

// Numbers in the moments: the most that a phase keeps.
uint32_t ttzo_moments_count(const struct ttzo_model *model);

// Lays out the arrays of a forward pass.
void ttzo_carve_forward(struct ttzo_trainer *trainer, struct ttzo_carve *carve);

// Lays the arrays of an open trainer out from `work` on, which is 8-byte aligned. trainer->work_bytes and work_capacity
// are set.
void ttzo_carve_work(struct ttzo_trainer *trainer, void *work);

#endif
