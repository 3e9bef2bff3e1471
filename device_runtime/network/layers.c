// SPDX-License-Identifier: MIT
#include "network/layers.h"

#include "network/product.h"

// ---- geometry -------------------------------------------------------------------------------------------------------

static uint32_t product(const uint16_t *modes, uint32_t first, uint32_t end)
{
    uint32_t result = 1;
    for (uint32_t k = first; k < end; k++)
        result *= modes[k];
    return result;
}

uint32_t ttzo_layer_length(const struct ttzo_layer *layer)
{
    switch (layer->kind) {
    case TTZO_LAYER_KIND_TT_MATRIX: return layer->n_in_modes;
    case TTZO_LAYER_KIND_TT_TENSOR: return (uint32_t)layer->n_in_modes + layer->n_out_modes;
    default: return 1;
    }
}

struct ttzo_core ttzo_layer_core_shape(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = { layer->ranks[k], 1, 1, layer->ranks[k + 1], 0 };
    if (layer->kind == TTZO_LAYER_KIND_DENSE)
        return (struct ttzo_core){ 1, layer->out_features, layer->in_features, 1, 0 };
    bool matrix = layer->kind == TTZO_LAYER_KIND_TT_MATRIX;
    if (matrix || k < layer->n_in_modes)
        core.n = layer->in_modes[k];
    if (matrix || k >= layer->n_in_modes)
        core.m = layer->out_modes[matrix ? k : k - layer->n_in_modes];
    return core;
}

static uint32_t core_size(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core_shape(layer, k);
    return core.left * core.m * core.n * core.right;
}

static uint32_t core_offset(const struct ttzo_layer *layer, uint32_t core)
{
    uint32_t offset = 0;
    for (uint32_t k = 0; k < core; k++)
        offset += core_size(layer, k);
    return offset;
}

struct ttzo_core ttzo_layer_core(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core_shape(layer, k);
    core.offset = core_offset(layer, k);
    return core;
}

uint32_t ttzo_layer_parameters(const struct ttzo_layer *layer)
{
    uint32_t cores = layer->kind == TTZO_LAYER_KIND_DENSE ? (uint32_t)layer->in_features * layer->out_features
                                                          : core_offset(layer, ttzo_layer_length(layer));
    return cores + (layer->has_bias ? layer->out_features : 0u);
}

// Core k is (r, m, n, r'): as it lies in theta it is the matrix [(r m), (n r')], and the array it meets is
// [n_0 .. n_k-1][(n_k r')][m_k+1 ..]. The result is the next core's array: no transposition anywhere.
static struct ttzo_contraction tt_matrix_contraction(const struct ttzo_layer *layer, uint32_t index)
{
    uint32_t k = layer->n_in_modes - 1u - index;
    uint32_t inner = (uint32_t)layer->in_modes[k] * layer->ranks[k + 1];
    return (struct ttzo_contraction){
        .repeats = product(layer->in_modes, 0, k),
        .rows = (uint32_t)layer->ranks[k] * layer->out_modes[k],
        .inner = inner,
        .columns = product(layer->out_modes, k + 1u, layer->n_out_modes),
        .core_left = true,
        .core_offset = core_offset(layer, k),
        .core_outer_stride = inner,
        .core_inner_stride = 1,
    };
}

// Input core (r, n, r') takes [(r n)][n_k+1 ..] to [r'][n_k+1 ..]; output core (r, m, r') takes [m_0 ..][r] to
// [m_0 ..][(m r')].
static struct ttzo_contraction tt_tensor_contraction(const struct ttzo_layer *layer, uint32_t index)
{
    uint32_t left = layer->ranks[index], right = layer->ranks[index + 1];
    if (index < layer->n_in_modes)
        return (struct ttzo_contraction){
            .repeats = 1,
            .rows = right,
            .inner = left * layer->in_modes[index],
            .columns = product(layer->in_modes, index + 1u, layer->n_in_modes),
            .core_left = true,
            .core_offset = core_offset(layer, index),
            .core_outer_stride = 1,
            .core_inner_stride = right,
        };
    uint32_t k = index - layer->n_in_modes, columns = layer->out_modes[k] * right;
    return (struct ttzo_contraction){
        .repeats = 1,
        .rows = product(layer->out_modes, 0, k),
        .inner = left,
        .columns = columns,
        .core_left = false,
        .core_offset = core_offset(layer, index),
        .core_outer_stride = 1,
        .core_inner_stride = columns,
    };
}

struct ttzo_contraction ttzo_layer_contraction(const struct ttzo_layer *layer, uint32_t index)
{
    if (layer->kind == TTZO_LAYER_KIND_TT_MATRIX)
        return tt_matrix_contraction(layer, index);
    if (layer->kind == TTZO_LAYER_KIND_TT_TENSOR)
        return tt_tensor_contraction(layer, index);
    return (struct ttzo_contraction){
        .repeats = 1,
        .rows = layer->out_features,
        .inner = layer->in_features,
        .columns = 1,
        .core_left = true,
        .core_offset = 0,
        .core_outer_stride = layer->in_features,
        .core_inner_stride = 1,
    };
}

uint64_t ttzo_layer_widest(const struct ttzo_layer *layer)
{
    uint64_t widest = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        uint64_t size = (uint64_t)step.repeats * step.rows * step.columns;
        if (size > widest)
            widest = size;
    }
    return widest;
}

// ---- contractions ---------------------------------------------------------------------------------------------------

uint32_t ttzo_contract(const struct ttzo_contraction *step, const float *core, const float *in, const float *bias,
                       float *out, bool skip_zeros)
{
    struct ttzo_operand weights = { core, step->core_outer_stride, step->core_inner_stride };
    enum ttzo_data left = skip_zeros ? TTZO_DATA_LEFT : TTZO_DATA_NONE;
    enum ttzo_data right = skip_zeros ? TTZO_DATA_RIGHT : TTZO_DATA_NONE;
    uint32_t done = 0;
    if (step->core_left && step->columns == 1 && !bias && !skip_zeros) // the repeats are the rows of one product
        return ttzo_product(out, NULL, (struct ttzo_operand){ in, step->inner, 1 }, weights, step->repeats, step->inner,
                            step->rows, TTZO_DATA_NONE);
    for (uint32_t repeat = 0; repeat < step->repeats; repeat++) {
        if (step->core_left && step->columns == 1)
            // One column: as one row it fills the four chains. A product commutes, so the bits are the same.
            done +=
                ttzo_product(out, bias, (struct ttzo_operand){ in, 0, 1 }, weights, 1, step->inner, step->rows, left);
        else if (step->core_left)
            done += ttzo_product(out, bias, weights, (struct ttzo_operand){ in, 1, step->columns }, step->rows,
                                 step->inner, step->columns, right);
        else
            done += ttzo_product(out, bias, (struct ttzo_operand){ in, step->inner, 1 }, weights, step->rows,
                                 step->inner, step->columns, left);
        in += (step->core_left ? step->columns : step->rows) * step->inner;
        out += step->rows * step->columns;
    }
    return done;
}

void ttzo_layer_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2], uint32_t *current)
{
    const float *parameters = theta + layer->parameter_offset;
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t index = 0; index < length; index++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
        bool last = index + 1 == length;
        const float *bias =
            last && layer->has_bias ? parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL;
        ttzo_contract(&step, parameters + step.core_offset, buffers[*current], bias, buffers[1 - *current], false);
        *current = 1 - *current;
    }
}
