// SPDX-License-Identifier: MIT
// What port.c asks of the core: barriers, its interrupts, sleep. Another port's core.h gives the same for its core.
#ifndef TTZO_CORE_H
#define TTZO_CORE_H
#include "serial.h"

// Memory is read and written in the order of the program.
static inline void ttzo_core_barrier(void)
{
    __asm volatile("dmb" ::: "memory");
}

// Lets the UART's interrupt in.
static inline void ttzo_core_listen(void)
{
    TTZO_REGISTER(0xE000E100u + 4u * (TTZO_UART_IRQ / 32u)) = 1u << (TTZO_UART_IRQ % 32u); // NVIC_ISER
}

static inline void ttzo_core_mask(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

static inline void ttzo_core_unmask(void)
{
    __asm volatile("cpsie i\n isb" ::: "memory");
}

// Sleeps until an interrupt is pending, masked or not.
static inline void ttzo_core_sleep(void)
{
    __asm volatile("dsb\n wfi" ::: "memory");
}

#endif
