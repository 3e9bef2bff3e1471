// SPDX-License-Identifier: MIT
#include "key/sha256.h"

// ---- one block ------------------------------------------------------------------------------------------------------

// First 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t round_constant[64] = {
    0x428A2F98u, 0x71374491u, 0xB5C0FBCFu, 0xE9B5DBA5u, 0x3956C25Bu, 0x59F111F1u, 0x923F82A4u, 0xAB1C5ED5u,
    0xD807AA98u, 0x12835B01u, 0x243185BEu, 0x550C7DC3u, 0x72BE5D74u, 0x80DEB1FEu, 0x9BDC06A7u, 0xC19BF174u,
    0xE49B69C1u, 0xEFBE4786u, 0x0FC19DC6u, 0x240CA1CCu, 0x2DE92C6Fu, 0x4A7484AAu, 0x5CB0A9DCu, 0x76F988DAu,
    0x983E5152u, 0xA831C66Du, 0xB00327C8u, 0xBF597FC7u, 0xC6E00BF3u, 0xD5A79147u, 0x06CA6351u, 0x14292967u,
    0x27B70A85u, 0x2E1B2138u, 0x4D2C6DFCu, 0x53380D13u, 0x650A7354u, 0x766A0ABBu, 0x81C2C92Eu, 0x92722C85u,
    0xA2BFE8A1u, 0xA81A664Bu, 0xC24B8B70u, 0xC76C51A3u, 0xD192E819u, 0xD6990624u, 0xF40E3585u, 0x106AA070u,
    0x19A4C116u, 0x1E376C08u, 0x2748774Cu, 0x34B0BCB5u, 0x391C0CB3u, 0x4ED8AA4Au, 0x5B9CCA4Fu, 0x682E6FF3u,
    0x748F82EEu, 0x78A5636Fu, 0x84C87814u, 0x8CC70208u, 0x90BEFFFAu, 0xA4506CEBu, 0xBEF9A3F7u, 0xC67178F2u,
};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_big_endian(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

// The next 16 words of the message schedule in place of the last.
static void next_words(uint32_t w[16])
{
    for (unsigned t = 0; t < 16; t++) {
        uint32_t a = w[(t + 1) % 16], b = w[(t + 14) % 16];
        uint32_t small_0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
        uint32_t small_1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
        w[t] += small_0 + w[(t + 9) % 16] + small_1;
    }
}

// 16 rounds on a..h = v[0..7]; the letters are the standard's.
static void rounds(uint32_t v[8], const uint32_t w[16], const uint32_t constants[16])
{
    uint32_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
    for (unsigned t = 0; t < 16; t++) {
        uint32_t first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + constants[t] + w[t];
        uint32_t second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
        h = g;
        g = f;
        f = e;
        e = d + first;
        d = c;
        c = b;
        b = a;
        a = first + second;
    }
    v[0] = a, v[1] = b, v[2] = c, v[3] = d, v[4] = e, v[5] = f, v[6] = g, v[7] = h;
}

static void take_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[16], v[8];
    for (unsigned i = 0; i < 16; i++)
        w[i] = big_endian(block + 4 * i);
    for (unsigned i = 0; i < 8; i++)
        v[i] = state[i];
    for (unsigned k = 0; k < 64; k += 16) {
        if (k)
            next_words(w);
        rounds(v, w, round_constant + k);
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += v[i];
}

// ---- messages -------------------------------------------------------------------------------------------------------

static void begin_from(struct ttzo_sha256 *hash, const uint32_t state[8], uint32_t count)
{
    for (unsigned i = 0; i < 8; i++)
        hash->state[i] = state[i];
    hash->count = count;
}

void ttzo_sha256_begin(struct ttzo_sha256 *hash)
{
    // first 32 bits of the fractional parts of the square roots of the first 8 primes
    static const uint32_t start[8] = { 0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,
                                       0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u };
    begin_from(hash, start, 0);
}

void ttzo_sha256_add(struct ttzo_sha256 *hash, const uint8_t *bytes, uint32_t count)
{
    while (count) {
        uint32_t filled = hash->count % 64, part = count < 64 - filled ? count : 64 - filled;
        for (uint32_t i = 0; i < part; i++)
            hash->block[filled + i] = bytes[i];
        hash->count += part;
        bytes += part;
        count -= part;
        if (filled + part == 64)
            take_block(hash->state, hash->block);
    }
}

void ttzo_sha256_end(struct ttzo_sha256 *hash, uint8_t out[TTZO_SHA256_BYTES])
{
    static const uint8_t padding[64] = { 0x80 };
    uint32_t count = hash->count;
    uint8_t bits[8] = { 0 }; // the message's length, big-endian
    put_big_endian(bits + 4, count << 3);
    ttzo_sha256_add(hash, padding, 64 - (count + 8) % 64);
    ttzo_sha256_add(hash, bits, 8);
    for (unsigned i = 0; i < 8; i++)
        put_big_endian(out + 4 * i, hash->state[i]);
}

// ---- keyed ----------------------------------------------------------------------------------------------------------

static void state_after(uint32_t state[8], const uint8_t *key, uint32_t count, uint8_t pad)
{
    struct ttzo_sha256 hash;
    ttzo_sha256_begin(&hash);
    for (uint32_t i = 0; i < 64; i++) {
        uint8_t byte = (uint8_t)((i < count ? key[i] : 0u) ^ pad);
        ttzo_sha256_add(&hash, &byte, 1);
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] = hash.state[i];
}

void ttzo_hmac_key(struct ttzo_hmac_key *key, const uint8_t *bytes, uint32_t count)
{
    state_after(key->inner, bytes, count, 0x36);
    state_after(key->outer, bytes, count, 0x5C);
}

void ttzo_hmac_begin(struct ttzo_sha256 *hash, const struct ttzo_hmac_key *key)
{
    begin_from(hash, key->inner, 64);
}

void ttzo_hmac_end(struct ttzo_sha256 *hash, const struct ttzo_hmac_key *key, uint8_t out[TTZO_SHA256_BYTES])
{
    uint8_t inner[TTZO_SHA256_BYTES];
    ttzo_sha256_end(hash, inner);
    begin_from(hash, key->outer, 64);
    ttzo_sha256_add(hash, inner, sizeof inner);
    ttzo_sha256_end(hash, out);
}
