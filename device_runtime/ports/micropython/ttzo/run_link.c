// SPDX-License-Identifier: MIT
// The part `link` of run.h: the link on an interpreter's streams.
#include "run.h"

#if TTZO_HAS(LINK)

static void copy(uint8_t *to, const uint8_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

static uint32_t stream_port_read(void *context, uint8_t *bytes, uint32_t capacity)
{
    struct ttzo_run_line *line = context;
    uint32_t most = capacity < TTZO_RUN_INBOX_BYTES ? capacity : TTZO_RUN_INBOX_BYTES, count = line->receive(most);
    if (count > most)
        count = most;
    copy(bytes, line->inbox, count);
    return count;
}

static void stream_port_write(void *context, const uint8_t *bytes, uint32_t count)
{
    struct ttzo_run_line *line = context;
    while (count) {
        uint32_t part = count < TTZO_RUN_OUTBOX_BYTES ? count : TTZO_RUN_OUTBOX_BYTES;
        copy(line->outbox, bytes, part);
        line->send(part);
        bytes += part;
        count -= part;
    }
}

uint32_t ttzo_run_line_bytes(void)
{
    return sizeof(struct ttzo_run_line);
}

uint32_t ttzo_run_listen(void *memory, void *line_memory, uint32_t line_bytes, const char *board_name,
                         uint32_t name_bytes)
{
    struct ttzo_run *run = memory;
    struct ttzo_run_line *line = line_memory;
    uint32_t most = name_bytes < TTZO_BOARD_NAME_BYTES ? name_bytes : TTZO_BOARD_NAME_BYTES;
    run->facts.detail = sizeof *line;
    if (line_bytes < sizeof *line || (uintptr_t)line_memory % 8)
        return TTZO_ERROR_OUT_OF_MEMORY;
    copy((uint8_t *)line->board_name, (const uint8_t *)board_name, most);
    line->board_name[most] = 0;
    run->line = line;
    run->facts.left = 0;
    struct ttzo_port port;
    port.read = stream_port_read; // set here: a native module's data cannot hold addresses of functions
    port.write = stream_port_write;
    port.context = line;
    port.buffer = line->frames;
    port.payload_bytes = TTZO_MAX_PAYLOAD;
    return ttzo_link_init(&line->link, &port, &run->trainer, line->board_name, TTZO_ERROR_OK, 0);
}

uint32_t ttzo_run_lock(void *memory, const uint8_t *secrets, uint32_t count, uint32_t reading_open)
{
    struct ttzo_run *run = memory;
    run->facts.detail = TTZO_PART_KEY;
    if (!run->line || count != 2 * TTZO_KEY_BYTES)
        return TTZO_ERROR_BAD_REQUEST;
    for (uint32_t at = TTZO_KEY_BYTES; at < count; at += 4) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < 4; i++)
            word |= (uint32_t)secrets[at + i] << 8 * i;
        ttzo_link_stir(&run->line->link, word);
    }
    return ttzo_link_lock(&run->line->link, secrets, reading_open != 0);
}

uint32_t ttzo_run_poll(void *memory, ttzo_exchange receive, ttzo_exchange send)
{
    struct ttzo_run *run = memory;
    struct ttzo_run_line *line = run->line;
    run->facts.detail = 0;
    if (!line)
        return TTZO_ERROR_BAD_REQUEST;
    line->receive = receive;
    line->send = send;
    ttzo_run_polled = line;
    ttzo_link_poll(&line->link);
    run->facts.left = line->link.left;
    return ttzo_run_told(run, TTZO_ERROR_OK);
}

uint32_t ttzo_run_hang_up(void *memory)
{
    struct ttzo_run *run = memory;
    run->trainer.poll = NULL;
    run->line = NULL;
    return ttzo_run_told(run, TTZO_ERROR_OK);
}

#endif
