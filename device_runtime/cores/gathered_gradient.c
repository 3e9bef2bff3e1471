// SPDX-License-Identifier: MIT
#include "cores/gathered_gradient.h"

#include "cores/gathered_moves.h"
#include "cores/slices.h"
#include "network/gathered_layer.h"
#include "network/loss.h"

#if TTZO_HAS(GATHERED)

#define Q TTZO_QUERIES_AT_ONCE

// ---- geometry -------------------------------------------------------------------------------------------------------

bool ttzo_gathered_gradient_is_sound(const struct ttzo_model *model, uint8_t estimator)
{
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (ttzo_gathered_makes_matrix(&model->layers[l], l) &&
            (uint32_t)model->layers[l].in_features * model->layers[l].out_features > TTZO_MAX_MATRIX)
            return false;
    return estimator == TTZO_ESTIMATOR_CGE || estimator == TTZO_ESTIMATOR_COCD;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static void carve_all(struct ttzo_gathered_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    uint64_t slice = 0, moves = 0, slices = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l], one = ttzo_gathered_application(layer);
        uint64_t all = ttzo_moves_numbers(layer);
        uint64_t its_slices = ttzo_moved_slices(layer);
        slice = ttzo_slice_widest(&one) > slice ? ttzo_slice_widest(&one) : slice;
        uint64_t forward = layer->gather ? ttzo_gathered_scratch(layer) : 0;
        moves = all > moves ? all : moves;
        moves = forward > moves ? forward : moves;
        slices = its_slices > slices ? its_slices : slices;
    }
    e->queries.cache.model = model;
    ttzo_gathered_cache_carve(&e->queries.cache, carve);
    ttzo_gathered_scratch_carve(&e->queries.scratch, model, carve);
    e->slices = ttzo_take_even(carve, Q * slice);
    e->moves = e->queries.cache.forward = ttzo_take_even(carve, moves);
    e->slot_of = (uint32_t *)ttzo_take_even(carve, slices);
    e->slice_in = (uint32_t *)ttzo_take_even(carve, slices);
}

uint64_t ttzo_gathered_gradient_numbers(const struct ttzo_model *model)
{
    struct ttzo_gathered_estimate counting;
    struct ttzo_carve carve = { NULL, 0 };
    carve_all(&counting, model, &carve);
    return carve.numbers;
}

void ttzo_gathered_gradient_begin(struct ttzo_gathered_estimate *e)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    struct ttzo_carve carve = { trainer->cache_area, 0 };
    carve_all(e, trainer->model, &carve);
    e->queries.cache.macs = 0;
    ttzo_gathered_cache_begin(&e->queries.cache, trainer->theta);
}

// ---- queries --------------------------------------------------------------------------------------------------------

// Outputs that mode m of a core moves; `moves` [moved outputs][4] times sign. Returns how many change.
static uint32_t list_moved(struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved, uint32_t m,
                           const float *moves, float sign)
{
    uint32_t features = e->base.trainer->model->layers[moved->l].out_features, count = moved->mr * moved->run, n = 0;
    for (uint32_t o = 0; o < moved->outer; o++)
        for (uint32_t i = 0; i < moved->ml; i++, moves += Q * count) {
            uint32_t first = (o * features + (i * moved->core.m + m) * moved->mr) * moved->run;
            n = ttzo_gathered_changes(&e->queries, moved->l, n, first, first + count, moves, Q, sign);
        }
    return n;
}

// Where the parameters of a slot's slice stand: those of mode m at first + m step.
static uint32_t entries_of(const struct ttzo_moved_core *moved, const struct ttzo_layer *layer, uint32_t slot,
                           uint32_t *step)
{
    uint32_t each = moved->core.n * moved->core.right, slice = moved->slice_in[slot], a = slice / each;
    *step = a < moved->core.left ? each : 1; // else the bias
    uint32_t first = a < moved->core.left ? moved->core.offset + a * moved->core.m * each + slice % each
                                          : ttzo_layer_parameters(layer) - layer->out_features;
    return layer->parameter_offset + first;
}

// Whether each entry of the core moves one output of the network and nothing else: no list of changes is needed.
static bool moves_one_output(const struct ttzo_model *model, const struct ttzo_moved_core *moved)
{
    return moved->moved == 1 && moved->l + 1u == model->info.n_layers && ttzo_loss_is_plain(model) &&
           model->layers[moved->l].activation == TTZO_ACTIVATION_IDENTITY;
}

// Loss differences of the entries of mode m in four slots, of which `count` have a slice.
static void query_mode(struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved, uint32_t m,
                       const float *moves, uint32_t count, bool one_output, float differences[Q])
{
    struct ttzo_gathered_queries *queries = &e->queries;
    float below[Q];
    if (one_output) {
        ttzo_loss_output_changes(queries->cache.model, queries->cache.slopes, m, moves, count, queries->cache.target,
                                 e->base.antithetic, differences);
        return;
    }
    ttzo_gathered_propagate(queries, moved->l, list_moved(e, moved, m, moves, 1.0f), count, differences);
    if (!e->base.antithetic)
        return;
    ttzo_gathered_propagate(queries, moved->l, list_moved(e, moved, m, moves, -1.0f), count, below);
    for (uint32_t q = 0; q < Q; q++)
        differences[q] = differences[q] - below[q];
}

// Entries of the slices in the four slots from `slot` on: mode by mode, because those of one mode move the same outputs.
static void query_entries(struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved, uint32_t slot)
{
    const struct ttzo_model *model = e->base.trainer->model;
    const struct ttzo_layer *layer = &model->layers[moved->l];
    uint32_t left = *moved->n_slots - slot, count = left < Q ? left : Q, at[Q], step[Q];
    float differences[Q], *gradient = e->base.trainer->gradient;
    const float *moves = moved->moves + slot * moved->moved;
    const bool asks_all = e->base.asked.length == model->info.n_parameters;
    const bool one_output = moves_one_output(model, moved);
    for (uint32_t q = 0; q < count; q++)
        at[q] = entries_of(moved, layer, slot + q, &step[q]);
    for (uint32_t m = 0; m < moved->core.m; m++) {
        bool wanted = asks_all;
        for (uint32_t q = 0; q < count && !wanted; q++)
            wanted = ttzo_is_asked(&e->base.asked, at[q]);
        if (wanted)
            query_mode(e, moved, m, moves, count, one_output, differences);
        for (uint32_t q = 0; q < count; q++) {
            if (wanted && (asks_all || ttzo_is_asked(&e->base.asked, at[q])))
                gradient[at[q]] = gradient[at[q]] + differences[q];
            at[q] += step[q];
        }
    }
}

// A bias moves its output at every position.
static void query_bias(struct ttzo_gathered_estimate *e, uint32_t l, uint32_t feature)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    uint32_t at = layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features + feature;
    float *gradient = e->base.trainer->gradient, differences[2][Q] = { { 0.0f }, { 0.0f } };
    const float moves[Q] = { e->base.phase->perturb_radius };
    if (!ttzo_is_asked(&e->base.asked, at))
        return;
    for (uint32_t side = 0; side < (e->base.antithetic ? 2u : 1u); side++) {
        uint32_t run = ttzo_move_run(layer), first = feature * run;
        uint32_t n = ttzo_gathered_changes(&e->queries, l, 0, first, first + run, moves, 0, side ? -1.0f : 1.0f);
        ttzo_gathered_propagate(&e->queries, l, n, 1, differences[side]);
    }
    gradient[at] = gradient[at] + (differences[0][0] - differences[1][0]);
}

// ---- a row ----------------------------------------------------------------------------------------------------------

float ttzo_gathered_gradient_forward(struct ttzo_gathered_estimate *e, const uint8_t *row)
{
    return ttzo_gathered_cache_forward(&e->queries.cache, row, e->queries.scratch.arrivals);
}

static enum ttzo_error gradient_of_layer(struct ttzo_gathered_estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    enum ttzo_error error = TTZO_ERROR_OK;
    ttzo_make_moves(e, l);
    for (uint32_t feature = 0; layer->has_bias && !ttzo_has_bias_slice(layer) && feature < layer->out_features;
         feature++)
        query_bias(e, l, feature);
    struct ttzo_moved_core moved;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        moved = ttzo_next_moved_core(&moved, e, l, k);
        for (uint32_t slot = 0; slot < *moved.n_slots && !error; slot += Q) {
            query_entries(e, &moved, slot);
            error = ttzo_rows_still_wanted(&e->base, &e->queries.cache.macs);
        }
    }
    return error;
}

enum ttzo_error ttzo_gathered_gradient_of_row(struct ttzo_gathered_estimate *e)
{
    enum ttzo_error error = TTZO_ERROR_OK;
    for (uint32_t l = 0; l < e->base.trainer->model->info.n_layers && !error; l++)
        error = gradient_of_layer(e, l);
    e->base.done++;
    return error ? error : ttzo_rows_still_wanted(&e->base, &e->queries.cache.macs);
}

#endif
