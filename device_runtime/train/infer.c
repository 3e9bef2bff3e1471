// SPDX-License-Identifier: MIT
// A forward pass without a training run: only the arrays of that pass are needed.
#include "model/carve.h"
#include "operations/graph.h"
#include "train/work_memory.h"
#include "ttzo.h"

enum ttzo_error ttzo_infer(const struct ttzo_model *model, const float *parameters, const uint8_t *row, void *scratch,
                           size_t scratch_bytes, const float **outputs, uint32_t *detail)
{
    if (!model || !row || !scratch || !outputs || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = 8;
    if ((uintptr_t)scratch % 8)
        return TTZO_ERROR_MISALIGNED;
    if (ttzo_needs_no_rows(model) || ttzo_has_simulation(model))
        return TTZO_ERROR_BAD_REQUEST;
    struct ttzo_trainer pass = { .model = model }; // of which a forward pass reads four arrays
    struct ttzo_carve carve = { scratch, 0 };
    ttzo_carve_forward(&pass, &carve);
    *detail = carve.numbers < UINT32_MAX / 4 ? 4 * (uint32_t)carve.numbers : UINT32_MAX;
    if (scratch_bytes < *detail)
        return TTZO_ERROR_OUT_OF_MEMORY;
    const float *theta = parameters ? parameters : model->parameters;
    ttzo_network_prepare(&pass, theta);
    *outputs = ttzo_forward(&pass, theta, row);
    return TTZO_ERROR_OK;
}
