// SPDX-License-Identifier: MIT
// UART of the nRF51 (reference manual 3.0, chapter 29) and nRF52840 (product specification 1.7, section 6.33), included
// by one file for each board, which defines the pins TTZO_NRF_TXD and TTZO_NRF_RXD.
#ifndef TTZO_NRF_UART_H
#define TTZO_NRF_UART_H
#include "serial.h"

#define TASKS_STARTRX TTZO_REGISTER(TTZO_UART_BASE + 0x000u)
#define TASKS_STARTTX TTZO_REGISTER(TTZO_UART_BASE + 0x008u)
#define EVENTS_RXDRDY TTZO_REGISTER(TTZO_UART_BASE + 0x108u)
#define EVENTS_TXDRDY TTZO_REGISTER(TTZO_UART_BASE + 0x11Cu)
#define INTENSET TTZO_REGISTER(TTZO_UART_BASE + 0x304u)
#define ENABLE TTZO_REGISTER(TTZO_UART_BASE + 0x500u)
#define PSELTXD TTZO_REGISTER(TTZO_UART_BASE + 0x50Cu)
#define PSELRXD TTZO_REGISTER(TTZO_UART_BASE + 0x514u)
#define RXD TTZO_REGISTER(TTZO_UART_BASE + 0x518u)
#define TXD TTZO_REGISTER(TTZO_UART_BASE + 0x51Cu)
#define BAUDRATE TTZO_REGISTER(TTZO_UART_BASE + 0x524u)

// The divider counts 2^-32 of the clock, in steps of 2^12.
void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    (void)clock_hz; // the UART has 16 MHz, whatever the core has
    uint32_t divider = (uint32_t)(((uint64_t)baud << 32) / 16000000u);
    PSELTXD = TTZO_NRF_TXD;
    PSELRXD = TTZO_NRF_RXD;
    BAUDRATE = (divider + 0x800u) & 0xFFFFF000u;
    ENABLE = 4u;
    INTENSET = 1u << 2; // RXDRDY
    TASKS_STARTRX = 1u;
    TASKS_STARTTX = 1u;
}

bool ttzo_uart_take(uint8_t *byte)
{
    if (!EVENTS_RXDRDY)
        return false;
    EVENTS_RXDRDY = 0; // before the byte is taken: the next one raises it again
    *byte = (uint8_t)RXD;
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    EVENTS_TXDRDY = 0;
    TXD = byte;
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; !EVENTS_TXDRDY && left; left--) {
    }
}

#endif
