// SPDX-License-Identifier: MIT
#include "storage/storage.h"

#include "number/crc32.h"

#define PIECE_BYTES 64u // read at once

#if TTZO_SAVED_RUN_BYTES % 4 || TTZO_SEAL_BYTES % 4
#error "what is written into a slot is whole words"
#endif

// ---- the memory -----------------------------------------------------------------------------------------------------

// All calls of the memory's pointers. They stay functions of their own: by their names the check of the stack knows what
// such a pointer reaches (host_tools/firmware/firmware_image.py).
__attribute__((noinline)) static bool call_slot_erase(const struct ttzo_slots *slots, uint32_t slot)
{
    return slots->erase(slots->context, slot);
}

__attribute__((noinline)) static bool call_slot_write(const struct ttzo_slots *slots, uint32_t slot, uint32_t offset,
                                                      const uint8_t *bytes, uint32_t count)
{
    return slots->write(slots->context, slot, offset, bytes, count);
}

__attribute__((noinline)) static bool call_slot_read(const struct ttzo_slots *slots, uint32_t slot, uint32_t offset,
                                                     uint8_t *bytes, uint32_t count)
{
    return slots->read(slots->context, slot, offset, bytes, count);
}

// A slot as the callbacks of a saved run see it.
struct place {
    const struct ttzo_slots *slots;
    uint32_t slot;
    uint32_t offset; // where the next piece is written
};

static bool slot_save_bytes(void *context, const uint8_t *bytes, uint32_t count)
{
    struct place *place = context;
    uint32_t at = place->offset;
    place->offset += count;
    return call_slot_write(place->slots, place->slot, at, bytes, count);
}

static bool slot_load_bytes(void *context, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    const struct place *place = context;
    return call_slot_read(place->slots, place->slot, offset, bytes, count);
}

uint32_t ttzo_slot_bytes(const struct ttzo_trainer *trainer)
{
    return ttzo_saved_run_bytes(trainer) + TTZO_SEAL_BYTES;
}

// ---- seals ----------------------------------------------------------------------------------------------------------

// Whether `slot` has a seal, and it belongs to the checksum at the end of the saved run before it: pieces of an older
// generation, left by an erase that was cut, do not pass for a new one. The saved run itself is not looked at.
static bool is_sealed(const struct ttzo_storage *storage, uint32_t slot, struct ttzo_seal *seal)
{
    uint8_t bytes[4 + TTZO_SEAL_BYTES];
    uint32_t at = ttzo_saved_run_bytes(storage->trainer) - 4;
    if (!call_slot_read(&storage->slots, slot, at, bytes, sizeof bytes))
        return false;
    ttzo_unpack_seal(bytes + 4, seal);
    return seal->magic == TTZO_SEAL_MAGIC && seal->generation && seal->saved_crc == ttzo_get_u32(bytes) &&
           seal->crc == ttzo_crc32(0, bytes + 4, TTZO_SEAL_BYTES - 4);
}

// Generations are compared by their distance, so that they may begin anew after 2^32 - 1.
static bool is_newer(uint32_t generation, uint32_t than)
{
    return generation - than < 1u << 31;
}

// ---- restoring ------------------------------------------------------------------------------------------------------

static bool load_from(struct ttzo_storage *storage, uint32_t slot, const struct ttzo_seal *seal)
{
    struct place place = { &storage->slots, slot, 0 };
    uint32_t detail;
    if (ttzo_load_run(storage->trainer, slot_load_bytes, &place, &detail))
        return false;
    storage->generation = seal->generation;
    storage->run = seal->run;
    storage->slot = slot;
    return true;
}

void ttzo_restore(struct ttzo_storage *storage)
{
    struct ttzo_seal seals[2];
    bool sealed[2];
    storage->generation = storage->run = storage->slot = 0;
    for (uint32_t slot = 0; slot < 2; slot++)
        sealed[slot] = is_sealed(storage, slot, &seals[slot]);
    uint32_t first = sealed[0] && sealed[1] ? is_newer(seals[1].generation, seals[0].generation) : sealed[1];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t slot = first ^ i;
        if (sealed[slot] && load_from(storage, slot, &seals[slot]))
            return;
    }
}

enum ttzo_error ttzo_storage_open(struct ttzo_storage *storage, const struct ttzo_slots *slots,
                                  struct ttzo_trainer *trainer, uint32_t *detail)
{
    if (!storage || !slots || !slots->erase || !slots->write || !slots->read || !trainer || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = ttzo_slot_bytes(trainer);
    if (slots->slot_bytes < *detail)
        return TTZO_ERROR_OUT_OF_MEMORY;
    storage->slots = *slots;
    storage->trainer = trainer;
    ttzo_restore(storage);
    return TTZO_ERROR_OK;
}

// ---- keeping --------------------------------------------------------------------------------------------------------

// Whether the memory gives back a saved run of `total` bytes whose checksum is right; the checksum.
static bool reads_back(const struct ttzo_slots *slots, uint32_t slot, uint32_t total, uint32_t *stored)
{
    uint8_t bytes[PIECE_BYTES];
    uint32_t crc = 0;
    for (uint32_t at = 0, count; at < total - 4; at += count) {
        count = total - 4 - at < PIECE_BYTES ? total - 4 - at : PIECE_BYTES;
        if (!call_slot_read(slots, slot, at, bytes, count))
            return false;
        crc = ttzo_crc32(crc, bytes, count);
    }
    *stored = crc;
    return call_slot_read(slots, slot, total - 4, bytes, 4) && ttzo_get_u32(bytes) == crc;
}

static bool write_seal(struct ttzo_storage *storage, uint32_t slot, uint32_t at, struct ttzo_seal seal)
{
    uint8_t bytes[TTZO_SEAL_BYTES];
    ttzo_pack_seal(&seal, bytes);
    ttzo_put_u32(bytes + TTZO_SEAL_BYTES - 4, ttzo_crc32(0, bytes, TTZO_SEAL_BYTES - 4));
    return call_slot_write(&storage->slots, slot, at, bytes, TTZO_SEAL_BYTES) && is_sealed(storage, slot, &seal);
}

enum ttzo_error ttzo_keep(struct ttzo_storage *storage, uint32_t run, uint32_t *detail)
{
    uint32_t slot = storage->generation ? storage->slot ^ 1u : 0, total = ttzo_saved_run_bytes(storage->trainer);
    uint32_t next = storage->generation == UINT32_MAX ? 1 : storage->generation + 1;
    struct ttzo_seal seal = { .magic = TTZO_SEAL_MAGIC, .generation = next, .run = run };
    struct place place = { &storage->slots, slot, 0 };
    *detail = total;
    if (!call_slot_erase(&storage->slots, slot))
        return TTZO_ERROR_NOT_STORED;
    enum ttzo_error error = ttzo_save_run(storage->trainer, slot_save_bytes, &place, detail);
    if (error)
        return error;
    if (!reads_back(&storage->slots, slot, total, &seal.saved_crc) || !write_seal(storage, slot, total, seal))
        return TTZO_ERROR_NOT_STORED;
    storage->generation = next;
    storage->run = run;
    storage->slot = slot;
    return TTZO_ERROR_OK;
}
