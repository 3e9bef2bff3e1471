// SPDX-License-Identifier: MIT
// Somebody's own program around the core: opens the model, trains STEPS steps on rows.h, prints the error of ttzo_open,
// its detail, and the CRC-32 of the parameters. C and C++ both compile it. The argument `upward` or `flush` sets the
// processor to another rounding mode, or to take subnormal numbers for 0.
#include <fenv.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "rows.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

static struct ttzo_trainer trainer;
static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];

static void set_mode(const char *mode)
{
    if (strcmp(mode, "upward") == 0)
        fesetround(FE_UPWARD);
#if defined(__SSE__)
    if (strcmp(mode, "flush") == 0)
        _mm_setcsr(_mm_getcsr() | 0x8040u);
#endif
}

int main(int count, char **words)
{
    uint32_t detail = 0;
    struct ttzo_step_result result;
    const uint8_t *parameters;
    if (count > 1)
        set_mode(words[1]);
    enum ttzo_error error = ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail);
    if (error) {
        printf("%s %u\n", ttzo_error_name(error), (unsigned)detail);
        return 1;
    }
    error = ttzo_write(&trainer, TTZO_REGION_BATCH, 0, rows, sizeof rows, &detail);
    if (!error)
        error = ttzo_commit(&trainer, TTZO_REGION_BATCH, sizeof rows, ttzo_crc32(0, rows, sizeof rows), &detail);
    for (unsigned step = 0; !error && step < STEPS; step++)
        error = ttzo_step(&trainer, TTZO_REGION_BATCH, &result, &detail);
    if (!error)
        error = ttzo_read(&trainer, TTZO_REGION_PARAMETERS, 0, 4 * TTZO_MODEL_N_PARAMETERS, &parameters, &detail);
    if (error) {
        printf("%s %u\n", ttzo_error_name(error), (unsigned)detail);
        return 2;
    }
    printf("ok 0 %08x\n", (unsigned)ttzo_crc32(0, parameters, 4 * TTZO_MODEL_N_PARAMETERS));
    return 0;
}
