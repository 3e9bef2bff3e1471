// SPDX-License-Identifier: MIT
#include "network/network.h"

#include "network/merged_layer.h"
#include "network/split_layer.h"
#include "network/gathered_layer.h"
#include "network/layers.h"
#include "network/loss.h"
#include "number/real.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

uint32_t ttzo_input_bytes(const struct ttzo_model *model)
{
    static const uint8_t widths[] = { [TTZO_NUMBER_UINT8] = 1, [TTZO_NUMBER_INT16] = 2, [TTZO_NUMBER_FLOAT32] = 4 };
    return (uint32_t)model->info.in_features * widths[model->info.input_number];
}

uint32_t ttzo_row_bytes(const struct ttzo_model *model)
{
    return ttzo_input_bytes(model) + ttzo_target_bytes(model);
}

uint64_t ttzo_network_buffer(const struct ttzo_model *model)
{
    uint64_t widest = model->info.in_features;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t size =
            ttzo_is_split(layer) || ttzo_is_gathered(layer) ? ttzo_layer_outputs(layer) : ttzo_layer_widest(layer);
        if (size > widest)
            widest = size;
    }
    return widest;
}

uint64_t ttzo_network_prepared(const struct ttzo_model *model)
{
    uint64_t numbers = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        numbers += ttzo_is_split(&model->layers[l]) ? ttzo_split_prepared(&model->layers[l]) : 0;
    return numbers;
}

uint64_t ttzo_network_scratch(const struct ttzo_model *model)
{
    uint64_t most = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t numbers = ttzo_is_gathered(layer) ? ttzo_gathered_scratch(layer)
                           : ttzo_is_split(layer)  ? ttzo_split_scratch(layer)
                                                   : 0;
        if (numbers > most)
            most = numbers;
    }
    return most;
}

uint64_t ttzo_layer_macs(const struct ttzo_layer *layer)
{
    uint64_t macs = 0;
    if (ttzo_is_split(layer))
        return ttzo_split_macs(layer);
    if (ttzo_is_gathered(layer))
        return ttzo_gathered_macs(layer);
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        macs += (uint64_t)step.repeats * step.rows * step.inner * step.columns;
    }
    return macs;
}

uint32_t ttzo_network_macs(const struct ttzo_model *model)
{
    uint64_t macs = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        struct ttzo_layer merged = ttzo_merged_layer(&model->layers[l]);
        macs += ttzo_layer_macs(ttzo_has_equation(model) ? &merged : &model->layers[l]);
    }
    return macs < UINT32_MAX ? (uint32_t)macs : UINT32_MAX;
}

// ---- forward --------------------------------------------------------------------------------------------------------

void ttzo_read_inputs(const struct ttzo_model *model, const uint8_t *row, float *x)
{
    uint32_t n = model->info.in_features;
    float scale = model->info.input_scale, offset = model->info.input_offset;
    switch ((enum ttzo_number)model->info.input_number) {
    case TTZO_NUMBER_UINT8:
        for (uint32_t i = 0; i < n; i++)
            x[i] = TTZO_MULADD((float)row[i], scale, offset);
        break;
    case TTZO_NUMBER_INT16:
        for (uint32_t i = 0; i < n; i++)
            x[i] = TTZO_MULADD((float)ttzo_get_i16(row + 2 * i), scale, offset);
        break;
    case TTZO_NUMBER_FLOAT32:
        for (uint32_t i = 0; i < n; i++)
            x[i] = TTZO_MULADD(ttzo_get_f32(row + 4 * i), scale, offset);
        break;
    }
}

void ttzo_activate(enum ttzo_activation activation, float *z, uint32_t n)
{
    if (!TTZO_HAS_CURVES && activation != TTZO_ACTIVATION_RELU)
        return; // identity
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
    default: break; // identity; the others are nodes of graphs alone
    }
}

static float relu_change(float z, float move)
{
    float moved = z + move;
    if (z > 0.0f)
        return moved <= 0.0f ? -z : move;
    return moved <= 0.0f ? 0.0f : moved;
}

float ttzo_activation_change(enum ttzo_activation activation, float z, float h, float move)
{
    if (!TTZO_HAS_CURVES)
        return activation == TTZO_ACTIVATION_RELU ? relu_change(z, move) : move;
    switch (activation) {
    case TTZO_ACTIVATION_RELU: return relu_change(z, move);
    case TTZO_ACTIVATION_TANH: return ttzo_tanh_change(h, TTZO_MULADD(-h, h, 1.0f), move);
    case TTZO_ACTIVATION_SINE: { // sin(a + b) - sin a = 2 cos(a + b/2) sin(b/2)
        float half = 0.5f * move;
        return 2.0f * (ttzo_cos(z + half) * ttzo_sin(half));
    }
    default: break; // identity; the others are nodes of graphs alone
    }
    return move;
}

uint64_t ttzo_network_prepare(struct ttzo_trainer *trainer, const float *theta)
{
    const struct ttzo_model *model = trainer->model;
    float *prepared = trainer->prepared;
    uint64_t macs = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        if (!ttzo_is_split(layer))
            continue;
        macs += ttzo_split_prepare(layer, theta, prepared, trainer->scratch);
        prepared += ttzo_split_prepared(layer);
    }
    return macs;
}

float *ttzo_network_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row)
{
    const struct ttzo_model *model = trainer->model;
    float *const *buffers = trainer->activations;
    const float *prepared = trainer->prepared;
    uint32_t current = 0;
    ttzo_read_inputs(model, row, buffers[0]);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        if (ttzo_is_split(layer)) {
            ttzo_split_forward(layer, theta, prepared, buffers[current], buffers[1 - current], trainer->scratch);
            prepared += ttzo_split_prepared(layer);
            current = 1 - current;
        } else if (ttzo_is_gathered(layer)) {
            ttzo_gathered_forward(layer, theta, buffers[current], buffers[1 - current], trainer->scratch);
            current = 1 - current;
        } else
            ttzo_layer_forward(layer, theta, buffers, &current);
        ttzo_activate((enum ttzo_activation)layer->activation, buffers[current], (uint32_t)ttzo_layer_outputs(layer));
    }
    return buffers[current];
}
