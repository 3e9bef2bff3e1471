// SPDX-License-Identifier: MIT
#include "reuse.h"

#include "applied.h"
#include "loss.h"
#include "network.h"
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

static uint32_t to_fours(uint32_t n)
{
    return (n + 3u) & ~3u;
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

// Numbers of the weights that a query's units need at most, where the layer behind is, or is made, a matrix.
static uint64_t widest_weights(const struct ttzo_model *model, bool blocks)
{
    uint64_t widest = 0;
    for (uint32_t l = 1; l < model->info.n_layers; l++) {
        const struct ttzo_layer *before = &model->layers[l - 1], *layer = &model->layers[l];
        uint32_t units = blocks ? before->out_features : ttzo_slice_widest(before);
        uint64_t numbers = (uint64_t)units * to_fours(layer->out_features);
        if ((ttzo_layer_length(layer) == 1 || has_matrix(model, l)) && numbers > widest)
            widest = numbers;
    }
    return widest;
}

// Numbers of the largest core's units as panels of four output modes.
static uint64_t widest_unit_panels(const struct ttzo_layer *layer)
{
    uint64_t widest = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        uint64_t numbers = (uint64_t)e.ml * e.mr * to_fours(ttzo_layer_core(layer, k).m);
        widest = numbers > widest ? numbers : widest;
    }
    return widest;
}

static uint64_t panels_numbers(const struct ttzo_layer *layer)
{
    uint64_t forward = ttzo_environment_panels(layer), slices = ttzo_slices_panels(layer);
    return forward > slices ? forward : slices;
}

static void carve_scratch(struct ttzo_reuse *reuse, float **area, uint64_t *numbers)
{
    const struct ttzo_model *model = reuse->model;
    uint32_t slice = 1, behind = model->info.out_features, widest = 1, block = 1;
    uint64_t panels = 0, unit_panels = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t layer_panels = panels_numbers(layer), layer_units = widest_unit_panels(layer);
        slice = larger(slice, ttzo_slice_widest(layer));
        widest = larger(widest, layer->out_features);
        block = larger(block, largest_block(layer));
        behind = l > 0 ? larger(behind, layer->out_features) : behind;
        panels = layer_panels > panels ? layer_panels : panels;
        unit_panels = layer_units > unit_panels ? layer_units : unit_panels;
    }
    bool blocks = has_phase(model, TTZO_ESTIMATOR_BLOCK_RGE), nodes = has_phase(model, TTZO_ESTIMATOR_NODE_CGE);
    uint32_t aimed = blocks ? widest : slice, contracted = contracted_widest(model);
    reuse->slopes = piece(area, numbers, model->info.out_features);
    reuse->panels = piece(area, numbers, panels);
    reuse->slices = piece(area, numbers, (uint64_t)TTZO_FOURS_AT_ONCE * Q * slice);
    reuse->unit_changes = piece(area, numbers, nodes ? widest : 0);
    reuse->unit_panels = piece(area, numbers, nodes ? unit_panels : 0);
    reuse->directions = piece(area, numbers, blocks ? Q * block : 0);
    reuse->moves = piece(area, numbers, blocks ? Q * widest : 0);
    reuse->weights = piece(area, numbers, widest_weights(model, blocks));
    reuse->changes = piece(area, numbers, Q * larger(aimed, larger(behind, Q)));
    reuse->arrivals = piece(area, numbers, Q * to_fours(behind));
    reuse->vectors[0] = piece(area, numbers, contracted);
    reuse->vectors[1] = piece(area, numbers, contracted);
    reuse->numbers = (uint16_t *)piece(area, numbers, (aimed + 1) / 2);
    reuse->places = (uint16_t *)piece(area, numbers, (aimed + 1) / 2);
    reuse->bends = (uint16_t *)piece(area, numbers, (aimed + 1) / 2);
    reuse->listed = (uint16_t *)piece(area, numbers, (behind + 1) / 2);
}

// Carves all but what `reuse` is told apart; returns the numbers taken. In the order of exporter/environments.py.
static uint64_t carve_area(struct ttzo_reuse *reuse, const float *theta, float *area)
{
    const struct ttzo_model *model = reuse->model;
    uint64_t numbers = 0;
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
    }
    carve_scratch(reuse, &area, &numbers);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        reuse->rooms[l].panels = reuse->panels;
    return numbers;
}

uint64_t ttzo_reuse_numbers(const struct ttzo_model *model)
{
    struct ttzo_reuse counting = { .model = model };
    if (!any_phase_reuses(model))
        return 0;
    return ttzo_model_gathers(model) ? ttzo_applied_numbers(model) : carve_area(&counting, NULL, NULL);
}

uint64_t ttzo_reuse_widest(const struct ttzo_model *model)
{
    uint64_t widest = 0;
    if (any_phase_reuses(model) && ttzo_model_gathers(model))
        return ttzo_applied_widest(model);
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
    carve_area(reuse, theta, area);
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
