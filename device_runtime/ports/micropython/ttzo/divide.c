// SPDX-License-Identifier: MIT
// 64-bit division for a native module, whose code lies in the heap: 94 bytes where libgcc's has 760. The compiler calls it when
// it has compiled the rest as one program; the Makefile gives those calls these names. Other forms of the module take a library's.
#include <stdint.h>

uint64_t ttzo__udivdi3(uint64_t n, uint64_t d);
uint64_t ttzo__umoddi3(uint64_t n, uint64_t d);

// n / d, and in *rest n % d; d below 2^63. One bit at a time, of the lower half only where that holds all of n.
static __attribute__((used)) uint64_t divide(uint64_t n, uint64_t d, uint64_t *rest)
{
    uint64_t left = 0;
    uint32_t bits = 64;
    if (!(n >> 32)) {
        n <<= 32;
        bits = 32;
    }
    while (bits--) { // n's bits leave at its top, the quotient's come in below
        left = left << 1 | n >> 63;
        n <<= 1;
        if (left >= d) {
            left -= d;
            n |= 1;
        }
    }
    *rest = left;
    return n;
}

#ifdef __thumb__
// Arm's call: n in r0 and r1, d in r2 and r3; the quotient comes back in the first two, the rest in the others.
void ttzo__aeabi_uldivmod(void);

__attribute__((naked)) void ttzo__aeabi_uldivmod(void)
{
    __asm__("push {r4, lr}\n"
            "sub sp, #16\n"
            "add r4, sp, #8\n"
            "str r4, [sp]\n"
            "bl divide\n"
            "ldr r2, [sp, #8]\n"
            "ldr r3, [sp, #12]\n"
            "add sp, #16\n"
            "pop {r4, pc}\n");
}
#else
uint64_t ttzo__udivdi3(uint64_t n, uint64_t d)
{
    uint64_t rest;
    return divide(n, d, &rest);
}

uint64_t ttzo__umoddi3(uint64_t n, uint64_t d)
{
    uint64_t rest;
    divide(n, d, &rest);
    return rest;
}
#endif
