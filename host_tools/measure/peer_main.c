// SPDX-License-Identifier: MIT
// The rest of such a program (peer.h), for a Cortex-M4F without an operating system: start-up, the rows in their order, and
// a line to the host by semihosting. The emulator writes the request into memory.
#include "peer.h"

#define EVERY 144u        // rows between two looks at the test rows
#define UNTIL UINT32_MAX  // train until enough test rows are right
#define PAINT 0xA5A5A5A5u // of the stack that nobody has used
#define STACK_WORDS (1 << 14)

extern const uint16_t peer_order[];             // of the training rows, as often as there may be
extern const float peer_first[], peer_second[]; // weights to start from
extern const uint32_t peer_n_order, peer_n_train, peer_n_rows, peer_enough;

extern uint32_t peer_stack[], peer_bss[], peer_bss_end[], peer_data[], peer_data_end[];
extern const uint32_t peer_data_image[];
extern const volatile uint32_t peer_request; // rows to train, or UNTIL

void Reset_Handler(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[] = { peer_stack, (void *)Reset_Handler };

// ---- the host -------------------------------------------------------------------------------------------------------

static void call_host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void tell(const char *what, uint32_t number)
{
    char text[16], *at = text + 15;
    *at-- = '\0';
    *at-- = '\n';
    do
        *at-- = (char)('0' + number % 10);
    while (number /= 10);
    call_host(4, what);
    call_host(4, at + 1);
}

// ---- the run --------------------------------------------------------------------------------------------------------

static uint32_t right(void)
{
    uint32_t n = 0;
    for (uint32_t row = peer_n_train; row < peer_n_rows; row++)
        n += peer_answer(peer_rows[row]) == peer_classes[row];
    return n;
}

static uint32_t stack_bytes(void)
{
    const uint32_t *at = peer_stack - STACK_WORDS;
    while (at < peer_stack && *at == PAINT)
        at++;
    return 4 * (uint32_t)(peer_stack - at);
}

static void run(void)
{
    uint32_t done = 0, most = peer_request == UNTIL ? peer_n_order : peer_request, found = 0;
    tell("memory ", peer_begin(peer_first, peer_second));
    while (done < most && !(peer_request == UNTIL && found >= peer_enough)) {
        peer_train(peer_order + done, most - done < EVERY ? most - done : EVERY);
        done += most - done < EVERY ? most - done : EVERY;
        found = peer_request == UNTIL ? right() : 0;
    }
    tell("rows ", done);
    tell("right ", found);
    tell("stack ", stack_bytes());
    call_host(0x18, (const void *)0x20026);
}

void Reset_Handler(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; // the FPU
    const uint32_t *from = peer_data_image;
    for (uint32_t *to = peer_data; to < peer_data_end; to++, from++)
        *to = *from;
    for (uint32_t *to = peer_bss; to < peer_bss_end; to++)
        *to = 0;
    for (uint32_t *to = peer_stack - STACK_WORDS; to < (uint32_t *)__builtin_frame_address(0) - 16; to++)
        *to = PAINT;
    run();
}
