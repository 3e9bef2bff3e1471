// SPDX-License-Identifier: MIT
// The device side of the serial link: frames in, one request after the other carried out on a trainer, frames out.
//
//     static struct ttzo_link link;
//     ttzo_link_init(&link, &trainer, "netduinoplus2", error, detail);   // error, detail: what ttzo_open said
//     for (;;)
//         ttzo_link_poll(&link);                                         // sleep in between where the port can
//
// The link knows no UART: a port defines ttzo_port_read and ttzo_port_write, and link.c calls them by name, so that a
// linker sees the whole call tree.
#ifndef TTZO_LINK_H
#define TTZO_LINK_H
#include "ttzo.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TTZO_FRAME_BYTES (2u + TTZO_MAX_PAYLOAD + 4u)        // sequence, code, payload, CRC-32
#define TTZO_COBS_BYTES (TTZO_FRAME_BYTES / 254u + 1u)       // what COBS adds to that at most
#define TTZO_LINE_BYTES (TTZO_COBS_BYTES + TTZO_FRAME_BYTES) // a frame on the line, without its delimiter

// All of a link. Caller-owned; fields belong to link.c.
struct ttzo_link {
    struct ttzo_trainer *trainer;
    const char *board_name;
    enum ttzo_error model_error; // why there is nothing to train; the answer to all requests but HELLO and LEAVE
    uint32_t model_detail;
    bool left;          // LEAVE has come: a port with something else to do stops polling
    bool foreign;       // the last HELLO came from another contract: all other requests but LEAVE are refused
    bool foreign_leave; // and its LEAVE is not ours either

    uint8_t arrived[64]; // bytes from the port, not looked at yet: [arrived_at, arrived_count)
    uint32_t arrived_at;
    uint32_t arrived_count;
    uint8_t rx[TTZO_LINE_BYTES]; // the frame that is coming in; decoded in place
    uint32_t rx_count;           // its bytes so far; more than fit: the frame is damaged

    bool answered; // tx holds the answer to the request (sequence, crc)
    uint8_t sequence;
    uint32_t crc;
    uint8_t tx[TTZO_LINE_BYTES + 1]; // built after TTZO_COBS_BYTES of room, encoded in place
    uint32_t tx_count;

    uint64_t macs_per_unit; // long work: multiply-accumulates of a unit; 0 where the trainer counts them
    uint64_t reported;      // of them, at the last PROGRESS
};

// `board_name` (kept, not copied) goes into HELLO. `error` and `detail` are what ttzo_open returned: with an error,
// HELLO and LEAVE still answer and every other request gets that error; `trainer` is not touched then.
void ttzo_link_init(struct ttzo_link *link, struct ttzo_trainer *trainer, const char *board_name, enum ttzo_error error,
                    uint32_t detail);

// Takes all that has arrived, answers it, and returns. A step or evaluation is carried out in here; meanwhile PROGRESS
// is sent and CANCEL heeded.
void ttzo_link_poll(struct ttzo_link *link);

// ---- what a port gives

// Up to `capacity` bytes that have arrived, without waiting; 0 when there are none.
uint32_t ttzo_port_read(uint8_t *bytes, uint32_t capacity);

// Sends all `count` bytes; may wait.
void ttzo_port_write(const uint8_t *bytes, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
