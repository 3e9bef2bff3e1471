// SPDX-License-Identifier: MIT
// The STM32's independent watchdog (reference manual RM0090, chapter 21): 32 kHz by 256, at most 32 s.
// NOT RUN: QEMU does not model it.
#include "serial.h"

#define KEY TTZO_REGISTER(0x40003000u)
#define PRESCALER TTZO_REGISTER(0x40003004u)
#define RELOAD TTZO_REGISTER(0x40003008u)
#define STATUS TTZO_REGISTER(0x4000300Cu)

#if TTZO_WATCHDOG_MS > 32000u
#error "boards/*.toml: this watchdog counts to 32 s at most"
#endif

void ttzo_watchdog_start(void)
{
    KEY = 0xCCCCu; // on, with its own oscillator
    KEY = 0x5555u; // open
    PRESCALER = 6u;
    RELOAD = TTZO_WATCHDOG_MS / 8u;
    for (uint32_t left = TTZO_CLOCK_HZ / 16u; STATUS && left; left--) {
    }
    KEY = 0xAAAAu;
}

void ttzo_watchdog_feed(void)
{
    KEY = 0xAAAAu;
}
