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
#include "link/line.h"
#include "storage/storage.h"

#ifdef __cplusplus
extern "C" {
#endif

// All of a link. Caller-owned; fields belong to link.c.
struct ttzo_link {
    struct ttzo_trainer *trainer;
    const char *board_name;
    enum ttzo_error model_error; // why there is nothing to train; the answer to all requests but HELLO and LEAVE
    uint32_t model_detail;
    bool left;          // LEAVE has come: a port with something else to do stops polling
    bool foreign;       // the last HELLO came from another contract: all other requests but LEAVE are refused
    bool foreign_leave; // and its LEAVE is not ours either

    uint32_t session; // of the last HELLO, and of the last one that had another
    uint32_t session_before;
    struct ttzo_step_reply done; // the last step's answer; step 0: none, or what it left has been replaced

    struct ttzo_line line; // to the host; holds the answer to the last request while `answered`
    bool answered;         // ... which was the request (sequence, crc)
    uint8_t sequence;
    uint32_t crc;

#if TTZO_HAS(STORAGE)
    struct ttzo_storage *storage; // that KEEP and RESTORE work on; NULL: they are unknown messages
#endif

    uint64_t macs_per_unit; // long work: multiply-accumulates of a unit; 0 where the trainer counts them
    uint64_t reported;      // of them, at the last PROGRESS
};

// Copies `port`. `board_name` (kept, not copied) goes into HELLO. `error` and `detail` are what ttzo_open returned: with an error,
// HELLO and LEAVE still answer and every other request gets that error; `trainer` is not touched then and may be NULL.
// TTZO_ERROR_OUT_OF_RANGE: the port's payload_bytes.
enum ttzo_error ttzo_link_init(struct ttzo_link *link, const struct ttzo_port *port, struct ttzo_trainer *trainer,
                               const char *board_name, enum ttzo_error error, uint32_t detail);

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
