// SPDX-License-Identifier: MIT
#include "number/quotient.h"

uint32_t ttzo_quotient(uint64_t a, uint32_t n, uint32_t *rest)
{
    uint32_t high = (uint32_t)(a >> 32), low = (uint32_t)a, quotient = 0;
    uint64_t left = high % n;
    if (left == 0) { // as good as always
        *rest = low % n;
        return low / n;
    }
    for (uint32_t bit = 32; bit; bit--) {
        left = left << 1 | low >> 31;
        low <<= 1, quotient <<= 1;
        if (left >= n)
            left -= n, quotient |= 1;
    }
    *rest = (uint32_t)left;
    return quotient;
}
