// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes on the line of a device with a small model. Each input is a list of pieces: a byte of length,
// then so many bytes; of an odd length as they are, of an even one as a request (code, payload) in a right frame.
#include <string.h>

#include "link/link.h"
#include "small_model.h"

static uint8_t pending[1 << 17];
static uint32_t pending_count, pending_at;

static uint32_t port_read(void *context, uint8_t *bytes, uint32_t capacity)
{
    (void)context;
    uint32_t count = pending_count - pending_at < capacity ? pending_count - pending_at : capacity;
    memcpy(bytes, pending + pending_at, count);
    pending_at += count;
    return count;
}

static void port_write(void *context, const uint8_t *bytes, uint32_t count)
{
    (void)context, (void)bytes, (void)count;
}

static void put_request(const uint8_t *code_and_payload, uint32_t count, uint8_t sequence)
{
    uint8_t frame[262] = { sequence };
    memcpy(frame + 1, code_and_payload, count);
    ttzo_put_u32(frame + 1 + count, ttzo_crc32(0, frame, 1 + count));
    uint32_t length = 1 + count + 4, code_at = pending_count++;
    uint8_t code = 1;
    for (uint32_t i = 0; i < length; i++) {
        if (frame[i]) {
            pending[pending_count++] = frame[i];
            code++;
        }
        if (!frame[i] || code == 255) {
            pending[code_at] = code;
            code_at = pending_count++;
            code = 1;
        }
    }
    pending[code_at] = code;
    pending[pending_count++] = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ttzo_layer layers[TTZO_MAX_LAYERS];
    static struct ttzo_model model;
    static struct ttzo_trainer trainer;
    static struct ttzo_link link;
    static uint64_t work[1 << 13];
    static uint8_t frames[TTZO_PORT_BUFFER_BYTES(TTZO_MAX_PAYLOAD)];
    const struct ttzo_port port = { port_read, port_write, NULL, frames, TTZO_MAX_PAYLOAD };
    uint32_t detail;
    if (ttzo_read_bundle(small_model, sizeof small_model, layers, &model, &detail) ||
        ttzo_open(&trainer, &model, work, sizeof work, &detail))
        __builtin_trap();
    (void)ttzo_link_init(&link, &port, &trainer, "fuzz", TTZO_ERROR_OK, 0);
    pending_count = pending_at = 0;
    uint8_t sequence = 1;
    for (size_t at = 0; at < size && pending_count < sizeof pending - 1024;) {
        uint32_t count = data[at++];
        if (count > size - at)
            count = (uint32_t)(size - at);
        if (count % 2 == 0 && count) {
            put_request(data + at, count, sequence++);
        } else {
            memcpy(pending + pending_count, data + at, count);
            pending_count += count;
        }
        at += count;
    }
    ttzo_link_poll(&link);
    return 0;
}
