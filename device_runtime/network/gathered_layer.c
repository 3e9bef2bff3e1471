// SPDX-License-Identifier: MIT
#include "network/gathered_layer.h"

#include "network/four_columns.h"
#include "network/product.h"

#if TTZO_HAS(GATHERED)

#define SIDE_BY_SIDE TTZO_POSITIONS_AT_ONCE

// ---- geometry -------------------------------------------------------------------------------------------------------

// Rows of the image that a patch spans, and columns.
static uint32_t span_height(const struct ttzo_layer *layer)
{
    return (uint32_t)layer->dilation_height * (layer->kernel_height - 1u) + 1;
}

static uint32_t span_width(const struct ttzo_layer *layer)
{
    return (uint32_t)layer->dilation_width * (layer->kernel_width - 1u) + 1;
}

static uint32_t padded_height(const struct ttzo_layer *layer)
{
    return (uint32_t)layer->height + layer->padding_height + layer->padding_bottom;
}

static uint32_t padded_width(const struct ttzo_layer *layer)
{
    return (uint32_t)layer->width + layer->padding_width + layer->padding_right;
}

uint64_t ttzo_layer_positions(const struct ttzo_layer *layer)
{
    switch ((enum ttzo_gather)layer->gather) {
    case TTZO_GATHER_PATCHES: return (uint64_t)layer->out_height * layer->out_width;
    case TTZO_GATHER_TOKENS:
    case TTZO_GATHER_PLACES: return layer->width;
    default: break;
    }
    return 1;
}

uint64_t ttzo_layer_inputs(const struct ttzo_layer *layer)
{
    switch ((enum ttzo_gather)layer->gather) {
    case TTZO_GATHER_PATCHES: return (uint64_t)layer->channels * layer->height * layer->width;
    case TTZO_GATHER_TOKENS: return layer->width;
    case TTZO_GATHER_PLACES: return (uint64_t)layer->width * layer->in_features;
    default: break;
    }
    return layer->in_features;
}

uint64_t ttzo_layer_outputs(const struct ttzo_layer *layer)
{
    bool combined = layer->combine != TTZO_COMBINE_EACH;
    return combined ? layer->out_features : layer->out_features * ttzo_layer_positions(layer);
}

bool ttzo_has_gathered_layer(const struct ttzo_model *model)
{
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].gather)
            return true;
    return false;
}

static bool patches_are_sound(const struct ttzo_layer *layer)
{
    if (!layer->kernel_height || !layer->kernel_width || !layer->stride_height || !layer->stride_width ||
        !layer->dilation_height || !layer->dilation_width || !layer->groups)
        return false;
    uint32_t high = span_height(layer), wide = span_width(layer);
    return layer->padding_height < high && layer->padding_bottom < high && layer->padding_width < wide &&
           layer->padding_right < wide && padded_height(layer) >= high && padded_width(layer) >= wide &&
           layer->out_height == (padded_height(layer) - high) / layer->stride_height + 1 &&
           layer->out_width == (padded_width(layer) - wide) / layer->stride_width + 1 && layer->padding_token == 0 &&
           layer->combine == TTZO_COMBINE_EACH && layer->channels % layer->groups == 0 &&
           layer->out_features % layer->groups == 0 && (layer->groups == 1 || layer->kind == TTZO_LAYER_KIND_DENSE) &&
           (uint64_t)(layer->channels / layer->groups) * layer->kernel_height * layer->kernel_width ==
               layer->in_features;
}

static bool has_kernel(const struct ttzo_layer *layer)
{
    return layer->kernel_height || layer->kernel_width || layer->stride_height || layer->stride_width ||
           layer->padding_height || layer->padding_width || layer->padding_bottom || layer->padding_right ||
           layer->dilation_height || layer->dilation_width || layer->groups || layer->out_height || layer->out_width ||
           layer->channels || layer->height;
}

static bool tokens_are_sound(const struct ttzo_layer *layer)
{
    return !has_kernel(layer) && layer->combine <= TTZO_COMBINE_MEAN && layer->width && !layer->has_bias &&
           (layer->padding_token == TTZO_NO_TOKEN || layer->padding_token < layer->in_features);
}

static bool application_is_sound(const struct ttzo_layer *layer)
{
    switch ((enum ttzo_gather)layer->gather) {
    case TTZO_GATHER_WHOLE:
        return !has_kernel(layer) && layer->combine == 0 && layer->width == 0 && layer->padding_token == 0;
    case TTZO_GATHER_PLACES:
        return !has_kernel(layer) && layer->combine == 0 && layer->width && layer->padding_token == 0;
    case TTZO_GATHER_PATCHES: return patches_are_sound(layer);
    case TTZO_GATHER_TOKENS: return tokens_are_sound(layer);
    }
    return false;
}

bool ttzo_gathered_is_sound(const struct ttzo_layer *layer)
{
    if (!application_is_sound(layer) || layer->reserved[0] || layer->reserved[1])
        return false;
    return layer->gather == TTZO_GATHER_WHOLE ||
           (layer->contraction == 0 && ttzo_layer_inputs(layer) <= TTZO_MAX_FEATURES &&
            ttzo_layer_outputs(layer) <= TTZO_MAX_FEATURES);
}

// ---- one application ------------------------------------------------------------------------------------------------

struct ttzo_layer ttzo_gathered_application(const struct ttzo_layer *layer)
{
    struct ttzo_layer applied = *layer;
    if (layer->gather == TTZO_GATHER_TOKENS) {
        applied.in_features = 1;
        for (uint32_t k = 0; k < layer->n_in_modes; k++)
            applied.in_modes[k] = 1;
    }
    applied.gather = TTZO_GATHER_WHOLE;
    return applied;
}

void ttzo_gathered_patch(const struct ttzo_layer *layer, const float *image, uint32_t position, float *patch,
                         uint32_t stride)
{
    uint32_t columns = layer->out_width, wide = layer->kernel_width;
    uint32_t height = layer->height, width = layer->width;
    uint32_t down = layer->dilation_height, right = layer->dilation_width;
    // beyond the border a row or column wraps round to a large number
    uint32_t top = position / columns * layer->stride_height - layer->padding_height;
    uint32_t left = position % columns * layer->stride_width - layer->padding_width;
    bool within = left < width && left + right * (wide - 1) < width; // no column is beyond it
    for (uint32_t c = layer->channels; c; c--, image += height * width)
        for (uint32_t i = layer->kernel_height, y = top; i; i--, y += down) {
            bool inside = y < height;
            const float *row = inside ? image + y * width : image;
            uint32_t end = inside ? width : 0;
            if (inside && within) {
                row += left;
                for (uint32_t j = wide; j; j--, row += right, patch += stride)
                    *patch = *row;
                continue;
            }
            for (uint32_t j = wide, x = left; j; j--, x += right, patch += stride)
                *patch = x < end ? row[x] : 0.0f;
        }
}

void ttzo_gathered_token(const struct ttzo_layer *layer, const float *parameters, uint32_t token, float *picked)
{
    uint32_t rest = layer->in_features;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        rest /= core.n; // digits of the token, most significant first; a core without an input mode has n = 1
        const float *from = parameters + core.offset + token / rest * core.right;
        token %= rest;
        for (uint32_t row = 0; row < core.left * core.m; row++, from += core.n * core.right)
            for (uint32_t b = 0; b < core.right; b++)
                *picked++ = from[b];
    }
}

static uint64_t picked_numbers(const struct ttzo_layer *applied)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(applied); k++) {
        struct ttzo_core core = ttzo_layer_core(applied, k);
        numbers += (uint64_t)core.left * core.m * core.n * core.right;
    }
    return numbers;
}

static uint64_t widest_array(const struct ttzo_layer *applied)
{
    uint64_t widest = ttzo_layer_widest(applied);
    return widest > applied->in_features ? widest : applied->in_features;
}

uint64_t ttzo_gathered_scratch(const struct ttzo_layer *layer)
{
    struct ttzo_layer applied = ttzo_gathered_application(layer);
    if (layer->gather == TTZO_GATHER_TOKENS)
        return picked_numbers(&applied) + 2 * widest_array(&applied);
    return 2 * SIDE_BY_SIDE * widest_array(&applied);
}

uint64_t ttzo_gathered_macs(const struct ttzo_layer *layer)
{
    struct ttzo_layer applied = ttzo_gathered_application(layer);
    uint64_t macs = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(&applied); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(&applied, k);
        macs += (uint64_t)step.repeats * step.rows * step.inner * step.columns;
    }
    return ttzo_layer_positions(layer) * macs;
}

// ---- patches --------------------------------------------------------------------------------------------------------

// The contraction of n patches at once, their numbers neighbours: [n] is one more index after all others.
static struct ttzo_contraction side_by_side(struct ttzo_contraction step, uint32_t n)
{
    if (!step.core_left) // [rows][inner] times a core at the right: row by row, the core's columns are the rows
        return (struct ttzo_contraction){ step.rows,
                                          step.columns,
                                          step.inner,
                                          n,
                                          true,
                                          step.core_offset,
                                          step.core_outer_stride,
                                          step.core_inner_stride };
    step.columns *= n;
    return step;
}

// Each bias n times, side by side.
static void repeat_bias(const float *bias, uint32_t count, uint32_t n, float *out)
{
    for (const float *end = bias + count; bias != end; bias++)
        for (uint32_t j = 0; j < n; j++)
            *out++ = *bias;
}

// Patches [in_features][n] in `buffers[0]` through the layer; returns the buffer with [out_features][n].
static const float *contract_patches(const struct ttzo_layer *layer, const float *parameters, const float *bias,
                                     float *const buffers[2], uint32_t n)
{
    uint32_t length = ttzo_layer_length(layer), current = 0;
    for (uint32_t index = 0; index < length; index++, current = 1 - current) {
        struct ttzo_contraction step = side_by_side(ttzo_layer_contraction(layer, index), n);
        const float *in = buffers[current];
        float *out = buffers[1 - current];
        bool from_bias = index + 1 == length && bias;
        if (from_bias)
            repeat_bias(bias, layer->out_features, n, out);
        for (uint32_t repeat = 0; repeat < step.repeats; repeat++) {
            struct ttzo_operand core = { parameters + step.core_offset, step.core_outer_stride,
                                         step.core_inner_stride };
            ttzo_product(out, from_bias ? out : NULL, core, (struct ttzo_operand){ in, 1, step.columns }, step.rows,
                         step.inner, step.columns, TTZO_DATA_NONE);
            in += step.inner * step.columns;
            out += step.rows * step.columns;
        }
    }
    return buffers[current];
}

// Where the patches at SIDE_BY_SIDE positions from `position` on begin in a channel, and whether all of their rows are in
// the image. False where a column is beyond it, or a row is and the positions are in two rows.
static bool find_four(const struct ttzo_layer *layer, uint32_t position, uint32_t at[SIDE_BY_SIDE], bool *whole)
{
    uint32_t row = position / layer->out_width, column = position % layer->out_width;
    uint32_t high = span_height(layer), wide = span_width(layer), height = layer->height, width = layer->width;
    bool in_one_row = column + SIDE_BY_SIDE <= layer->out_width;
    *whole = true;
    for (uint32_t j = 0; j < SIDE_BY_SIDE; j++) {
        // beyond the border a row or column wraps round to a large number
        uint32_t top = row * layer->stride_height - layer->padding_height;
        uint32_t left = column * layer->stride_width - layer->padding_width;
        if (left >= width || left + wide > width)
            return false;
        *whole = *whole && top < height && top + high <= height;
        at[j] = top * width + left;
        if (++column == layer->out_width)
            column = 0, row++;
    }
    return *whole || in_one_row;
}

// Those patches, [in_features][SIDE_BY_SIDE]. False, and nothing is done, where find_four says so.
static bool gather_four(const struct ttzo_layer *layer, const float *image, uint32_t position, float *out)
{
    uint32_t at[SIDE_BY_SIDE], channel_size = (uint32_t)layer->height * layer->width, right = layer->dilation_width;
    uint32_t down = (uint32_t)layer->dilation_height * layer->width;
    bool whole;
    if (!find_four(layer, position, at, &whole))
        return false;
    for (uint32_t c = layer->channels; c; c--, image += channel_size)
        for (uint32_t i = layer->kernel_height, row = 0; i; i--, row += down) {
            uint32_t wide = layer->kernel_width;
            if (!whole && at[0] + row >= channel_size) { // of positions in one row
                for (; wide; wide--, out += SIDE_BY_SIDE)
                    out[0] = 0.0f, out[1] = 0.0f, out[2] = 0.0f, out[3] = 0.0f;
                continue;
            }
            const float *p0 = image + (at[0] + row), *p1 = image + (at[1] + row);
            const float *p2 = image + (at[2] + row), *p3 = image + (at[3] + row);
            for (; wide; wide--, p0 += right, p1 += right, p2 += right, p3 += right, out += SIDE_BY_SIDE)
                out[0] = *p0, out[1] = *p1, out[2] = *p2, out[3] = *p3;
        }
    return true;
}

// Four patches [in_features][4] in `buffers[0]` through a layer whose cores' numbers are neighbours along the summed index;
// output `feature` goes to out + feature * apart.
static void contract_four(const struct ttzo_layer *layer, const float *parameters, const float *bias,
                          float *const buffers[2], float *out, uint32_t apart)
{
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t index = 0; index < length; index++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
        bool last = index + 1 == length;
        uint32_t columns = step.columns, gap = last ? apart : 4;
        const float *in = buffers[index % 2], *its_bias = last ? bias : NULL;
        float *made = last ? out : buffers[1 - index % 2];
        for (uint32_t repeat = 0; repeat < step.repeats; repeat++, in += 4 * step.inner * columns)
            for (uint32_t column = 0; column < columns; column++)
                ttzo_multiply_four_columns(made + (repeat * step.rows * columns + column) * gap, columns * gap,
                                           its_bias ? its_bias + column : NULL, columns, parameters + step.core_offset,
                                           step.inner, in + 4 * column, 4 * columns, step.rows, step.inner);
    }
}

void ttzo_gathered_patches(const struct ttzo_layer *layer, const float *parameters, const float *bias, const float *in,
                           float *out, float *scratch)
{
    struct ttzo_layer applied = ttzo_gathered_application(layer);
    uint32_t positions = (uint32_t)ttzo_layer_positions(layer), n = positions < SIDE_BY_SIDE ? 1 : SIDE_BY_SIDE;
    uint32_t widest = (uint32_t)widest_array(&applied);
    float *const buffers[2] = { scratch, scratch + SIDE_BY_SIDE * widest };
    for (uint32_t done = 0; done < positions; done += n) {
        uint32_t first = done + n <= positions ? done : positions - n; // the last four overlap: the same numbers again
        bool gathered = n == SIDE_BY_SIDE && gather_four(layer, in, first, buffers[0]);
        for (uint32_t j = 0; j < n && !gathered; j++)
            ttzo_gathered_patch(layer, in, first + j, buffers[0] + j, n);
        if (TTZO_HAS_FOUR_COLUMNS && n == SIDE_BY_SIDE && layer->kind != TTZO_LAYER_KIND_TT_TENSOR) {
            contract_four(&applied, parameters, bias, buffers, out + first, positions);
            continue;
        }
        const float *made = contract_patches(&applied, parameters, bias, buffers, n);
        for (uint32_t i = 0; i < layer->out_features; i++)
            for (uint32_t j = 0; j < n; j++)
                out[i * positions + first + j] = made[i * n + j];
    }
}

// ---- tokens ---------------------------------------------------------------------------------------------------------

void ttzo_token_contract(const struct ttzo_core *core, const float *parameters, uint32_t digit, const float *in,
                         uint32_t columns, float *out)
{
    const float *from = parameters + core->offset + digit * core->right;
    uint32_t rows = core->left * core->m, step = core->n * core->right, inner = core->right;
    if (TTZO_HAS_FOUR_COLUMNS && columns % 4 == 0) {
        for (uint32_t j = 0; j < columns; j += 4)
            ttzo_multiply_four_columns(out + j, columns, NULL, 0, from, step, in + j, columns, rows, inner);
        return;
    }
    for (; rows; rows--, from += step)
        for (uint32_t j = 0; j < columns; j++) {
            float sum = 0.0f;
            const float *number = in + j;
            for (uint32_t k = 0; k < inner; k++, number += columns)
                sum = TTZO_MULADD(from[k], *number, sum);
            *out++ = sum;
        }
}

// The vector of a token, from matrices; it lies in one of the buffers.
static const float *vector_of(const struct ttzo_layer *layer, const float *parameters, uint32_t token,
                              float *const buffers[2])
{
    uint32_t columns = 1, current = 0, rest = token;
    struct ttzo_core core = { .offset = ttzo_layer_parameters(layer) };
    buffers[0][0] = 1.0f;
    for (uint32_t k = ttzo_layer_length(layer); k; k--, current = 1 - current) {
        uint32_t end = core.offset;
        core = ttzo_layer_core_shape(layer, k - 1);
        core.offset = end - core.left * core.m * core.n * core.right;
        ttzo_token_contract(&core, parameters, rest % core.n, buffers[current], columns, buffers[1 - current]);
        rest /= core.n;
        columns *= core.m;
    }
    return buffers[current];
}

// The same of any train.
static const float *contracted_vector(const struct ttzo_layer *applied, const struct ttzo_layer *layer,
                                      const float *parameters, uint32_t token, float *const buffers[2], float *picked)
{
    uint32_t current = 0;
    ttzo_gathered_token(layer, parameters, token, picked);
    buffers[0][0] = 1.0f;
    ttzo_layer_forward(applied, picked, buffers, &current);
    return buffers[current];
}

// Apart from patches, whose path of calls goes deeper.
__attribute__((noinline)) static void forward_tokens(const struct ttzo_layer *layer, const float *parameters,
                                                     const float *in, float *out, float *scratch)
{
    struct ttzo_layer applied = ttzo_gathered_application(layer);
    uint32_t outputs = (uint32_t)ttzo_layer_outputs(layer), widest = (uint32_t)widest_array(&applied), count = 0;
    float *const buffers[2] = { scratch, scratch + widest };
    bool each = layer->combine == TTZO_COMBINE_EACH, has_matrices = layer->kind != TTZO_LAYER_KIND_TT_TENSOR;
    applied.parameter_offset = 0;
    for (uint32_t i = 0; i < outputs; i++)
        out[i] = 0.0f;
    for (uint32_t t = 0; t < layer->width; t++) {
        uint32_t token = (uint32_t)in[t];
        if (token == layer->padding_token)
            continue;
        float *sum = each ? out + t * layer->out_features : out;
        const float *vector =
            has_matrices ? vector_of(layer, parameters, token, buffers)
                         : contracted_vector(&applied, layer, parameters, token, buffers, scratch + 2 * widest);
        count++;
        for (uint32_t i = 0; i < layer->out_features; i++)
            sum[i] = sum[i] + vector[i];
    }
    if (layer->combine == TTZO_COMBINE_MEAN && count)
        for (uint32_t i = 0; i < outputs; i++)
            out[i] = out[i] / (float)count;
}

void ttzo_gathered_forward(const struct ttzo_layer *layer, const float *theta, const float *in, float *out,
                           float *scratch)
{
    const float *parameters = theta + layer->parameter_offset;
    if (layer->gather == TTZO_GATHER_TOKENS)
        forward_tokens(layer, parameters, in, out, scratch);
    else
        ttzo_gathered_patches(layer, parameters,
                              layer->has_bias ? parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL,
                              in, out, scratch);
}

#endif
