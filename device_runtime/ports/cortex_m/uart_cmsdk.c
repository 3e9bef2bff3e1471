// SPDX-License-Identifier: MIT
// Arm's CMSDK UART (Cortex-M System Design Kit TRM, section 4.3), as on the MPS2 boards.
#include "serial.h"

#define DATA TTZO_REGISTER(TTZO_UART_BASE + 0x00u)
#define STATE TTZO_REGISTER(TTZO_UART_BASE + 0x04u)    // bit 0: transmit buffer full, 1: receive buffer full
#define CTRL TTZO_REGISTER(TTZO_UART_BASE + 0x08u)     // bit 0: transmitter, 1: receiver, 3: receive interrupt
#define INTCLEAR TTZO_REGISTER(TTZO_UART_BASE + 0x0Cu) // bit 1: receive
#define BAUDDIV TTZO_REGISTER(TTZO_UART_BASE + 0x10u)

void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    BAUDDIV = clock_hz / baud; // at least 16
    CTRL = 1u | 1u << 1 | 1u << 3;
    (void)DATA; // a stale byte, if there is one; QEMU looks for received bytes only after a first read
}

bool ttzo_uart_take(uint8_t *byte)
{
    INTCLEAR = 1u << 1; // before the look: a byte that comes after it raises the interrupt again
    if (!(STATE & 1u << 1))
        return false;
    *byte = (uint8_t)DATA;
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; STATE & 1u && left; left--) {
    }
    if (!(STATE & 1u))
        DATA = byte;
}
