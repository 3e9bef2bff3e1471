// SPDX-License-Identifier: MIT
// Unforeseeable numbers of a core without a random generator: when bytes arrive, in cycles of the core (mcycle). Somebody
// who can time bytes to a cycle can foresee them.
#include "core.h"

void ttzo_random_stir(struct ttzo_link *link)
{
    uint32_t cycles;
    __asm volatile(".option push\n .option arch, +zicsr\n csrr %0, mcycle\n .option pop" : "=r"(cycles));
    ttzo_link_stir(link, cycles);
}
