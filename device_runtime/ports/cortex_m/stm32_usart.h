// SPDX-License-Identifier: MIT
// USART of the STM32L4 and H7 (reference manuals RM0351, chapter 40, and RM0433, chapter 48), included by one file for
// each family, which defines start_pins(): clocks and pins.
#ifndef TTZO_STM32_USART_H
#define TTZO_STM32_USART_H
#include "serial.h"

#define CR1 TTZO_REGISTER(TTZO_UART_BASE + 0x00u) // bit 0: on, 2: receiver, 3: transmitter, 5: receive interrupt
#define BRR TTZO_REGISTER(TTZO_UART_BASE + 0x0Cu)
#define ISR TTZO_REGISTER(TTZO_UART_BASE + 0x1Cu) // bit 3: overrun, 5: byte received, 7: room to send
#define ICR TTZO_REGISTER(TTZO_UART_BASE + 0x20u)
#define RDR TTZO_REGISTER(TTZO_UART_BASE + 0x24u)
#define TDR TTZO_REGISTER(TTZO_UART_BASE + 0x28u)

static void start_pins(void);

void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    start_pins();
    BRR = (clock_hz + baud / 2u) / baud;
    CR1 = 1u << 5 | 1u << 3 | 1u << 2 | 1u;
}

// The byte that an overrun lost is missed by the frame's checksum.
bool ttzo_uart_take(uint8_t *byte)
{
    uint32_t state = ISR;
    ICR = state & 1u << 3;
    if (!(state & 1u << 5))
        return false;
    *byte = (uint8_t)RDR;
    return true;
}

void ttzo_uart_put(uint8_t byte)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 4u; !(ISR & 1u << 7) && left; left--) {
    }
    if (ISR & 1u << 7)
        TDR = byte;
}

// Pins `first` and `first` + 1 of a port, both below 8 or both above: alternate function 7, pulled up so that an open
// line reads idle.
static inline void ttzo_stm32_pins(uint32_t port, uint32_t first)
{
    volatile uint32_t *mode = &TTZO_REGISTER(port), *pull = &TTZO_REGISTER(port + 0x0Cu);
    volatile uint32_t *function = &TTZO_REGISTER(port + 0x20u + 4u * (first / 8u));
    *mode = (*mode & ~(0xFu << 2u * first)) | 0xAu << 2u * first;
    *pull = (*pull & ~(0xFu << 2u * first)) | 0x5u << 2u * first;
    *function = (*function & ~(0xFFu << 4u * (first % 8u))) | 0x77u << 4u * (first % 8u);
}

#endif
