// SPDX-License-Identifier: MIT
// The device side of the serial link: frames in, one request after the other carried out on a trainer, frames out.
//
//     static struct ttzo_link link;
//     static uint8_t frames[TTZO_PORT_BUFFER_BYTES(256)];
//     const struct ttzo_port port = { my_port_read, my_port_write, &my_uart, frames, 256 };
//     ttzo_link_init(&link, &port, &trainer, "my-board", error, detail);  // error, detail: what ttzo_open gave
//     for (;;)
//         ttzo_link_poll(&link);                                         // sleep in between where the port can
//
// The link knows no UART, only the two functions of its port (line.h). A program may have several links, each with a
// trainer of its own.
#ifndef TTZO_LINK_H
#define TTZO_LINK_H
#include "link/link_state.h"

#ifdef __cplusplus
extern "C" {
#endif

// Copies `port`. `board_name` (kept, not copied) goes into HELLO. `error` and `detail` are what ttzo_open returned: with an error,
// HELLO and LEAVE still answer and every other request gets that error; `trainer` is not touched then and may be NULL.
// TTZO_ERROR_OUT_OF_RANGE: the port's payload_bytes.
enum ttzo_error ttzo_link_init(struct ttzo_link *link, const struct ttzo_port *port, struct ttzo_trainer *trainer,
                               const char *board_name, enum ttzo_error error, uint32_t detail);

// Takes orders only from holders of the key `secret` (not kept) from now on; with `reading_open` anybody may read state,
// parameters and moments. Needs ttzo_link_stir. TTZO_ERROR_NOT_BUILT_IN: this build has no part `key`.
enum ttzo_error ttzo_link_lock(struct ttzo_link *link, const uint8_t secret[TTZO_KEY_BYTES], bool reading_open);

// Mixes a number into the challenges of later HELLOs: from a random generator, eight times before the first; or, where there
// is none, from a fast timer after each byte that has arrived. Whoever foresees them can repeat a session that he has
// recorded.
void ttzo_link_stir(struct ttzo_link *link, uint32_t word);

#if TTZO_HAS(STORAGE)
// Lends the link a storage of its trainer, for a host that keeps runs on the device. It stays in use.
void ttzo_link_lend_storage(struct ttzo_link *link, struct ttzo_storage *storage);
#endif

// Takes all that has arrived, answers it, and returns. A step or evaluation is carried out in here; meanwhile PROGRESS
// is sent and CANCEL heeded.
void ttzo_link_poll(struct ttzo_link *link);

#ifdef __cplusplus
}
#endif

#endif
