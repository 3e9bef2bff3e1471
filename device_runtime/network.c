// SPDX-License-Identifier: MIT
#include "network.h"

#include "layers.h"
#include "real.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

uint32_t ttzo_input_bytes(const struct ttzo_model *model)
{
    static const uint8_t widths[] = { [TTZO_NUMBER_UINT8] = 1, [TTZO_NUMBER_INT16] = 2, [TTZO_NUMBER_FLOAT32] = 4 };
    return (uint32_t)model->info.in_features * widths[model->info.input_number];
}

uint32_t ttzo_row_bytes(const struct ttzo_model *model)
{
    bool is_class = model->info.loss == TTZO_LOSS_CROSS_ENTROPY;
    return ttzo_input_bytes(model) + (is_class ? 2u : 4u * model->info.out_features);
}

uint64_t ttzo_network_widest(const struct ttzo_model *model)
{
    uint64_t widest = model->info.in_features;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        for (uint32_t k = 0; k < ttzo_layer_length(&model->layers[l]); k++) {
            struct ttzo_contraction step = ttzo_layer_contraction(&model->layers[l], k);
            uint64_t size = (uint64_t)step.repeats * step.rows * step.columns;
            if (size > widest)
                widest = size;
        }
    return widest;
}

uint32_t ttzo_network_macs(const struct ttzo_model *model)
{
    uint64_t macs = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        for (uint32_t k = 0; k < ttzo_layer_length(&model->layers[l]); k++) {
            struct ttzo_contraction step = ttzo_layer_contraction(&model->layers[l], k);
            macs += (uint64_t)step.repeats * step.rows * step.inner * step.columns;
        }
    return macs < UINT32_MAX ? (uint32_t)macs : UINT32_MAX;
}

// ---- forward --------------------------------------------------------------------------------------------------------

void ttzo_read_inputs(const struct ttzo_model *model, const uint8_t *row, float *x)
{
    const struct ttzo_model_info *info = &model->info;
    for (uint32_t i = 0; i < info->in_features; i++) {
        float number = info->input_number == TTZO_NUMBER_UINT8   ? (float)row[i]
                       : info->input_number == TTZO_NUMBER_INT16 ? (float)ttzo_get_i16(row + 2 * i)
                                                                 : ttzo_get_f32(row + 4 * i);
        x[i] = TTZO_MULADD(number, info->input_scale, info->input_offset);
    }
}

void ttzo_activate(enum ttzo_activation activation, float *z, uint32_t n)
{
    switch (activation) {
    case TTZO_ACTIVATION_RELU:
        for (uint32_t i = 0; i < n; i++)
            z[i] = z[i] < 0.0f ? 0.0f : z[i]; // NaN stays NaN: a broken forward pass must not look like a dead unit
        break;
    case TTZO_ACTIVATION_TANH:
        for (uint32_t i = 0; i < n; i++)
            z[i] = ttzo_tanh(z[i]);
        break;
    case TTZO_ACTIVATION_SINE:
        for (uint32_t i = 0; i < n; i++)
            z[i] = ttzo_sin(z[i]);
        break;
    case TTZO_ACTIVATION_IDENTITY: break;
    }
}

float *ttzo_network_forward(const struct ttzo_model *model, const float *theta, const uint8_t *row,
                            float *const buffers[2])
{
    uint32_t current = 0;
    ttzo_read_inputs(model, row, buffers[0]);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        ttzo_layer_forward(layer, theta, buffers, &current);
        ttzo_activate((enum ttzo_activation)layer->activation, buffers[current], layer->out_features);
    }
    return buffers[current];
}
