// SPDX-License-Identifier: MIT
// A run that outlives a reset and a power cut: generations, written in turn into two slots of a memory.
//
//     static struct ttzo_storage storage;
//     const struct ttzo_slots slots = { erase, write, read, &my_flash, 4096, 10000 };
//     ttzo_storage_open(&storage, &slots, &trainer, &detail);  // after ttzo_open: the newest run, where there is one
//     ... train ...
//     ttzo_keep(&storage, 0, &detail);                         // every so often: each call erases one slot
//
// A slot holds a saved run (ttzo_save_run), then struct seal of the contract, which gives its generation. A new generation
// goes into the slot that does not hold the newest one. Wherever the power is cut, one slot holds a whole generation once
// the first one is complete.
#ifndef TTZO_STORAGE_H
#define TTZO_STORAGE_H
#include "ttzo.h"

#ifdef __cplusplus
extern "C" {
#endif

// A memory of two slots, 0 and 1. All functions return false when the memory failed; they may wait.
struct ttzo_slots {
    // Makes a whole slot writable. What it holds after that does not matter.
    bool (*erase)(void *context, uint32_t slot);
    // Writes `count` bytes, a multiple of 4 and at most TTZO_SAVED_RUN_BYTES. Offsets are multiples of 4 and ascend from
    // 0; each byte is written once after an erase.
    bool (*write)(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count);
    bool (*read)(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count);
    void *context;         // handed to all three; may be NULL
    uint32_t slot_bytes;   // of one slot: at least ttzo_slot_bytes
    uint32_t rated_erases; // how often a slot may be erased by its data sheet; 0: the memory does not wear
};

// Caller-owned; fields belong to storage.c and are for reading.
struct ttzo_storage {
    struct ttzo_slots slots;
    struct ttzo_trainer *trainer;
    uint32_t generation; // the newest whole one; 0: there is none
    uint32_t run;        // as ttzo_keep named it
    uint32_t slot;       // where it lies
};

// Bytes of a slot for this run: TTZO_MODEL_SAVED_BYTES of model.h and TTZO_SEAL_BYTES.
uint32_t ttzo_slot_bytes(const struct ttzo_trainer *trainer);

// Copies `slots` and restores. TTZO_ERROR_OUT_OF_MEMORY: slots of `detail` bytes are needed; nothing was read.
enum ttzo_error ttzo_storage_open(struct ttzo_storage *storage, const struct ttzo_slots *slots,
                                  struct ttzo_trainer *trainer, uint32_t *detail);

// Loads the newest whole generation of the trainer's model into the trainer, settings included. Without one, `generation`
// is 0 and the trainer stays as it is.
void ttzo_restore(struct ttzo_storage *storage);

// Saves the run as the next generation and reads it again. `run` is any number that names the run for its owner.
// TTZO_ERROR_NOT_STORED: the memory failed; the generation before is still there.
enum ttzo_error ttzo_keep(struct ttzo_storage *storage, uint32_t run, uint32_t *detail);

#ifdef __cplusplus
}
#endif

#endif
