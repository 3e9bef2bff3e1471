// SPDX-License-Identifier: MIT
// RP2040 at 125 MHz from its crystal of 12 MHz (datasheet 2.15 to 2.18): PLL of 1,500 MHz, divided by 6 and 2; the UART is
// fed by the same clock. NOT RUN ON HARDWARE: the emulator rp2040js answers each wait at once.
#include "serial.h"

#define RESETS_CLEAR TTZO_REGISTER(0x4000F000u) // the alias that clears bits of RESET
#define RESET_DONE TTZO_REGISTER(0x4000C008u)
#define XOSC_CTRL TTZO_REGISTER(0x40024000u)
#define XOSC_STATUS TTZO_REGISTER(0x40024004u)
#define XOSC_STARTUP TTZO_REGISTER(0x4002400Cu)
#define PLL_CS TTZO_REGISTER(0x40028000u)
#define PLL_PWR_CLEAR TTZO_REGISTER(0x4002B004u)
#define PLL_FBDIV TTZO_REGISTER(0x40028008u)
#define PLL_PRIM TTZO_REGISTER(0x4002800Cu)
#define CLK_REF_CTRL TTZO_REGISTER(0x40008030u)
#define CLK_REF_SELECTED TTZO_REGISTER(0x40008038u)
#define CLK_SYS_CTRL TTZO_REGISTER(0x4000803Cu)
#define CLK_SYS_SELECTED TTZO_REGISTER(0x40008044u)
#define CLK_PERI_CTRL TTZO_REGISTER(0x40008048u)

#define CRYSTAL_HZ 12000000u
#define RING_HZ 6500000u // about, of the ring oscillator that runs from reset
#define PLL_RESET (1u << 12)

#if TTZO_CLOCK_HZ != 125000000u
#error "boards/*.toml: the clock set-up rp2040 gives 125 MHz"
#endif

// Waits until the bits under `mask` are all set; false when they are not after some milliseconds.
static bool comes(volatile uint32_t *address, uint32_t mask)
{
    for (uint32_t left = CRYSTAL_HZ / 250u; left; left--)
        if ((*address & mask) == mask)
            return true;
    return false;
}

static bool pll_runs(void)
{
    RESETS_CLEAR = PLL_RESET;
    if (!comes(&RESET_DONE, PLL_RESET))
        return false;
    PLL_CS = 1u;                   // the reference is not divided
    PLL_FBDIV = 125u;              // 1,500 MHz
    PLL_PWR_CLEAR = 1u | 1u << 5;  // the PLL and its oscillator on
    if (!comes(&PLL_CS, 1u << 31)) // locked
        return false;
    PLL_PRIM = 6u << 16 | 2u << 12;
    PLL_PWR_CLEAR = 1u << 3; // the dividers on
    return true;
}

// Returns the clock of the UART, in Hz: that of the core, or of the ring oscillator or crystal where a wait ended at its
// bound.
uint32_t ttzo_clock_start(void)
{
    CLK_PERI_CTRL = 1u << 11; // from the core's clock
    XOSC_CTRL = 0xAA0u;       // 1 to 15 MHz
    XOSC_STARTUP = 47u;       // 1 ms, in 256 cycles
    XOSC_CTRL = 0xAA0u | 0xFABu << 12;
    if (!comes(&XOSC_STATUS, 1u << 31))
        return RING_HZ;
    CLK_REF_CTRL = 2u; // from the crystal
    if (!comes(&CLK_REF_SELECTED, 1u << 2))
        return RING_HZ;
    CLK_SYS_CTRL = 0u; // from the reference while the PLL starts
    if (!comes(&CLK_SYS_SELECTED, 1u) || !pll_runs())
        return CRYSTAL_HZ;
    CLK_SYS_CTRL = 0u << 5 | 1u; // from its second input, which is the PLL
    return comes(&CLK_SYS_SELECTED, 1u << 1) ? TTZO_CLOCK_HZ : CRYSTAL_HZ;
}
