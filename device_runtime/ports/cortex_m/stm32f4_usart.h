// SPDX-License-Identifier: MIT
// USART of the STM32F4 (reference manuals RM0090, chapter 30, and RM0390, chapter 25), included by one file for each port
// that a board wires to its host; that file starts pins and clock.
#ifndef TTZO_STM32F4_USART_H
#define TTZO_STM32F4_USART_H
#include "serial.h"

#define SR TTZO_REGISTER(TTZO_UART_BASE + 0x00u) // bit 3: overrun, 5: byte received, 7: room to send
#define DR TTZO_REGISTER(TTZO_UART_BASE + 0x04u)
#define BRR TTZO_REGISTER(TTZO_UART_BASE + 0x08u)
#define CR1 TTZO_REGISTER(TTZO_UART_BASE + 0x0Cu) // bit 2: receiver, 3: transmitter, 5: receive interrupt, 13: on

// `bus_hz`: the clock of the bus on which the port lies.
static inline void start_usart(uint32_t bus_hz, uint32_t baud)
{
    BRR = (bus_hz + baud / 2u) / baud;
    CR1 = 1u << 13 | 1u << 5 | 1u << 3 | 1u << 2;
}

// Reading SR, then DR also clears an overrun; the byte it lost is missed by the frame's checksum.
bool ttzo_uart_take(uint8_t *byte)
{
    uint32_t status = SR;
    if (!(status & (1u << 5 | 1u << 3)))
        return false;
    *byte = (uint8_t)DR;
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; !(SR & 1u << 7) && left; left--) {
    }
    if (SR & 1u << 7)
        DR = byte;
}

#endif
