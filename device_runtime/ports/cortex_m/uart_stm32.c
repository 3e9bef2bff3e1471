// SPDX-License-Identifier: MIT
// USART of the STM32F4 (reference manual RM0090, chapter 30): USART1 on pins PA9 (TX) and PA10 (RX).
// Seen working in QEMU; pins and baud rate were not run on hardware.
#include "stm32f4_usart.h"

#define RCC_AHB1ENR TTZO_REGISTER(0x40023830u)
#define RCC_APB2ENR TTZO_REGISTER(0x40023844u)
#define GPIOA_MODER TTZO_REGISTER(0x40020000u)
#define GPIOA_PUPDR TTZO_REGISTER(0x4002000Cu)
#define GPIOA_AFRH TTZO_REGISTER(0x40020024u)

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
    start_usart(clock_hz, baud);
}
