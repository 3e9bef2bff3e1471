// SPDX-License-Identifier: MIT
#include "link/work.h"

// ---- while it goes on -----------------------------------------------------------------------------------------------

static uint64_t macs_done(const struct ttzo_link *link, uint32_t units)
{
    return link->macs_per_unit ? units * link->macs_per_unit : link->trainer->macs;
}

// A step counts its own multiply-accumulates: what one unit of it takes depends on the estimator, and on zeros.
static void begin_work(struct ttzo_link *link, uint64_t macs_per_unit)
{
    link->macs_per_unit = macs_per_unit;
    link->reported = macs_done(link, 0);
}

// Whether a frame that arrives during long work ends it.
static bool cancels(const struct ttzo_link *link, const struct ttzo_frame *frame)
{
    if (!ttzo_needs_key(link))
        return frame->code == TTZO_MESSAGE_CANCEL && frame->payload_bytes == 0;
    return frame->code == (TTZO_MESSAGE_CANCEL | TTZO_SEALED) && frame->payload_bytes == TTZO_FRAME_SEAL_BYTES &&
           ttzo_session_is_newer(&link->holder, frame->payload - 2, 2 + frame->payload_bytes);
}

// The trainer's hook between loss evaluations. Whatever arrives while work goes on is answered with PROGRESS under its
// own number: for a repetition of the running request that is its sign of life, for a newcomer it means "busy".
bool ttzo_while_working(void *context, uint32_t done, uint32_t total)
{
    struct ttzo_link *link = context;
    struct ttzo_frame frame;
    for (enum ttzo_arrival arrival = ttzo_receive(&link->line, &frame); arrival != TTZO_NOTHING;
         arrival = ttzo_receive(&link->line, &frame)) {
        if (arrival == TTZO_DAMAGED)
            ttzo_send_pair(&link->line, 0, TTZO_MESSAGE_ERROR, TTZO_ERROR_BAD_FRAME, 0);
        else if (cancels(link, &frame))
            return false;
        else
            ttzo_send_pair(&link->line, frame.sequence, TTZO_MESSAGE_PROGRESS, done, total);
    }
    if (macs_done(link, done) - link->reported >= TTZO_PROGRESS_MACS) {
        link->reported = macs_done(link, done);
        ttzo_send_pair(&link->line, link->sequence, TTZO_MESSAGE_PROGRESS, done, total);
    }
    return true;
}

// ---- requests -------------------------------------------------------------------------------------------------------

static bool holds_rows(uint8_t region)
{
    return region == TTZO_REGION_BATCH || region == TTZO_REGION_DATASET;
}

// Whether a model trains on the region: a PDE on points of its own, the others on rows.
static bool trains_on(const struct ttzo_trainer *trainer, uint8_t region)
{
    return ttzo_has_equation(trainer->model) ? region == TTZO_REGION_COLLOCATION
                                             : holds_rows(region) || region == TTZO_REGION_SPARSE;
}

enum ttzo_error ttzo_answer_step(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *detail)
{
    struct ttzo_trainer *trainer = link->trainer;
    struct ttzo_step_request request;
    struct ttzo_step_result result;
    ttzo_unpack_step_request(payload, &request);
    if (!trains_on(trainer, request.region))
        return ttzo_bad_field(4, detail);
    struct ttzo_step_reply *done = &link->done;
    if (done->step && done->step == trainer->state.step && request.step == done->step - 1) {
        ttzo_pack_step_reply(done, out);
        return TTZO_ERROR_OK;
    }
    if (request.step != trainer->state.step) {
        *detail = trainer->state.step;
        return TTZO_ERROR_WRONG_STEP;
    }
    begin_work(link, 0);
    enum ttzo_error error = ttzo_step(trainer, (enum ttzo_region)request.region, &result, detail);
    if (error)
        return error;
    *done = (struct ttzo_step_reply){ trainer->state.step,  result.phase,       result.loss,
                                      result.gradient_norm, result.evaluations, result.macs };
    ttzo_pack_step_reply(done, out);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_answer_evaluate(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *detail)
{
    struct ttzo_evaluate_request request;
    struct ttzo_evaluate_reply reply;
    ttzo_unpack_evaluate_request(payload, &request);
    if (!holds_rows(request.region))
        return ttzo_bad_field(0, detail);
    if (request.n_rows > TTZO_MAX_ROWS_ASKED)
        return ttzo_bad_field(5, detail);
    begin_work(link, link->trainer->macs_per_sample);
    enum ttzo_error error = ttzo_evaluate(link->trainer, (enum ttzo_region)request.region, request.first_row,
                                          request.n_rows, &reply.loss_sum, &reply.n_correct, detail);
    if (error)
        return error;
    ttzo_pack_evaluate_reply(&reply, out);
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_answer_solution_error(struct ttzo_link *link, const uint8_t *payload, uint8_t *out,
                                           uint32_t *detail)
{
    struct ttzo_solution_error_request request;
    struct ttzo_solution_error_reply reply;
    ttzo_unpack_solution_error_request(payload, &request);
    bool draws_points = request.region == TTZO_REGION_COLLOCATION && trains_on(link->trainer, request.region);
    if (!holds_rows(request.region) && !draws_points)
        return ttzo_bad_field(0, detail);
    if (request.n_rows > TTZO_MAX_ROWS_ASKED)
        return ttzo_bad_field(5, detail);
    if (!TTZO_HAS(EQUATIONS)) { // as ttzo_solution_error says of other models
        *detail = request.first_row;
        return TTZO_ERROR_BAD_REQUEST;
    }
    begin_work(link, link->trainer->macs_per_sample);
    enum ttzo_error error = ttzo_solution_error(link->trainer, (enum ttzo_region)request.region, request.first_row,
                                                request.n_rows, &reply.squared_error, &reply.squared_exact, detail);
    if (error)
        return error;
    ttzo_pack_solution_error_reply(&reply, out);
    return TTZO_ERROR_OK;
}
