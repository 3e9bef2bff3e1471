// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a bundle, its residual programs and graph included. Length and CRC-32 are put right, so
// that what comes after them is reached; a bundle that is taken is trained and asked once.
#include <stdlib.h>
#include <string.h>

#include "ttzo.h"

#define WORK_BYTES (1u << 20)
#define MOST_MACS 200000u // of a forward pass that is run

static bool once(void *context, uint32_t done, uint32_t total)
{
    (void)context, (void)total;
    return done < 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ttzo_layer layers[TTZO_MAX_LAYERS];
    static struct ttzo_model model;
    static struct ttzo_trainer trainer;
    static uint64_t work[WORK_BYTES / 8];
    const float *outputs;
    struct ttzo_step_result result;
    uint32_t detail;
    if (size < TTZO_BUNDLE_HEADER_BYTES + 4)
        return 0;
    uint8_t *bytes = malloc(size);
    memcpy(bytes, data, size);
    ttzo_put_u32(bytes + 8, (uint32_t)size);
    ttzo_put_u32(bytes + size - 4, ttzo_crc32(0, bytes, size - 4));
    if (!ttzo_read_bundle(bytes, size, layers, &model, &detail) &&
        !ttzo_open(&trainer, &model, work, sizeof work, &detail) && trainer.macs_per_row < MOST_MACS) {
        trainer.poll = once;
        if (!ttzo_take_rows(&trainer, TTZO_REGION_BATCH, trainer.batch.capacity, &detail))
            (void)ttzo_predict(&trainer, 0, &outputs, &detail);
        (void)ttzo_step(&trainer, model.info.loss == TTZO_LOSS_RESIDUAL ? TTZO_REGION_COLLOCATION : TTZO_REGION_BATCH,
                        &result, &detail);
    }
    free(bytes);
    return 0;
}
