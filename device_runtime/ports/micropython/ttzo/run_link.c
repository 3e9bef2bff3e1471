// SPDX-License-Identifier: MIT
// The part `link` of run.h: the link on an interpreter's streams.
#include "run.h"

#if TTZO_HAS(LINK)

static void copy(uint8_t *to, const uint8_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = from[i];
}

uint32_t ttzo_port_read(uint8_t *bytes, uint32_t capacity)
{
    struct ttzo_run_line *line = ttzo_run_polled;
    uint32_t most = capacity < TTZO_RUN_INBOX_BYTES ? capacity : TTZO_RUN_INBOX_BYTES, count = line->receive(most);
    if (count > most)
        count = most;
    copy(bytes, line->inbox, count);
    return count;
}

void ttzo_port_write(const uint8_t *bytes, uint32_t count)
{
    struct ttzo_run_line *line = ttzo_run_polled;
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
    ttzo_link_init(&line->link, &run->trainer, line->board_name, TTZO_ERROR_OK, 0);
    return TTZO_ERROR_OK;
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
