// SPDX-License-Identifier: MIT
// STM32F405 at 168 MHz from its internal 16 MHz oscillator (reference manual RM0090, chapters 3 and 7), so that no
// board's crystal needs to be known. NOT RUN ON HARDWARE: QEMU does not model these registers, they read 0. There every
// wait ends at its bound and the UART is set for 16 MHz, which QEMU does not look at.
#include "serial.h"

#define RCC_CR TTZO_REGISTER(0x40023800u)
#define RCC_PLLCFGR TTZO_REGISTER(0x40023804u)
#define RCC_CFGR TTZO_REGISTER(0x40023808u)
#define FLASH_ACR TTZO_REGISTER(0x40023C00u)

#define HSI_HZ 16000000u
#define PLL_ON (1u << 24)
#define PLL_READY (1u << 25)
#define FIVE_WAIT_STATES 5u
#define CACHES_ON (1u << 10 | 1u << 9 | 1u << 8) // data, instructions, prefetch

#if TTZO_CLOCK_HZ != 168000000u
#error "boards/*.toml: the clock set-up stm32f405 gives 168 MHz"
#endif

// Waits until the bits under `mask` are `value`; false when they are not after some milliseconds.
static bool becomes(volatile uint32_t *address, uint32_t mask, uint32_t value)
{
    for (uint32_t left = HSI_HZ / 1000u; left; left--) {
        if ((*address & mask) == value)
            return true;
    }
    return false;
}

// Returns the clock of APB2, where USART1 sits: 84 MHz, or 16 MHz when the PLL or the flash does not answer and the
// core stays on the internal oscillator.
uint32_t ttzo_clock_start(void)
{
    RCC_PLLCFGR = 1u << 29 | 7u << 24 | 0u << 22 | 0u << 16 | 336u << 6 | 16u; // kept bit, Q, HSI, P = 2, N, M
    RCC_CR |= PLL_ON;
    if (!becomes(&RCC_CR, PLL_READY, PLL_READY))
        return HSI_HZ;
    FLASH_ACR = CACHES_ON | FIVE_WAIT_STATES;
    if (!becomes(&FLASH_ACR, 7u, FIVE_WAIT_STATES))
        return HSI_HZ;
    RCC_CFGR = 4u << 13 | 5u << 10;      // APB2 = core / 2, APB1 = core / 4
    RCC_CFGR = 4u << 13 | 5u << 10 | 2u; // core from the PLL
    if (becomes(&RCC_CFGR, 3u << 2, 2u << 2))
        return TTZO_CLOCK_HZ / 2u;
    RCC_CFGR = 0; // back to the internal oscillator, undivided
    return HSI_HZ;
}
