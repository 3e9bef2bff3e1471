// SPDX-License-Identifier: MIT
// USART2 of the STM32L4 on PA2 (TX) and PA3 (RX), which a Nucleo-64 wires to its ST-LINK. NOT RUN.
#include "stm32_usart.h"

static void start_pins(void)
{
    TTZO_REGISTER(0x4002104Cu) |= 1u;       // RCC_AHB2ENR: GPIOA
    TTZO_REGISTER(0x40021058u) |= 1u << 17; // RCC_APB1ENR1: USART2
    ttzo_stm32_pins(0x48000000u, 2u);
}
