// SPDX-License-Identifier: MIT
// ttzo: train a network on a microcontroller, with forward passes only.
//
//     #include "model.h"                                      // written by `ttzo export`; includes this file
//     static struct ttzo_trainer trainer;                     // caller-owned; no globals, no malloc in the core
//     static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7) / 8];  // of any size from this on, 8-byte aligned
//     uint32_t detail;
//     if (ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail)) ...  // validates the model once
//
// Then rows go in (ttzo_write and ttzo_commit), and ttzo_step, ttzo_evaluate, ttzo_predict work on them.
//
// Every function that can fail returns an enum ttzo_error, 0 when all is well; after an error the trainer is as before.
// `detail` gets the number that the error's sentence in docs/protocol.md speaks of. No pointer may be NULL except where
// a comment says so.
#ifndef TTZO_H
#define TTZO_H
#include <stddef.h>

#include "model/trainer.h"
#include "number/crc32.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- a model

// Reads a bundle of `size` bytes at `bytes` (4-byte aligned); `layers` takes up to TTZO_MAX_LAYERS records, the
// parameters stay in the bundle. Everything is validated: magic, format, lengths, CRC-32.
enum ttzo_error ttzo_read_bundle(const uint8_t *bytes, size_t size, struct ttzo_layer *layers, struct ttzo_model *model,
                                 uint32_t *detail);

// Checks every number of a model; TTZO_ERROR_BAD_MODEL with the layer's index in `detail`, TTZO_ERROR_WRONG_WORK_SIZE
// with the bytes of the work buffer that the device needs.
enum ttzo_error ttzo_check_model(const struct ttzo_model *model, uint32_t *detail);

// Bytes of work buffer a checked model needs, without a resident dataset.
uint32_t ttzo_work_bytes(const struct ttzo_model *model);

// Bytes at its beginning that hold what lasts from step to step. ttzo_open and ttzo_reset write nothing after these
// bytes.
uint32_t ttzo_state_bytes(const struct ttzo_model *model);

// ---- a training run

// Checks the build's arithmetic on a few numbers (TTZO_ERROR_INEXACT_BUILD; detail: enum ttzo_inexactness) and the
// model, carves the work buffer, starts from the exported parameters. What is left of the buffer becomes the region
// dataset. TTZO_ERROR_OUT_OF_MEMORY: detail is the size that is needed; TTZO_ERROR_MISALIGNED: the alignment;
// TTZO_ERROR_NOT_BUILT_IN: the missing parts.
enum ttzo_error ttzo_open(struct ttzo_trainer *trainer, const struct ttzo_model *model, void *work, size_t work_bytes,
                          uint32_t *detail);

// Lends an open trainer a memory for the region sparse. What stands there stays, and counts once it is committed.
void ttzo_lend_sparse(struct ttzo_trainer *trainer, void *memory, uint32_t bytes);

// Back to the exported parameters and settings, step 0.
void ttzo_reset(struct ttzo_trainer *trainer);

// Takes over settings that cost neither memory nor order; refuses others (fixed_at_export, bad_setting).
enum ttzo_error ttzo_configure(struct ttzo_trainer *trainer, const struct ttzo_training *training,
                               const struct ttzo_phase phases[TTZO_MAX_PHASES], uint32_t *detail);

// Takes over a checkpoint's state.
enum ttzo_error ttzo_set_state(struct ttzo_trainer *trainer, const struct ttzo_state *state, uint32_t *detail);

// One training step on the rows of `region` (batch, dataset or sparse); a pure function of parameters, moments, state,
// settings and rows.
enum ttzo_error ttzo_step(struct ttzo_trainer *trainer, enum ttzo_region region, struct ttzo_step_result *result,
                          uint32_t *detail);

// Sum of the losses of rows [first, first + count) in row order, and how many are classified right.
enum ttzo_error ttzo_evaluate(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t first, uint32_t count,
                              float *loss_sum, uint32_t *n_correct, uint32_t *detail);

// Sums of (u - exact)^2 and exact^2 over rows [first, first + count): seeded validation points (collocation), or rows
// of batch or dataset, each with the host's value of u as its target.
enum ttzo_error ttzo_solution_error(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t first,
                                    uint32_t count, float *squared_error, float *squared_exact, uint32_t *detail);

// The network's outputs [out_features] for one row of the batch, or a PDE's u there; valid until the next call.
enum ttzo_error ttzo_predict(struct ttzo_trainer *trainer, uint32_t row, const float **outputs, uint32_t *detail);

// ---- regions: how data get in and out

// Writes bytes into a region; parameters and moments go to a stage.
enum ttzo_error ttzo_write(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t offset, const uint8_t *bytes,
                           uint32_t count, uint32_t *detail);

// Takes over the first `count` bytes of a region when their CRC-32 is `crc`.
enum ttzo_error ttzo_commit(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t count, uint32_t crc,
                            uint32_t *detail);

// Takes over the first `count` rows of batch or dataset, written in place by a caller in the same memory: classes are
// checked, no checksum.
enum ttzo_error ttzo_take_rows(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t count, uint32_t *detail);

// Points at `count` bytes of a region (parameters or moments).
enum ttzo_error ttzo_read(const struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t offset, uint32_t count,
                          const uint8_t **bytes, uint32_t *detail);

#ifdef __cplusplus
}
#endif

#endif
