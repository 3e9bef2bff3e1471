// SPDX-License-Identifier: MIT
#include "equations/columns.h"

#include "network/gathered_layer.h"
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

// ---- convolutions ---------------------------------------------------------------------------------------------------

// The patch at a position of an image whose numbers are rows of columns: [in_features][n_columns].
static void gather_columns(const struct ttzo_layer *layer, const float *image, uint32_t position, float *patch,
                           uint32_t n_columns)
{
    // beyond the border a row or column wraps round to a large number
    uint32_t top = position / layer->out_width * layer->stride_height - layer->padding_height;
    uint32_t left = position % layer->out_width * layer->stride_width - layer->padding_width;
    for (uint32_t c = 0; c < layer->channels; c++)
        for (uint32_t y = top; y != top + layer->kernel_height; y++)
            for (uint32_t x = left; x != left + layer->kernel_width; x++, patch += n_columns) {
                bool inside = y < layer->height && x < layer->width;
                const float *from = image + ((c * layer->height + y) * layer->width + x) * n_columns;
                for (uint32_t k = 0; k < n_columns; k++)
                    patch[k] = inside ? from[k] : 0.0f;
            }
}

// A dense kernel applied to every patch. A patch and its outputs stand after the layer's outputs.
static void forward_patches(const struct ttzo_layer *layer, const float *parameters, const float *in, float *out,
                            uint32_t n_columns, bool has_value)
{
    uint32_t positions = (uint32_t)ttzo_layer_positions(layer), outputs = layer->out_features;
    float *patch = out + positions * outputs * n_columns, *made = patch + layer->in_features * n_columns;
    const struct ttzo_operand kernel = { parameters, layer->in_features, 1 };
    bool starts = has_value && layer->has_bias;
    for (uint32_t p = 0; p < positions; p++) {
        gather_columns(layer, in, p, patch, n_columns);
        if (starts)
            start_at_bias(layer, parameters, made, n_columns);
        ttzo_product(made, starts ? made : NULL, kernel, (struct ttzo_operand){ patch, 1, n_columns }, outputs,
                     layer->in_features, n_columns, TTZO_DATA_NONE);
        for (uint32_t o = 0; o < outputs; o++)
            for (uint32_t k = 0; k < n_columns; k++)
                out[(o * positions + p) * n_columns + k] = made[o * n_columns + k];
    }
}

// ---- any layer ------------------------------------------------------------------------------------------------------

void ttzo_columns_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2],
                          uint32_t *current, uint32_t n_columns, bool has_value, bool skip_zeros)
{
    const float *parameters = theta + layer->parameter_offset;
    uint32_t length = ttzo_layer_length(layer);
    if (ttzo_is_gathered(layer)) {
        forward_patches(layer, parameters, buffers[*current], buffers[1 - *current], n_columns, has_value);
        *current = 1 - *current;
        return;
    }
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
        if (ttzo_is_gathered(&layer)) {
            uint64_t size = ttzo_layer_outputs(&layer) + layer.in_features + layer.out_features;
            current = 1 - current;
            if (size > numbers[current])
                numbers[current] = size;
            continue;
        }
        for (uint32_t index = 0; index < ttzo_layer_length(&layer); index++) {
            struct ttzo_contraction step = ttzo_layer_contraction(&layer, index);
            uint64_t size = (uint64_t)step.repeats * step.rows * step.columns;
            current = 1 - current;
            if (size > numbers[current])
                numbers[current] = size;
        }
    }
}
