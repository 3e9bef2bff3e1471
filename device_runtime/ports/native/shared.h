// SPDX-License-Identifier: MIT
// What the threads of an estimate share (share_estimate.h).
#ifndef TTZO_NATIVE_SHARED_H
#define TTZO_NATIVE_SHARED_H
#include "train/estimator.h"

struct worker {
    struct ttzo_trainer *trainer; // of the first thread the run's own; of the others a copy
    struct ttzo_gradient_estimate estimate;
    float *base_losses; // [batch] of a copy
    uint32_t row;       // under way
    uint32_t section;   // of those that rows pass in order
};

// Coordinates that rows write to outside of their sections.
struct range {
    uint32_t first, end;
};

struct shared {
    uint32_t n;
    struct worker *workers; // [n]
    struct ttzo_trainer *run;
    const struct ttzo_rows *rows;
    const struct ttzo_phase *phase;
    uint32_t error;     // the first one
    uint32_t next, end; // rows or queries that no thread has taken yet
    // Rows that threads answer before their numbers are added up, from number `first` on; or queries.
    uint32_t first, kept_at_once;
    float *kept; // [kept_at_once][P] what each row adds to the gradient; or each query's direction
    // Of estimators that take the batch row by row.
    float *gradient;  // [P] of all rows
    float *losses;    // [batch]
    uint32_t *passed; // [batch] sections that a row has passed
    struct range ranges[TTZO_MAX_LAYERS];
    uint32_t n_ranges;
    // Of rge and cge_plain.
    struct ttzo_evaluations evaluations; // under way
    float *differences;                  // [batch] of the rows of the evaluation under way
};

extern struct shared ttzo_shared;

// The first error so far.
enum ttzo_error ttzo_shared_error(void);
void ttzo_shared_fail(enum ttzo_error error);

// Has all threads do `work`, which takes items from `first` to `end`: each the next one that none has taken yet.
void ttzo_share(uint32_t first, uint32_t end, void (*work)(uint32_t thread));
bool ttzo_take_next(uint32_t *item);

// The thread's share of `length` coordinates.
struct range ttzo_share_of(uint32_t length, uint32_t thread);

// What is kept [P] of a row, or of a query.
float *ttzo_kept_numbers(uint32_t number);

// Before a step: what of the run changes from step to step. The copies have their own losses at theta, or `base_losses`.
void ttzo_renew_copies(float *base_losses);

// After it: the copies' multiply-adds are the run's.
void ttzo_collect_macs(void);

// The estimate, by rows with all their queries or by whole evaluations of the loss.
enum ttzo_error ttzo_share_rows(float *loss, uint32_t *evaluations);
enum ttzo_error ttzo_share_evaluations(float *loss, uint32_t *evaluations);

#endif
