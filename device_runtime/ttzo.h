// SPDX-License-Identifier: MIT
// ttzo: train a network on a microcontroller, with forward passes only.
//
//     static struct ttzo_trainer trainer;                     // caller-owned; no globals, no malloc in the core
//     static uint8_t work[WORK_BYTES];                        // >= ttzo_work_bytes(&model), 8-byte aligned
//     if (ttzo_open(&trainer, &model, work, sizeof work)) ...  // validates the model once; later calls run blind
//     ttzo_write_rows / ttzo_step / ttzo_evaluate / ttzo_predict
//
// Every function that can fail returns an enum ttzo_error, 0 when all is well; after an error the trainer is as before.
#ifndef TTZO_H
#define TTZO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "equations/sparse_grid.h"
#include "contract/ttzo_contract.h"

// The parts of the runtime that are there, a sum of enum ttzo_part. All of them, but where a port leaves sources out; then
// a bundle that needs one is refused with `not_built_in`.
#ifndef TTZO_PARTS
#define TTZO_PARTS                                                                                                     \
    (TTZO_PART_EQUATIONS | TTZO_PART_ENVIRONMENTS | TTZO_PART_CUT | TTZO_PART_GATHERS | TTZO_PART_EVALUATIONS |        \
     TTZO_PART_BLOCKS | TTZO_PART_NARROW | TTZO_PART_TENSORS | TTZO_PART_COMPENSATED | TTZO_PART_LINK)
#endif

// Whether a part is there: a constant, so that a compiler leaves out what only that part needs.
#define TTZO_HAS(part) ((TTZO_PARTS & TTZO_PART_##part) != 0)

// A residual program; the numbers stay where they are.
struct ttzo_program {
    const float *constants;      // [n_constants]
    const uint8_t *instructions; // [n_instructions][4]: enum ttzo_operation, registers a, b, c
    uint8_t n_constants;
    uint8_t n_instructions;
    uint8_t output;
};

// A PDE: where its rows lie and what should be zero there. All zeros for models with another loss.
struct ttzo_pde {
    struct ttzo_pde_info info;
    const float *low, *high; // [in_features] bounds of the network's inputs
    struct ttzo_row_group groups[TTZO_MAX_ROW_GROUPS];
    struct ttzo_program conditions[TTZO_MAX_ROW_GROUPS]; // [n_groups]
    struct ttzo_program solution;                        // u from the network's output
    struct ttzo_program exact;                           // with has_exact
    struct ttzo_program points[2];                       // with has_points: a uniform training point's place in space, its time
    struct ttzo_sparse_grid grid;                        // with derivative sparse_grid
};

// A model: data only, from model.c in flash or from a bundle. Layers and parameters stay where they are.
struct ttzo_model {
    uint8_t hash[TTZO_HASH_BYTES];
    struct ttzo_model_info info;
    struct ttzo_training training;
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    const struct ttzo_layer *layers; // [info.n_layers]
    const float *parameters;         // [info.n_parameters], theta at the start of training
    struct ttzo_pde pde;             // with info.loss residual
};

// What wants a part of the runtime; never where that is left out, because ttzo_read_bundle has refused the model.
static inline bool ttzo_has_equation(const struct ttzo_model *model)
{
    return TTZO_HAS(EQUATIONS) && model->info.loss == TTZO_LOSS_RESIDUAL;
}

static inline bool ttzo_is_cut(const struct ttzo_layer *layer)
{
    return TTZO_HAS(CUT) && layer->contraction != 0;
}

static inline bool ttzo_gathers(const struct ttzo_layer *layer)
{
    return TTZO_HAS(GATHERS) && layer->gather != 0;
}

// Called after each loss evaluation of a step (done of total), several times for each sample when the estimator reuses
// environments, or after each row of an evaluation; return false to cancel.
// May be NULL.
typedef bool (*ttzo_poll)(void *context, uint32_t done, uint32_t total);

// Rows as they travel: raw inputs, then the target. The first `count` of `capacity` rows are complete.
struct ttzo_rows {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t count;
};

// Sparse rows (see the contract): of `capacity` bytes, `count` rows are complete.
struct ttzo_sparse {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t count;
};

// Work memory of a PDE's rows; m outputs are derived at once (1, or the features of the last layer).
struct ttzo_pde_work {
    float *point;     // [in_features]
    float *value;     // [m]
    float *first;     // [in_features][m]
    float *laplacian; // [m]
    float *diagonal;  // [in_features][m], where it is needed
    float *at, *slope; // [units] phi(z), of relu z, and phi'(z); of compensated jets the latter alone, [units][2]
    float *squares;   // [units] of jets with a Laplacian: the sum of squared directional derivatives; of compensated ones
                      // [units][2] that, or phi''(z)
    float *normals;   // [4][in_features] of monte_carlo: Gaussian directions
    float *merged;    // parameters of the layers whose cores are merged; of compensated jets those cores alone
    float *basis;     // of compensated jets, where the first layer reads few combinations of its inputs
    float *combined;  // [2][2 + 2 in_features] the network's value and derivatives, put together from its features
    float *registers; // of the longest program
};

// All of a training run but the model. Fields are for reading; the functions below change them.
struct ttzo_trainer {
    const struct ttzo_model *model;
    struct ttzo_training training; // settings in force
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    struct ttzo_state state;

    float *theta;            // [P] the parameters
    float *gradient;         // [P] the estimate; between steps, with what lies behind it, the stage of a region's write
    float *perturbed;        // [P] where queries are evaluated; in the place of `gradient` where one of both is enough
    float *reuse_area;       // what reusing estimators keep, in the place of a forward pass
    float *moments;          // [n_moments] the update rule's memory
    uint32_t n_moments;
    float *base_losses;      // [batch] each row's loss at theta, or at theta + mu v
    float *differences;      // of random directions, until the gradient is made of them
    uint32_t *batch_rows;    // [batch] row numbers of the running step
    float *activations[2];   // ping and pong of one sample's forward pass and sweeps, or of a PDE's columns
    float *prepared;         // cores multiplied out at the parameters of the running loss evaluation
    float *scratch;          // of one layer
    struct ttzo_pde_work pde; // with a PDE
    float *gauss_newton;     // triangles and block of rows of subspace_gn and last_layer_gn
    struct ttzo_rows batch;  // region batch
    struct ttzo_rows dataset; // region dataset: what the work buffer has left
    struct ttzo_sparse sparse; // region sparse: what ttzo_lend_sparse was given
    uint32_t row_bytes;
    uint32_t macs_per_sample; // one forward pass
    uint64_t macs_per_row;    // a training row: with a PDE, all passes that its derivatives take
    uint64_t macs;           // multiply-adds of training steps since ttzo_open, counted one by one where zeros are skipped
    uint32_t work_bytes;     // needed
    uint32_t work_capacity;  // given

    ttzo_poll poll;
    void *poll_context;
};

struct ttzo_step_result {
    uint32_t phase;
    float loss;          // mean batch loss before the update
    float gradient_norm; // of the estimate, before clipping
    uint32_t evaluations;
    uint64_t macs;
};

// ---- a model

// Reads a bundle of `size` bytes at `bytes` (4-byte aligned); `layers` takes up to TTZO_MAX_LAYERS records, the
// parameters stay in the bundle. Everything is validated: magic, format, lengths, CRC-32.
enum ttzo_error ttzo_read_bundle(const uint8_t *bytes, size_t size, struct ttzo_layer *layers, struct ttzo_model *model,
                                 uint32_t *detail);

// Checks every number of a model; TTZO_ERROR_BAD_MODEL with the layer's index in `detail`.
enum ttzo_error ttzo_check_model(const struct ttzo_model *model, uint32_t *detail);

// Bytes of work buffer a checked model needs, without a resident dataset.
uint32_t ttzo_work_bytes(const struct ttzo_model *model);

// Bytes at its beginning that hold what lasts from step to step. ttzo_open and ttzo_reset write nothing behind them.
uint32_t ttzo_state_bytes(const struct ttzo_model *model);

// ---- a training run

// Checks the model, carves the work buffer, starts from the exported parameters. What is left of the buffer becomes
// the region dataset.
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

// CRC-32 (IEEE 802.3, as zlib's crc32) of `count` bytes, going on from `crc` (0 at the start).
uint32_t ttzo_crc32(uint32_t crc, const uint8_t *bytes, size_t count);

#endif
