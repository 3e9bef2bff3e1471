// SPDX-License-Identifier: MIT
// The nRF51's watchdog (reference manual 3.0, chapter 24), counting also while the core sleeps or a debugger holds it.
// NOT RUN: QEMU does not model it.
#include "serial.h"

#define START TTZO_REGISTER(0x40010000u)
#define RELOAD_VALUE TTZO_REGISTER(0x40010504u) // of a clock of 32,768 Hz
#define RELOAD_ENABLE TTZO_REGISTER(0x40010508u)
#define CONFIG TTZO_REGISTER(0x4001050Cu)
#define RELOAD TTZO_REGISTER(0x40010600u)

void ttzo_watchdog_start(void)
{
    CONFIG = 9u;
    RELOAD_VALUE = (uint32_t)((uint64_t)TTZO_WATCHDOG_MS * 32768u / 1000u);
    RELOAD_ENABLE = 1u;
    START = 1u;
}

void ttzo_watchdog_feed(void)
{
    RELOAD = 0x6E524635u;
}
