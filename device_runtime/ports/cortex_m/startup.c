// SPDX-License-Identifier: MIT
// From reset to main: vector table, memory, FPU. Every fault restarts the device.
#include "serial.h"

// ---- what the linker script places; only the addresses mean something

extern uint32_t ttzo_stack_bottom[], ttzo_stack_top[];
extern const uint32_t ttzo_data_image[];
extern uint32_t ttzo_data_start[], ttzo_data_end[];
extern uint32_t ttzo_bss_start[], ttzo_bss_end[];

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

// ---- vector table

// As the core reads it at reset. `handler[n]` is exception n + 1, interrupt i is exception 16 + i. Interrupts other than
// the serial port's are never enabled; their entries are 0, which would be a fault.
struct vector_table {
    uint32_t *stack;
    void (*handler[15 + TTZO_UART_IRQ + 1])(void);
};
extern const struct vector_table ttzo_vectors;
__attribute__((section(".vectors"), used)) const struct vector_table ttzo_vectors = {
    .stack = ttzo_stack_top,
    .handler = {
        [0] = Reset_Handler,
        [1] = Fault_Handler,  // NMI
        [2] = Fault_Handler,  // HardFault; the three below escalate to it, since nothing enables them
        [3] = Fault_Handler,  // MemManage
        [4] = Fault_Handler,  // BusFault: also a stack overflow, because nothing lies below the stack
        [5] = Fault_Handler,  // UsageFault
        [10] = Fault_Handler, // SVCall
        [11] = Fault_Handler, // DebugMonitor
        [13] = Fault_Handler, // PendSV
        [14] = Fault_Handler, // SysTick
        [15 + TTZO_UART_IRQ] = ttzo_uart_interrupt,
    },
};

// ---- faults

// Asks for a system reset (AIRCR: key, SYSRESETREQ). The device comes back at step 0 with the exported parameters, so
// the host's next STEP gets `wrong_step` and a resumed run loads its checkpoint. Uses no stack: after an overflow there
// is none.
__attribute__((naked, used)) void Fault_Handler(void)
{
    __asm volatile("ldr r0, =0xE000ED0C\n"
                   "ldr r1, =0x05FA0004\n"
                   "dsb\n"
                   "str r1, [r0]\n"
                   "dsb\n"
                   "1: b 1b\n");
}

// ---- reset

// The stack is painted below the present frame, so that a debugger can read how deep it ever was.
static void paint_stack(void)
{
    uint32_t *end;
    __asm volatile("mov %0, sp" : "=r"(end));
    for (uint32_t *at = ttzo_stack_bottom; at != end; at++)
        *(volatile uint32_t *)at = TTZO_STACK_PAINT;
}

__attribute__((noreturn)) void Reset_Handler(void)
{
    TTZO_REGISTER(0xE000ED08u) = (uint32_t)(uintptr_t)&ttzo_vectors; // VTOR: a boot loader may have left its own
#ifdef __ARM_FP
    TTZO_REGISTER(0xE000ED88u) |= 0xFu << 20; // CPACR: full access to the FPU
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    paint_stack();
    const uint32_t *from = ttzo_data_image;
    for (uint32_t *to = ttzo_data_start; to != ttzo_data_end; to++)
        *to = *from++;
    for (uint32_t *to = ttzo_bss_start; to != ttzo_bss_end; to++)
        *to = 0;
    main();
    for (;;) {
    }
}
