// SPDX-License-Identifier: MIT
// Two slots in the flash beside an RP2040 (datasheet 2.8.3: functions of the boot ROM), in sectors of 4,096 bytes, rated
// for 100,000 erases. Nothing can be read from that flash while it is erased or written, so this runs from RAM with
// interrupts masked; a sector takes up to 400 ms.
// NOT RUN: no emulator here models it.
#include "slots_flash.h"

#define SECTOR_BYTES 4096u
#define PAGE_BYTES 256u
#define FLASH 0x10000000u // where it is read as memory
#define SECTOR_ERASE 0x20u
#define BOOT_WORDS 64u // the second stage of the boot loader, which sets fast reading up

#if TTZO_SLOT_0 % SECTOR_BYTES || TTZO_SLOT_1 % SECTOR_BYTES || TTZO_SLOT_BYTES % SECTOR_BYTES
#error "boards/*.toml: slots of an RP2040 are whole sectors of 4,096 bytes"
#endif

#define FROM_RAM __attribute__((section(".data.from_ram"), noinline, long_call))
#define ROM_CODE(a, b) ((uint32_t)(b) << 8 | (uint32_t)(a))

static uint32_t used; // bytes of a slot

// What is called while the flash cannot be read, fetched before.
static struct {
    void (*connect)(void);
    void (*leave_reading)(void);
    void (*erase)(uint32_t offset, uint32_t count, uint32_t block_bytes, uint8_t block_command);
    void (*program)(uint32_t offset, const uint8_t *bytes, uint32_t count);
    void (*empty_cache)(void);
    uint32_t boot[BOOT_WORDS];
} rom;

// A half-word at the beginning of the boot ROM, where gcc would expect no object.
static uintptr_t rom_pointer(uintptr_t address)
{
    __asm("" : "+r"(address));
    return *(const volatile uint16_t *)address;
}

// The address of a function of the boot ROM, which has a table of them and a function that looks them up.
static uintptr_t rom_function(uint32_t code)
{
    uintptr_t (*find)(uintptr_t, uint32_t) = (uintptr_t (*)(uintptr_t, uint32_t))rom_pointer(0x18u);
    return find(rom_pointer(0x14u), code);
}

static void fetch(void)
{
    rom.connect = (void (*)(void))rom_function(ROM_CODE('I', 'F'));
    rom.leave_reading = (void (*)(void))rom_function(ROM_CODE('E', 'X'));
    rom.erase = (void (*)(uint32_t, uint32_t, uint32_t, uint8_t))rom_function(ROM_CODE('R', 'E'));
    rom.program = (void (*)(uint32_t, const uint8_t *, uint32_t))rom_function(ROM_CODE('R', 'P'));
    rom.empty_cache = (void (*)(void))rom_function(ROM_CODE('F', 'C'));
    for (uint32_t i = 0; i < BOOT_WORDS; i++)
        rom.boot[i] = TTZO_REGISTER(FLASH + 4u * i);
}

// Erases `count` bytes from `offset` of the flash, or, with `page`, writes that page there.
FROM_RAM static void change_flash(uint32_t offset, uint32_t count, const uint8_t *page)
{
    void (*read_fast)(void) = (void (*)(void))((uintptr_t)rom.boot + 1u); // Thumb code
    __asm volatile("cpsid i" ::: "memory");
    rom.connect();
    rom.leave_reading();
    if (page)
        rom.program(offset, page, PAGE_BYTES);
    else
        rom.erase(offset, count, SECTOR_BYTES, SECTOR_ERASE);
    rom.empty_cache();
    read_fast();
    __asm volatile("cpsie i" ::: "memory");
}

static bool rp2040_slot_erase(void *context, uint32_t slot)
{
    (void)context;
    change_flash(slot_address(slot) - FLASH, (used + SECTOR_BYTES - 1u) / SECTOR_BYTES * SECTOR_BYTES, NULL);
    return true;
}

// What lies in one page, with ones around it, which change nothing.
static bool rp2040_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    uint32_t at = slot_address(slot) + offset, end = at + count;
    while (at < end) {
        uint8_t page[PAGE_BYTES];
        uint32_t start = at / PAGE_BYTES * PAGE_BYTES;
        for (uint32_t i = 0; i < PAGE_BYTES; i++)
            page[i] = start + i >= at && start + i < end ? *bytes++ : 0xFFu;
        change_flash(start - FLASH, PAGE_BYTES, page);
        at = start + PAGE_BYTES;
    }
    return true;
}

struct ttzo_slots ttzo_memory_slots(uint32_t used_bytes)
{
    used = used_bytes;
    fetch();
    return (struct ttzo_slots){ rp2040_slot_erase, rp2040_slot_write,     flash_slot_read, NULL,
                                TTZO_SLOT_BYTES,   TTZO_SLOT_RATED_ERASES };
}
