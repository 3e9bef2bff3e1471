// SPDX-License-Identifier: MIT
#include "cores/gathered_gradient.h"

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

// How often a slice's outputs stand in a move: outer times all of them, each a run of so many neighbours.
static uint32_t outer_of(const struct ttzo_layer *layer)
{
    return ttzo_has_tokens(layer) && layer->combine == TTZO_COMBINE_EACH ? layer->width : 1;
}

static uint32_t run_of(const struct ttzo_layer *layer)
{
    return ttzo_has_patches(layer) ? (uint32_t)ttzo_layer_positions(layer) : 1;
}

// A layer of one core whose entries move what a bias moves: the bias stands with them, as one more slice.
static bool has_bias_slice(const struct ttzo_layer *layer)
{
    return layer->has_bias && ttzo_layer_length(layer) == 1;
}

static uint64_t slices_of_core(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core_shape(layer, k);
    return (uint64_t)core.left * core.n * core.right + has_bias_slice(layer);
}

// Outputs that an entry of core k moves.
static uint32_t moved_outputs(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    return e.ml * e.mr * outer_of(layer) * run_of(layer);
}

// Numbers of the moves of all cores before `end`.
static uint64_t moves_before(const struct ttzo_layer *layer, uint32_t end)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < end; k++)
        numbers += (slices_of_core(layer, k) + 3) / 4 * 4 * moved_outputs(layer, k);
    return numbers;
}

// Slices of all cores before `end`.
static uint64_t slices_before(const struct ttzo_layer *layer, uint32_t end)
{
    uint64_t slices = 0;
    for (uint32_t k = 0; k < end; k++)
        slices += slices_of_core(layer, k);
    return slices;
}

// A core of a layer whose entries are under way.
struct moved_core {
    uint32_t l;
    struct ttzo_core core;
    uint32_t moved;  // outputs that an entry moves
    uint32_t ml, mr; // extents of the layer's outputs before and after the core
    uint32_t outer, run;
    float *moves;       // [slots / 4][moved][4]
    uint32_t *n_slots;  // slices that are not zero, in the order in which they were found
    uint32_t *slot_of;  // [slices] 1 + its slot, or 0
    uint32_t *slice_in; // [slots]
};

// Core k of layer `l`, whose extents are known, after the core before it.
static struct moved_core core_after(const struct moved_core *before, struct ttzo_gathered_estimate *e, uint32_t l,
                                    uint32_t k, uint32_t ml, uint32_t mr)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    struct moved_core made = { .l = l, .core = ttzo_layer_core_shape(layer, k), .ml = ml, .mr = mr };
    made.outer = outer_of(layer), made.run = run_of(layer);
    made.moved = ml * mr * made.outer * made.run;
    made.moves = e->moves, made.n_slots = e->n_slots, made.slot_of = e->slot_of, made.slice_in = e->slice_in;
    if (k == 0)
        return made;
    uint32_t slices = before->core.left * before->core.n * before->core.right + has_bias_slice(layer);
    made.core.offset = before->core.offset + before->core.left * before->core.m * before->core.n * before->core.right;
    made.moves = before->moves + (slices + 3) / 4 * 4 * before->moved;
    made.n_slots = before->n_slots + 1;
    made.slot_of = before->slot_of + slices, made.slice_in = before->slice_in + slices;
    return made;
}

static struct moved_core next_core(const struct moved_core *before, struct ttzo_gathered_estimate *e, uint32_t l,
                                   uint32_t k)
{
    struct ttzo_extents extents = ttzo_extents_around(&e->base.trainer->model->layers[l], k);
    return core_after(before, e, l, k, extents.ml, extents.mr);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static void carve_all(struct ttzo_gathered_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    uint64_t slice = 0, moves = 0, slices = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l], one = ttzo_gathered_application(layer);
        uint64_t all = moves_before(layer, ttzo_layer_length(layer));
        uint64_t its_slices = slices_before(layer, ttzo_layer_length(layer));
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

// ---- what entries move ----------------------------------------------------------------------------------------------

static bool is_zero(const float *slice, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        if (slice[i * Q] != 0.0f)
            return false;
    return true;
}

// The slot of a slice, with moves of 0 if it has none yet.
static uint32_t slot_of(const struct moved_core *moved, uint32_t slice)
{
    if (moved->slot_of[slice])
        return moved->slot_of[slice] - 1;
    uint32_t slot = (*moved->n_slots)++;
    moved->slot_of[slice] = slot + 1;
    moved->slice_in[slot] = slice;
    for (uint32_t i = 0; slot % Q == 0 && i < Q * moved->moved; i++)
        moved->moves[slot * moved->moved + i] = 0.0f;
    return slot;
}

// Brings slice `lane` of `quad` to its place among the moves of a core, its token's digit being `digit`; sums of tokens
// are added up.
static void keep_slice(struct ttzo_gathered_estimate *e, const struct moved_core *moved,
                       const struct ttzo_slice_quad *quad, uint32_t lane, uint32_t digit, uint32_t position)
{
    const struct ttzo_core *core = &moved->core;
    uint32_t run = moved->run, size = e->environment.ml * e->environment.mr;
    uint32_t at = quad->at[lane] - e->environment.core.offset;
    uint32_t a = at / (core->m * quad->m_stride), rest = at % quad->m_stride + digit * core->right;
    uint32_t slice = a * core->n * core->right + rest;
    uint32_t first = run > 1 ? position : moved->outer > 1 ? position * size : 0;
    const float *from = e->slices + lane;
    if (is_zero(from, size))
        return;
    uint32_t slot = slot_of(moved, slice);
    float *move = moved->moves + (slot / Q * moved->moved + first) * Q + slot % Q;
    for (uint32_t i = 0; i < size; i++, move += run * Q, from += Q)
        *move = *move + *from;
}

static void add_position(struct ttzo_gathered_estimate *e, uint32_t position)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[e->queries.cache.l];
    bool tokens = ttzo_has_tokens(layer);
    uint32_t token = tokens ? (uint32_t)e->queries.cache.layers[e->queries.cache.l].input[position] : 0;
    uint32_t rest = layer->in_features, digit = 0; // a token's digits, the most significant first
    struct ttzo_slices slices;
    struct ttzo_slice_quad quad;
    struct moved_core moved;
    e->environment = (struct ttzo_environment){ 0 };
    for (uint32_t k = 0; k < ttzo_layer_length(&e->queries.cache.application); k++) {
        e->queries.cache.macs += ttzo_environment_open(&e->environment, &e->queries.cache.one, k);
        moved = core_after(&moved, e, e->queries.cache.l, k, e->environment.ml, e->environment.mr);
        if (tokens) {
            rest /= moved.core.n;
            digit = token / rest;
            token %= rest;
        }
        ttzo_slices_begin(&slices, &e->environment, e->base.phase->perturb_radius);
        while (ttzo_slices_next(&slices, &quad))
            if (ttzo_slices_make(&slices, &quad, e->slices, &e->queries.cache.macs))
                for (uint32_t lane = 0; lane < quad.count; lane++)
                    keep_slice(e, &moved, &quad, lane, digit, position);
    }
}

// The moves of a matrix at a position: mu times each input.
static void add_inputs(struct ttzo_gathered_estimate *e, const struct moved_core *moved, uint32_t position)
{
    const float *input = e->queries.cache.one.input.numbers;
    float mu = e->base.phase->perturb_radius;
    for (uint32_t i = 0; i < moved->core.n; i++) {
        float move = mu * input[i];
        if (move == 0.0f)
            continue;
        uint32_t slot = slot_of(moved, i);
        moved->moves[(slot / Q * moved->moved + position) * Q + slot % Q] = move;
    }
}

// Those of a layer that is one matrix, and of its bias.
static void make_matrix_moves(struct ttzo_gathered_estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    const struct moved_core moved = next_core(NULL, e, l, 0);
    for (uint32_t p = 0; p < moved.run; p++) {
        ttzo_gathered_cache_turn_to(&e->queries.cache, l, p);
        add_inputs(e, &moved, p);
    }
    if (!layer->has_bias)
        return;
    uint32_t slot = slot_of(&moved, moved.core.n);
    float *move = moved.moves + slot / Q * moved.moved * Q + slot % Q;
    for (uint32_t p = 0; p < moved.run; p++)
        move[p * Q] = e->base.phase->perturb_radius;
}

// The moves of all cores of layer `l`.
static void make_moves(struct ttzo_gathered_estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    bool tokens = ttzo_has_tokens(layer);
    uint32_t length = ttzo_layer_length(layer), slices = (uint32_t)slices_before(layer, length), count = 0;
    for (uint32_t i = 0; i < slices; i++)
        e->slot_of[i] = 0;
    for (uint32_t k = 0; k < length; k++)
        e->n_slots[k] = 0;
    if (length == 1 && !tokens) {
        make_matrix_moves(e, l);
        return;
    }
    for (uint32_t p = 0; p < ttzo_layer_positions(layer); p++) {
        if (tokens && (uint32_t)e->queries.cache.layers[l].input[p] == layer->padding_token)
            continue;
        ttzo_gathered_cache_turn_to(&e->queries.cache, l, p);
        add_position(e, p);
        count++;
    }
    struct moved_core moved;
    for (uint32_t k = 0; layer->combine == TTZO_COMBINE_MEAN && k < length; k++) {
        moved = next_core(&moved, e, l, k);
        for (uint32_t i = 0, n = (*moved.n_slots + Q - 1) / Q * Q * moved.moved; i < n; i++)
            moved.moves[i] = moved.moves[i] / (float)count;
    }
}

// ---- queries --------------------------------------------------------------------------------------------------------

// Outputs that mode m of a core moves; `moves` [moved outputs][4] times sign. Returns how many change.
static uint32_t list_moved(struct ttzo_gathered_estimate *e, const struct moved_core *moved, uint32_t m,
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
static uint32_t entries_of(const struct moved_core *moved, const struct ttzo_layer *layer, uint32_t slot,
                           uint32_t *step)
{
    uint32_t each = moved->core.n * moved->core.right, slice = moved->slice_in[slot], a = slice / each;
    *step = a < moved->core.left ? each : 1; // else the bias
    uint32_t first = a < moved->core.left ? moved->core.offset + a * moved->core.m * each + slice % each
                                          : ttzo_layer_parameters(layer) - layer->out_features;
    return layer->parameter_offset + first;
}

// Loss differences of the entries of mode m. One that moves an output of the network alone needs no list of changes.
static void query_mode(struct ttzo_gathered_estimate *e, const struct moved_core *moved, uint32_t m, const float *moves,
                       float sign, uint32_t count, float differences[Q])
{
    const struct ttzo_model *model = e->base.trainer->model;
    if (moved->moved > 1 || moved->l + 1u < model->info.n_layers || !ttzo_loss_is_plain(model) ||
        model->layers[moved->l].activation != TTZO_ACTIVATION_IDENTITY) {
        ttzo_gathered_propagate(&e->queries, moved->l, list_moved(e, moved, m, moves, sign), count, differences);
        return;
    }
    const struct ttzo_quad signed_moves = { { sign * moves[0], sign * moves[1], sign * moves[2], sign * moves[3] } };
    ttzo_loss_output_changes(model, e->queries.cache.slopes, m, signed_moves.of, count, e->queries.cache.target,
                             differences);
}

// Entries of the slices in the four slots from `slot` on: mode by mode, because those of one mode move the same outputs.
static void query_entries(struct ttzo_gathered_estimate *e, const struct moved_core *moved, uint32_t slot)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[moved->l];
    uint32_t left = *moved->n_slots - slot, count = left < Q ? left : Q, at[Q], step[Q];
    float differences[Q], below[Q] = { 0.0f }, *gradient = e->base.trainer->gradient;
    const float *moves = moved->moves + slot * moved->moved;
    const bool asks_all = e->base.asked.length == e->base.trainer->model->info.n_parameters;
    for (uint32_t q = 0; q < count; q++)
        at[q] = entries_of(moved, layer, slot + q, &step[q]);
    for (uint32_t m = 0; m < moved->core.m; m++) {
        bool wanted = asks_all;
        for (uint32_t q = 0; q < count && !wanted; q++)
            wanted = ttzo_is_asked(&e->base.asked, at[q] + m * step[q]);
        if (!wanted)
            continue;
        query_mode(e, moved, m, moves, 1.0f, count, differences);
        if (e->base.antithetic)
            query_mode(e, moved, m, moves, -1.0f, count, below);
        for (uint32_t q = 0; q < count; q++) {
            uint32_t entry = at[q] + m * step[q];
            if (asks_all || ttzo_is_asked(&e->base.asked, entry))
                gradient[entry] = gradient[entry] + (differences[q] - below[q]);
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
        uint32_t run = run_of(layer), first = feature * run;
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
    make_moves(e, l);
    for (uint32_t feature = 0; layer->has_bias && !has_bias_slice(layer) && feature < layer->out_features; feature++)
        query_bias(e, l, feature);
    struct moved_core moved;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        moved = next_core(&moved, e, l, k);
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
