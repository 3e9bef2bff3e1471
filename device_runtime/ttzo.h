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

// One training step on the rows of `region` (batch, dataset or sparse), varied where the model says so (which uses up
// what the region batch held); a pure function of parameters, moments, state,
// settings and rows.
enum ttzo_error ttzo_step(struct ttzo_trainer *trainer, enum ttzo_region region, struct ttzo_step_result *result,
                          uint32_t *detail);

// The same step in slices, for a main loop that has other work: each call does a part of it, and `stepped` tells whether
// the step is done; then `result` is filled in. The first slice begins the step, the last one makes the update, each
// other one does one row of one loss evaluation (rge, cge_plain), or one row with all its queries (cge, node_cge,
// block_rge, cocd); a step of subspace_gn, last_layer_gn or an identification is one slice. Bits, errors and `poll` are
// those of ttzo_step. `running` needs no initial value and stays in use until the step is done. Between two slices
// ttzo_infer, ttzo_read and ttzo_save_run (of the state before the step) may be called, and rows may go into a region
// that the step does not read. Whatever else is called for this trainer abandons the step, which is a pure function: the
// next slice begins it anew.
enum ttzo_error ttzo_step_slice(struct ttzo_trainer *trainer, struct ttzo_running_step *running,
                                enum ttzo_region region, struct ttzo_step_result *result, bool *stepped,
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

// ---- inference without a training run

// The outputs [out_features] for one row of raw inputs (ttzo_pack_inputs), at `parameters` or, where that is NULL, the
// exported ones. `scratch`: TTZO_MODEL_INFER_BYTES bytes, 8-byte aligned; the outputs lie in it until the next call. The
// model is trusted: linked from model.c, or accepted by ttzo_read_bundle. TTZO_ERROR_OUT_OF_MEMORY: detail bytes are
// needed; TTZO_ERROR_BAD_REQUEST: the model is an equation or a simulation.
enum ttzo_error ttzo_infer(const struct ttzo_model *model, const float *parameters, const uint8_t *row, void *scratch,
                           size_t scratch_bytes, const float **outputs, uint32_t *detail);

// ---- a black box in the place of a network

// A function of a program's own whose parameters are trained: gains of a controller, constants of a simulation. `ask`
// gives its losses at any parameters, or residuals, whose squares are the losses; what is minimised is their mean. Steps
// end in the same bits, and a saved run goes on to them, only where `ask` is pure: equal parameters give equal numbers,
// whatever was asked before. Of a real plant that measures, neither holds.
struct ttzo_black_box {
    ttzo_ask_black_box ask;
    void *context;      // handed to `ask`
    const float *start; // [n_parameters] where training starts; stays in use
    uint32_t n_parameters;
    uint32_t n_losses; // 1 to TTZO_MAX_BATCH
    bool gives_residuals;
    uint64_t seed;
    uint32_t steps;   // length of the schedule
    uint8_t schedule; // enum ttzo_schedule
    struct ttzo_phase
        phase; // estimator rge (n_queries directions) or cge_plain, its update rule, mu, rates; of residuals
               // also subspace_gn (n_queries, ridge, trust_radius; update rule sgd)
};

// The model of a black box, to be given to ttzo_open with a work buffer of ttzo_work_bytes. ttzo_step takes the region
// `collocation`; ttzo_evaluate, ttzo_predict and ttzo_infer refuse it.
void ttzo_black_box_model(struct ttzo_model *model, const struct ttzo_black_box *box);

// ---- rows from a program's own numbers

// The raw inputs of a row [TTZO_MODEL_INPUT_BYTES] from numbers as the network reads them: raw = (input - offset) /
// scale, rounded to the nearest integer unless rows hold float32; or from raw integers as they stand in the data. Where
// model.h says TTZO_MODEL_NORMALISES, both take readings as they stood in the training table; windows channel by channel.
// TTZO_ERROR_OUT_OF_RANGE: there must be `detail` inputs; TTZO_ERROR_BAD_INPUT: input `detail` does not fit.
enum ttzo_error ttzo_pack_inputs(const struct ttzo_model *model, const float *inputs, uint32_t n, uint8_t *row,
                                 uint32_t *detail);
enum ttzo_error ttzo_pack_integers(const struct ttzo_model *model, const int32_t *inputs, uint32_t n, uint8_t *row,
                                   uint32_t *detail);

// The same into row `row` of batch or dataset, and its target: a class for each place of the row (place 0 where the
// model knows no sequences), or numbers. The region counts again once ttzo_take_rows has taken its rows over.
// TTZO_ERROR_BAD_REQUEST: the model has targets of the other kind.
enum ttzo_error ttzo_set_inputs(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                const float *inputs, uint32_t n, uint32_t *detail);
enum ttzo_error ttzo_set_integers(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                  const int32_t *inputs, uint32_t n, uint32_t *detail);
enum ttzo_error ttzo_set_class(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row, uint32_t place,
                               uint32_t label, uint32_t *detail);
enum ttzo_error ttzo_set_outputs(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t row,
                                 const float *outputs, uint32_t n, uint32_t *detail);

// On-line training: takes one labelled sample into the region batch, and makes a step when the batch is full; `stepped`
// tells whether, `result` is filled in then. Not for sequences of classes. A sample that is refused is not counted. Not to be mixed with other writes
// to the region batch between two steps.
enum ttzo_error ttzo_learn_class(struct ttzo_trainer *trainer, const float *inputs, uint32_t n, uint32_t label,
                                 struct ttzo_step_result *result, bool *stepped, uint32_t *detail);
enum ttzo_error ttzo_learn_outputs(struct ttzo_trainer *trainer, const float *inputs, uint32_t n, const float *outputs,
                                   uint32_t n_outputs, struct ttzo_step_result *result, bool *stepped,
                                   uint32_t *detail);

// ---- anomalies: a network that gives good rows back, and the rows that it gives back badly

#define TTZO_DETECTOR_LARGEST 16u // errors that a percentile can be taken of

struct ttzo_detector {
    float threshold;                      // an error above it is a vote
    uint32_t votes;                       // that an alarm takes
    uint32_t of;                          // of the last so many rows
    uint32_t recent;                      // a bit for each of them, 1 for a vote, the newest one lowest
    uint32_t count;                       // good rows that it has learnt from
    float mean;                           // of their errors
    float squares;                        // sum of the squared distances from the mean
    float largest[TTZO_DETECTOR_LARGEST]; // the largest ones, descending
};

// The mean squared difference between `outputs` (ttzo_infer, ttzo_predict) and the inputs of `row`, for a model with as many outputs as
// inputs. Train it with ttzo_learn_outputs, whose outputs are the inputs.
float ttzo_row_error(const struct ttzo_model *model, const float *outputs, const uint8_t *row);

// A detector whose alarms take `votes` of the last `of` (1 to 32) rows; it gives none before it has a threshold.
void ttzo_detector_begin(struct ttzo_detector *detector, uint32_t votes, uint32_t of);

// Takes in the error of a good row that the model was not trained on. TTZO_ERROR_BAD_INPUT: it is not finite.
enum ttzo_error ttzo_detector_learn(struct ttzo_detector *detector, float error);

// The threshold by the good rows: the smallest error above which at most the share 1 - percent / 100 of them lie, or their
// mean and so many deviations. TTZO_ERROR_OUT_OF_RANGE: there are none, or TTZO_DETECTOR_LARGEST or more of them lie above.
enum ttzo_error ttzo_detector_percentile(struct ttzo_detector *detector, float percent);
enum ttzo_error ttzo_detector_gaussian(struct ttzo_detector *detector, float deviations);

// Takes in the error of the next row; whether there is an alarm.
bool ttzo_detector_alarm(struct ttzo_detector *detector, float error);

// ---- a run that outlives a reset

// Appends `count` bytes to what is kept; or copies `count` bytes from `offset` of it. False: it could not.
typedef bool (*ttzo_save_bytes)(void *context, const uint8_t *bytes, uint32_t count);
typedef bool (*ttzo_load_bytes)(void *context, uint32_t offset, uint8_t *bytes, uint32_t count);

// Bytes of a saved run: TTZO_MODEL_SAVED_BYTES of model.h.
uint32_t ttzo_saved_run_bytes(const struct ttzo_trainer *trainer);

// Gives settings, state, parameters and moments to `save`, in pieces of at most TTZO_SAVED_RUN_BYTES.
// TTZO_ERROR_NOT_STORED: it returned false.
enum ttzo_error ttzo_save_run(struct ttzo_trainer *trainer, ttzo_save_bytes save, void *context, uint32_t *detail);

// Takes a saved run over. It is read twice: checked as a whole (BAD_SAVED_RUN, BAD_BUNDLE_FORMAT, OTHER_MODEL,
// BAD_CHECKSUM, BAD_NUMBER and NOT_STORED leave the trainer as it was), then taken. When `load` fails only the second
// time, the run is as after ttzo_reset.
enum ttzo_error ttzo_load_run(struct ttzo_trainer *trainer, ttzo_load_bytes load, void *context, uint32_t *detail);

// ---- regions: how data get in and out

// Writes bytes into a region; parameters and moments go to a stage.
enum ttzo_error ttzo_write(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t offset, const uint8_t *bytes,
                           uint32_t count, uint32_t *detail);

#if TTZO_HAS(PACKING)
// Writes `count` bytes into batch or dataset, packed by the model's code (packed_rows in the contract). They are unpacked
// twice: first to look whether they are so many bytes (BAD_PACKED_ROWS leaves the region as it was).
enum ttzo_error ttzo_write_packed(struct ttzo_trainer *trainer, enum ttzo_region region, uint32_t offset,
                                  uint32_t count, const uint8_t *packed, uint32_t packed_bytes, uint32_t *detail);
#endif

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
