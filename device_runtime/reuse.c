// SPDX-License-Identifier: MIT
#include "reuse.h"

#include "loss.h"
#include "network.h"
#include "real.h"
#include "settings.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- what is kept ---------------------------------------------------------------------------------------------------

static bool has_phase(const struct ttzo_model *model, enum ttzo_estimator estimator)
{
    for (uint32_t p = 0; p < model->training.n_phases && p < TTZO_MAX_PHASES; p++)
        if (model->phases[p].estimator == estimator)
            return true;
    return false;
}

static bool any_phase_reuses(const struct ttzo_model *model)
{
    for (uint32_t p = 0; p < model->training.n_phases && p < TTZO_MAX_PHASES; p++)
        if (ttzo_estimator_reuses((enum ttzo_estimator)model->phases[p].estimator))
            return true;
    return false;
}

// A layer behind another is made a matrix once a step when that is small; a dense one is a matrix already.
static bool has_matrix(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    return l > 0 && ttzo_layer_length(layer) > 1 &&
           (uint32_t)layer->in_features * layer->out_features <= TTZO_MAX_MATRIX;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

// Largest array of the layer's contractions.
static uint32_t contraction_widest(const struct ttzo_layer *layer)
{
    uint32_t widest = layer->in_features;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        widest = larger(widest, step.repeats * step.rows * step.columns);
    }
    return widest;
}

// Largest array of a change on its way through layers that are contracted core by core.
static uint32_t contracted_widest(const struct ttzo_model *model)
{
    uint32_t widest = 0;
    for (uint32_t l = 1; l < model->info.n_layers; l++)
        if (ttzo_layer_length(&model->layers[l]) > 1 && !has_matrix(model, l))
            widest = larger(widest, contraction_widest(&model->layers[l]));
    return widest;
}

static uint32_t largest_block(const struct ttzo_layer *layer)
{
    uint32_t largest = layer->out_features;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        largest = larger(largest, core.left * core.m * core.n * core.right);
    }
    return largest;
}

// Takes the next piece of the area, padded to an even count; with an area of NULL it only counts.
static float *piece(float **area, uint64_t *numbers, uint64_t n)
{
    float *piece = *area ? *area + *numbers : NULL;
    *numbers += ttzo_even(n);
    return piece;
}

static void carve_room(struct ttzo_room *room, float **area, uint64_t *numbers)
{
    const struct ttzo_layer *layer = room->layer;
    room->z = piece(area, numbers, layer->out_features);
    room->output = piece(area, numbers, layer->out_features);
    room->states = piece(area, numbers, ttzo_states_numbers(layer));
    room->products = piece(area, numbers, ttzo_products_numbers(layer, room->has_matrix));
    room->matrix =
        piece(area, numbers, room->has_matrix ? (uint32_t)layer->in_features * layer->out_features : 0);
}

// Carves all but what `reuse` is told apart; returns the numbers taken. In the order of exporter/memory.py.
static uint64_t carve_area(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area)
{
    uint64_t numbers = 0;
    uint32_t slice = 1, behind = model->info.out_features, widest = 1, block = 1;
    const float *input = reuse->inputs = piece(&area, &numbers, model->info.in_features);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        struct ttzo_room *room = &reuse->rooms[l];
        *room = (struct ttzo_room){ .layer = layer,
                                    .parameters = theta ? theta + layer->parameter_offset : NULL,
                                    .input = input,
                                    .has_matrix = has_matrix(model, l) };
        carve_room(room, &area, &numbers);
        input = room->output;
        slice = larger(slice, ttzo_slice_widest(layer));
        widest = larger(widest, layer->out_features);
        block = larger(block, largest_block(layer));
        if (l > 0)
            behind = larger(behind, layer->out_features);
    }
    bool blocks = has_phase(model, TTZO_ESTIMATOR_BLOCK_RGE);
    uint32_t reach = blocks ? widest : larger(slice, behind), contracted = contracted_widest(model);
    reuse->slopes = piece(&area, &numbers, model->info.out_features);
    reuse->slices = piece(&area, &numbers, Q * slice);
    reuse->unit_changes = piece(&area, &numbers, has_phase(model, TTZO_ESTIMATOR_NODE_CGE) ? widest : 0);
    reuse->directions = piece(&area, &numbers, blocks ? Q * block : 0);
    reuse->moves = piece(&area, &numbers, blocks ? Q * widest : 0);
    reuse->changes = piece(&area, &numbers, Q * reach);
    reuse->arrivals = piece(&area, &numbers, Q * behind);
    reuse->vectors[0] = piece(&area, &numbers, contracted);
    reuse->vectors[1] = piece(&area, &numbers, contracted);
    reuse->places = (uint16_t *)piece(&area, &numbers, (reach + 1) / 2);
    return numbers;
}

uint64_t ttzo_reuse_numbers(const struct ttzo_model *model)
{
    struct ttzo_reuse counting;
    return any_phase_reuses(model) ? carve_area(&counting, model, NULL, NULL) : 0;
}

uint64_t ttzo_reuse_widest(const struct ttzo_model *model)
{
    uint64_t widest = 0;
    if (any_phase_reuses(model))
        for (uint32_t l = 0; l < model->info.n_layers; l++) {
            uint64_t forward = contraction_widest(&model->layers[l]), sweep = ttzo_sweep_widest(&model->layers[l]);
            widest = forward > widest ? forward : widest;
            widest = sweep > widest ? sweep : widest;
        }
    return widest;
}

// ---- a step, a sample -----------------------------------------------------------------------------------------------

void ttzo_reuse_begin(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area,
                      float *const buffers[2])
{
    *reuse = (struct ttzo_reuse){ .model = model, .buffers = buffers };
    carve_area(reuse, model, theta, area);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        reuse->macs += ttzo_core_products_make(&reuse->rooms[l]);
}

static void copy(float *out, const float *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = in[i];
}

float ttzo_reuse_forward(struct ttzo_reuse *reuse, const uint8_t *row)
{
    const struct ttzo_model *model = reuse->model;
    const float *outputs = reuse->rooms[model->info.n_layers - 1].output;
    ttzo_read_inputs(model, row, reuse->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_room *room = &reuse->rooms[l];
        reuse->macs += ttzo_room_forward(room, reuse->buffers);
        copy(room->output, room->z, room->layer->out_features);
        ttzo_activate((enum ttzo_activation)room->layer->activation, room->output, room->layer->out_features);
    }
    reuse->target = row + ttzo_input_bytes(model);
    ttzo_loss_slopes(model, outputs, reuse->target, reuse->slopes);
    copy(reuse->arrivals, outputs, model->info.out_features);
    return ttzo_row_loss(model, reuse->arrivals, reuse->target);
}

// ---- a change on its way --------------------------------------------------------------------------------------------

// activation(z + move) - h where h = activation(z), without the cancellation of that difference.
static float relu_change(float z, float move)
{
    float moved = z + move;
    if (z > 0.0f)
        return moved <= 0.0f ? -z : move;
    return moved <= 0.0f ? 0.0f : moved;
}

static float activation_change(enum ttzo_activation activation, float z, float h, float move)
{
    switch (activation) {
    case TTZO_ACTIVATION_RELU: return relu_change(z, move);
    case TTZO_ACTIVATION_TANH: { // tanh(a + b) = (tanh a + tanh b) / (1 + tanh a tanh b)
        float t = ttzo_tanh(move);
        return t * TTZO_MULADD(-h, h, 1.0f) / TTZO_MULADD(h, t, 1.0f);
    }
    case TTZO_ACTIVATION_SINE: { // sin(a + b) - sin a = 2 cos(a + b/2) sin(b/2)
        float half = 0.5f * move;
        return 2.0f * (ttzo_cos(z + half) * ttzo_sin(half));
    }
    case TTZO_ACTIVATION_IDENTITY: break;
    }
    return move;
}

// Changes of one unit for each query, zeros behind the last; false when all are zero.
static bool change_unit(enum ttzo_activation activation, float z, float h, const float *at, uint32_t query_stride,
                        uint32_t n_queries, float sign, float change[Q])
{
    bool live = false;
    for (uint32_t q = n_queries; q < Q; q++)
        change[q] = 0.0f;
    for (uint32_t q = 0; q < n_queries; q++, at += query_stride) {
        float move = sign * *at;
        change[q] = activation == TTZO_ACTIVATION_RELU ? relu_change(z, move)
                    : move == 0.0f                     ? 0.0f
                                                       : activation_change(activation, z, h, move);
        live |= change[q] != 0.0f;
    }
    return live;
}

// Lists the units of layer `l` whose activations any query changes, and their changes; returns how many.
static uint32_t list_changes(struct ttzo_reuse *reuse, uint32_t l, const struct ttzo_moves *moves, uint32_t n_queries,
                             float sign)
{
    const struct ttzo_room *room = &reuse->rooms[l];
    enum ttzo_activation activation = (enum ttzo_activation)room->layer->activation;
    const float *at = moves->at;
    uint32_t n = 0;
    for (uint32_t i = 0; i < moves->rows; i++)
        for (uint32_t j = 0; j < moves->columns; j++, at++) {
            uint32_t unit = moves->first + i * moves->jump + j;
            if (change_unit(activation, room->z[unit], room->output[unit], at, moves->query_stride, n_queries, sign,
                            reuse->changes + n * Q))
                reuse->places[n++] = (uint16_t)unit;
        }
    return n;
}

// The n listed changes as the input of `room`: through all its cores, one query after the other.
static void contract_changes(struct ttzo_reuse *reuse, const struct ttzo_room *room, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = room->layer;
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t q = 0; q < n_queries; q++) {
        uint32_t current = 0;
        for (uint32_t i = 0; i < layer->in_features; i++)
            reuse->vectors[0][i] = 0.0f;
        for (uint32_t i = 0; i < n; i++)
            reuse->vectors[0][reuse->places[i]] = reuse->changes[i * Q + q];
        for (uint32_t index = 0; index < length; index++, current = 1 - current) {
            struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
            reuse->macs += ttzo_contract(&step, room->parameters + step.core_offset, reuse->vectors[current], NULL,
                                         reuse->vectors[1 - current], true);
        }
        copy(reuse->arrivals + q * layer->out_features, reuse->vectors[current], layer->out_features);
    }
}

// The n listed changes as the input of layer `l`: arrivals at its pre-activations.
static void arrive(struct ttzo_reuse *reuse, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_room *room = &reuse->rooms[l];
    const struct ttzo_layer *layer = room->layer;
    if (room->has_matrix)
        reuse->macs += ttzo_product_at_places(reuse->arrivals, reuse->changes, reuse->places, n, room->matrix,
                                              layer->out_features, 1, layer->out_features, n_queries);
    else if (ttzo_layer_length(layer) == 1)
        reuse->macs += ttzo_product_at_places(reuse->arrivals, reuse->changes, reuse->places, n, room->parameters, 1,
                                              layer->in_features, layer->out_features, n_queries);
    else
        contract_changes(reuse, room, n, n_queries);
}

// The n listed changes of the network's outputs, as arrays.
static void scatter_changes(struct ttzo_reuse *reuse, uint32_t n)
{
    uint32_t outputs = reuse->model->info.out_features;
    for (uint32_t i = 0; i < Q * outputs; i++)
        reuse->arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            reuse->arrivals[q * outputs + reuse->places[i]] = reuse->changes[i * Q + q];
}

void ttzo_reuse_differences(struct ttzo_reuse *reuse, uint32_t l, const struct ttzo_moves *moves, uint32_t n_queries,
                            float sign, float differences[TTZO_QUERIES_AT_ONCE])
{
    uint32_t last = reuse->model->info.n_layers - 1, outputs = reuse->model->info.out_features;
    uint32_t n = list_changes(reuse, l, moves, n_queries, sign);
    for (uint32_t q = 0; q < Q; q++)
        differences[q] = 0.0f;
    for (; l < last && n > 0; l++) {
        uint32_t width = reuse->rooms[l + 1].layer->out_features;
        arrive(reuse, l + 1, n, n_queries);
        n = list_changes(reuse, l + 1, &(struct ttzo_moves){ reuse->arrivals, width, 0, 1, width, 0 }, n_queries, 1.0f);
    }
    if (n == 0)
        return;
    scatter_changes(reuse, n);
    for (uint32_t q = 0; q < n_queries; q++)
        differences[q] = ttzo_loss_change(reuse->model, reuse->slopes, reuse->arrivals + q * outputs, reuse->target);
}
