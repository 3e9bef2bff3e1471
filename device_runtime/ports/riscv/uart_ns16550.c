// SPDX-License-Identifier: MIT
// UART 16550 with registers of a byte each (National Semiconductor PC16550D data sheet, chapter 8). Seen working in QEMU.
#include "serial.h"

#define AT(number) (*(volatile uint8_t *)(uintptr_t)(TTZO_UART_BASE + (number)))
#define DATA AT(0u)       // divisor's lower byte while LINE has bit 7
#define INTERRUPTS AT(1u) // bit 0: byte received; divisor's upper byte
#define FIFO AT(2u)       // bit 0: on, 1 and 2: emptied; an interrupt for each byte
#define LINE AT(3u)       // 3: eight bits, no parity, one stop bit
#define STATE AT(5u)      // bit 0: byte received, 5: room to send

void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    uint32_t divisor = (clock_hz + 8u * baud) / (16u * baud);
    LINE = 0x83u;
    DATA = (uint8_t)divisor;
    INTERRUPTS = (uint8_t)(divisor >> 8);
    LINE = 3u;
    FIFO = 7u;
    INTERRUPTS = 1u;
}

bool ttzo_uart_take(uint8_t *byte)
{
    if (!(STATE & 1u))
        return false;
    *byte = DATA;
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; !(STATE & 1u << 5) && left; left--) {
    }
    if (STATE & 1u << 5)
        DATA = byte;
}
