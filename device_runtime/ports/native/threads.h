// SPDX-License-Identifier: MIT
// Threads that run one function together.
#ifndef TTZO_NATIVE_THREADS_H
#define TTZO_NATIVE_THREADS_H
#include <stdbool.h>
#include <stdint.h>

// Starts n - 1 threads beside the caller's. False where the system refuses one.
bool ttzo_start_threads(uint32_t n);

// Calls work(0) here and work(1) .. work(n - 1) on the others; returns when all have returned.
void ttzo_run_on_threads(void (*work)(uint32_t thread));

// Waits a moment, for something that another thread is about to do; `turns` counts how often it was waited for it.
void ttzo_wait_a_moment(uint32_t *turns);

#endif
