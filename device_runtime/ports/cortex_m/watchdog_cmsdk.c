// SPDX-License-Identifier: MIT
// Arm's CMSDK watchdog (Cortex-M System Design Kit TRM, section 4.6), as on the MPS2 boards: the first end of its count
// asks for an interrupt, the second resets. Seen working in QEMU.
#include "serial.h"

#define WATCHDOG 0x40008000u
#define LOAD TTZO_REGISTER(WATCHDOG + 0x000u)
#define CONTROL TTZO_REGISTER(WATCHDOG + 0x008u) // bit 0: count, 1: reset
#define INTCLEAR TTZO_REGISTER(WATCHDOG + 0x00Cu)
#define LOCK TTZO_REGISTER(WATCHDOG + 0xC00u)

void ttzo_watchdog_start(void)
{
    LOCK = 0x1ACCE551u;
    LOAD = TTZO_CLOCK_HZ / 1000u / 2u * TTZO_WATCHDOG_MS; // counted down twice
    CONTROL = 3u;
    LOCK = 1u;
}

void ttzo_watchdog_feed(void)
{
    LOCK = 0x1ACCE551u;
    INTCLEAR = 1u; // and the count begins anew
    LOCK = 1u;
}
