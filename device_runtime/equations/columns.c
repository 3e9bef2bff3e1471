// SPDX-License-Identifier: MIT
#include "equations/columns.h"

#include "network/layers.h"
#include "network/merged_layer.h"
#include "network/product.h"

// ---- columns --------------------------------------------------------------------------------------------------------

static void start_at_bias(const struct ttzo_layer *layer, const float *parameters, float *out, uint32_t n_columns)
{
    const float *bias = parameters + ttzo_layer_parameters(layer) - layer->out_features;
    for (uint32_t i = 0; i < n_columns * layer->out_features; i++)
        out[i] = 0.0f;
    for (uint32_t o = 0; o < layer->out_features; o++, out += n_columns)
        out[0] = bias[o];
}

// Trailing columns make an output core's product one with the core on the left, as often as it had rows.
static struct ttzo_contraction with_columns(struct ttzo_contraction step, uint32_t n_columns)
{
    if (step.core_left) {
        step.columns *= n_columns;
        return step;
    }
    uint32_t rows = step.rows;
    step.rows = step.columns;
    step.repeats = rows;
    step.columns = n_columns;
    step.core_left = true;
    return step;
}

void ttzo_columns_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2],
                          uint32_t *current, uint32_t n_columns, bool has_value, bool skip_zeros)
{
    const float *parameters = theta + layer->parameter_offset;
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t index = 0; index < length; index++, *current = 1 - *current) {
        struct ttzo_contraction step = with_columns(ttzo_layer_contraction(layer, index), n_columns);
        struct ttzo_operand core = { parameters + step.core_offset, step.core_outer_stride, step.core_inner_stride };
        const float *in = buffers[*current];
        float *out = buffers[1 - *current];
        bool starts = index + 1 == length && has_value && layer->has_bias;
        if (starts)
            start_at_bias(layer, parameters, out, n_columns);
        for (uint32_t repeat = 0; repeat < step.repeats; repeat++) {
            const float *start = starts ? out : NULL;
            if (step.columns == 1) // as one row it fills four chains
                ttzo_product(out, start, (struct ttzo_operand){ in, 0, 1 }, core, 1, step.inner, step.rows,
                             skip_zeros ? TTZO_DATA_LEFT : TTZO_DATA_NONE);
            else
                ttzo_product(out, start, core, (struct ttzo_operand){ in, 1, step.columns }, step.rows, step.inner,
                             step.columns, skip_zeros ? TTZO_DATA_RIGHT : TTZO_DATA_NONE);
            in += step.columns * step.inner;
            out += step.rows * step.columns;
        }
    }
}

void ttzo_columns_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    uint32_t current = 0;
    numbers[0] = model->info.in_features;
    numbers[1] = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        struct ttzo_layer layer = ttzo_merged_layer(&model->layers[l]);
        for (uint32_t index = 0; index < ttzo_layer_length(&layer); index++) {
            struct ttzo_contraction step = ttzo_layer_contraction(&layer, index);
            uint64_t size = (uint64_t)step.repeats * step.rows * step.columns;
            current = 1 - current;
            if (size > numbers[current])
                numbers[current] = size;
        }
    }
}
