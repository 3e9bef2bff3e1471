// SPDX-License-Identifier: MIT
// The random generator of the nRF51 (reference manual 3.0, chapter 21). Not run: neither in QEMU nor on hardware.
#include "serial.h"

#define TASKS_START TTZO_REGISTER(0x4000D000u)
#define EVENTS_VALRDY TTZO_REGISTER(0x4000D100u)
#define CONFIG TTZO_REGISTER(0x4000D504u)
#define VALUE TTZO_REGISTER(0x4000D508u)
#define MOST_LOOKS 100000u // a byte takes up to 0.7 ms

static uint32_t random_byte(void)
{
    for (uint32_t i = 0; i < MOST_LOOKS && !EVENTS_VALRDY; i++) {
    }
    EVENTS_VALRDY = 0;
    return VALUE & 0xFFu;
}

// Once is enough: from 32 random bytes all challenges follow.
void ttzo_random_stir(struct ttzo_link *link)
{
    static bool is_done;
    if (is_done)
        return;
    is_done = true;
    CONFIG = 1u; // as many ones as zeros
    TASKS_START = 1u;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t word = 0;
        for (unsigned k = 0; k < 4; k++)
            word = word << 8 | random_byte();
        ttzo_link_stir(link, word);
    }
}
