// SPDX-License-Identifier: MIT
// A sensor's program: learns good rows on line, takes its threshold from further good rows, and watches. Prints the
// errors of good rows, the thresholds by both rules, and the alarms.
#include <stdio.h>

#include "model.h"
#include "rows.h"

static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];
static uint64_t scratch[(TTZO_MODEL_INFER_BYTES + 7u) / 8u];
static struct ttzo_trainer trainer;

static float error_of(const float *sample)
{
    uint8_t row[TTZO_MODEL_INPUT_BYTES];
    const float *outputs;
    uint32_t detail;
    if (ttzo_pack_inputs(&ttzo_model, sample, TTZO_MODEL_INPUTS, row, &detail) ||
        ttzo_infer(&ttzo_model, trainer.theta, row, scratch, sizeof scratch, &outputs, &detail))
        return -1.0f;
    return ttzo_row_error(&ttzo_model, outputs, row);
}

int main(void)
{
    struct ttzo_detector detector;
    struct ttzo_step_result result;
    uint32_t detail;
    bool stepped;
    if (ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail))
        return 1;
    for (uint32_t i = 0; i < N_TRAIN; i++)
        if (ttzo_learn_outputs(&trainer, train[i], TTZO_MODEL_INPUTS, train[i], TTZO_MODEL_OUTPUTS, &result, &stepped,
                               &detail))
            return 2;
    ttzo_detector_begin(&detector, 2, 3);
    if (ttzo_detector_percentile(&detector, 90.0f) != TTZO_ERROR_OUT_OF_RANGE || ttzo_detector_alarm(&detector, 1e30f))
        return 3;
    printf("good");
    for (uint32_t i = 0; i < N_GOOD; i++) {
        float error = error_of(good[i]);
        if (ttzo_detector_learn(&detector, error))
            return 4;
        printf(" %.9g", (double)error);
    }
    if (ttzo_detector_percentile(&detector, 10.0f) != TTZO_ERROR_OUT_OF_RANGE)
        return 5;
    if (ttzo_detector_gaussian(&detector, 2.0f))
        return 6;
    printf("\ngaussian %.9g\n", (double)detector.threshold);
    if (ttzo_detector_percentile(&detector, 90.0f))
        return 7;
    printf("percentile %.9g\nalarms", (double)detector.threshold);
    for (uint32_t i = 0; i < N_TEST; i++)
        printf(" %d", ttzo_detector_alarm(&detector, error_of(test[i])));
    printf("\n");
    return 0;
}
