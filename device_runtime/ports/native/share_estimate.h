// SPDX-License-Identifier: MIT
// Estimates by several threads (model/threads.h). Each thread has work memory of its own and answers whole queries, or
// whole rows with all their queries.
#ifndef TTZO_NATIVE_SHARE_ESTIMATE_H
#define TTZO_NATIVE_SHARE_ESTIMATE_H
#include "model/trainer.h"

// Has n threads make the estimates of an open trainer from now on. False where the system has no memory, or no threads,
// for that.
bool ttzo_lend_threads(struct ttzo_trainer *trainer, uint32_t n);

#endif
