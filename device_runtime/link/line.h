// SPDX-License-Identifier: MIT
// A link's line: the port that a program gives it, and frames made of the port's bytes.
#ifndef TTZO_LINK_LINE_H
#define TTZO_LINK_LINE_H
#include <stdbool.h>
#include <stdint.h>

#include "contract/ttzo_contract.h"

#define TTZO_FRAME_BYTES(payload) (2u + (payload) + 4u)                  // sequence, code, payload, CRC-32
#define TTZO_COBS_BYTES(payload) (TTZO_FRAME_BYTES(payload) / 254u + 1u) // what COBS adds to that at most
#define TTZO_LINE_BYTES(payload) (TTZO_COBS_BYTES(payload) + TTZO_FRAME_BYTES(payload)) // on the line, no delimiter
#define TTZO_PORT_BUFFER_BYTES(payload) (2u * TTZO_LINE_BYTES(payload) + 1u) // a frame that comes in, one that goes out

// Where a link's bytes come from and go to, and the memory for its frames.
struct ttzo_port {
    // Up to `capacity` bytes that have arrived, without waiting; 0 when there are none.
    uint32_t (*read)(void *context, uint8_t *bytes, uint32_t capacity);
    void (*write)(void *context, const uint8_t *bytes, uint32_t count); // sends all `count` bytes; may wait
    void *context;                                                      // what both are given; may be NULL
    uint8_t *buffer;                                                    // [TTZO_PORT_BUFFER_BYTES(payload_bytes)]
    uint32_t payload_bytes; // of the longest frame: TTZO_MIN_PAYLOAD to TTZO_MAX_PAYLOAD; HELLO tells the host
};

// Fields belong to line.c.
struct ttzo_line {
    struct ttzo_port port;
    uint8_t arrived[64]; // bytes from the port, not looked at yet: [arrived_at, arrived_count)
    uint32_t arrived_at;
    uint32_t arrived_count;
    uint8_t *rx;       // [line bytes] the frame that is coming in; decoded in place
    uint32_t rx_count; // its bytes so far; more than fit: the frame is damaged
    uint8_t *tx;       // [line bytes + 1] built after room for COBS, encoded in place
    uint32_t tx_count;
};

// A whole frame, decoded; payload points into the receive buffer and lasts until the next ttzo_receive.
struct ttzo_frame {
    uint8_t sequence;
    uint8_t code;
    const uint8_t *payload;
    uint32_t payload_bytes;
    uint32_t crc;
};

enum ttzo_arrival { TTZO_NOTHING, TTZO_DAMAGED, TTZO_FRAME };

void ttzo_line_init(struct ttzo_line *line, const struct ttzo_port *port);

// Takes bytes from the port until a frame is complete or none are left.
enum ttzo_arrival ttzo_receive(struct ttzo_line *line, struct ttzo_frame *frame);

// Where the payload of the frame to send is put before ttzo_seal.
uint8_t *ttzo_payload(struct ttzo_line *line);

// Makes the frame to send of that payload; ttzo_send sends it, any number of times. The two bytes before the payload are
// its own.
void ttzo_seal(struct ttzo_line *line, uint8_t sequence, uint8_t code, uint32_t payload_bytes);
void ttzo_send(struct ttzo_line *line);

// Sends a frame with two numbers, PROGRESS or ERROR, and leaves the sealed one as it is.
void ttzo_send_pair(struct ttzo_line *line, uint8_t sequence, enum ttzo_message code, uint32_t first, uint32_t second);

#endif
