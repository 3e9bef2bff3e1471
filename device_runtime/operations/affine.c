// SPDX-License-Identifier: MIT
// A layer as a node: applied to the whole array, to patches, tokens or places; with groups, group by group. Frozen int8
// weights become float32 a few rows at a time, just before they are used.
#include "network/check_layer.h"
#include "network/gathered_layer.h"
#include "network/network.h"
#include "network/product.h"
#include "operations/calls.h"

struct ttzo_layer ttzo_affine_group(const struct ttzo_layer *layer)
{
    struct ttzo_layer group = *layer;
    if (layer->gather != TTZO_GATHER_PATCHES)
        return group;
    group.channels = (uint16_t)(layer->channels / layer->groups);
    group.out_features = (uint16_t)(layer->out_features / layer->groups);
    group.groups = 1;
    return group;
}

static uint64_t scratch_numbers(const struct ttzo_layer *layer)
{
    struct ttzo_layer group = ttzo_affine_group(layer);
    if (layer->gather == TTZO_GATHER_PATCHES || layer->gather == TTZO_GATHER_TOKENS)
        return ttzo_gathered_scratch(&group);
    return layer->kind == TTZO_LAYER_KIND_DENSE ? 0 : 2 * ttzo_layer_widest(layer);
}

bool ttzo_affine_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes)
{
    struct ttzo_layer layer;
    ttzo_unpack_layer(attributes, &layer);
    (void)numbers;
    if (!ttzo_layer_is_sound(&layer) || layer.contraction)
        return false;
    *sizes = (struct ttzo_node_sizes){ .inputs = { ttzo_layer_inputs(&layer) }, .n_inputs = 1 };
    sizes->output = ttzo_layer_outputs(&layer);
    sizes->parameters = ttzo_layer_parameters(&layer);
    sizes->scratch = scratch_numbers(&layer);
    sizes->macs = ttzo_layer_macs(&layer);
    if (layer.kind == TTZO_LAYER_KIND_DENSE) {
        sizes->n_matrices = 1;
        sizes->rows[0] = layer.out_features;
        sizes->columns[0] = layer.in_features;
        if (layer.gather != TTZO_GATHER_TOKENS) // its parameters are read by columns
            sizes->int8_scratch = TTZO_INT8_ROWS * ((uint64_t)layer.in_features + 1);
    }
    return true;
}

// A layer that is applied to the whole array; a tensor train by turns between two buffers.
static void forward_whole(const struct ttzo_layer *layer, const float *parameters, const float *in, float *out,
                          float *scratch)
{
    uint32_t length = ttzo_layer_length(layer), widest = (uint32_t)ttzo_layer_widest(layer);
    const float *bias = layer->has_bias ? parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL;
    for (uint32_t index = 0; index < length; index++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
        bool last = index + 1 == length;
        float *made = last ? out : scratch + (index % 2) * widest;
        ttzo_contract(&step, parameters + step.core_offset, in, last ? bias : NULL, made, false);
        in = made;
    }
}

// One group of a layer, whose parameter_offset is 0; `stride`: from a place's outputs to the next.
static void forward_group(const struct ttzo_layer *layer, const float *parameters, const float *in, float *out,
                          uint32_t stride, float *scratch)
{
    uint32_t places = layer->gather == TTZO_GATHER_PLACES ? layer->width : 1;
    if (layer->gather == TTZO_GATHER_PATCHES || layer->gather == TTZO_GATHER_TOKENS) {
        ttzo_gathered_forward(layer, parameters, in, out, scratch);
        return;
    }
    for (uint32_t p = 0; p < places; p++, in += layer->in_features, out += stride)
        forward_whole(layer, parameters, in, out, scratch);
}

// Outputs [first, first + part->out_features) from int8 constants of a layer with `rows` outputs in all; `part` is one group
// of it.
static void forward_int8_rows(const struct ttzo_layer *part, uint32_t rows, const uint8_t *constants, uint32_t first,
                              const float *in, float *out, float *block)
{
    uint32_t inner = part->in_features, n = part->out_features;
    const uint8_t *bias = constants + ttzo_int8_bytes(rows, inner);
    ttzo_int8_rows(constants, rows, inner, first, n, block);
    for (uint32_t i = 0; part->has_bias && i < n; i++)
        block[n * inner + i] = ttzo_get_f32(bias + 4 * (first + i));
    forward_group(part, block, in, out, rows, block + TTZO_INT8_ROWS * (inner + 1u));
}

// Inlined, its frame would lie below that of every other layer too; so would that of groups.
__attribute__((noinline)) static void forward_int8(const struct ttzo_layer *layer, const struct ttzo_node_call *call)
{
    struct ttzo_layer part = ttzo_affine_group(layer);
    uint32_t outputs = part.out_features, inputs = (uint32_t)ttzo_layer_inputs(&part);
    uint32_t apart = layer->gather == TTZO_GATHER_PATCHES ? (uint32_t)ttzo_layer_positions(layer) : 1;
    const float *in = call->inputs[0];
    for (uint32_t row = 0; row < layer->out_features; row += outputs, in += inputs)
        for (uint32_t first = 0; first < outputs; first += TTZO_INT8_ROWS) {
            uint32_t left = outputs - first;
            part.out_features = (uint16_t)(left < TTZO_INT8_ROWS ? left : TTZO_INT8_ROWS);
            forward_int8_rows(&part, layer->out_features, call->int8, row + first, in,
                              call->output + (row + first) * apart, call->scratch);
        }
}

__attribute__((noinline)) static void forward_groups(const struct ttzo_layer *layer, const struct ttzo_node_call *call)
{
    struct ttzo_layer group = ttzo_affine_group(layer);
    uint32_t inputs = (uint32_t)ttzo_layer_inputs(&group), outputs = (uint32_t)ttzo_layer_outputs(&group);
    const float *weight = call->parameters, *bias = weight + (uint32_t)layer->out_features * layer->in_features;
    for (uint32_t g = 0; g < layer->groups; g++) {
        ttzo_gathered_patches(&group, weight, layer->has_bias ? bias : NULL, call->inputs[0] + g * inputs,
                              call->output + g * outputs, call->scratch);
        weight += (uint32_t)group.out_features * layer->in_features;
        bias += group.out_features;
    }
}

// Before the activation.
static void forward_linear(const struct ttzo_layer *layer, const struct ttzo_node_call *call)
{
    if (call->int8)
        forward_int8(layer, call);
    else if (layer->gather == TTZO_GATHER_PATCHES && layer->groups > 1)
        forward_groups(layer, call);
    else
        forward_group(layer, call->parameters, call->inputs[0], call->output, layer->out_features, call->scratch);
}

// As a layer whose parameters are call->parameters.
static struct ttzo_layer layer_of(const struct ttzo_node_call *call)
{
    struct ttzo_layer layer;
    ttzo_unpack_layer(call->attributes, &layer);
    layer.parameter_offset = 0;
    return layer;
}

void ttzo_affine_forward(const struct ttzo_node_call *call)
{
    struct ttzo_layer layer = layer_of(call);
    forward_linear(&layer, call);
    ttzo_activate((enum ttzo_activation)layer.activation, call->output, call->numbers);
}

#if TTZO_HAS(EQUATIONS)

// The bias belongs to the value alone, the activation to all columns together.
void ttzo_affine_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    struct ttzo_node_call column = *call;
    struct ttzo_layer layer = layer_of(call);
    for (uint32_t c = 0; c < ttzo_jet_columns(jet); c++) {
        forward_linear(&layer, &column);
        column.inputs[0] += ttzo_layer_inputs(&layer);
        column.output += call->numbers;
        layer.has_bias = 0;
    }
    ttzo_bend_jet((enum ttzo_activation)layer.activation, jet, call->output, call->numbers);
}

#endif

// ---- one row of weights ---------------------------------------------------------------------------------------------

// Output `row` of every patch; it reads one group.
static void patches_of_row(const struct ttzo_layer *layer, const struct ttzo_node_call *call, uint32_t row,
                           const float *weight, const float *bias, float *out)
{
    struct ttzo_layer part = ttzo_affine_group(layer);
    uint32_t group = row / part.out_features, inputs = (uint32_t)ttzo_layer_inputs(&part);
    part.out_features = 1;
    ttzo_gathered_patches(&part, weight, bias, call->inputs[0] + group * inputs, out, call->scratch);
}

uint64_t ttzo_affine_row(const struct ttzo_node_call *call, uint32_t index)
{
    struct ttzo_layer layer;
    ttzo_unpack_layer(call->attributes, &layer);
    if (layer.kind != TTZO_LAYER_KIND_DENSE || layer.gather == TTZO_GATHER_TOKENS)
        return 0;
    uint32_t inner = layer.in_features, weights = inner * layer.out_features;
    uint32_t row = index < weights ? index / inner : index - weights,
             positions = (uint32_t)ttzo_layer_positions(&layer);
    const float *weight = call->parameters + row * inner;
    const float *bias = layer.has_bias ? call->parameters + weights + row : NULL;
    if (layer.gather == TTZO_GATHER_PATCHES) {
        float *out = call->output + row * positions;
        patches_of_row(&layer, call, row, weight, bias, out);
        ttzo_activate((enum ttzo_activation)layer.activation, out, positions);
    } else
        for (uint32_t p = 0; p < positions; p++) {
            float *out = call->output + p * layer.out_features + row;
            struct ttzo_operand x = { call->inputs[0] + p * inner, 0, 1 };
            ttzo_product(out, bias, x, (struct ttzo_operand){ weight, inner, 1 }, 1, inner, 1, TTZO_DATA_NONE);
            ttzo_activate((enum ttzo_activation)layer.activation, out, 1);
        }
    return (uint64_t)positions * inner;
}

// ---- the places that have moved -------------------------------------------------------------------------------------

static bool equals(const float *a, const float *b, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i == n;
}

uint64_t ttzo_affine_moved_places(const struct ttzo_node_call *call, const float *before, const float *made)
{
    struct ttzo_layer layer;
    ttzo_unpack_layer(call->attributes, &layer);
    if (layer.gather != TTZO_GATHER_PLACES || call->int8)
        return 0;
    layer.parameter_offset = 0; // call->parameters are the layer's own
    uint32_t places = layer.width, inner = layer.in_features, n = layer.out_features, moved = 0;
    uint64_t macs = ttzo_layer_macs(&layer) / places;
    const float *in = call->inputs[0];
    float *out = call->output;
    for (uint32_t p = 0; p < places; p++, in += inner, before += inner, out += n, made += n) {
        if (equals(in, before, inner)) {
            for (uint32_t o = 0; o < n; o++)
                out[o] = made[o];
            continue;
        }
        forward_whole(&layer, call->parameters, in, out, call->scratch);
        ttzo_activate((enum ttzo_activation)layer.activation, out, n);
        moved++;
    }
    return moved * macs;
}
