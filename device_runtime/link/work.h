// SPDX-License-Identifier: MIT
// The requests that take long: steps and evaluations, and what the link does while they go on.
#ifndef TTZO_LINK_WORK_H
#define TTZO_LINK_WORK_H
#include "link/link_state.h"

static inline bool ttzo_needs_key(const struct ttzo_link *link)
{
    return TTZO_HAS(KEY) && link->holder.access != TTZO_ACCESS_OPEN;
}

// A field out of range; `detail` is its place in the payload.
static inline enum ttzo_error ttzo_bad_field(uint32_t at, uint32_t *detail)
{
    *detail = at;
    return TTZO_ERROR_BAD_REQUEST;
}

// The trainer's hook between loss evaluations; `context` is the link. False when the work is to end.
bool ttzo_while_working(void *context, uint32_t done, uint32_t total);

// Each reads the request's fields at `payload`, does the work and puts the reply's into `out`.
enum ttzo_error ttzo_answer_step(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *detail);
enum ttzo_error ttzo_answer_evaluate(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *detail);
enum ttzo_error ttzo_answer_solution_error(struct ttzo_link *link, const uint8_t *payload, uint8_t *out,
                                           uint32_t *detail);

#endif
