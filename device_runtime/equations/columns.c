// SPDX-License-Identifier: MIT
#include "equations/columns.h"

#include "network/layers.h"
#include "network/product.h"

// ---- merged cores ---------------------------------------------------------------------------------------------------

uint32_t ttzo_cores_together(const struct ttzo_layer *layer, uint32_t k)
{
    bool is_input = k < layer->n_in_modes;
    uint32_t place = is_input ? k : k - layer->n_in_modes, count = is_input ? layer->n_in_modes : layer->n_out_modes;
    const uint16_t *modes = is_input ? layer->in_modes : layer->out_modes;
    uint32_t first = is_input ? 0 : count % 2; // of the first two
    if (layer->kind != TTZO_LAYER_KIND_TT_TENSOR || place < first || (place - first) % 2 || place + 1 >= count)
        return 1;
    return (uint32_t)modes[place] * modes[place + 1] <= TTZO_MERGED_MODES ? 2 : 1;
}

static bool is_merged(const struct ttzo_layer *layer)
{
    for (uint32_t k = 0, together; layer->kind == TTZO_LAYER_KIND_TT_TENSOR && k < ttzo_layer_length(layer); k += together)
        if ((together = ttzo_cores_together(layer, k)) > 1)
            return true;
    return false;
}

struct ttzo_layer ttzo_merged_layer(const struct ttzo_layer *layer)
{
    struct ttzo_layer merged = *layer;
    if (!is_merged(layer))
        return merged;
    merged.parameter_offset = 0;
    merged.n_in_modes = merged.n_out_modes = 0;
    uint32_t n = 0;
    for (uint32_t k = 0, together; k < ttzo_layer_length(layer); k += together) {
        bool is_input = k < layer->n_in_modes;
        const uint16_t *modes = is_input ? layer->in_modes + k : layer->out_modes + (k - layer->n_in_modes);
        together = ttzo_cores_together(layer, k);
        uint16_t mode = (uint16_t)(together == 2 ? modes[0] * modes[1] : modes[0]);
        if (is_input)
            merged.in_modes[merged.n_in_modes++] = mode;
        else
            merged.out_modes[merged.n_out_modes++] = mode;
        merged.ranks[++n] = layer->ranks[k + together];
    }
    return merged;
}

uint64_t ttzo_merged_numbers(const struct ttzo_layer *layer)
{
    if (!is_merged(layer))
        return 0;
    struct ttzo_layer merged = ttzo_merged_layer(layer);
    return ttzo_layer_parameters(&merged);
}

void ttzo_merge_cores(const struct ttzo_layer *layer, const float *theta, float *merged)
{
    const float *core = theta + layer->parameter_offset;
    for (uint32_t k = 0, together; k < ttzo_layer_length(layer); k += together) {
        struct ttzo_core first = ttzo_layer_core(layer, k);
        uint32_t rows = first.left * first.m * first.n, columns = first.right;
        together = ttzo_cores_together(layer, k);
        if (together == 2) {
            struct ttzo_core second = ttzo_layer_core(layer, k + 1);
            columns = second.m * second.n * second.right;
            ttzo_product(merged, NULL, (struct ttzo_operand){ core, first.right, 1 },
                         (struct ttzo_operand){ core + rows * first.right, 1, columns }, rows, first.right, columns,
                         TTZO_DATA_NONE);
            core += first.right * columns;
        } else {
            for (uint32_t i = 0; i < rows * columns; i++)
                merged[i] = core[i];
        }
        core += rows * first.right;
        merged += rows * columns;
    }
    for (uint32_t i = 0; layer->has_bias && i < layer->out_features; i++)
        merged[i] = core[i];
}

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
