// SPDX-License-Identifier: MIT
// What port.c asks of the core (see ../cortex_m/core.h), for a RV32 hart in machine mode with a platform-level interrupt
// controller (PLIC specification 1.0.0), hart 0's machine context the first, as in QEMU's machine virt and SiFive's chips.
#ifndef TTZO_CORE_H
#define TTZO_CORE_H
#include "serial.h"

#define TTZO_PLIC 0x0C000000u
#define TTZO_PLIC_CLAIM TTZO_REGISTER(TTZO_PLIC + 0x200004u)

// An instruction on control registers; the extension has a name of its own, which -march need not give.
#define TTZO_CONTROL(instruction)                                                                                      \
    __asm volatile(".option push\n .option arch, +zicsr\n " instruction "\n .option pop" ::: "memory", "t0")

static inline void ttzo_core_barrier(void)
{
    __asm volatile("fence" ::: "memory");
}

static inline void ttzo_core_listen(void)
{
    TTZO_REGISTER(TTZO_PLIC + 4u * TTZO_UART_IRQ) = 1u; // priority
    TTZO_REGISTER(TTZO_PLIC + 0x2000u + 4u * (TTZO_UART_IRQ / 32u)) |= 1u << (TTZO_UART_IRQ % 32u);
    TTZO_REGISTER(TTZO_PLIC + 0x200000u) = 0u;   // threshold
    TTZO_CONTROL("li t0, 0x800\n csrs mie, t0"); // external interrupts
}

static inline void ttzo_core_mask(void)
{
    TTZO_CONTROL("csrci mstatus, 8");
}

static inline void ttzo_core_unmask(void)
{
    TTZO_CONTROL("csrsi mstatus, 8");
}

static inline void ttzo_core_sleep(void)
{
    __asm volatile("wfi" ::: "memory");
}

#endif
