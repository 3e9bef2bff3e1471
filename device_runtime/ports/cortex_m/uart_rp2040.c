// SPDX-License-Identifier: MIT
// UART0 of the RP2040 (datasheet 4.2: Arm's PL011) on pins GPIO0 (TX) and GPIO1 (RX). Seen working in the emulator
// rp2040js; not run on hardware.
#include "serial.h"

#define RESETS_CLEAR TTZO_REGISTER(0x4000F000u)
#define RESET_DONE TTZO_REGISTER(0x4000C008u)
#define GPIO0_CTRL TTZO_REGISTER(0x40014004u)
#define GPIO1_CTRL TTZO_REGISTER(0x4001400Cu)
#define DATA TTZO_REGISTER(TTZO_UART_BASE + 0x00u)
#define FLAGS TTZO_REGISTER(TTZO_UART_BASE + 0x18u) // bit 4: nothing received, 5: transmitter full
#define WHOLE_DIVIDER TTZO_REGISTER(TTZO_UART_BASE + 0x24u)
#define DIVIDER_64THS TTZO_REGISTER(TTZO_UART_BASE + 0x28u)
#define LINE TTZO_REGISTER(TTZO_UART_BASE + 0x2Cu)
#define CONTROL TTZO_REGISTER(TTZO_UART_BASE + 0x30u)
#define INTERRUPTS TTZO_REGISTER(TTZO_UART_BASE + 0x38u) // bit 4: receive
#define NEEDED (1u << 5 | 1u << 8 | 1u << 22)            // pins, pads, UART0

// Without the hardware's queue each byte raises the interrupt.
void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    uint32_t divider = (4u * clock_hz + baud / 2u) / baud; // in 64ths of 16 times the baud rate
    RESETS_CLEAR = NEEDED;
    for (uint32_t left = TTZO_CLOCK_HZ / 1000u; (RESET_DONE & NEEDED) != NEEDED && left; left--) {
    }
    GPIO0_CTRL = 2u;
    GPIO1_CTRL = 2u;
    WHOLE_DIVIDER = divider / 64u;
    DIVIDER_64THS = divider % 64u;
    LINE = 3u << 5; // 8 bits; takes the dividers over
    INTERRUPTS = 1u << 4;
    CONTROL = 1u | 1u << 8 | 1u << 9; // on, transmitter, receiver
}

bool ttzo_uart_take(uint8_t *byte)
{
    if (FLAGS & 1u << 4)
        return false;
    *byte = (uint8_t)DATA; // ends the interrupt
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; FLAGS & 1u << 5 && left; left--) {
    }
    if (!(FLAGS & 1u << 5))
        DATA = byte;
}
