// SPDX-License-Identifier: MIT
// Unforeseeable numbers of a core without a random generator: when bytes arrive, in cycles of the core (SysTick). Somebody
// who can time bytes to a cycle can foresee them.
#include "serial.h"

#define SYST_CSR TTZO_REGISTER(0xE000E010u)
#define SYST_RVR TTZO_REGISTER(0xE000E014u)
#define SYST_CVR TTZO_REGISTER(0xE000E018u)

void ttzo_random_stir(struct ttzo_link *link)
{
    if (!(SYST_CSR & 1u)) {
        SYST_RVR = 0xFFFFFFu;
        SYST_CSR = 5u; // counts the core's cycles, without an interrupt
    }
    ttzo_link_stir(link, SYST_CVR);
}
