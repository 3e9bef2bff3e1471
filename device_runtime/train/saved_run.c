// SPDX-License-Identifier: MIT
// A run as one blob: struct saved_run of the contract, then parameters, moments and a CRC-32.
#include "number/crc32.h"
#include "number/real.h"
#include "ttzo.h"

#define PIECE_BYTES 64u // what is read or written at once, a multiple of 4

static uint32_t numbers_of(const struct ttzo_trainer *trainer)
{
    return trainer->model->info.n_parameters + trainer->n_moments;
}

uint32_t ttzo_saved_run_bytes(const struct ttzo_trainer *trainer)
{
    return TTZO_SAVED_RUN_BYTES + 4 * numbers_of(trainer) + 4;
}

// Number i of parameters and moments, which need not lie next to each other.
static float *number_at(struct ttzo_trainer *trainer, uint32_t i)
{
    uint32_t n = trainer->model->info.n_parameters;
    return i < n ? trainer->theta + i : trainer->moments + (i - n);
}

// All calls of the caller's functions. They stay functions of their own: by their names the check of the stack knows what
// they reach (host_tools/firmware/firmware_image.py).
__attribute__((noinline)) static bool call_save(ttzo_save_bytes save, void *context, const uint8_t *bytes,
                                                uint32_t count)
{
    return save(context, bytes, count);
}

__attribute__((noinline)) static bool call_load(ttzo_load_bytes load, void *context, uint32_t offset, uint8_t *bytes,
                                                uint32_t count)
{
    return load(context, offset, bytes, count);
}

// ---- saving ---------------------------------------------------------------------------------------------------------

struct saver {
    ttzo_save_bytes save;
    void *context;
    uint32_t crc;
};

static bool put(struct saver *saver, const uint8_t *bytes, uint32_t count)
{
    saver->crc = ttzo_crc32(saver->crc, bytes, count);
    return call_save(saver->save, saver->context, bytes, count);
}

enum ttzo_error ttzo_save_run(struct ttzo_trainer *trainer, ttzo_save_bytes save, void *context, uint32_t *detail)
{
    if (!trainer || !save || !detail)
        return TTZO_ERROR_NULL_POINTER;
    struct ttzo_saved_run head = { .magic = TTZO_SAVED_RUN_MAGIC,
                                   .format = TTZO_SAVED_RUN_FORMAT,
                                   .total_bytes = ttzo_saved_run_bytes(trainer),
                                   .training = trainer->training,
                                   .phase_0 = trainer->phases[0],
                                   .phase_1 = trainer->phases[1],
                                   .state = trainer->state };
    struct saver saver = { save, context, 0 };
    uint8_t bytes[TTZO_SAVED_RUN_BYTES];
    *detail = head.total_bytes;
    for (uint32_t i = 0; i < TTZO_HASH_BYTES; i++)
        head.hash[i] = trainer->model->hash[i];
    ttzo_pack_saved_run(&head, bytes);
    if (!put(&saver, bytes, TTZO_SAVED_RUN_BYTES))
        return TTZO_ERROR_NOT_STORED;
    for (uint32_t i = 0, n = numbers_of(trainer); i < n;) {
        uint32_t count = 0;
        for (; count < PIECE_BYTES && i < n; count += 4)
            ttzo_put_f32(bytes + count, *number_at(trainer, i++));
        if (!put(&saver, bytes, count))
            return TTZO_ERROR_NOT_STORED;
    }
    ttzo_put_u32(bytes, saver.crc);
    return put(&saver, bytes, 4) ? TTZO_ERROR_OK : TTZO_ERROR_NOT_STORED;
}

// ---- loading --------------------------------------------------------------------------------------------------------

// Whether `head` begins a blob of this model.
static enum ttzo_error check_head(const struct ttzo_trainer *trainer, const struct ttzo_saved_run *head)
{
    if (head->magic != TTZO_SAVED_RUN_MAGIC)
        return TTZO_ERROR_BAD_SAVED_RUN;
    if (head->format != TTZO_SAVED_RUN_FORMAT)
        return TTZO_ERROR_BAD_BUNDLE_FORMAT;
    for (uint32_t i = 0; i < TTZO_HASH_BYTES; i++)
        if (head->hash[i] != trainer->model->hash[i])
            return TTZO_ERROR_OTHER_MODEL;
    return head->total_bytes == ttzo_saved_run_bytes(trainer) ? TTZO_ERROR_OK : TTZO_ERROR_BAD_SAVED_RUN;
}

// Goes through the numbers: with `take`, into the trainer; else it checks them and the checksum.
static enum ttzo_error numbers(struct ttzo_trainer *trainer, ttzo_load_bytes load, void *context, uint32_t crc,
                               bool take)
{
    uint8_t bytes[PIECE_BYTES];
    uint32_t at = TTZO_SAVED_RUN_BYTES, n = numbers_of(trainer);
    for (uint32_t i = 0; i < n;) {
        uint32_t count = 4 * (n - i) < PIECE_BYTES ? 4 * (n - i) : PIECE_BYTES;
        if (!call_load(load, context, at, bytes, count))
            return TTZO_ERROR_NOT_STORED;
        crc = ttzo_crc32(crc, bytes, count);
        at += count;
        for (uint32_t k = 0; k < count; k += 4, i++) {
            float number = ttzo_get_f32(bytes + k);
            if (take)
                *number_at(trainer, i) = number;
            else if (!ttzo_is_finite(number))
                return TTZO_ERROR_BAD_NUMBER;
        }
    }
    if (take)
        return TTZO_ERROR_OK;
    if (!call_load(load, context, at, bytes, 4))
        return TTZO_ERROR_NOT_STORED;
    return ttzo_get_u32(bytes) == crc ? TTZO_ERROR_OK : TTZO_ERROR_BAD_CHECKSUM;
}

// Settings and state, both or none.
static enum ttzo_error take_settings(struct ttzo_trainer *trainer, const struct ttzo_saved_run *head, uint32_t *detail)
{
    const struct ttzo_phase phases[TTZO_MAX_PHASES] = { head->phase_0, head->phase_1 };
    const struct ttzo_phase phases_before[TTZO_MAX_PHASES] = { trainer->phases[0], trainer->phases[1] };
    const struct ttzo_training training_before = trainer->training;
    enum ttzo_error error = ttzo_configure(trainer, &head->training, phases, detail);
    if (error)
        return error;
    error = ttzo_set_state(trainer, &head->state, detail);
    if (error) {
        trainer->training = training_before;
        for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++)
            trainer->phases[p] = phases_before[p];
    }
    return error;
}

enum ttzo_error ttzo_load_run(struct ttzo_trainer *trainer, ttzo_load_bytes load, void *context, uint32_t *detail)
{
    struct ttzo_saved_run head;
    uint8_t bytes[TTZO_SAVED_RUN_BYTES];
    if (!trainer || !load || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = ttzo_saved_run_bytes(trainer);
    if (!call_load(load, context, 0, bytes, TTZO_SAVED_RUN_BYTES))
        return TTZO_ERROR_NOT_STORED;
    ttzo_unpack_saved_run(bytes, &head);
    enum ttzo_error error = check_head(trainer, &head);
    *detail = error == TTZO_ERROR_BAD_BUNDLE_FORMAT ? head.format : *detail;
    if (!error)
        error = numbers(trainer, load, context, ttzo_crc32(0, bytes, TTZO_SAVED_RUN_BYTES), false);
    if (!error)
        error = take_settings(trainer, &head, detail);
    if (error)
        return error;
    error = numbers(trainer, load, context, 0, true);
    if (error)
        ttzo_reset(trainer); // it could be read a moment ago: what came is half of two runs
    return error;
}
