// SPDX-License-Identifier: MIT
#include "cores/gathered_moves.h"

#include "cores/slices.h"
#include "network/gathered_layer.h"

#if TTZO_HAS(GATHERED)

#define Q TTZO_QUERIES_AT_ONCE

// ---- geometry -------------------------------------------------------------------------------------------------------

static uint32_t outer_of(const struct ttzo_layer *layer)
{
    return ttzo_has_tokens(layer) && layer->combine == TTZO_COMBINE_EACH ? layer->width : 1;
}

uint32_t ttzo_move_run(const struct ttzo_layer *layer)
{
    return ttzo_has_patches(layer) ? (uint32_t)ttzo_layer_positions(layer) : 1;
}

bool ttzo_has_bias_slice(const struct ttzo_layer *layer)
{
    return layer->has_bias && ttzo_layer_length(layer) == 1;
}

static uint64_t slices_of_core(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core_shape(layer, k);
    return (uint64_t)core.left * core.n * core.right + ttzo_has_bias_slice(layer);
}

// Outputs that an entry of core k moves.
static uint32_t moved_outputs(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    return e.ml * e.mr * outer_of(layer) * ttzo_move_run(layer);
}

uint64_t ttzo_moves_numbers(const struct ttzo_layer *layer)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++)
        numbers += (slices_of_core(layer, k) + 3) / 4 * 4 * moved_outputs(layer, k);
    return numbers;
}

uint64_t ttzo_moved_slices(const struct ttzo_layer *layer)
{
    uint64_t slices = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++)
        slices += slices_of_core(layer, k);
    return slices;
}

// Core k of layer `l`, whose extents are known, after the core before it.
static struct ttzo_moved_core core_after(const struct ttzo_moved_core *before, struct ttzo_gathered_estimate *e,
                                         uint32_t l, uint32_t k, uint32_t ml, uint32_t mr)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    struct ttzo_moved_core made = { .l = l, .core = ttzo_layer_core_shape(layer, k), .ml = ml, .mr = mr };
    made.outer = outer_of(layer), made.run = ttzo_move_run(layer);
    made.moved = ml * mr * made.outer * made.run;
    made.moves = e->moves, made.n_slots = e->n_slots, made.slot_of = e->slot_of, made.slice_in = e->slice_in;
    if (k == 0)
        return made;
    uint32_t slices = before->core.left * before->core.n * before->core.right + ttzo_has_bias_slice(layer);
    made.core.offset = before->core.offset + before->core.left * before->core.m * before->core.n * before->core.right;
    made.moves = before->moves + (slices + 3) / 4 * 4 * before->moved;
    made.n_slots = before->n_slots + 1;
    made.slot_of = before->slot_of + slices, made.slice_in = before->slice_in + slices;
    return made;
}

struct ttzo_moved_core ttzo_next_moved_core(const struct ttzo_moved_core *before, struct ttzo_gathered_estimate *e,
                                            uint32_t l, uint32_t k)
{
    struct ttzo_extents extents = ttzo_extents_around(&e->base.trainer->model->layers[l], k);
    return core_after(before, e, l, k, extents.ml, extents.mr);
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
static uint32_t slot_of(const struct ttzo_moved_core *moved, uint32_t slice)
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
static void keep_slice(struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved,
                       const struct ttzo_slice_quad *quad, uint32_t lane, uint32_t digit, uint32_t position)
{
    const struct ttzo_core *core = &moved->core;
    uint32_t run = moved->run, size = e->environment.ml * e->environment.mr;
    uint32_t at = quad->at[lane] - e->environment.core.offset;
    uint32_t m_step = e->environment.core.n * e->environment.core.right;
    uint32_t a = at / (core->m * m_step), rest = at % m_step + digit * core->right;
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
    bool tokens = TTZO_HAS(TENSORS) && ttzo_has_tokens(layer); // by 2L-way trains; others: add_token
    uint32_t token = tokens ? (uint32_t)e->queries.cache.layers[e->queries.cache.l].input[position] : 0;
    uint32_t rest = layer->in_features, digit = 0; // a token's digits, the most significant first
    struct ttzo_slices slices;
    struct ttzo_slice_quad quad;
    struct ttzo_moved_core moved;
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

// The first slot of the slices of a digit, which stand together.
static uint32_t slots_of_digit(const struct ttzo_moved_core *moved, uint32_t digit)
{
    if (moved->slot_of[digit])
        return moved->slot_of[digit] - 1;
    const struct ttzo_core *core = &moved->core;
    uint32_t first = *moved->n_slots, slot = first, end = first + core->left * core->right;
    moved->slot_of[digit] = first + 1;
    for (uint32_t i = (first + 3) / 4 * Q * moved->moved; i < (end + 3) / 4 * Q * moved->moved; i++)
        moved->moves[i] = 0.0f;
    for (uint32_t a = 0; a < core->left; a++)
        for (uint32_t b = 0; b < core->right; b++)
            moved->slice_in[slot++] = (a * core->n + digit) * core->right + b;
    *moved->n_slots = end;
    return first;
}

// A token's matrices before core k multiplied out, [ml][left] with rows `step` apart; NULL for 1.
struct token_product {
    const float *at;
    uint32_t step;
};

// Brings the slices of a token's digit to the moves of a core: slice (a, b) is mu times before[ml][a] state[b][mr].
static void add_digit(const struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved, uint32_t digit,
                      struct token_product before, const float *state, uint32_t position)
{
    uint32_t size = moved->ml * moved->mr, slot = slots_of_digit(moved, digit);
    uint32_t first = moved->outer > 1 ? position * size : 0;
    float mu = e->base.phase->perturb_radius;
    for (uint32_t a = 0; a < moved->core.left; a++)
        for (uint32_t b = 0; b < moved->core.right; b++, slot++) {
            float *move = moved->moves + (slot / Q * moved->moved + first) * Q + slot % Q;
            const float *numbers = state + b * moved->mr, *end = numbers + moved->mr, *factor = before.at + a;
            for (uint32_t i = moved->ml; i; i--, factor += before.step)
                for (const float *at = numbers; at != end; at++, move += Q)
                    *move = *move + (before.at ? TTZO_MULADD(*factor, mu * *at, 0.0f) : mu * *at);
        }
}

// The token's matrices after each core but the last, multiplied out: `states` holds [right][mr] of the last core but one
// first, core 0 last. Returns where that of core 0 is.
static const float *make_token_states(struct ttzo_gathered_cache *cache, const struct ttzo_layer *layer, uint32_t token)
{
    uint32_t columns = 1, rest = token;
    struct ttzo_core core = { .offset = ttzo_layer_parameters(layer) };
    const float *state = cache->patch;
    float *out = cache->states;
    cache->patch[0] = 1.0f;
    for (uint32_t k = ttzo_layer_length(layer) - 1; k; k--) {
        uint32_t end = core.offset;
        core = ttzo_layer_core_shape(layer, k);
        core.offset = end - core.left * core.m * core.n * core.right;
        ttzo_token_contract(&core, cache->theta + layer->parameter_offset, rest % core.n, state, columns, out);
        cache->macs += core.left * core.m * core.right * columns;
        rest /= core.n;
        columns *= core.m;
        state = out;
        out += core.left * columns;
    }
    return state;
}

// The product of the matrices before the next core, given that before this one: [ml][m][right], made at `out` where it is of
// more than one.
static struct token_product extended(struct ttzo_gathered_cache *cache, const struct ttzo_moved_core *moved,
                                     struct token_product before, const float *matrix, float *out)
{
    const struct ttzo_core *core = &moved->core;
    uint32_t step = core->n * core->right;
    struct token_product made = { out, core->right };
    if (!before.at)
        return (struct token_product){ matrix, step };
    for (uint32_t i = 0; i < moved->ml * core->m; i++)
        for (uint32_t b = 0; b < core->right; b++) {
            const float *factor = before.at + i / core->m * before.step, *number = matrix + i % core->m * step + b;
            float sum = 0.0f;
            for (uint32_t a = core->left; a; a--, number += core->m * step)
                sum = TTZO_MULADD(*factor++, *number, sum);
            *out++ = sum;
        }
    cache->macs += moved->ml * core->m * core->right * core->left;
    return made;
}

// What the entries of a token's matrices move.
static void add_token(struct ttzo_gathered_estimate *e, uint32_t l, uint32_t position)
{
    struct ttzo_gathered_cache *cache = &e->queries.cache;
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    uint32_t rest = (uint32_t)cache->layers[l].input[position], digits = layer->in_features, length;
    uint32_t ml = 1, mr = layer->out_features;
    const float *state = make_token_states(cache, layer, rest);
    float *products = cache->layers[l].products;
    struct token_product before = { NULL, 0 };
    struct ttzo_moved_core moved;
    length = ttzo_layer_length(layer);
    for (uint32_t k = 0;; k++) {
        mr /= ttzo_layer_core_shape(layer, k).m;
        moved = core_after(&moved, e, l, k, ml, mr);
        digits /= moved.core.n; // the most significant digit first
        uint32_t digit = rest / digits;
        rest %= digits;
        add_digit(e, &moved, digit, before, state, position);
        if (k + 1 == length)
            break;
        const float *matrix = cache->theta + layer->parameter_offset + moved.core.offset + digit * moved.core.right;
        before = extended(cache, &moved, before, matrix, products);
        products += before.at == products ? ttzo_even(ml * moved.core.m * moved.core.right) : 0;
        ml *= moved.core.m;
        state = k + 2 == length ? cache->patch : state - layer->ranks[k + 2] * (mr / layer->out_modes[k + 1]);
    }
}

// The moves of a matrix at a position: mu times each input.
static void add_inputs(struct ttzo_gathered_estimate *e, const struct ttzo_moved_core *moved, uint32_t position)
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
    const struct ttzo_moved_core moved = ttzo_next_moved_core(NULL, e, l, 0);
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

void ttzo_make_moves(struct ttzo_gathered_estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->base.trainer->model->layers[l];
    bool tokens = ttzo_has_tokens(layer);
    uint32_t length = ttzo_layer_length(layer), slices = (uint32_t)ttzo_moved_slices(layer), count = 0;
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
        count++;
        if (tokens && !ttzo_is_tensor(layer)) {
            add_token(e, l, p);
            continue;
        }
        ttzo_gathered_cache_turn_to(&e->queries.cache, l, p);
        add_position(e, p);
    }
    struct ttzo_moved_core moved;
    for (uint32_t k = 0; layer->combine == TTZO_COMBINE_MEAN && k < length; k++) {
        moved = ttzo_next_moved_core(&moved, e, l, k);
        for (uint32_t i = 0, n = (*moved.n_slots + Q - 1) / Q * Q * moved.moved; i < n; i++)
            moved.moves[i] = moved.moves[i] / (float)count;
    }
}

#endif
