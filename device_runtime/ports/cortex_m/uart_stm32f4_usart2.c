// SPDX-License-Identifier: MIT
// USART2 of the STM32F4 (reference manual RM0390, chapter 25) on PA2 (TX) and PA3 (RX), which a Nucleo-64 wires to its
// ST-LINK. NOT RUN.
#include "stm32f4_usart.h"

static void start_pins(void)
{
    volatile uint32_t *gpio =
        &TTZO_REGISTER(0x40020000u);          // port A: mode at 0, pull at 3, lower alternate functions at 8
    TTZO_REGISTER(0x40023830u) |= 1u;         // RCC_AHB1ENR: GPIOA
    TTZO_REGISTER(0x40023840u) |= 1u << 17;   // RCC_APB1ENR: USART2
    gpio[0] = (gpio[0] & ~0xF0u) | 0xA0u;     // alternate function
    gpio[3] = (gpio[3] & ~0xF0u) | 0x50u;     // pull-up: an open line reads idle
    gpio[8] = (gpio[8] & ~0xFF00u) | 0x7700u; // AF7: USART2
}

// clock_stm32f405.c gives the clock of APB2; once the PLL runs, APB1 has half of it.
void ttzo_uart_start(uint32_t clock_hz, uint32_t baud)
{
    uint32_t ours = clock_hz == TTZO_CLOCK_HZ / 2u ? clock_hz / 2u : clock_hz;
    start_pins();
    start_usart(ours, baud);
}
