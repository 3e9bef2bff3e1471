// SPDX-License-Identifier: MIT
// What the drivers of flash slots share: flash is read as memory, and only the pages that a run needs are erased.
#ifndef TTZO_SLOTS_FLASH_H
#define TTZO_SLOTS_FLASH_H
#include "serial.h"

static inline uint32_t slot_address(uint32_t slot)
{
    return slot ? TTZO_SLOT_1 : TTZO_SLOT_0;
}

// Copies from flash; a word that was just programmed is not kept in a register.
static inline bool flash_slot_read(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    const volatile uint8_t *from = (const volatile uint8_t *)(uintptr_t)(slot_address(slot) + offset);
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = from[i];
    return true;
}

#endif
