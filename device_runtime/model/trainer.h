// SPDX-License-Identifier: MIT
// A training run as data: settings in force, state, and where its arrays lie in the work buffer.
#ifndef TTZO_MODEL_TRAINER_H
#define TTZO_MODEL_TRAINER_H
#include "model/model.h"

// Called after each loss evaluation of a step (done of total), several times for each sample when the estimator reuses
// environments, or after each row of an evaluation; return false to cancel.
// May be NULL.
typedef bool (*ttzo_poll)(void *context, uint32_t done, uint32_t total);

// Rows as they are sent: raw inputs, then the target. The first `count` of `capacity` rows are complete.
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

// Work memory of a PDE's rows; m outputs are derived at once (the network's, or the features of the last layer).
struct ttzo_pde_work {
    float *point;         // [in_features]
    float *value;         // [m]
    float *first;         // [ttzo_first_directions][m]: of inputs, or random directions and time
    float *laplacian;     // [m]
    float *diagonal;      // [in_features][m], where it is needed
    float *along;         // [n_directions][TTZO_MAX_ORDER][m]
    float *unknowns;      // [n_unknowns] values of the unknown constants
    const float *reading; // of the row under way, in the section
    float *at, *slope;    // [units] phi(z), of relu z, and phi'(z); of compensated jets the latter alone, [units][2]
    float *squares; // [units] of jets with a Laplacian: the sum of squared directional derivatives; of compensated ones
                    // [units][2] that, or phi''(z)
    float *normals; // [4][in_features] of monte_carlo: Gaussian directions
    float *merged;  // parameters of the layers whose cores are merged; of compensated jets those cores alone
    const float *held; // the parameters whose merged cores stand there for all rows; NULL: each derivation merges them
    float *shared;     // what rows share at these parameters; NULL where there is no room (ttzo_pde_spare_bytes)
    float *basis;      // of compensated jets, where the first layer reads few combinations of its inputs
    float *combined;   // two sets of the network's values and derivatives, put together from its features
    float *registers;  // of the longest program
    float *idle;       // [n_idle] what a caller does not need during these rows
    uint32_t n_idle;
};

// All of a training run but the model. Fields are for reading; the functions below change them.
struct ttzo_trainer {
    const struct ttzo_model *model;
    struct ttzo_training training; // settings in force
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    struct ttzo_state state;

    float *theta;      // [P] the parameters
    float *gradient;   // [P] the estimate; between steps, with what lies after it, the stage of a region's write
    float *perturbed;  // [P] where queries are evaluated; in the place of `gradient` where one of both is enough
    float *cache_area; // what reusing estimators keep, in the place of a forward pass
    float *moments;    // [n_moments] the update rule's memory
    uint32_t n_moments;
    float *base_losses;        // [batch] each row's loss at theta, or at theta + mu v
    float *differences;        // of random directions, until the gradient is made of them
    uint32_t *batch_rows;      // [batch] row numbers of the running step
    float *activations[2];     // ping and pong of one sample's forward pass and sweeps, or of a PDE's columns
    float *prepared;           // cores multiplied out at the parameters of the running loss evaluation
    float *scratch;            // of one layer
    struct ttzo_pde_work pde;  // with a PDE
    float *gauss_newton;       // what a Gauss-Newton step keeps: triangles, rows, columns
    float *box_losses;         // [batch] of a black box: what it gave last
    float *simulation;         // with a simulation: what its step needs
    struct ttzo_rows batch;    // region batch
    struct ttzo_rows dataset;  // region dataset: what the work buffer has left
    struct ttzo_sparse sparse; // region sparse: what ttzo_lend_sparse was given
    // The step under way in ttzo_step_slice, and whose rows it reads; NULL when there is none.
    const struct ttzo_running_step *running;
    const struct ttzo_rows *running_rows;
    uint32_t waiting; // samples of ttzo_learn_* in the region batch, until it is full
    uint32_t row_bytes;
    uint32_t macs_per_sample; // one forward pass
    uint64_t macs_per_row;    // a training row: with a PDE, all passes that its derivatives take
    uint64_t macs;       // multiply-adds of training steps since ttzo_open, counted one by one where zeros are skipped
    uint32_t work_bytes; // needed
    uint32_t work_capacity; // given

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

// What ttzo_step_slice keeps between two slices, in its caller's memory.
#define TTZO_RUNNING_STEP_WORDS (TTZO_HAS(CORES) ? 272 : 24)
struct ttzo_running_step {
    union {
        uint64_t alignment;
        void *words[TTZO_RUNNING_STEP_WORDS];
    } memory;
};

// Gives up the step in slices that is under way, because what it needs is about to change.
static inline void ttzo_abandon_step(struct ttzo_trainer *trainer)
{
    trainer->running = NULL;
}

// The same before `rows` change.
static inline void ttzo_abandon_step_on(struct ttzo_trainer *trainer, const struct ttzo_rows *rows)
{
    if (trainer->running_rows == rows)
        trainer->running = NULL;
}

// TTZO_ERROR_CANCELLED when the caller's poll says so after `done` of `total` pieces of work.
static inline enum ttzo_error ttzo_still_wanted(const struct ttzo_trainer *trainer, uint32_t done, uint32_t total)
{
    bool cancelled = trainer->poll && !trainer->poll(trainer->poll_context, done, total);
    return cancelled ? TTZO_ERROR_CANCELLED : TTZO_ERROR_OK;
}

#endif
