// SPDX-License-Identifier: MIT
#include "cores/query_scratch.h"

#include "model/phase.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- sizes ----------------------------------------------------------------------------------------------------------

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
        if (ttzo_layer_length(&model->layers[l]) > 1 && !ttzo_makes_matrix(model, l))
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

// Units of layer `l` that are aimed at together: a few at a time where memory is short, and what they make at the next
// layer adds up.
static uint32_t units_at_once(const struct ttzo_model *model, uint32_t l, bool blocks)
{
    const struct ttzo_layer *layer = &model->layers[l];
    uint32_t units = blocks ? layer->out_features : ttzo_slice_widest(layer);
    bool in_parts = ttzo_keeps_narrow(model) && ttzo_goes_by_matrix(model, l + 1) && units > TTZO_UNITS_IF_NARROW;
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
    if (ttzo_wants_slices(model, l))
        most = forward > slices ? forward : slices;
    if (ttzo_asks_units(model)) {
        uint64_t sums = ttzo_sums_panels(layer, ttzo_assembled_of(model, l));
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

// Quads of slices of core k that its layer's states of 16 bits make room for.
static uint64_t spare_quads(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_span spare = ttzo_environment_spare(layer, k);
    uint64_t first = (spare.first + 3) / 4;
    return spare.end / 4 > first ? (spare.end / 4 - first) * 2 / (Q * slice_size(layer, k)) : 0;
}

// Numbers of `slices` that estimators need.
static uint64_t slices_numbers(const struct ttzo_model *model, bool one_quad)
{
    uint64_t most = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        for (uint32_t k = 0; k < ttzo_layer_length(layer) && ttzo_wants_slices(model, l); k++) {
            uint64_t quads = ttzo_keeps_narrow(model) ? TTZO_QUADS_IF_NARROW : TTZO_QUADS_AT_ONCE;
            if (ttzo_keeps_narrow(model) && (are_numbers(layer, k) || spare_quads(layer, k) >= quads))
                quads = one_quad ? 1 : 0;
            uint64_t size = quads * Q * slice_size(layer, k);
            most = size > most ? size : most;
        }
    }
    return most;
}

// ---- places ---------------------------------------------------------------------------------------------------------

struct ttzo_slices_place ttzo_slices_place_of(const struct ttzo_query_scratch *scratch,
                                              const struct ttzo_sample_cache *cache, uint32_t l, uint32_t k)
{
    const struct ttzo_layer *layer = cache->layers[l].layer;
    struct ttzo_slices_place place = { scratch->slices, scratch->quads_at_once };
    if (!ttzo_keeps_narrow(cache->model))
        return place;
    if (are_numbers(layer, k))
        return (struct ttzo_slices_place){ NULL, scratch->quads_at_once };
    uint64_t own = scratch->slices_size / (Q * slice_size(layer, k)), spare = spare_quads(layer, k);
    if (spare > own)
        place.at = (float *)cache->layers[l].states.numbers + (ttzo_environment_spare(layer, k).first + 3) / 4 * 2;
    own = spare > own ? spare : own;
    place.quads = own < place.quads ? (uint32_t)own : place.quads;
    return place;
}

// Weights, changes and arrivals. With narrow caches they lie where the panels are: queries are asked when all their
// slices are made.
static void carve_queries(struct ttzo_query_scratch *scratch, struct ttzo_aim *aim, const struct ttzo_model *model,
                          uint64_t panels, uint64_t weights, uint64_t changes, struct ttzo_carve *carve)
{
    uint64_t queries = ttzo_even(weights) + ttzo_even(changes);
    uint64_t quads = ttzo_asks_entries(model) ? TTZO_QUADS_AT_ONCE : 1;
    if (ttzo_keeps_narrow(model)) {
        uint64_t least = queries + TTZO_QUADS_IF_NARROW * scratch->arrivals_size;
        panels = panels > least ? panels : least;
        quads = (panels - queries) / scratch->arrivals_size;
    }
    scratch->quads_at_once = quads < TTZO_QUADS_AT_ONCE ? (uint32_t)quads : TTZO_QUADS_AT_ONCE;
    struct ttzo_carve shared = *carve;
    scratch->panels = ttzo_take_even(carve, panels);
    if (!ttzo_keeps_narrow(model)) {
        shared = *carve;
        ttzo_take(carve, queries + quads * scratch->arrivals_size);
    }
    aim->weights = ttzo_take_even(&shared, weights);
    scratch->changes = ttzo_take_even(&shared, changes);
    scratch->all_arrivals = scratch->arrivals = ttzo_take(&shared, quads * scratch->arrivals_size);
}

void ttzo_query_scratch_carve(struct ttzo_query_scratch *scratch, struct ttzo_aim *aim,
                              const struct ttzo_sample_cache *cache, struct ttzo_carve *carve)
{
    const struct ttzo_model *model = cache->model;
    bool blocks = TTZO_HAS(BLOCKS) && ttzo_has_estimator(model, TTZO_ESTIMATOR_BLOCK_RGE),
         nodes = ttzo_asks_units(model);
    uint32_t after = model->info.out_features, widest = 1, block = 1;
    uint64_t panels = 0, unit_panels = 0, weights = 0;
    bool aims = ttzo_asks_entries(model);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t layer_panels = panels_numbers(model, l);
        uint64_t layer_units = ttzo_wants_slices(model, l) ? widest_unit_panels(layer) : 0;
        widest = larger(widest, layer->out_features);
        block = larger(block, largest_block(layer));
        after = l > 0 ? larger(after, layer->out_features) : after;
        if (aims)
            aim->units_at_once = larger(aim->units_at_once, units_at_once(model, l, blocks));
        if (aims && ttzo_goes_by_matrix(model, l + 1)) {
            uint64_t needs = (uint64_t)units_at_once(model, l, blocks) * to_multiple_of_4(layer[1].out_features);
            weights = needs > weights ? needs : weights;
        }
        panels = layer_panels > panels ? layer_panels : panels;
        if (cache->layers[l].has_matrix && !cache->layers[l].keeps_halves && ttzo_matrix_scratch(layer) > panels)
            panels = ttzo_matrix_scratch(layer);
        unit_panels = layer_units > unit_panels ? layer_units : unit_panels;
    }
    uint32_t aimed = aim->units_at_once, contracted = contracted_widest(model);
    scratch->arrivals_size = Q * to_multiple_of_4(after);
    carve_queries(scratch, aim, model, panels, weights, Q * larger(aimed, larger(after, Q)), carve);
    scratch->slices_size = slices_numbers(model, blocks || nodes);
    scratch->slices = ttzo_take_even(carve, scratch->slices_size);
    scratch->unit_changes = ttzo_take_even(carve, nodes ? widest : 0);
    scratch->unit_panels = ttzo_take_even(carve, nodes ? unit_panels : 0);
    scratch->directions = ttzo_take_even(carve, blocks ? Q * block : 0);
    scratch->moves = ttzo_take_even(carve, blocks ? Q * widest : 0);
    scratch->row = ttzo_take_even(carve, after);
    scratch->vectors[0] = ttzo_take_even(carve, contracted);
    scratch->vectors[1] = ttzo_take_even(carve, contracted);
    aim->numbers = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    aim->places = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    aim->bends = (uint16_t *)ttzo_take_even(carve, (aimed + 1) / 2);
    scratch->listed = (uint16_t *)ttzo_take_even(carve, (after + 1) / 2);
}
