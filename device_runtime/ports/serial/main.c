// SPDX-License-Identifier: MIT
// Firmware: the model that model.c links in, trained over the serial port.
#include "serial.h"

extern const struct ttzo_model ttzo_model; // model.c

// What the linker script leaves for the work buffer.
extern uint8_t ttzo_work_start[], ttzo_work_end[];

#if TTZO_HAS(KEY)
extern const uint8_t ttzo_secret[TTZO_KEY_BYTES]; // `ttzo build --key` writes it
#endif

int main(void);

#if TTZO_SLOT_BYTES

// Goes on from the newest run that the board has kept, and lends its memory to the link.
static void keep_runs(struct ttzo_link *link, struct ttzo_trainer *trainer)
{
    static struct ttzo_storage storage;
    const struct ttzo_slots slots = ttzo_memory_slots(ttzo_slot_bytes(trainer));
    uint32_t detail;
    if (!ttzo_storage_open(&storage, &slots, trainer, &detail))
        ttzo_link_lend_storage(link, &storage);
}

#endif

int main(void)
{
    static struct ttzo_trainer trainer;
    static struct ttzo_link link;
    uint32_t detail = 0;
    size_t work_bytes = (size_t)((uintptr_t)ttzo_work_end - (uintptr_t)ttzo_work_start);
    enum ttzo_error error = ttzo_open(&trainer, &ttzo_model, ttzo_work_start, work_bytes, &detail);
    if (!error && TTZO_ROWS_BYTES)
        ttzo_lend_sparse(&trainer, (void *)TTZO_ROWS_ORIGIN, TTZO_ROWS_BYTES);
    (void)ttzo_link_init(&link, &ttzo_uart_port, &trainer, TTZO_BOARD, error, detail); // its arguments are constants
#if TTZO_SLOT_BYTES
    if (!error)
        keep_runs(&link, &trainer);
#endif
#if TTZO_HAS(KEY)
    (void)ttzo_link_lock(&link, ttzo_secret, TTZO_READING_OPEN); // the part is there
#endif
    ttzo_port_start();
    for (;;) {
#if TTZO_HAS(KEY)
        ttzo_random_stir(&link);
#endif
        ttzo_link_poll(&link);
        ttzo_port_idle();
    }
}
