// SPDX-License-Identifier: MIT
// USART of the STM32F4 (reference manual RM0090, chapter 30): USART1 on pins PA9 (TX) and PA10 (RX).
// Seen working in QEMU; pins and baud rate were not run on hardware.
#include "serial.h"

#define RCC_AHB1ENR TTZO_REGISTER(0x40023830u)
#define RCC_APB2ENR TTZO_REGISTER(0x40023844u)
#define GPIOA_MODER TTZO_REGISTER(0x40020000u)
#define GPIOA_PUPDR TTZO_REGISTER(0x4002000Cu)
#define GPIOA_AFRH TTZO_REGISTER(0x40020024u)

#define SR TTZO_REGISTER(TTZO_UART_BASE + 0x00u) // bit 3: overrun, 5: byte received, 7: room to send
#define DR TTZO_REGISTER(TTZO_UART_BASE + 0x04u)
#define BRR TTZO_REGISTER(TTZO_UART_BASE + 0x08u)
#define CR1 TTZO_REGISTER(TTZO_UART_BASE + 0x0Cu) // bit 2: receiver, 3: transmitter, 5: receive interrupt, 13: on

#define PIN_FIELDS(per_pin, value) ((value) << (9u * (per_pin)) | (value) << (10u * (per_pin)))

static void start_pins(void)
{
    RCC_AHB1ENR |= 1u;                                                      // GPIOA
    GPIOA_MODER = (GPIOA_MODER & ~PIN_FIELDS(2u, 3u)) | PIN_FIELDS(2u, 2u); // alternate function
    GPIOA_PUPDR = (GPIOA_PUPDR & ~PIN_FIELDS(2u, 3u)) | PIN_FIELDS(2u, 1u); // pull-up: an open line reads idle
    GPIOA_AFRH = (GPIOA_AFRH & ~0x00000FF0u) | 0x00000770u;                 // AF7: USART1
}

void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    RCC_APB2ENR |= 1u << 4; // USART1
    start_pins();
    BRR = (clock_hz + baud / 2u) / baud;
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
