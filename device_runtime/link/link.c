// SPDX-License-Identifier: MIT
// Requests and answers. Nothing that arrives is trusted: a frame counts when COBS, length and CRC-32 are right, a
// request when its length and fields are; anything else gets a named error and changes nothing.
#include "link/link.h"

#include "link/work.h"

// ---- requests: each reads its fields, calls the trainer and puts the reply into `out` -------------------------------

// Bytes that a reply may have before its seal.
static uint32_t reply_room(const struct ttzo_link *link)
{
    return link->line.port.payload_bytes - (link->sealed ? TTZO_FRAME_SEAL_BYTES : 0u);
}

// Kept out of ttzo_link_poll, as two more below: what they need must not lie on the stack below a step.
__attribute__((noinline)) static void answer_hello(struct ttzo_link *link, bool same, uint8_t *out)
{
    const struct ttzo_trainer *trainer = link->trainer;
    const uint8_t *challenge = ttzo_session_challenge(&link->holder, same);
    struct ttzo_hello_reply reply = { .contract_hash = TTZO_CONTRACT_HASH,
                                      .hello_hash = TTZO_MESSAGE_HASH_HELLO,
                                      .leave_hash = TTZO_MESSAGE_HASH_LEAVE,
                                      .payload_bytes = link->line.port.payload_bytes,
                                      .access = link->holder.access };
    reply.session_before = link->asked_session == link->session ? link->session_before : link->session;
    for (uint32_t i = 0; i < TTZO_CHALLENGE_BYTES; i++)
        reply.challenge[i] = challenge[i];
    for (uint32_t i = 0; i < TTZO_BOARD_NAME_BYTES && link->board_name[i]; i++)
        reply.board[i] = (uint8_t)link->board_name[i];
    if (!link->model_error) {
        for (uint32_t i = 0; i < TTZO_HASH_BYTES; i++)
            reply.model_hash[i] = trainer->model->hash[i];
        reply.n_parameters = trainer->model->info.n_parameters;
        reply.n_moments = trainer->n_moments;
        reply.row_bytes = trainer->row_bytes;
        reply.batch = trainer->model->info.batch;
        reply.dataset_capacity = trainer->dataset.capacity;
        reply.macs_per_sample = trainer->macs_per_sample;
        reply.work_bytes = trainer->work_bytes;
        reply.work_capacity = trainer->work_capacity;
        reply.sparse_capacity = trainer->sparse.capacity;
    }
    ttzo_pack_hello_reply(&reply, out);
}

// The host of the last HELLO is the one that uses the device from now on.
static void take_session(struct ttzo_link *link)
{
    if (link->asked_session != link->session) { // else it is the same HELLO again
        link->session_before = link->session;
        link->session = link->asked_session;
    }
}

// Whose host it is; whether it has asked before. One of another contract is answered LEAVE too, if its HELLO says that both messages are ours.
static bool hear_hello(struct ttzo_link *link, const uint8_t *payload, uint32_t payload_bytes)
{
    struct ttzo_hello_request request = { 0 };
    link->foreign = ttzo_get_u32(payload) != TTZO_CONTRACT_HASH;
    if (payload_bytes >= TTZO_HELLO_REQUEST_BYTES)
        ttzo_unpack_hello_request(payload, &request);
    bool same = request.session == link->asked_session;
    link->asked_session = request.session;
    if (!ttzo_needs_key(link))
        take_session(link);
    link->foreign_leave = link->foreign && (request.hello_hash != TTZO_MESSAGE_HASH_HELLO ||
                                            request.leave_hash != TTZO_MESSAGE_HASH_LEAVE);
    return same;
}

static enum ttzo_error authenticate(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *out_bytes)
{
    struct ttzo_authenticate_request request;
    struct ttzo_authenticate_reply reply;
    ttzo_unpack_authenticate_request(payload, &request);
    enum ttzo_error error = ttzo_session_begin(&link->holder, &request, link->asked_session, &reply);
    if (error)
        return error;
    take_session(link);
    ttzo_pack_authenticate_reply(&reply, out);
    *out_bytes = TTZO_AUTHENTICATE_REPLY_BYTES;
    return TTZO_ERROR_OK;
}

__attribute__((noinline)) static void answer_status(const struct ttzo_trainer *trainer, uint8_t *out)
{
    struct ttzo_status_reply reply = { trainer->state, trainer->training, trainer->phases[0], trainer->phases[1] };
    ttzo_pack_status_reply(&reply, out);
}

__attribute__((noinline)) static enum ttzo_error configure(struct ttzo_trainer *trainer, const uint8_t *payload,
                                                           uint32_t *detail)
{
    struct ttzo_training training; // configure_request, its two phases as an array: no second copy on the stack
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    ttzo_unpack_training(payload, &training);
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
        ttzo_unpack_phase(payload + TTZO_TRAINING_BYTES + p * TTZO_PHASE_BYTES, &phases[p]);
    return ttzo_configure(trainer, &training, phases, detail);
}

static enum ttzo_error set_state(struct ttzo_trainer *trainer, const uint8_t *payload, uint32_t *detail)
{
    struct ttzo_set_state_request request;
    ttzo_unpack_set_state_request(payload, &request);
    return ttzo_set_state(trainer, &request.state, detail);
}

// CRC-32 of a whole region, given the piece of it [offset, offset + count) at `bytes`; 0 unless the piece is its end.
static uint32_t checksum_at_the_end(const struct ttzo_trainer *trainer, const struct ttzo_read_request *piece,
                                    const uint8_t *bytes)
{
    bool parameters = piece->region == TTZO_REGION_PARAMETERS;
    uint32_t size = 4 * (parameters ? trainer->model->info.n_parameters : trainer->n_moments);
    return piece->offset + piece->count == size ? ttzo_crc32(0, bytes - piece->offset, size) : 0;
}

static enum ttzo_error read(const struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *out_bytes,
                            uint32_t *detail)
{
    const struct ttzo_trainer *trainer = link->trainer;
    struct ttzo_read_request request;
    const uint8_t *bytes;
    ttzo_unpack_read_request(payload, &request);
    if (request.region > TTZO_REGION_MOMENTS)
        return ttzo_bad_field(0, detail);
    if (request.count > reply_room(link) - TTZO_READ_REPLY_BYTES)
        return ttzo_bad_field(5, detail);
    enum ttzo_error error =
        ttzo_read(trainer, (enum ttzo_region)request.region, request.offset, request.count, &bytes, detail);
    if (error)
        return error;
    struct ttzo_read_reply reply = { checksum_at_the_end(trainer, &request, bytes) };
    ttzo_pack_read_reply(&reply, out);
    for (uint32_t i = 0; i < request.count; i++)
        out[TTZO_READ_REPLY_BYTES + i] = bytes[i];
    *out_bytes = TTZO_READ_REPLY_BYTES + request.count;
    return TTZO_ERROR_OK;
}

static bool is_writable(uint8_t region)
{
    return region <= TTZO_REGION_DATASET || region == TTZO_REGION_SPARSE;
}

static enum ttzo_error write(struct ttzo_trainer *trainer, const uint8_t *payload, uint32_t payload_bytes,
                             uint32_t *detail)
{
    struct ttzo_write_request request;
    ttzo_unpack_write_request(payload, &request);
    if (!is_writable(request.region))
        return ttzo_bad_field(0, detail);
    return ttzo_write(trainer, (enum ttzo_region)request.region, request.offset, payload + TTZO_WRITE_REQUEST_BYTES,
                      payload_bytes - TTZO_WRITE_REQUEST_BYTES, detail);
}

#if TTZO_HAS(PACKING)

static enum ttzo_error write_packed(struct ttzo_trainer *trainer, const uint8_t *payload, uint32_t payload_bytes,
                                    uint32_t *detail)
{
    struct ttzo_write_packed_request request;
    ttzo_unpack_write_packed_request(payload, &request);
    if (request.region != TTZO_REGION_BATCH && request.region != TTZO_REGION_DATASET)
        return ttzo_bad_field(0, detail);
    return ttzo_write_packed(trainer, (enum ttzo_region)request.region, request.offset, request.count,
                             payload + TTZO_WRITE_PACKED_REQUEST_BYTES, payload_bytes - TTZO_WRITE_PACKED_REQUEST_BYTES,
                             detail);
}

#endif

static bool lacks_packing(const struct ttzo_link *link, uint8_t code)
{
    return code == TTZO_MESSAGE_WRITE_PACKED && !link->model_error && !link->trainer->model->rows.packing;
}

static enum ttzo_error commit(struct ttzo_trainer *trainer, const uint8_t *payload, uint32_t *detail)
{
    struct ttzo_commit_request request;
    ttzo_unpack_commit_request(payload, &request);
    if (!is_writable(request.region))
        return ttzo_bad_field(0, detail);
    return ttzo_commit(trainer, (enum ttzo_region)request.region, request.count, request.crc, detail);
}

static enum ttzo_error predict(const struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *out_bytes,
                               uint32_t *detail)
{
    struct ttzo_trainer *trainer = link->trainer;
    struct ttzo_predict_request request;
    const float *outputs;
    uint32_t n = trainer->model->info.out_features, most = reply_room(link) / 4;
    ttzo_unpack_predict_request(payload, &request);
    if (request.first >= n) {
        *detail = request.first;
        return TTZO_ERROR_OUT_OF_RANGE;
    }
    n = n - request.first < most ? n - request.first : most;
    enum ttzo_error error = ttzo_predict(trainer, request.row, &outputs, detail);
    if (error)
        return error;
    for (uint32_t i = 0; i < n; i++)
        ttzo_put_f32(out + 4 * i, outputs[request.first + i]);
    *out_bytes = 4 * n;
    return TTZO_ERROR_OK;
}

#if TTZO_HAS(STORAGE)

// A sign of life comes first: erasing may stop the core for seconds.
static enum ttzo_error keep(struct ttzo_link *link, const uint8_t *payload, uint8_t *out, uint32_t *detail)
{
    struct ttzo_keep_request request;
    ttzo_unpack_keep_request(payload, &request);
    ttzo_send_pair(&link->line, link->sequence, TTZO_MESSAGE_PROGRESS, 0, 1);
    enum ttzo_error error = ttzo_keep(link->storage, request.run, detail);
    struct ttzo_keep_reply reply = { link->storage->generation };
    ttzo_pack_keep_reply(&reply, out);
    return error;
}

static void restore(struct ttzo_link *link, uint8_t *out)
{
    struct ttzo_storage *storage = link->storage;
    ttzo_restore(storage);
    struct ttzo_restore_reply reply = { storage->generation, storage->run, storage->slots.rated_erases };
    ttzo_pack_restore_reply(&reply, out);
}

void ttzo_link_lend_storage(struct ttzo_link *link, struct ttzo_storage *storage)
{
    link->storage = storage;
}

static bool lacks_storage(const struct ttzo_link *link, uint8_t code)
{
    return !link->storage && (code == TTZO_MESSAGE_KEEP || code == TTZO_MESSAGE_RESTORE);
}

#else

static bool lacks_storage(const struct ttzo_link *link, uint8_t code)
{
    (void)link, (void)code;
    return false;
}

#endif

// ---- dispatch -------------------------------------------------------------------------------------------------------

#define NO_REQUEST UINT32_MAX

// Bytes of a request's fixed fields; NO_REQUEST for a code that this device does not know.
static uint32_t fixed_bytes(uint8_t code)
{
    switch (code) {
    case TTZO_MESSAGE_HELLO: return 4; // of any contract, whose hash comes first
    case TTZO_MESSAGE_CONFIGURE: return TTZO_CONFIGURE_REQUEST_BYTES;
    case TTZO_MESSAGE_READ: return TTZO_READ_REQUEST_BYTES;
    case TTZO_MESSAGE_WRITE: return TTZO_WRITE_REQUEST_BYTES;
    case TTZO_MESSAGE_COMMIT: return TTZO_COMMIT_REQUEST_BYTES;
    case TTZO_MESSAGE_SET_STATE: return TTZO_SET_STATE_REQUEST_BYTES;
    case TTZO_MESSAGE_STEP: return TTZO_STEP_REQUEST_BYTES;
    case TTZO_MESSAGE_EVALUATE: return TTZO_EVALUATE_REQUEST_BYTES;
    case TTZO_MESSAGE_PREDICT: return TTZO_PREDICT_REQUEST_BYTES;
    case TTZO_MESSAGE_SOLUTION_ERROR: return TTZO_SOLUTION_ERROR_REQUEST_BYTES;
    case TTZO_MESSAGE_AUTHENTICATE: return TTZO_AUTHENTICATE_REQUEST_BYTES;
#if TTZO_HAS(PACKING)
    case TTZO_MESSAGE_WRITE_PACKED: return TTZO_WRITE_PACKED_REQUEST_BYTES;
#endif
#if TTZO_HAS(STORAGE)
    case TTZO_MESSAGE_KEEP: return TTZO_KEEP_REQUEST_BYTES;
    case TTZO_MESSAGE_RESTORE: return 0;
#endif
    case TTZO_MESSAGE_STATUS:
    case TTZO_MESSAGE_RESET:
    case TTZO_MESSAGE_LEAVE:
    case TTZO_MESSAGE_CANCEL: return 0;
    default: return NO_REQUEST;
    }
}

// What stands against carrying out the request at all.
static enum ttzo_error refusal(const struct ttzo_link *link, const struct ttzo_frame *frame, uint32_t *detail)
{
    uint8_t code = frame->code;
    uint32_t fixed = fixed_bytes(code);
    bool has_tail = code == TTZO_MESSAGE_WRITE || code == TTZO_MESSAGE_WRITE_PACKED || code == TTZO_MESSAGE_HELLO;
    *detail = code;
    if (fixed == NO_REQUEST)
        return TTZO_ERROR_UNKNOWN_MESSAGE;
    *detail = frame->payload_bytes;
    if (frame->payload_bytes < fixed || (frame->payload_bytes > fixed && !has_tail))
        return TTZO_ERROR_BAD_REQUEST;
    *detail = 0;
    if (code == TTZO_MESSAGE_HELLO)
        return TTZO_ERROR_OK;
    if (code == TTZO_MESSAGE_LEAVE && !link->foreign_leave)
        return TTZO_ERROR_OK;
    if (link->foreign && !link->sealed) // the key of a session is one of the contract
        return TTZO_ERROR_BAD_CONTRACT;
    if (code == TTZO_MESSAGE_AUTHENTICATE && ttzo_needs_key(link))
        return TTZO_ERROR_OK;
    *detail = link->model_detail;
    bool is_known = !lacks_storage(link, code) && !lacks_packing(link, code) && code != TTZO_MESSAGE_AUTHENTICATE;
    if (link->model_error || is_known)
        return link->model_error;
    *detail = code;
    return TTZO_ERROR_UNKNOWN_MESSAGE;
}

static enum ttzo_error carry_out(struct ttzo_link *link, const struct ttzo_frame *frame, uint8_t *out,
                                 uint32_t *out_bytes, uint32_t *detail)
{
    struct ttzo_trainer *trainer = link->trainer;
    const uint8_t *payload = frame->payload;
    enum ttzo_error error = refusal(link, frame, detail);
    *out_bytes = 0;
    if (error)
        return error;
    if (frame->code == TTZO_MESSAGE_COMMIT || frame->code == TTZO_MESSAGE_SET_STATE ||
        frame->code == TTZO_MESSAGE_RESET || (TTZO_HAS(STORAGE) && frame->code == TTZO_MESSAGE_RESTORE))
        link->done.step = 0;
    switch ((enum ttzo_message)frame->code) {
    case TTZO_MESSAGE_HELLO:
        *out_bytes = TTZO_HELLO_REPLY_BYTES;
        answer_hello(link, hear_hello(link, payload, frame->payload_bytes), out);
        break;
    case TTZO_MESSAGE_AUTHENTICATE: return authenticate(link, payload, out, out_bytes);
    case TTZO_MESSAGE_STATUS:
        *out_bytes = TTZO_STATUS_REPLY_BYTES;
        answer_status(trainer, out);
        break;
    case TTZO_MESSAGE_STEP: *out_bytes = TTZO_STEP_REPLY_BYTES; return ttzo_answer_step(link, payload, out, detail);
    case TTZO_MESSAGE_EVALUATE:
        *out_bytes = TTZO_EVALUATE_REPLY_BYTES;
        return ttzo_answer_evaluate(link, payload, out, detail);
    case TTZO_MESSAGE_SOLUTION_ERROR:
        *out_bytes = TTZO_SOLUTION_ERROR_REPLY_BYTES;
        return ttzo_answer_solution_error(link, payload, out, detail);
    case TTZO_MESSAGE_READ: return read(link, payload, out, out_bytes, detail);
    case TTZO_MESSAGE_PREDICT: return predict(link, payload, out, out_bytes, detail);
    case TTZO_MESSAGE_WRITE: return write(trainer, payload, frame->payload_bytes, detail);
#if TTZO_HAS(PACKING)
    case TTZO_MESSAGE_WRITE_PACKED: return write_packed(trainer, payload, frame->payload_bytes, detail);
#else
    case TTZO_MESSAGE_WRITE_PACKED: break; // refused above
#endif
    case TTZO_MESSAGE_COMMIT: return commit(trainer, payload, detail);
    case TTZO_MESSAGE_CONFIGURE: return configure(trainer, payload, detail);
    case TTZO_MESSAGE_SET_STATE: return set_state(trainer, payload, detail);
    case TTZO_MESSAGE_RESET: ttzo_reset(trainer); break;
    case TTZO_MESSAGE_LEAVE: link->left = true; break;
#if TTZO_HAS(STORAGE)
    case TTZO_MESSAGE_KEEP: *out_bytes = TTZO_KEEP_REPLY_BYTES; return keep(link, payload, out, detail);
    case TTZO_MESSAGE_RESTORE:
        *out_bytes = TTZO_RESTORE_REPLY_BYTES;
        restore(link, out);
        break;
#else
    case TTZO_MESSAGE_KEEP:
    case TTZO_MESSAGE_RESTORE: break; // refused above
#endif
    case TTZO_MESSAGE_CANCEL: break; // nothing is under way
    case TTZO_MESSAGE_PROGRESS:
    case TTZO_MESSAGE_ERROR: break; // refused above
    }
    return TTZO_ERROR_OK;
}

// Whether a request is the last one again. `refused`: it comes from nobody who may ask for it.
static bool is_repeated(struct ttzo_link *link, struct ttzo_frame *frame, bool *sealed, enum ttzo_error *refused)
{
    *refused = TTZO_ERROR_OK;
    *sealed = ttzo_needs_key(link) && (frame->code & TTZO_SEALED);
    if (*sealed) {
        enum ttzo_seal_state seal = ttzo_session_unseal(&link->holder, frame->payload - 2, 2 + frame->payload_bytes);
        bool again = seal == TTZO_SEAL_AGAIN && link->answered && link->sealed;
        if (seal != TTZO_SEAL_NEW && !again) {
            *refused = TTZO_ERROR_BAD_SEAL;
            return false;
        }
        frame->code &= (uint8_t)~TTZO_SEALED;
        frame->payload_bytes -= TTZO_FRAME_SEAL_BYTES;
        return again;
    }
    bool reads = frame->code == TTZO_MESSAGE_STATUS || frame->code == TTZO_MESSAGE_READ;
    bool greets = frame->code == TTZO_MESSAGE_HELLO || frame->code == TTZO_MESSAGE_AUTHENTICATE;
    if (ttzo_needs_key(link) && !greets && !(reads && link->holder.access == TTZO_ACCESS_READING))
        *refused = TTZO_ERROR_LOCKED;
    return link->answered && !link->sealed && frame->sequence == link->sequence && frame->crc == link->crc;
}

static void carry_out_and_seal(struct ttzo_link *link, const struct ttzo_frame *frame)
{
    uint8_t code = frame->code;
    uint8_t *out = ttzo_payload(&link->line);
    uint32_t out_bytes, detail = 0;
    link->answered = false;
    link->sequence = frame->sequence;
    link->crc = frame->crc;
    enum ttzo_error error = carry_out(link, frame, out, &out_bytes, &detail);
    if (error) {
        code = TTZO_MESSAGE_ERROR;
        out_bytes = TTZO_ERROR_REPLY_BYTES;
        ttzo_put_u32(out, (uint32_t)error);
        ttzo_put_u32(out + 4, detail);
    }
    if (link->sealed) {
        code |= TTZO_SEALED;
        out[-2] = link->sequence;
        out[-1] = code;
        ttzo_session_seal(&link->holder, out - 2, 2 + out_bytes);
        out_bytes += TTZO_FRAME_SEAL_BYTES;
    }
    ttzo_seal(&link->line, link->sequence, code, out_bytes);
    link->answered = frame->code != TTZO_MESSAGE_HELLO; // which begins anew: what came before it is not answered again
}

// Answers a request: from store when it is the last one again, otherwise by carrying it out. A refusal for want of the key
// leaves the stored answer as it is.
static void answer(struct ttzo_link *link, struct ttzo_frame *frame)
{
    enum ttzo_error refused;
    bool sealed;
    bool again = is_repeated(link, frame, &sealed, &refused);
    if (refused) {
        ttzo_send_pair(&link->line, frame->sequence, TTZO_MESSAGE_ERROR, (uint32_t)refused, 0);
        return;
    }
    if (!again) {
        link->sealed = sealed;
        carry_out_and_seal(link, frame);
    }
    ttzo_send(&link->line);
}

enum ttzo_error ttzo_link_init(struct ttzo_link *link, const struct ttzo_port *port, struct ttzo_trainer *trainer,
                               const char *board_name, enum ttzo_error error, uint32_t detail)
{
    if (!link || !port || !port->read || !port->write || !port->buffer || !board_name || (!error && !trainer))
        return TTZO_ERROR_NULL_POINTER;
    if (port->payload_bytes < TTZO_MIN_PAYLOAD || port->payload_bytes > TTZO_MAX_PAYLOAD)
        return TTZO_ERROR_OUT_OF_RANGE;
    ttzo_line_init(&link->line, port);
    link->trainer = trainer;
    link->board_name = board_name;
    link->model_error = error;
    link->model_detail = detail;
    link->left = link->foreign = false;
    link->session = link->session_before = link->asked_session = link->done.step = 0;
    link->answered = link->sealed = false;
    link->holder = (struct ttzo_session){ .access = TTZO_ACCESS_OPEN };
#if TTZO_HAS(STORAGE)
    link->storage = NULL;
#endif
    if (!error) {
        trainer->poll = ttzo_while_working;
        trainer->poll_context = link;
    }
    return TTZO_ERROR_OK;
}

enum ttzo_error ttzo_link_lock(struct ttzo_link *link, const uint8_t secret[TTZO_KEY_BYTES], bool reading_open)
{
#if TTZO_HAS(KEY)
    ttzo_session_lock(&link->holder, secret, reading_open ? TTZO_ACCESS_READING : TTZO_ACCESS_KEYED);
    return TTZO_ERROR_OK;
#else
    (void)link;
    (void)secret;
    (void)reading_open;
    return TTZO_ERROR_NOT_BUILT_IN;
#endif
}

void ttzo_link_stir(struct ttzo_link *link, uint32_t word)
{
#if TTZO_HAS(KEY)
    ttzo_session_stir(&link->holder, word);
#else
    (void)link;
    (void)word;
#endif
}

void ttzo_link_poll(struct ttzo_link *link)
{
    struct ttzo_frame frame;
    for (enum ttzo_arrival arrival = ttzo_receive(&link->line, &frame); arrival != TTZO_NOTHING;
         arrival = ttzo_receive(&link->line, &frame)) {
        if (arrival == TTZO_DAMAGED)
            ttzo_send_pair(&link->line, 0, TTZO_MESSAGE_ERROR, TTZO_ERROR_BAD_FRAME, 0);
        else
            answer(link, &frame);
    }
}
