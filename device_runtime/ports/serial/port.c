// SPDX-License-Identifier: MIT
// The link's bytes on any core: received by interrupt into a ring, sent by polling.
#include "core.h"

#include "link/link.h"

// Holds the longest frame; the host has one request outstanding, and sends again what found no room.
#define RING_BYTES (TTZO_LINE_BYTES(TTZO_PAYLOAD_BYTES) < 512u ? 512u : 2048u)

// The interrupt writes `head`, the main loop writes `tail`; both run freely, their difference is what waits.
static struct {
    uint8_t bytes[RING_BYTES];
    volatile uint32_t head;
    volatile uint32_t tail;
} ring;

// ---- receiving

void ttzo_uart_interrupt(void)
{
    uint8_t byte;
    while (ttzo_uart_take(&byte)) {
        uint32_t head = ring.head;
        if (head - ring.tail == RING_BYTES)
            continue; // full: the frame's checksum will tell
        ring.bytes[head % RING_BYTES] = byte;
        ring.head = head + 1;
    }
}

static uint32_t uart_port_read(void *context, uint8_t *bytes, uint32_t capacity)
{
    (void)context;
#if TTZO_WATCHDOG_MS
    ttzo_watchdog_feed(); // the link looks here between two requests, and after each loss evaluation of a long step
#endif
    uint32_t tail = ring.tail, n = ring.head - tail;
    if (n > capacity)
        n = capacity;
    ttzo_core_barrier(); // the bytes are read after `head`
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = ring.bytes[(tail + i) % RING_BYTES];
    ttzo_core_barrier(); // and before `tail` gives their places away
    ring.tail = tail + n;
    return n;
}

// ---- sending

static void uart_port_write(void *context, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++)
        ttzo_uart_put(bytes[i]);
}

// ---- the port, start and sleep

static uint8_t frames[TTZO_PORT_BUFFER_BYTES(TTZO_PAYLOAD_BYTES)];
const struct ttzo_port ttzo_uart_port = { uart_port_read, uart_port_write, NULL, frames, TTZO_PAYLOAD_BYTES };

void ttzo_port_start(void)
{
    ttzo_uart_start(ttzo_clock_start(), TTZO_BAUD);
    ttzo_core_listen();
#if TTZO_WATCHDOG_MS
    ttzo_watchdog_start();
#endif
}

// A watchdog counts while the core sleeps, so that with one it stays awake. With interrupts masked a byte that arrives after
// the look still ends the sleep, and is taken when they are let in.
void ttzo_port_idle(void)
{
    ttzo_core_mask();
    if (!TTZO_WATCHDOG_MS && ring.head == ring.tail)
        ttzo_core_sleep();
    ttzo_core_unmask();
}
