// SPDX-License-Identifier: MIT
// Sessions with holders of a key: the challenge of HELLO, its answer, and the seals of frames.
//
// A session begins when AUTHENTICATE proves that the host has the key, and ends when another one begins. Each request
// carries a number, larger than all before in its session, and a tag over the frame; so does each answer. A frame of
// another session has another tag, and an old one has a number that has passed.
#ifndef TTZO_KEY_SESSION_H
#define TTZO_KEY_SESSION_H
#include <stdbool.h>

#include "key/sha256.h"
#include "model/parts.h"

// What a link knows of its key and of the session that runs. Fields belong to session.c.
struct ttzo_session {
#if TTZO_HAS(KEY)
    struct ttzo_hmac_key key;
    struct ttzo_hmac_key running; // the key of the session that runs
    uint8_t pool[TTZO_SHA256_BYTES];
    uint32_t stirred; // words that have gone into the pool
    uint8_t challenge[TTZO_CHALLENGE_BYTES];
    bool asked; // the challenge waits for its answer
    bool runs;
    uint8_t tag[TTZO_TAG_BYTES]; // of the last request that was taken
    uint32_t number;
#endif
    uint8_t access; // enum ttzo_access
};

// What ttzo_session_unseal found.
enum ttzo_seal_state { TTZO_SEAL_BAD, TTZO_SEAL_NEW, TTZO_SEAL_AGAIN };

#if TTZO_HAS(KEY)

// From now on the key is wanted. `secret` is not kept.
void ttzo_session_lock(struct ttzo_session *session, const uint8_t secret[TTZO_KEY_BYTES], uint8_t access);

// Mixes a number into the next challenges.
void ttzo_session_stir(struct ttzo_session *session, uint32_t word);

// The challenge for a HELLO; a new one unless `same` and the last one is not answered yet. The session that runs goes on.
const uint8_t *ttzo_session_challenge(struct ttzo_session *session, bool same);

// Begins a session if the proof is right; the challenge is used up in any case. `number` is HELLO's session.
enum ttzo_error ttzo_session_begin(struct ttzo_session *session, const struct ttzo_authenticate_request *request,
                                   uint32_t number, struct ttzo_authenticate_reply *reply);

// Looks at a request's seal. `frame` holds sequence, code and payload, `frame_bytes` in all, the seal at its end.
// AGAIN: it is the last one that was taken, byte for byte.
enum ttzo_seal_state ttzo_session_unseal(struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes);

// Whether the seal is right and newer than that of the last request that was taken, which stays the last.
bool ttzo_session_is_newer(const struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes);

// Puts the seal of an answer to the last request behind `frame`, whose sequence and code are set.
void ttzo_session_seal(const struct ttzo_session *session, uint8_t *frame, uint32_t frame_bytes);

#else

static inline const uint8_t *ttzo_session_challenge(struct ttzo_session *session, bool same)
{
    static const uint8_t none[TTZO_CHALLENGE_BYTES] = { 0 };
    (void)session;
    (void)same;
    return none;
}

static inline enum ttzo_error ttzo_session_begin(struct ttzo_session *session,
                                                 const struct ttzo_authenticate_request *request, uint32_t number,
                                                 struct ttzo_authenticate_reply *reply)
{
    (void)session;
    (void)request;
    (void)number;
    (void)reply;
    return TTZO_ERROR_UNKNOWN_MESSAGE;
}

static inline enum ttzo_seal_state ttzo_session_unseal(struct ttzo_session *session, const uint8_t *frame,
                                                       uint32_t frame_bytes)
{
    (void)session;
    (void)frame;
    (void)frame_bytes;
    return TTZO_SEAL_BAD;
}

static inline bool ttzo_session_is_newer(const struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes)
{
    (void)session;
    (void)frame;
    (void)frame_bytes;
    return false;
}

static inline void ttzo_session_seal(const struct ttzo_session *session, uint8_t *frame, uint32_t frame_bytes)
{
    (void)session;
    (void)frame;
    (void)frame_bytes;
}

#endif
#endif
