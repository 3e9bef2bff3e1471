// SPDX-License-Identifier: MIT
#include "reuse.h"

#include "loss.h"
#include "network.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- what is kept ---------------------------------------------------------------------------------------------------

bool ttzo_estimator_reuses(enum ttzo_estimator estimator)
{
    return estimator == TTZO_ESTIMATOR_CGE || estimator == TTZO_ESTIMATOR_NODE_CGE ||
           estimator == TTZO_ESTIMATOR_BLOCK_RGE || estimator == TTZO_ESTIMATOR_COCD;
}

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

// Largest array of a change on its way through layers that are contracted core by core.
static uint32_t contracted_widest(const struct ttzo_model *model)
{
    uint32_t widest = 0;
    for (uint32_t l = 1; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        if (ttzo_layer_length(layer) == 1 || has_matrix(model, l))
            continue;
        widest = larger(widest, layer->in_features);
        for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
            struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
            widest = larger(widest, step.repeats * step.rows * step.columns);
        }
    }
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
static float *take(float **area, uint32_t *numbers, uint32_t n)
{
    float *piece = *area ? *area + *numbers : NULL;
    *numbers += (n + 1u) & ~1u;
    return piece;
}

static void carve_room(struct ttzo_room *room, float **area, uint32_t *numbers)
{
    const struct ttzo_layer *layer = room->layer;
    room->z = take(area, numbers, layer->out_features);
    room->output = take(area, numbers, layer->out_features);
    room->states = take(area, numbers, ttzo_states_numbers(layer));
    room->products = take(area, numbers, ttzo_products_numbers(layer, room->has_matrix));
    room->matrix =
        take(area, numbers, room->has_matrix ? (uint32_t)layer->in_features * layer->out_features : 0);
}

// Carves all but what `reuse` is told apart; returns the numbers taken. In the order of exporter/memory.py.
static uint32_t carve(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area)
{
    uint32_t numbers = 0, slice = 1, behind = model->info.out_features, widest = 1, block = 1;
    const float *input = reuse->inputs = take(&area, &numbers, model->info.in_features);
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
    reuse->slopes = take(&area, &numbers, model->info.out_features);
    reuse->slices = take(&area, &numbers, Q * slice);
    reuse->unit_changes = take(&area, &numbers, has_phase(model, TTZO_ESTIMATOR_NODE_CGE) ? widest : 0);
    reuse->directions = take(&area, &numbers, blocks ? Q * block : 0);
    reuse->moves = take(&area, &numbers, blocks ? Q * widest : 0);
    reuse->changes = take(&area, &numbers, Q * reach);
    reuse->arrivals = take(&area, &numbers, Q * behind);
    reuse->vectors[0] = take(&area, &numbers, contracted);
    reuse->vectors[1] = take(&area, &numbers, contracted);
    reuse->places = (uint16_t *)take(&area, &numbers, (reach + 1) / 2);
    return numbers;
}

uint32_t ttzo_reuse_numbers(const struct ttzo_model *model)
{
    struct ttzo_reuse counting;
    return any_phase_reuses(model) ? carve(&counting, model, NULL, NULL) : 0;
}

uint32_t ttzo_reuse_widest(const struct ttzo_model *model)
{
    uint32_t widest = (uint32_t)ttzo_network_widest(model);
    if (any_phase_reuses(model))
        for (uint32_t l = 0; l < model->info.n_layers; l++)
            widest = larger(widest, ttzo_sweep_widest(&model->layers[l]));
    return widest;
}

// ---- a step, a sample -----------------------------------------------------------------------------------------------

void ttzo_reuse_begin(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area,
                      float *const buffers[2])
{
    *reuse = (struct ttzo_reuse){ .model = model, .buffers = buffers };
    carve(reuse, model, theta, area);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        reuse->macs += ttzo_room_prepare(&reuse->rooms[l]);
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
            float *change = reuse->changes + n * Q;
            bool live = false;
            for (uint32_t q = 0; q < Q; q++) {
                float move = q < n_queries ? sign * at[q * moves->query_stride] : 0.0f;
                change[q] = 0.0f;
                if (move != 0.0f)
                    change[q] = ttzo_activation_change(activation, room->z[unit], room->output[unit], move);
                live = live || change[q] != 0.0f;
            }
            if (live)
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
