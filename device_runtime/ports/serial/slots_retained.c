// SPDX-License-Identifier: MIT
// Two slots in RAM that nothing else uses: they outlive a reset, and a power cut where the memory has a battery. Seen
// working in QEMU.
#include "serial.h"

static volatile uint8_t *place(uint32_t slot, uint32_t offset)
{
    return (volatile uint8_t *)(uintptr_t)((slot ? TTZO_SLOT_1 : TTZO_SLOT_0) + offset);
}

// Nothing to do before a write: the seal of the generation that goes no longer fits what is written over it.
static bool retained_slot_erase(void *context, uint32_t slot)
{
    (void)context, (void)slot;
    return true;
}

static bool retained_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    volatile uint8_t *to = place(slot, offset);
    for (uint32_t i = 0; i < count; i++)
        to[i] = bytes[i];
    return true;
}

static bool retained_slot_read(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    const volatile uint8_t *from = place(slot, offset);
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = from[i];
    return true;
}

struct ttzo_slots ttzo_memory_slots(uint32_t used_bytes)
{
    (void)used_bytes;
    return (struct ttzo_slots){ retained_slot_erase, retained_slot_write,   retained_slot_read, NULL,
                                TTZO_SLOT_BYTES,     TTZO_SLOT_RATED_ERASES };
}
