// SPDX-License-Identifier: MIT
// A training run as a Python interpreter keeps it: model, trainer and link in one buffer that belongs to an object of the
// interpreter, called with buffers and small integers only. `ttzo_run_*` is what `_ttzo` offers Python in each of its
// three forms: modttzo.c (user C module and native module) and _ttzo.py (shared library through ffi).
//
// Nothing here knows MicroPython. `memory` is a struct ttzo_run, the model's layers, then the work buffer; 8-byte aligned,
// never moved. Errors are enum ttzo_error; what they are about is in facts.detail.
#ifndef TTZO_RUN_H
#define TTZO_RUN_H
#include "link/link.h"

#define TTZO_RUN_INBOX_BYTES 64u
#define TTZO_RUN_OUTBOX_BYTES 256u

// What Python reads with struct.unpack_from: the first numbers of `memory`. Offsets count from its start.
struct ttzo_run_facts {
    uint32_t detail;      // of the last error
    uint32_t step;        // steps done
    uint32_t steps;       // of the whole schedule
    float loss;           // of the last step; the sum of the last evaluation's losses or squared errors
    float gradient_norm;  // of the last step
    uint32_t evaluations; // of the last step
    uint32_t n_correct;   // of the last evaluation
    float squared_exact;  // of the last solution error
    uint32_t left;        // 1 when the host has ended the serving
    uint32_t n_parameters;
    uint32_t n_moments;
    uint32_t batch;
    uint32_t in_features;
    uint32_t out_features;
    uint32_t input_number;  // enum ttzo_number
    uint32_t input_bytes;   // of a row's inputs
    uint32_t row_bytes;     // inputs and target
    uint32_t classes_a_row; // u16 classes of a target: 1, or one for each place of a sequence; 0: float32 outputs
    uint32_t parameters_at; // offsets of arrays
    uint32_t moments_at;
    uint32_t batch_at;
    uint32_t capacity;      // rows of the region batch
    uint32_t has_equation;  // 1: trains on an equation, not on rows
    uint32_t n_judged;      // of the last evaluation: what n_correct is at most
    uint32_t reading_bytes; // of a row of readings, float32; 0: the model does not carry its normalisation
};

// Moves bytes between a port and the boxes: `receive` puts up to `count` bytes into the inbox and returns how many,
// `send` sends the first `count` bytes of the outbox.
typedef uint32_t (*ttzo_exchange)(uint32_t count);

// A link being served, in a buffer of its own; the boxes come first.
struct ttzo_run_line {
    uint8_t inbox[TTZO_RUN_INBOX_BYTES];
    uint8_t outbox[TTZO_RUN_OUTBOX_BYTES];
    ttzo_exchange receive, send; // while it is polled
    void *asked[2];              // what a port that calls Python calls there
    struct ttzo_link link;
    uint8_t frames[TTZO_PORT_BUFFER_BYTES(TTZO_MAX_PAYLOAD)];
    char board_name[TTZO_BOARD_NAME_BYTES + 1];
};

// The line being polled: link.c gives its port only the bytes.
extern struct ttzo_run_line *ttzo_run_polled;

struct ttzo_run {
    struct ttzo_run_facts facts;
    struct ttzo_model model;
    struct ttzo_trainer trainer;
    uint32_t bundle_bytes, exported_at; // of the bundle; in it, where its parameters begin
    struct ttzo_run_line *line;         // between listen and hang_up
};

// The facts that an action changes; returns its error.
static inline uint32_t ttzo_run_told(struct ttzo_run *run, enum ttzo_error error)
{
    run->facts.step = run->trainer.state.step;
    run->facts.steps = run->trainer.training.steps;
    return (uint32_t)error;
}

// How the rows of a batch lie in a caller's buffers.
enum ttzo_layout {
    TTZO_LAYOUT_ROWS = 0,   // whole rows in x
    TTZO_LAYOUT_PAIRS = 1,  // inputs in x, targets in y: classes of one or two bytes, or float32 outputs
    TTZO_LAYOUT_INPUTS = 2, // inputs in x, no targets
    TTZO_READINGS = 4, // added to the two above: x holds readings, reading_bytes a row; ttzo_pack_inputs packs them
};

// ---- loading

// Parts of the runtime that are there: a sum of enum ttzo_part.
uint32_t ttzo_run_parts(void);

// Bytes of `memory` for the bundle that begins with these `count` (at least 64) bytes; 0 when no bundle begins so.
uint32_t ttzo_run_need(const uint8_t *head, uint32_t count);

// Reads the bundle (4-byte aligned; it stays in use) and starts from its parameters. It may lie in `memory`, after what
// this writes, until ttzo_run_lend ends its use; TTZO_ERROR_OUT_OF_MEMORY where it lies too low, or has an equation.
uint32_t ttzo_run_open(void *memory, uint32_t memory_bytes, const uint8_t *bundle, uint32_t bundle_bytes);

// The model's bundle, for resets here and over the link: it stays in use until the next call, with `count` 0 none does.
// In `memory` it may lie where it lay when it was opened, until a step or rows overwrite it. A model of an equation always
// needs the bundle that it was opened with.
uint32_t ttzo_run_lend(void *memory, const uint8_t *bundle, uint32_t count);

// Back to the exported parameters and settings, of the bundle in use.
uint32_t ttzo_run_reset(void *memory);

// ---- rows into the region batch

// Number of the row that the next step takes at place `slot` of its batch, from `n` rows.
uint32_t ttzo_run_row(void *memory, uint32_t slot, uint32_t n);

// Copies rows first ... first + count - 1 of the caller's buffers; with `first` UINT32_MAX those of the next step.
uint32_t ttzo_run_gather(void *memory, const uint8_t *x, uint32_t x_bytes, const uint8_t *y, uint32_t y_bytes,
                         uint32_t layout, uint32_t first, uint32_t count);

// Takes over `count` rows that the caller has written at batch_at.
uint32_t ttzo_run_take(void *memory, uint32_t count);

// ---- work

// One training step on the rows of `region`.
uint32_t ttzo_run_step(void *memory, uint32_t region);

// Losses and hits of the first `count` rows of the batch.
uint32_t ttzo_run_evaluate(void *memory, uint32_t count);

// Squared errors of u, and squares of the exact u, over points first ... first + count - 1: rows of the batch, or the
// seeded points of TTZO_REGION_COLLOCATION.
uint32_t ttzo_run_solution_error(void *memory, uint32_t region, uint32_t first, uint32_t count);

// Outputs of row `row` of the batch, float32, to `out` at byte `at`.
uint32_t ttzo_run_predict(void *memory, uint32_t row, uint8_t *out, uint32_t out_bytes, uint32_t at);

// ---- saving

// Training state and settings to and from `bytes`: the message status_reply of the contract.
uint32_t ttzo_run_status(void *memory, uint8_t *bytes, uint32_t count);
uint32_t ttzo_run_restore(void *memory, const uint8_t *bytes, uint32_t count);

// ttzo_write and ttzo_commit.
uint32_t ttzo_run_write(void *memory, uint32_t region, uint32_t offset, const uint8_t *bytes, uint32_t count);
uint32_t ttzo_run_commit(void *memory, uint32_t region, uint32_t count, uint32_t crc);

// ---- the link

#if TTZO_HAS(LINK)

// Bytes of a link; 0 without the part `link`.
uint32_t ttzo_run_line_bytes(void);

// Begins a link under that board name in `line` (8-byte aligned), which stays in use until ttzo_run_hang_up.
uint32_t ttzo_run_listen(void *memory, void *line, uint32_t line_bytes, const char *board_name, uint32_t name_bytes);

// The link takes orders only from holders of a key from now on; with `reading_open` anybody may read. `secrets` is the key and
// as many random bytes for the challenges; neither is kept. TTZO_ERROR_NOT_BUILT_IN: this module has no part `key`.
uint32_t ttzo_run_lock(void *memory, const uint8_t *secrets, uint32_t count, uint32_t reading_open);

// Answers what has arrived; facts.left says whether the host has ended the serving.
uint32_t ttzo_run_poll(void *memory, ttzo_exchange receive, ttzo_exchange send);

// Ends the link: later work reports to nobody.
uint32_t ttzo_run_hang_up(void *memory);

#else

static inline uint32_t ttzo_run_line_bytes(void)
{
    return 0;
}

static inline uint32_t ttzo_run_listen(void *memory, void *line, uint32_t line_bytes, const char *board_name,
                                       uint32_t name_bytes)
{
    (void)memory, (void)line, (void)line_bytes, (void)board_name, (void)name_bytes;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline uint32_t ttzo_run_lock(void *memory, const uint8_t *secrets, uint32_t count, uint32_t reading_open)
{
    (void)memory, (void)secrets, (void)count, (void)reading_open;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline uint32_t ttzo_run_poll(void *memory, ttzo_exchange receive, ttzo_exchange send)
{
    (void)memory, (void)receive, (void)send;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline uint32_t ttzo_run_hang_up(void *memory)
{
    (void)memory;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
