// SPDX-License-Identifier: MIT
// USART3 of the STM32H743 on PD8 (TX) and PD9 (RX), which a Nucleo-144 wires to its ST-LINK. NOT RUN.
#include "stm32_usart.h"

static void start_pins(void)
{
    TTZO_REGISTER(0x580244E0u) |= 1u << 3;  // RCC_AHB4ENR: GPIOD
    TTZO_REGISTER(0x580244E8u) |= 1u << 18; // RCC_APB1LENR: USART3
    ttzo_stm32_pins(0x58020C00u, 8u);
}
