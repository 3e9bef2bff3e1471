// SPDX-License-Identifier: MIT
// Counter-based noise: every number is a function of (seed, what it is for), so that nothing need be stored and any
// part can be made again. Host twin: host_tools/reference/number/random.py.
#ifndef TTZO_RANDOM_H
#define TTZO_RANDOM_H
#include <stdint.h>

#include "contract/ttzo_contract.h"

// Philox4x32-10 (Salmon et al. 2011): 128 random bits for each counter; the key's low word is the first.
void ttzo_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4]);

// Two N(0, 1) numbers of two words of noise (Box-Muller).
void ttzo_normal_pair(const uint32_t words[2], float normals[2]);

// out[i] = base[i] + scale v_i (one multiply-add), i < n, where v is direction number `query` of step `step`: made on
// the fly, never stored. `out` may be `base`. Cost: one Philox call for 128 Rademacher or 4 Gaussian coordinates.
void ttzo_direction_add(float *out, const float *base, float scale, uint32_t n, enum ttzo_direction kind, uint64_t seed,
                        uint32_t step, uint32_t query);

// Which of n >= 1 rows is sample number `position`, counted from the start of training: positions e n ... e n + n - 1
// are a permutation of the rows, a new one in each epoch e (of the first 2^32). Cost: 4 Philox calls a try, fewer than
// 4 tries on average.
uint32_t ttzo_sample_row(uint64_t seed, uint64_t position, uint32_t n);

#endif
