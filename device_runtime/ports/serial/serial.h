// SPDX-License-Identifier: MIT
// What the files of a chip's firmware share, on any core. The board's numbers come from boards/NAME.toml as -D macros:
// TTZO_BOARD, TTZO_CLOCK_HZ, TTZO_BAUD, TTZO_UART_BASE, TTZO_UART_IRQ, TTZO_PAYLOAD_BYTES, TTZO_ROWS_ORIGIN,
// TTZO_ROWS_BYTES; where the firmware keeps runs TTZO_SLOT_0, TTZO_SLOT_1, TTZO_SLOT_BYTES, TTZO_SLOT_RATED_ERASES; where it
// has a watchdog TTZO_WATCHDOG_MS.
#ifndef TTZO_SERIAL_H
#define TTZO_SERIAL_H
#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"
#include "storage/storage.h"

#define TTZO_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

// What startup.c writes over the unused stack.
#define TTZO_STACK_PAINT 0xC0DEC0DEu

// ---- clock_*.c: one of them is linked

// Brings the core to TTZO_CLOCK_HZ where it can, within bounded time. Returns the clock that feeds the UART, in Hz.
uint32_t ttzo_clock_start(void);

// ---- uart_*.c: one of them is linked

// Pins, baud rate, receiver and transmitter; the receiver's interrupt is raised for each byte.
void ttzo_uart_start(uint32_t clock_hz, uint32_t baud);

// Takes a received byte out of the hardware and acknowledges its interrupt; false when there is none.
bool ttzo_uart_take(uint8_t *byte);

// Sends one byte, waiting a bounded time for room. When none comes the byte is lost; the frame's checksum tells the
// host, which asks again.
void ttzo_uart_put(uint8_t byte);

// ---- random_*.c: one of them is linked, where the firmware has a key

// Mixes into the link's challenges what the board has of unforeseeable numbers. Called before the first frame, and after
// all that arrives.
void ttzo_random_stir(struct ttzo_link *link);

// ---- slots_*.c: one of them is linked where the firmware keeps runs

// The board's memory of two slots, of which a run uses so many bytes each.
struct ttzo_slots ttzo_memory_slots(uint32_t used_bytes);

// ---- watchdog_*.c: one of them is linked where the firmware has a watchdog

// Starts it: it resets the board TTZO_WATCHDOG_MS after it was last fed. It cannot be stopped.
void ttzo_watchdog_start(void);
void ttzo_watchdog_feed(void);

// ---- port.c

// The UART's interrupt handler: moves received bytes into a ring buffer, so that none is lost while the device computes.
void ttzo_uart_interrupt(void);

// The UART as a link's port.
extern const struct ttzo_port ttzo_uart_port;

// Clock, UART and its interrupt.
void ttzo_port_start(void);

// Sleeps until an interrupt, unless received bytes are waiting.
void ttzo_port_idle(void);

#endif
