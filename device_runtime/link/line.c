// SPDX-License-Identifier: MIT
#include "link/line.h"

#include "number/crc32.h"

// ---- the port -------------------------------------------------------------------------------------------------------

// All calls of a port's pointers. They stay functions of their own: by their names the check of the stack knows that
// such a pointer reaches a port and nothing else (host_tools/firmware/firmware_image.py).
__attribute__((noinline)) static uint32_t call_port_read(const struct ttzo_port *port, uint8_t *bytes,
                                                         uint32_t capacity)
{
    return port->read(port->context, bytes, capacity);
}

__attribute__((noinline)) static void call_port_write(const struct ttzo_port *port, const uint8_t *bytes,
                                                      uint32_t count)
{
    port->write(port->context, bytes, count);
}

// ---- frames ---------------------------------------------------------------------------------------------------------

// Undoes COBS in place. The decoded length, or 0 when the code bytes do not add up.
static uint32_t cobs_decode(uint8_t *bytes, uint32_t count)
{
    uint32_t from = 0, to = 0;
    while (from < count) {
        uint32_t code = bytes[from++]; // 1..255: a zero would have ended the frame
        if (code - 1 > count - from)
            return 0;
        for (uint32_t i = 1; i < code; i++)
            bytes[to++] = bytes[from++];
        if (code < 255 && from < count)
            bytes[to++] = 0;
    }
    return to;
}

// COBS and the delimiter. `out` may be the same buffer as `in` when it begins count/254 + 1 bytes or more before it.
static uint32_t cobs_encode(const uint8_t *in, uint32_t count, uint8_t *out)
{
    uint32_t code_at = 0, to = 1;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t byte = in[i];
        if (byte)
            out[to++] = byte;
        if (!byte || to - code_at == 255) {
            out[code_at] = (uint8_t)(to - code_at);
            code_at = to++;
        }
    }
    out[code_at] = (uint8_t)(to - code_at);
    out[to++] = 0;
    return to;
}

// Header and CRC-32 around the payload in `frame`, COBS over all into `out`. Bytes to send.
static uint32_t seal(uint8_t *frame, uint8_t *out, uint8_t sequence, uint8_t code, uint32_t payload_bytes)
{
    frame[0] = sequence;
    frame[1] = code;
    ttzo_put_u32(frame + 2 + payload_bytes, ttzo_crc32(0, frame, 2 + payload_bytes));
    return cobs_encode(frame, 2 + payload_bytes + 4, out);
}

static bool open_frame(const struct ttzo_line *line, uint32_t count, struct ttzo_frame *frame)
{
    uint32_t most = line->port.payload_bytes;
    uint8_t *bytes = line->rx;
    uint32_t length = count <= TTZO_LINE_BYTES(most) ? cobs_decode(bytes, count) : 0;
    if (length < 6 || length > TTZO_FRAME_BYTES(most))
        return false;
    *frame = (struct ttzo_frame){ bytes[0], bytes[1], bytes + 2, length - 6, ttzo_get_u32(bytes + length - 4) };
    return ttzo_crc32(0, bytes, length - 4) == frame->crc;
}

// ---- receiving and sending ------------------------------------------------------------------------------------------

void ttzo_line_init(struct ttzo_line *line, const struct ttzo_port *port)
{
    line->port = *port;
    line->rx = port->buffer;
    line->tx = port->buffer + TTZO_LINE_BYTES(port->payload_bytes);
    line->arrived_at = line->arrived_count = line->rx_count = 0;
}

enum ttzo_arrival ttzo_receive(struct ttzo_line *line, struct ttzo_frame *frame)
{
    uint32_t most = TTZO_LINE_BYTES(line->port.payload_bytes);
    for (;;) {
        if (line->arrived_at == line->arrived_count) {
            line->arrived_at = 0;
            line->arrived_count = call_port_read(&line->port, line->arrived, sizeof line->arrived);
            if (line->arrived_count == 0)
                return TTZO_NOTHING;
        }
        uint8_t byte = line->arrived[line->arrived_at++];
        if (byte) {
            if (line->rx_count < most)
                line->rx[line->rx_count] = byte;
            if (line->rx_count <= most)
                line->rx_count++;
        } else if (line->rx_count) { // a delimiter after a delimiter is no frame
            uint32_t count = line->rx_count;
            line->rx_count = 0;
            return open_frame(line, count, frame) ? TTZO_FRAME : TTZO_DAMAGED;
        }
    }
}

static uint8_t *frame_to_send(const struct ttzo_line *line)
{
    return line->tx + TTZO_COBS_BYTES(line->port.payload_bytes);
}

uint8_t *ttzo_payload(struct ttzo_line *line)
{
    return frame_to_send(line) + 2;
}

void ttzo_seal(struct ttzo_line *line, uint8_t sequence, uint8_t code, uint32_t payload_bytes)
{
    line->tx_count = seal(frame_to_send(line), line->tx, sequence, code, payload_bytes);
}

void ttzo_send(struct ttzo_line *line)
{
    call_port_write(&line->port, line->tx, line->tx_count);
}

void ttzo_send_pair(struct ttzo_line *line, uint8_t sequence, enum ttzo_message code, uint32_t first, uint32_t second)
{
    uint8_t buffer[TTZO_LINE_BYTES(8u) + 1u];
    uint8_t *frame = buffer + TTZO_COBS_BYTES(8u);
    ttzo_put_u32(frame + 2, first);
    ttzo_put_u32(frame + 6, second);
    call_port_write(&line->port, buffer, seal(frame, buffer, sequence, (uint8_t)code, 8));
}
