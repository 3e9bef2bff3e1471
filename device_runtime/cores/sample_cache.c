// SPDX-License-Identifier: MIT
#include "cores/sample_cache.h"

#include "cores/gathered_gradient.h"
#include "model/carve.h"
#include "network/gathered_layer.h"
#include "network/loss.h"
#include "network/network.h"
#include "model/phase.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- what is kept ---------------------------------------------------------------------------------------------------

// Whether a phase asks about entries, or directions of them; node_cge only does so about units.
static bool asks_entries(const struct ttzo_model *model)
{
    return ttzo_has_estimator(model, TTZO_ESTIMATOR_CGE) || ttzo_has_estimator(model, TTZO_ESTIMATOR_COCD) ||
           ttzo_has_estimator(model, TTZO_ESTIMATOR_BLOCK_RGE);
}

static bool asks_nodes(const struct ttzo_model *model)
{
    return TTZO_HAS(BLOCKS) && ttzo_has_estimator(model, TTZO_ESTIMATOR_NODE_CGE);
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

static uint32_t to_multiple_of_4(uint32_t n)
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

static bool is_narrow(const struct ttzo_model *model)
{
    return TTZO_HAS(NARROW) && model->info.cache != TTZO_CACHE_FLOAT32;
}

// An array of n numbers.
static void *take_array(struct ttzo_carve *carve, uint64_t n, bool narrow)
{
    return ttzo_take_even(carve, narrow ? (n + 1) / 2 : n);
}

// Whether the network's inputs lie among the first layer's states, and are read again when they are wanted.
static bool inputs_share(const struct ttzo_model *model)
{
    return is_narrow(model) && ttzo_environment_sweeps(&model->layers[0]);
}

static uint64_t states_numbers(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    uint64_t states = ttzo_states_numbers(layer), shared;
    if (l > 0 || !inputs_share(model))
        return states;
    shared = ttzo_environment_input_place(layer) + 2u * (uint64_t)layer->in_features;
    return shared > states ? shared : states;
}

// How node_cge would take the layer: with narrow caches, as other estimators do.
static enum ttzo_assembled assembled_by(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    if (is_narrow(model))
        return TTZO_BY_SLICES;
    return ttzo_assembled_by(layer, ttzo_layer_length(layer) == 1 || has_matrix(model, l));
}

static bool wants_slices(const struct ttzo_model *model, uint32_t l)
{
    return asks_entries(model) || (asks_nodes(model) && assembled_by(model, l) == TTZO_BY_SLICES);
}

// With narrow caches hidden units are narrow too, and what a layer that sweeps reads of them is not kept.
static void carve_room(struct ttzo_layer_cache *room, const struct ttzo_model *model, uint32_t l, struct ttzo_carve *carve)
{
    const struct ttzo_layer *layer = room->layer;
    bool narrow = is_narrow(model), last = l + 1u == model->info.n_layers;
    bool keeps_matrix = room->has_matrix && model->info.cache != TTZO_CACHE_INT16_LEAST;
    room->has_narrow_z = narrow && !last && ttzo_layer_length(layer) > 1;
    room->z = take_array(carve, layer->out_features, room->has_narrow_z);
    if (last || !narrow || !ttzo_environment_sweeps(layer + 1))
        room->output = ttzo_take_even(carve, layer->out_features);
    room->assembled = (uint8_t)assembled_by(model, l);
    uint64_t states = wants_slices(model, l) ? states_numbers(model, l) : 0;
    uint64_t sums = asks_nodes(model) ? ttzo_sums_numbers(layer, assembled_by(model, l)) : 0;
    room->states.narrow = narrow;
    room->states.numbers = take_array(carve, states > sums ? states : sums, narrow);
    room->keeps_halves = (room->has_matrix && !(narrow && keeps_matrix)) ||
                         (asks_nodes(model) && room->assembled == TTZO_BY_HALVES);
    room->products = ttzo_take_even(carve, ttzo_products_numbers(layer, room->keeps_halves));
    if (keeps_matrix)
        room->matrix = take_array(carve, (uint64_t)layer->in_features * layer->out_features, narrow);
}

static bool goes_by_matrix(const struct ttzo_model *model, uint32_t l)
{
    return l < model->info.n_layers && (ttzo_layer_length(&model->layers[l]) == 1 || has_matrix(model, l));
}

// Units of layer `l` that are aimed at together: a few at a time where memory is short, and what they make at the next
// layer adds up.
static uint32_t units_at_once(const struct ttzo_model *model, uint32_t l, bool blocks)
{
    const struct ttzo_layer *layer = &model->layers[l];
    uint32_t units = blocks ? layer->out_features : ttzo_slice_widest(layer);
    bool in_parts = is_narrow(model) && goes_by_matrix(model, l + 1) && units > TTZO_UNITS_IF_NARROW;
    return in_parts ? TTZO_UNITS_IF_NARROW : units;
}

// Numbers of the largest core's units as panels of four output modes.
static uint64_t widest_unit_panels(const struct ttzo_layer *layer)
{
    uint64_t widest = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        uint64_t numbers = (uint64_t)e.ml * e.mr * to_multiple_of_4(ttzo_layer_core(layer, k).m);
        widest = numbers > widest ? numbers : widest;
    }
    return widest;
}

static uint64_t panels_numbers(const struct ttzo_model *model, uint32_t l)
{
    const struct ttzo_layer *layer = &model->layers[l];
    uint64_t forward = ttzo_environment_panels(layer), slices = ttzo_slices_panels(layer), most = 0;
    if (wants_slices(model, l))
        most = forward > slices ? forward : slices;
    if (asks_nodes(model)) {
        uint64_t sums = ttzo_sums_panels(layer, assembled_by(model, l));
        most = sums > most ? sums : most;
    }
    return most;
}

static uint32_t slice_size(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    return e.ml * e.mr;
}

// Whether the slices of core k are numbers of a state: no factor stands on its other side.
static bool are_numbers(const struct ttzo_layer *layer, uint32_t k)
{
    return !ttzo_is_tensor(layer) && (k < ttzo_middle_core(layer) ? k == 0 : k + 1 == ttzo_layer_length(layer));
}

// Fours of slices of core k that its layer's states of 16 bits make room for.
static uint64_t spare_quads(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_span spare = ttzo_environment_spare(layer, k);
    uint64_t first = (spare.first + 3) / 4;
    return spare.end / 4 > first ? (spare.end / 4 - first) * 2 / (Q * slice_size(layer, k)) : 0;
}

// Numbers of `slices` that estimators want.
static uint64_t slices_numbers(const struct ttzo_model *model, bool one_four)
{
    uint64_t most = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        for (uint32_t k = 0; k < ttzo_layer_length(layer) && wants_slices(model, l); k++) {
            uint64_t fours = is_narrow(model) ? TTZO_QUADS_IF_NARROW : TTZO_QUADS_AT_ONCE;
            if (is_narrow(model) && (are_numbers(layer, k) || spare_quads(layer, k) >= fours))
                fours = one_four ? 1 : 0;
            uint64_t size = fours * Q * slice_size(layer, k);
            most = size > most ? size : most;
        }
    }
    return most;
}

struct ttzo_slices_place ttzo_slices_place_of(const struct ttzo_reuse *reuse, uint32_t l, uint32_t k)
{
    const struct ttzo_layer *layer = reuse->rooms[l].layer;
    struct ttzo_slices_place room = { reuse->slices, reuse->quads_at_once };
    if (!is_narrow(reuse->model))
        return room;
    if (are_numbers(layer, k))
        return (struct ttzo_slices_place){ NULL, reuse->quads_at_once };
    uint64_t own = reuse->slices_size / (Q * slice_size(layer, k)), spare = spare_quads(layer, k);
    if (spare > own)
        room.at = (float *)reuse->rooms[l].states.numbers + (ttzo_environment_spare(layer, k).first + 3) / 4 * 2;
    own = spare > own ? spare : own;
    room.fours = own < room.fours ? (uint32_t)own : room.fours;
    return room;
}

// Weights, changes and arrivals. With narrow caches they lie where the panels are: queries are asked when all their slices
// are made.
static void carve_queries(struct ttzo_reuse *reuse, uint64_t panels, uint64_t weights, uint64_t changes, struct ttzo_carve *carve)
{
    uint64_t queries = ttzo_even(weights) + ttzo_even(changes);
    uint64_t fours = asks_entries(reuse->model) ? TTZO_QUADS_AT_ONCE : 1;
    if (is_narrow(reuse->model)) {
        uint64_t least = queries + TTZO_QUADS_IF_NARROW * reuse->arrivals_size;
        panels = panels > least ? panels : least;
        fours = (panels - queries) / reuse->arrivals_size;
    }
    reuse->quads_at_once = fours < TTZO_QUADS_AT_ONCE ? (uint32_t)fours : TTZO_QUADS_AT_ONCE;
    struct ttzo_carve shared = *carve;
    reuse->panels = ttzo_take_even(carve, panels);
    if (!is_narrow(reuse->model)) {
        shared = *carve;
        ttzo_take_even(carve, queries + fours * reuse->arrivals_size);
    }
    reuse->weights = ttzo_take_even(&shared, weights);
    reuse->changes = ttzo_take_even(&shared, changes);
    reuse->all_arrivals = reuse->arrivals = ttzo_take(&shared, fours * reuse->arrivals_size);
}

static void carve_scratch(struct ttzo_reuse *reuse, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = reuse->model;
    bool blocks = TTZO_HAS(BLOCKS) && ttzo_has_estimator(model, TTZO_ESTIMATOR_BLOCK_RGE), nodes = asks_nodes(model);
    uint32_t behind = model->info.out_features, widest = 1, block = 1;
    uint64_t panels = 0, unit_panels = 0, weights = 0;
    bool aims = asks_entries(model);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t layer_panels = panels_numbers(model, l);
        uint64_t layer_units = wants_slices(model, l) ? widest_unit_panels(layer) : 0;
        widest = larger(widest, layer->out_features);
        block = larger(block, largest_block(layer));
        behind = l > 0 ? larger(behind, layer->out_features) : behind;
        if (aims)
            reuse->units_at_once = larger(reuse->units_at_once, units_at_once(model, l, blocks));
        if (aims && goes_by_matrix(model, l + 1)) {
            uint64_t needs = (uint64_t)units_at_once(model, l, blocks) * to_multiple_of_4(layer[1].out_features);
            weights = needs > weights ? needs : weights;
        }
        panels = layer_panels > panels ? layer_panels : panels;
        if (reuse->rooms[l].has_matrix && !reuse->rooms[l].keeps_halves && ttzo_matrix_scratch(layer) > panels)
            panels = ttzo_matrix_scratch(layer);
        unit_panels = layer_units > unit_panels ? layer_units : unit_panels;
    }
    uint32_t aimed = reuse->units_at_once, contracted = contracted_widest(model);
    reuse->slopes = ttzo_take_even(carve, model->info.out_features);
    reuse->arrivals_size = Q * to_multiple_of_4(behind);
    carve_queries(reuse, panels, weights, Q * larger(aimed, larger(behind, Q)), carve);
    reuse->slices_size = slices_numbers(model, blocks || nodes);
    reuse->slices = ttzo_take_even(carve, reuse->slices_size);
    reuse->unit_changes = ttzo_take_even(carve, nodes ? widest : 0);
    reuse->unit_panels = ttzo_take_even(carve, nodes ? unit_panels : 0);
    reuse->directions = ttzo_take_even(carve, blocks ? Q * block : 0);
    reuse->moves = ttzo_take_even(carve, blocks ? Q * widest : 0);
    reuse->row = ttzo_take_even(carve, behind);
    reuse->vectors[0] = ttzo_take_even(carve, contracted);
    reuse->vectors[1] = ttzo_take_even(carve, contracted);
    reuse->numbers = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    reuse->places = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    reuse->bends = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    reuse->listed = (uint16_t *)ttzo_take_even(carve, (behind + 1) / 2);
}

static void carve_all(struct ttzo_reuse *reuse, const float *theta, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = reuse->model;
    reuse->narrow = is_narrow(model);
    reuse->inputs_share = inputs_share(model);
    reuse->inputs = ttzo_take_even(carve, reuse->inputs_share ? 0 : model->info.in_features);
    struct ttzo_array input = ttzo_array_of(reuse->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        struct ttzo_layer_cache *room = &reuse->rooms[l];
        *room = (struct ttzo_layer_cache){ .layer = layer,
                                    .parameters = theta ? theta + layer->parameter_offset : NULL,
                                    .input = input,
                                    .has_matrix = has_matrix(model, l) };
        carve_room(room, model, l, carve);
        input = ttzo_array_of(room->output);
        if (!room->output) {
            input = ttzo_layer_cache_z(room);
            input.activation = layer->activation;
        }
    }
    if (reuse->inputs_share && carve->area) {
        reuse->inputs = (float *)reuse->rooms[0].states.numbers + ttzo_environment_input_place(&model->layers[0]) / 2;
        reuse->rooms[0].input = ttzo_array_of(reuse->inputs);
    }
    carve_scratch(reuse, carve);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        reuse->rooms[l].panels = reuse->panels;
}

uint64_t ttzo_sample_cache_numbers(const struct ttzo_model *model)
{
    struct ttzo_reuse counting = { .model = model };
    struct ttzo_carve carve = { NULL, 0 };
    if (!asks_entries(model) && !asks_nodes(model))
        return 0;
    if (ttzo_has_gathered_layer(model))
        return ttzo_gathered_gradient_numbers(model);
    carve_all(&counting, NULL, &carve);
    return carve.numbers;
}

// ---- a step, a sample -----------------------------------------------------------------------------------------------

void ttzo_sample_cache_begin(struct ttzo_reuse *reuse, const struct ttzo_model *model, const float *theta, float *area,
                      bool assembles)
{
    *reuse = (struct ttzo_reuse){ .model = model, .assembles = assembles };
    struct ttzo_carve carve = { area, 0 };
    carve_all(reuse, theta, &carve);
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        reuse->macs += ttzo_core_products_make(&reuse->rooms[l]);
}

static void copy(float *out, const float *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = in[i];
}

float ttzo_sample_cache_forward(struct ttzo_reuse *reuse, const uint8_t *row)
{
    const struct ttzo_model *model = reuse->model;
    const float *outputs = reuse->rooms[model->info.n_layers - 1].output;
    reuse->sample = row;
    ttzo_read_inputs(model, row, reuse->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer_cache *room = &reuse->rooms[l];
        bool sums = TTZO_HAS(BLOCKS) && reuse->assembles && room->assembled != TTZO_BY_SLICES;
        reuse->macs += sums ? ttzo_sums_forward(room) : ttzo_environments_forward(room);
        for (uint32_t i = 0; room->output && i < room->layer->out_features; i++)
            room->output[i] = ttzo_load(room->z, i, room->has_narrow_z);
        if (room->output)
            ttzo_activate((enum ttzo_activation)room->layer->activation, room->output, room->layer->out_features);
    }
    reuse->target = row + ttzo_input_bytes(model);
    ttzo_loss_slopes(model, outputs, reuse->target, reuse->slopes);
    copy(reuse->arrivals, outputs, model->info.out_features);
    return ttzo_row_loss(model, reuse->arrivals, reuse->target);
}

void ttzo_sample_cache_restore_inputs(struct ttzo_reuse *reuse, uint32_t l, uint32_t k)
{
    if (l == 0 && reuse->inputs_share && ttzo_environment_sweep_begins(&reuse->model->layers[0], k))
        ttzo_read_inputs(reuse->model, reuse->sample, reuse->inputs);
}
