// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes in the two slots of a storage, half of the input each. The first byte says which checksums are
// put right, so that what comes after them is reached. What is restored must be kept and restored again.
#include <string.h>

#include "small_model.h"
#include "storage/storage.h"

#define SLOT 4096u

static uint8_t memory[2][SLOT];

static bool ram_slot_erase(void *context, uint32_t slot)
{
    (void)context;
    memset(memory[slot], 0xFF, SLOT);
    return true;
}

static bool ram_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    if (offset > SLOT || count > SLOT - offset)
        __builtin_trap();
    memcpy(memory[slot] + offset, bytes, count);
    return true;
}

static bool ram_slot_read(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    if (offset > SLOT || count > SLOT - offset)
        __builtin_trap();
    memcpy(bytes, memory[slot] + offset, count);
    return true;
}

static void mend(uint8_t *slot, uint32_t saved_bytes, unsigned which)
{
    uint8_t *seal = slot + saved_bytes;
    if (which & 1u)
        ttzo_put_u32(seal - 4, ttzo_crc32(0, slot, saved_bytes - 4));
    if (which & 2u)
        memcpy(seal + 12, seal - 4, 4);
    if (which & 4u)
        ttzo_put_u32(seal + 16, ttzo_crc32(0, seal, 16));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ttzo_layer layers[TTZO_MAX_LAYERS];
    static struct ttzo_model model;
    static struct ttzo_trainer trainer;
    static struct ttzo_storage storage;
    static uint64_t work[1 << 13];
    const struct ttzo_slots slots = { ram_slot_erase, ram_slot_write, ram_slot_read, NULL, SLOT, 0 };
    uint32_t detail;
    if (!size || ttzo_read_bundle(small_model, sizeof small_model, layers, &model, &detail) ||
        ttzo_open(&trainer, &model, work, sizeof work, &detail))
        return 0;
    memset(memory, 0xFF, sizeof memory);
    size_t half = (size - 1) / 2;
    for (uint32_t slot = 0; slot < 2; slot++) {
        memcpy(memory[slot], data + 1 + slot * half, half < SLOT ? half : SLOT);
        mend(memory[slot], ttzo_saved_run_bytes(&trainer), data[0] >> (3 * slot));
    }
    if (ttzo_storage_open(&storage, &slots, &trainer, &detail))
        __builtin_trap();
    struct ttzo_state before = trainer.state;
    if (ttzo_keep(&storage, 1, &detail))
        __builtin_trap();
    uint32_t generation = storage.generation;
    ttzo_restore(&storage);
    if (storage.generation != generation || trainer.state.step != before.step)
        __builtin_trap();
    return 0;
}
