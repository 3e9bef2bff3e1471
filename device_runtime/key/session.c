// SPDX-License-Identifier: MIT
#include "key/session.h"

static void copy(uint8_t *to, const uint8_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

// In a time that does not depend on where they differ.
static bool are_equal(const uint8_t *a, const uint8_t *b, uint32_t count)
{
    uint8_t difference = 0;
    for (uint32_t i = 0; i < count; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

// HMAC-SHA-256 of a letter and `count` bytes.
static void mac_of(const struct ttzo_hmac_key *key, char letter, const uint8_t *bytes, uint32_t count,
                   uint8_t out[TTZO_SHA256_BYTES])
{
    struct ttzo_sha256 hash;
    uint8_t first = (uint8_t)letter;
    ttzo_hmac_begin(&hash, key);
    ttzo_sha256_add(&hash, &first, 1);
    ttzo_sha256_add(&hash, bytes, count);
    ttzo_hmac_end(&hash, key, out);
}

// ---- beginning ------------------------------------------------------------------------------------------------------

void ttzo_session_lock(struct ttzo_session *session, const uint8_t secret[TTZO_KEY_BYTES], uint8_t access)
{
    ttzo_hmac_key(&session->key, secret, TTZO_KEY_BYTES);
    session->access = access;
}

void ttzo_session_stir(struct ttzo_session *session, uint32_t word)
{
    uint8_t *at = session->pool + session->stirred++ % 8 * 4;
    uint32_t old = ttzo_get_u32(at);
    ttzo_put_u32(at, (old << 5 | old >> 27) ^ word);
}

const uint8_t *ttzo_session_challenge(struct ttzo_session *session, bool same)
{
    if (session->access == TTZO_ACCESS_OPEN || (same && session->asked))
        return session->challenge;
    uint8_t mac[TTZO_SHA256_BYTES];
    mac_of(&session->key, 'P', session->pool, sizeof session->pool, mac);
    copy(session->pool, mac, sizeof mac); // nobody can tell the pool from the challenge, which is a hash of it
    mac_of(&session->key, 'C', session->pool, sizeof session->pool, mac);
    copy(session->challenge, mac, sizeof session->challenge);
    session->asked = true;
    return session->challenge;
}

enum ttzo_error ttzo_session_begin(struct ttzo_session *session, const struct ttzo_authenticate_request *request,
                                   uint32_t number, struct ttzo_authenticate_reply *reply)
{
    uint8_t words[2 * TTZO_CHALLENGE_BYTES + 8], mac[TTZO_SHA256_BYTES];
    struct ttzo_hmac_key key;
    if (session->access == TTZO_ACCESS_OPEN)
        return TTZO_ERROR_UNKNOWN_MESSAGE;
    if (!session->asked)
        return TTZO_ERROR_WRONG_KEY;
    session->asked = false;
    copy(words, session->challenge, TTZO_CHALLENGE_BYTES);
    copy(words + TTZO_CHALLENGE_BYTES, request->challenge, TTZO_CHALLENGE_BYTES);
    ttzo_put_u32(words + 2 * TTZO_CHALLENGE_BYTES, number);
    ttzo_put_u32(words + 2 * TTZO_CHALLENGE_BYTES + 4, TTZO_CONTRACT_HASH);
    mac_of(&session->key, 'S', words, sizeof words, mac);
    ttzo_hmac_key(&key, mac, sizeof mac);
    mac_of(&key, 'H', words, 0, mac);
    if (!are_equal(mac, request->proof, sizeof request->proof))
        return TTZO_ERROR_WRONG_KEY;
    session->running = key;
    session->runs = true;
    session->number = 0;
    mac_of(&key, 'D', words, 0, mac);
    copy(reply->proof, mac, sizeof reply->proof);
    return TTZO_ERROR_OK;
}

// ---- frames ---------------------------------------------------------------------------------------------------------

// Whether a frame's seal is one of the session that runs.
static bool is_ours(const struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes)
{
    uint8_t mac[TTZO_SHA256_BYTES];
    if (!session->runs || frame_bytes < 2 + TTZO_FRAME_SEAL_BYTES)
        return false;
    mac_of(&session->running, 'Q', frame, frame_bytes - TTZO_TAG_BYTES, mac);
    return are_equal(mac, frame + frame_bytes - TTZO_TAG_BYTES, TTZO_TAG_BYTES);
}

static uint32_t number_of(const uint8_t *frame, uint32_t frame_bytes)
{
    return ttzo_get_u32(frame + frame_bytes - TTZO_FRAME_SEAL_BYTES);
}

enum ttzo_seal_state ttzo_session_unseal(struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes)
{
    if (!is_ours(session, frame, frame_bytes))
        return TTZO_SEAL_BAD;
    const uint8_t *tag = frame + frame_bytes - TTZO_TAG_BYTES;
    uint32_t number = number_of(frame, frame_bytes);
    if (number == session->number && number && are_equal(tag, session->tag, TTZO_TAG_BYTES))
        return TTZO_SEAL_AGAIN;
    if (number <= session->number)
        return TTZO_SEAL_BAD;
    session->number = number;
    copy(session->tag, tag, TTZO_TAG_BYTES);
    return TTZO_SEAL_NEW;
}

bool ttzo_session_is_newer(const struct ttzo_session *session, const uint8_t *frame, uint32_t frame_bytes)
{
    return is_ours(session, frame, frame_bytes) && number_of(frame, frame_bytes) > session->number;
}

void ttzo_session_seal(const struct ttzo_session *session, uint8_t *frame, uint32_t frame_bytes)
{
    uint8_t mac[TTZO_SHA256_BYTES];
    ttzo_put_u32(frame + frame_bytes, session->number);
    mac_of(&session->running, 'R', frame, frame_bytes + 4, mac);
    copy(frame + frame_bytes + 4, mac, TTZO_TAG_BYTES);
}
