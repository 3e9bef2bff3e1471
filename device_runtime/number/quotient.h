// SPDX-License-Identifier: MIT
// Division of 64-bit numbers without the compiler's library, whose code is large on a microcontroller.
#ifndef TTZO_QUOTIENT_H
#define TTZO_QUOTIENT_H
#include <stdint.h>

// The low 32 bits of a / n, and a % n in `rest`; n > 0.
uint32_t ttzo_quotient(uint64_t a, uint32_t n, uint32_t *rest);

#endif
