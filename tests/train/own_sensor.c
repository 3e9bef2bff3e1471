// SPDX-License-Identifier: MIT
// A sensor's program: trains on line, one labelled sample at a time, saves the run into an array, loses power, loads it
// and goes on; then infers without a trainer. Prints CRC-32s of parameters and outputs.
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "rows.h"

static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];
static uint64_t scratch[(TTZO_MODEL_INFER_BYTES + 7u) / 8u];
static struct ttzo_trainer trainer;
static struct {
    uint8_t bytes[TTZO_MODEL_SAVED_BYTES];
    uint32_t used;
    uint32_t reads_left;
} flash;

static bool flash_save(void *context, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    if (count > sizeof flash.bytes - flash.used)
        return false;
    memcpy(flash.bytes + flash.used, bytes, count);
    flash.used += count;
    return true;
}

static bool flash_load(void *context, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    if (offset > sizeof flash.bytes || count > sizeof flash.bytes - offset || flash.reads_left-- == 0)
        return false;
    memcpy(bytes, flash.bytes + offset, count);
    return true;
}

static unsigned parameters(void)
{
    uint32_t detail;
    const uint8_t *bytes;
    if (ttzo_read(&trainer, TTZO_REGION_PARAMETERS, 0, 4 * TTZO_MODEL_N_PARAMETERS, &bytes, &detail))
        return 0;
    return (unsigned)ttzo_crc32(0, bytes, 4 * TTZO_MODEL_N_PARAMETERS);
}

static int learn_batch(void)
{
    struct ttzo_step_result result;
    bool stepped = false;
    uint32_t detail;
    for (uint32_t i = 0; i < TTZO_MODEL_BATCH; i++)
        if (ttzo_learn_class(&trainer, samples[i], TTZO_MODEL_INPUTS, labels[i], &result, &stepped, &detail) ||
            stepped != (i + 1 == TTZO_MODEL_BATCH))
            return 1;
    return 0;
}

static void say(const char *what, enum ttzo_error error)
{
    printf("%s %s\n", what, ttzo_error_name(error));
}

static void try_damaged(void)
{
    uint32_t detail;
    unsigned before = parameters();
    flash.reads_left = UINT32_MAX;
    flash.bytes[TTZO_SAVED_RUN_BYTES + 5] ^= 1;
    say("flipped", ttzo_load_run(&trainer, flash_load, NULL, &detail));
    flash.bytes[TTZO_SAVED_RUN_BYTES + 5] ^= 1;
    flash.bytes[0] ^= 1;
    say("magic", ttzo_load_run(&trainer, flash_load, NULL, &detail));
    flash.bytes[0] ^= 1;
    flash.bytes[12] ^= 1;
    say("model", ttzo_load_run(&trainer, flash_load, NULL, &detail));
    flash.bytes[12] ^= 1;
    flash.reads_left = 3;
    say("unread", ttzo_load_run(&trainer, flash_load, NULL, &detail));
    flash.reads_left = UINT32_MAX;
    printf("kept %d\n", parameters() == before);
}

int main(void)
{
    uint32_t detail = 0;
    const float *outputs;
    uint8_t row[TTZO_MODEL_INPUT_BYTES];
    float broken[TTZO_MODEL_INPUTS] = { 1e9f };
    struct ttzo_step_result result;
    bool stepped;
    if (ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail) || learn_batch() || learn_batch())
        return 1;
    printf("two %08x\n", parameters());
    if (ttzo_saved_run_bytes(&trainer) != TTZO_MODEL_SAVED_BYTES || ttzo_save_run(&trainer, flash_save, NULL, &detail))
        return 2;
    say("full", ttzo_save_run(&trainer, flash_save, NULL, &detail));
    if (ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail))
        return 3;
    try_damaged();
    if (ttzo_load_run(&trainer, flash_load, NULL, &detail) || learn_batch())
        return 4;
    printf("three %08x %u\n", parameters(), (unsigned)trainer.state.step);
    say("input", ttzo_learn_class(&trainer, broken, TTZO_MODEL_INPUTS, 0, &result, &stepped, &detail));
    say("count", ttzo_learn_class(&trainer, samples[0], TTZO_MODEL_INPUTS - 1, 0, &result, &stepped, &detail));
    say("label", ttzo_learn_class(&trainer, samples[0], TTZO_MODEL_INPUTS, TTZO_MODEL_CLASSES, &result, &stepped, &detail));
    say("kind", ttzo_set_outputs(&trainer, TTZO_REGION_BATCH, 0, samples[0], 1, &detail));
    if (ttzo_pack_inputs(&ttzo_model, samples[1], TTZO_MODEL_INPUTS, row, &detail) ||
        ttzo_infer(&ttzo_model, trainer.theta, row, scratch, sizeof scratch, &outputs, &detail))
        return 5;
    printf("infer %08x\n", (unsigned)ttzo_crc32(0, (const uint8_t *)outputs, 4 * TTZO_MODEL_OUTPUTS));
    say("small", ttzo_infer(&ttzo_model, NULL, row, scratch, sizeof scratch - 8, &outputs, &detail));
    return 0;
}
