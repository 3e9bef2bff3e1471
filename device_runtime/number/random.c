// SPDX-License-Identifier: MIT
#include "number/random.h"

#include "number/quotient.h"
#include "number/real.h"

// ---- Philox4x32-10 --------------------------------------------------------------------------------------------------

void ttzo_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4])
{
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0;
        uint64_t b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

// ---- directions -----------------------------------------------------------------------------------------------------

// Adds `scale` where the next bit is 1 and -scale where it is 0: bit i % 32 of word i / 32.
static void add_signs(float *out, const float *base, float scale, uint32_t n, const uint32_t words[4])
{
    uint32_t word = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i % 32u == 0)
            word = words[i / 32u];
        out[i] = base[i] + (word & 1u ? scale : -scale);
        word >>= 1;
    }
}

void ttzo_normal_pair(const uint32_t words[2], float normals[2])
{
    const float step = 1.0f / 16777216.0f;
    float u = (float)((words[0] >> 8) + 1u) * step; // (0, 1]
    float radius = ttzo_sqrt(-2.0f * ttzo_log(u));
    float sine, cosine;
    ttzo_sin_cos_turns((float)(words[1] >> 8) * step, &sine, &cosine);
    normals[0] = radius * cosine;
    normals[1] = radius * sine;
}

static void add_normals(float *out, const float *base, float scale, uint32_t n, const uint32_t words[4])
{
    float normals[4];
    ttzo_normal_pair(words, normals);
    if (n > 2)
        ttzo_normal_pair(words + 2, normals + 2);
    for (uint32_t i = 0; i < n; i++)
        out[i] = TTZO_MULADD(scale, normals[i], base[i]);
}

void ttzo_direction_add(float *out, const float *base, float scale, uint32_t n, enum ttzo_direction kind, uint64_t seed,
                        uint32_t step, uint32_t query)
{
    const uint32_t block_size = kind == TTZO_DIRECTION_GAUSSIAN ? 4u : 128u;
    uint32_t counter[4] = { 0, query, step, TTZO_STREAM_DIRECTION };
    uint32_t words[4];
    while (n > 0) {
        uint32_t count = n < block_size ? n : block_size;
        ttzo_philox(counter, seed, words);
        if (kind == TTZO_DIRECTION_GAUSSIAN)
            add_normals(out, base, scale, count, words);
        else
            add_signs(out, base, scale, count, words);
        counter[0]++;
        out += count;
        base += count;
        n -= count;
    }
}

// ---- sample order ---------------------------------------------------------------------------------------------------

// Bits of one half: twice as many hold every number below n.
static uint32_t half_bits(uint32_t n)
{
    uint32_t half = 1;
    while ((n - 1u) >> half >> half != 0)
        half++;
    return half;
}

uint32_t ttzo_sample_row(uint64_t seed, uint64_t position, uint32_t n)
{
    const uint32_t half = half_bits(n);
    const uint32_t mask = (1u << half) - 1u;
    uint32_t slot;
    const uint32_t epoch = ttzo_quotient(position, n, &slot);
    do { // a Feistel permutation of 2^(2 half) numbers, walked until it comes back below n
        uint32_t left = slot >> half;
        uint32_t right = slot & mask;
        for (uint32_t round = 0; round < 4; round++) {
            const uint32_t counter[4] = { right, round, epoch, TTZO_STREAM_SAMPLE_ORDER };
            uint32_t words[4];
            ttzo_philox(counter, seed, words);
            uint32_t mixed = left ^ (words[0] & mask);
            left = right;
            right = mixed;
        }
        slot = left << half | right;
    } while (slot >= n);
    return slot;
}
