// SPDX-License-Identifier: MIT
#include "network/merged_layer.h"

#include "network/layers.h"
#include "network/product.h"

#if TTZO_HAS(EQUATIONS)

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
    for (uint32_t k = 0, together; layer->kind == TTZO_LAYER_KIND_TT_TENSOR && k < ttzo_layer_length(layer);
         k += together)
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

#endif
