// SPDX-License-Identifier: MIT
// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), for short messages on small cores.
#ifndef TTZO_KEY_SHA256_H
#define TTZO_KEY_SHA256_H
#include <stdint.h>

#define TTZO_SHA256_BYTES 32u

// A message that is being hashed, piece by piece.
struct ttzo_sha256 {
    uint32_t state[8];
    uint32_t count; // bytes so far, less than 2^29
    uint8_t block[64];
};

// What an HMAC needs of its key: the states after the key's inner and outer block.
struct ttzo_hmac_key {
    uint32_t inner[8];
    uint32_t outer[8];
};

void ttzo_sha256_begin(struct ttzo_sha256 *hash);
void ttzo_sha256_add(struct ttzo_sha256 *hash, const uint8_t *bytes, uint32_t count);
void ttzo_sha256_end(struct ttzo_sha256 *hash, uint8_t out[TTZO_SHA256_BYTES]);

// `count` is at most 64: longer keys would have to be hashed first, and there are none.
void ttzo_hmac_key(struct ttzo_hmac_key *key, const uint8_t *bytes, uint32_t count);

// begin, then ttzo_sha256_add for each piece of the message, then end.
void ttzo_hmac_begin(struct ttzo_sha256 *hash, const struct ttzo_hmac_key *key);
void ttzo_hmac_end(struct ttzo_sha256 *hash, const struct ttzo_hmac_key *key, uint8_t out[TTZO_SHA256_BYTES]);

#endif
