// SPDX-License-Identifier: MIT
// Two slots in the nRF51's flash (reference manual 3.0, chapter 6: NVMC), in pages of 1,024 bytes, rated for 20,000 erases.
// The core stands still for 22 ms while a page is erased and for 46 us while a word is written. Seen working in QEMU;
// not run on hardware.
#include "slots_flash.h"

#define PAGE_BYTES 1024u
#define READY TTZO_REGISTER(0x4001E400u)
#define CONFIG TTZO_REGISTER(0x4001E504u) // 0: read, 1: write, 2: erase
#define ERASEPAGE TTZO_REGISTER(0x4001E508u)

#if TTZO_SLOT_0 % PAGE_BYTES || TTZO_SLOT_1 % PAGE_BYTES || TTZO_SLOT_BYTES % PAGE_BYTES
#error "boards/*.toml: slots of an nRF51 are whole pages of 1,024 bytes"
#endif

static uint32_t used; // bytes of a slot

// The controller is ready again after a bounded time.
static bool becomes_ready(void)
{
    for (uint32_t left = TTZO_CLOCK_HZ / 16u; left; left--)
        if (READY & 1u)
            return true;
    return false;
}

static bool nrf51_slot_erase(void *context, uint32_t slot)
{
    (void)context;
    bool done = true;
    CONFIG = 2u;
    for (uint32_t at = 0; at < used && done; at += PAGE_BYTES) {
        ERASEPAGE = slot_address(slot) + at;
        done = becomes_ready();
    }
    CONFIG = 0u;
    return done;
}

static bool nrf51_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    bool done = true;
    CONFIG = 1u;
    for (uint32_t i = 0; i < count && done; i += 4) {
        TTZO_REGISTER(slot_address(slot) + offset + i) = ttzo_get_u32(bytes + i);
        done = becomes_ready();
    }
    CONFIG = 0u;
    return done;
}

struct ttzo_slots ttzo_memory_slots(uint32_t used_bytes)
{
    used = used_bytes;
    return (struct ttzo_slots){ nrf51_slot_erase, nrf51_slot_write,      flash_slot_read, NULL,
                                TTZO_SLOT_BYTES,  TTZO_SLOT_RATED_ERASES };
}
