// SPDX-License-Identifier: MIT
// From reset to main: stack, FPU, memory, traps. Every fault starts the device again.
#include "core.h"

extern uint32_t ttzo_stack_bottom[], ttzo_stack_top[];
extern const uint32_t ttzo_data_image[];
extern uint32_t ttzo_data_start[], ttzo_data_end[];
extern uint32_t ttzo_bss_start[], ttzo_bss_end[];

int main(void);
void Reset_Handler(void);
void Trap_Handler(void);
void ttzo_start(void);

// ---- traps

// Where a program in flash begins.
__asm__(".section .vectors, \"ax\"\n ttzo_vectors: j Reset_Handler\n .text");

// An exception returns to the beginning: the device starts at step 0 with the exported parameters, so that the host's
// next STEP gets `wrong_step`. Else it is the UART, the only interrupt that is let in.
__attribute__((interrupt("machine"), aligned(4), used)) void Trap_Handler(void)
{
    int32_t cause;
    __asm volatile(".option push\n .option arch, +zicsr\n csrr %0, mcause\n .option pop" : "=r"(cause));
    if (cause >= 0) {
        TTZO_CONTROL("la t0, ttzo_vectors\n csrw mepc, t0");
        return;
    }
    uint32_t source = TTZO_PLIC_CLAIM;
    ttzo_uart_interrupt();
    TTZO_PLIC_CLAIM = source;
}

// ---- reset

// The stack is painted below the present frame, so that a debugger can read how deep it ever was.
static void paint_stack(void)
{
    uint32_t *end;
    __asm volatile("mv %0, sp" : "=r"(end));
    for (uint32_t *at = ttzo_stack_bottom; at != end; at++)
        *(volatile uint32_t *)at = TTZO_STACK_PAINT;
}

__attribute__((noreturn, used)) void ttzo_start(void)
{
    paint_stack();
    const uint32_t *from = ttzo_data_image;
    for (uint32_t *to = ttzo_data_start; to != ttzo_data_end; to++)
        *to = *from++;
    for (uint32_t *to = ttzo_bss_start; to != ttzo_bss_end; to++)
        *to = 0;
    TTZO_CONTROL("la t0, Trap_Handler\n csrw mtvec, t0");
    ttzo_core_unmask();
    main();
    for (;;) {
    }
}

// Interrupts off, a stack, and the FPU on where the code uses one, rounding to the nearest number.
__attribute__((naked, used)) void Reset_Handler(void)
{
    TTZO_CONTROL("csrci mstatus, 8");
#ifdef __riscv_flen
    TTZO_CONTROL("li t0, 0x6000\n csrs mstatus, t0\n csrw fcsr, zero");
#endif
    __asm volatile("la sp, ttzo_stack_top\n j ttzo_start");
}
