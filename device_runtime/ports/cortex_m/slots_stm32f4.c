// SPDX-License-Identifier: MIT
// Two slots in the STM32F4's flash (reference manual RM0090, chapter 3): sectors of 128 KB, 5 to 11, rated for 10,000
// erases. Erasing one takes up to 2 s at 2.7 to 3.6 V, and the core stands still meanwhile, because it reads its
// instructions from the same flash: bytes that arrive are lost, a watchdog must be longer.
// NOT RUN: QEMU does not model this controller.
#include "slots_flash.h"

#define KEYR TTZO_REGISTER(0x40023C04u)
#define SR TTZO_REGISTER(0x40023C0Cu)
#define CR TTZO_REGISTER(0x40023C10u)
#define ACR TTZO_REGISTER(0x40023C00u)

#define SECTOR_BYTES 0x20000u
#define FIRST_LARGE 0x08020000u // sector 5
#define BUSY (1u << 16)
#define ERRORS 0xF2u // of operation, protection, alignment, parallelism, sequence; written to clear them
#define PROGRAM (1u << 0)
#define ERASE_SECTOR (1u << 1)
#define WORDS (2u << 8) // parallelism of 32 bits
#define START (1u << 16)
#define LOCK (1u << 31)
#define DATA_CACHE_ON (1u << 10)
#define DATA_CACHE_RESET (1u << 12)

#if TTZO_SLOT_0 % SECTOR_BYTES || TTZO_SLOT_1 % SECTOR_BYTES || TTZO_SLOT_0 < FIRST_LARGE || TTZO_SLOT_1 < FIRST_LARGE
#error "boards/*.toml: slots of an STM32F4 are sectors of 128 KB, 0x08020000 or later"
#endif

// Waits for the controller, 4 s at most at one turn in four cycles or more; whether it has found no error.
static bool is_done(void)
{
    uint32_t left = TTZO_CLOCK_HZ;
    while (SR & BUSY && left)
        left--;
    return left && !(SR & ERRORS);
}

static void unlock(void)
{
    if (CR & LOCK) {
        KEYR = 0x45670123u;
        KEYR = 0xCDEF89ABu;
    }
    SR = ERRORS;
}

// What the cache holds of an erased sector is of the time before.
static void empty_cache(void)
{
    uint32_t as_it_was = ACR;
    ACR = as_it_was & ~DATA_CACHE_ON;
    ACR = (as_it_was & ~DATA_CACHE_ON) | DATA_CACHE_RESET;
    ACR = as_it_was;
}

static bool stm32f4_slot_erase(void *context, uint32_t slot)
{
    (void)context;
    uint32_t sector = 5u + (slot_address(slot) - FIRST_LARGE) / SECTOR_BYTES;
    unlock();
    CR = WORDS | ERASE_SECTOR | sector << 3;
    CR |= START;
    bool done = is_done();
    CR = LOCK;
    empty_cache();
    return done;
}

static bool stm32f4_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    bool done = true;
    unlock();
    CR = WORDS | PROGRAM;
    for (uint32_t i = 0; i < count && done; i += 4) {
        TTZO_REGISTER(slot_address(slot) + offset + i) = ttzo_get_u32(bytes + i);
        done = is_done();
    }
    CR = LOCK;
    return done;
}

struct ttzo_slots ttzo_memory_slots(uint32_t used_bytes)
{
    (void)used_bytes; // a slot is one sector
    return (struct ttzo_slots){ stm32f4_slot_erase, stm32f4_slot_write,    flash_slot_read, NULL,
                                TTZO_SLOT_BYTES,    TTZO_SLOT_RATED_ERASES };
}
