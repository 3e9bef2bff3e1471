// SPDX-License-Identifier: MIT
// STM32L4 at 16 MHz from its internal oscillator HSI16 (reference manual RM0351, chapter 6), where the flash needs no wait
// states. NOT RUN.
#include "serial.h"

#define RCC_CR TTZO_REGISTER(0x40021000u)
#define RCC_CFGR TTZO_REGISTER(0x40021008u)

#if TTZO_CLOCK_HZ != 16000000u
#error "boards/*.toml: the clock set-up stm32l4 gives 16 MHz"
#endif

#define MSI_HZ 4000000u // from reset

// Returns 16 MHz, or 4 MHz where the oscillator does not answer within some milliseconds.
uint32_t ttzo_clock_start(void)
{
    RCC_CR |= 1u << 8; // HSI16 on
    for (uint32_t left = MSI_HZ / 1000u; !(RCC_CR & 1u << 10) && left; left--) {
    }
    if (!(RCC_CR & 1u << 10))
        return MSI_HZ;
    RCC_CFGR = (RCC_CFGR & ~3u) | 1u;
    return TTZO_CLOCK_HZ;
}
