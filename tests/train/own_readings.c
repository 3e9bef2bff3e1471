// SPDX-License-Identifier: MIT
// A sensor's program: packs readings as they come and infers. Prints each row's bytes and its outputs; by integers too,
// where all readings are whole.
#include <stdio.h>

#include "model.h"
#include "rows.h"

#ifndef TTZO_MODEL_NORMALISES
#error "this model does not normalise"
#endif

static uint64_t scratch[(TTZO_MODEL_INFER_BYTES + 7u) / 8u];

static void print_row(const uint8_t *row)
{
    for (uint32_t b = 0; b < TTZO_MODEL_INPUT_BYTES; b++)
        printf("%02x", row[b]);
}

int main(void)
{
    const float *outputs;
    uint32_t detail;
    for (uint32_t i = 0; i < N_ROWS; i++) {
        uint8_t row[TTZO_MODEL_INPUT_BYTES], of_integers[TTZO_MODEL_INPUT_BYTES];
        int32_t whole[TTZO_MODEL_INPUTS];
        for (uint32_t k = 0; k < TTZO_MODEL_INPUTS; k++)
            whole[k] = (int32_t)readings[i][k];
        if (ttzo_pack_inputs(&ttzo_model, readings[i], TTZO_MODEL_INPUTS, row, &detail) ||
            ttzo_pack_integers(&ttzo_model, whole, TTZO_MODEL_INPUTS, of_integers, &detail) ||
            ttzo_infer(&ttzo_model, NULL, row, scratch, sizeof scratch, &outputs, &detail))
            return 1;
        print_row(row);
        printf(" ");
        print_row(of_integers);
        for (uint32_t k = 0; k < TTZO_MODEL_OUTPUTS; k++)
            printf(" %.9g", (double)outputs[k]);
        printf("\n");
    }
    return 0;
}
