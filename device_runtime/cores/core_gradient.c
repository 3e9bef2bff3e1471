// SPDX-License-Identifier: MIT
#include "cores/core_gradient.h"

#include "network/loss.h"
#include "network/network.h"
#include "network/panels.h"
#include "number/random.h"
#include "number/real.h"
#include "cores/propagate.h"
#include "cores/coordinate_window.h"

#define Q TTZO_QUERIES_AT_ONCE

// One estimate under way. trainer->gradient gathers the samples' loss differences and is scaled at the end.
struct estimate {
    struct ttzo_trainer *trainer;
    struct ttzo_reuse reuse;
    const struct ttzo_phase *phase;
    bool antithetic;
    struct ttzo_coordinate_window asked;
    uint32_t block;                       // block_rge: number of the running block
    uint32_t done;                        // samples
};

static bool is_node_cge(const struct ttzo_phase *phase)
{
    return TTZO_HAS(BLOCKS) && phase->estimator == TTZO_ESTIMATOR_NODE_CGE;
}

static bool is_block_rge(const struct ttzo_phase *phase)
{
    return TTZO_HAS(BLOCKS) && phase->estimator == TTZO_ESTIMATOR_BLOCK_RGE;
}

static enum ttzo_error still_wanted(struct estimate *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    trainer->macs += e->reuse.macs;
    e->reuse.macs = 0;
    if (trainer->poll && !trainer->poll(trainer->poll_context, e->done, trainer->model->info.batch))
        return TTZO_ERROR_CANCELLED;
    return TTZO_ERROR_OK;
}

// A block of queries that move the same units: four i of the n moves them by moves[i * size], or where there are no moves
// by its lines.
struct block {
    struct ttzo_units units;
    float bound; // of the moves
    const float *moves;
    uint32_t size, n;
    const struct ttzo_slices *slices;
    const struct ttzo_slice_quad *fours;
    float (*differences)[Q]; // what comes of them
};

static void move(struct estimate *e, const struct block *block, float sign, uint32_t i, bool first)
{
    struct ttzo_moves moves = { 0 };
    if (!TTZO_HAS(NARROW) || block->moves)
        moves.quads = (const struct ttzo_quad *)(block->moves + i * block->size);
    else
        moves.lines = ttzo_slices_lines(block->slices, &block->fours[i]);
    ttzo_propagate_move(&e->reuse, &moves, sign, i, block->fours[i].count, first);
}

// All units sleep.
static void nothing_moves(struct block *block, float sign)
{
    for (uint32_t i = 0; i < block->n && sign > 0.0f; i++)
        for (uint32_t q = 0; q < Q; q++)
            block->differences[i][q] = 0.0f;
}

// L(sign times moves) - L(0) of each query, less what stood there when the sign is negative.
static void ask_side(struct estimate *e, struct block *block, float sign)
{
    uint32_t at = 0, end = block->units.rows * block->units.columns;
    do {
        bool first = at == 0;
        at = ttzo_propagate_aim(&e->reuse, &block->units, at, block->bound);
        if (first && at == end && e->reuse.n_awake == 0) {
            nothing_moves(block, sign);
            return;
        }
        for (uint32_t i = 0; i < block->n; i++)
            move(e, block, sign, i, first);
    } while (at < end);
    for (uint32_t i = 0; i < block->n; i++) {
        float found[Q], *differences = block->differences[i];
        ttzo_propagate_ask(&e->reuse, i, block->fours[i].count, found);
        for (uint32_t q = 0; q < block->fours[i].count; q++)
            differences[q] = sign < 0.0f ? differences[q] - found[q] : found[q];
    }
}

// L(+moves) - L(0), or L(+moves) - L(-moves), of each query.
static void ask(struct estimate *e, struct block *block)
{
    ask_side(e, block, 1.0f);
    if (e->antithetic)
        ask_side(e, block, -1.0f);
}

// ---- cge: a query for each entry ------------------------------------------------------------------------------------

static bool wants_any(const struct estimate *e, const struct ttzo_slice_quad *four, uint32_t offset, uint32_t modes)
{
    for (uint32_t q = 0; q < four->count; q++)
        for (uint32_t m = 0; m < modes; m++)
            if (ttzo_is_asked(&e->asked, offset + four->at[q] + m * four->m_stride))
                return true;
    return false;
}

// Every entry of a block of slices: mode by mode, because those of one mode move the same units.
static void query_block(struct estimate *e, uint32_t l, const struct ttzo_slices *slices, const float *moves,
                        const struct ttzo_slice_quad *fours, uint32_t n)
{
    const struct ttzo_environment *environment = slices->environment;
    uint32_t modes = environment->core.m, mr = environment->mr;
    uint32_t offset = environment->room->layer->parameter_offset;
    float *gradient = e->trainer->gradient, differences[TTZO_QUADS_AT_ONCE][Q];
    struct block block = { .units = { l, 0, environment->ml, mr, modes * mr }, .moves = moves,
                           .size = Q * environment->ml * mr, .n = n, .slices = slices, .fours = fours,
                           .differences = differences };
    for (uint32_t i = 0; i < n; i++)
        block.bound = fours[i].largest > block.bound ? fours[i].largest : block.bound;
    for (uint32_t m = 0; m < modes; m++, block.units.first += mr) {
        ask(e, &block);
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t q = 0; q < fours[i].count; q++) {
                uint32_t at = offset + fours[i].at[q] + m * fours[i].m_stride;
                if (ttzo_is_asked(&e->asked, at))
                    gradient[at] = gradient[at] + differences[i][q];
            }
    }
}

static enum ttzo_error query_core(struct estimate *e, uint32_t l, uint32_t k, const struct ttzo_environment *environment)
{
    struct ttzo_slices_place room = ttzo_slices_place_of(&e->reuse, l, k);
    uint32_t slice_size = Q * environment->ml * environment->mr, n = 0;
    uint32_t offset = environment->room->layer->parameter_offset;
    struct ttzo_slice_quad fours[TTZO_QUADS_AT_ONCE];
    struct ttzo_slices slices;
    ttzo_slices_begin(&slices, environment, e->phase->perturb_radius);
    for (bool more = true; more;) {
        more = ttzo_slices_next(&slices, &fours[n]);
        if (more && wants_any(e, &fours[n], offset, environment->core.m) &&
            ttzo_slices_make(&slices, &fours[n], room.at ? room.at + n * slice_size : e->reuse.panels, &e->reuse.macs))
            n++;
        if (n == room.fours || (!more && n > 0)) {
            query_block(e, l, &slices, room.at, fours, n);
            n = 0;
            slices.packed &= !e->reuse.narrow; // queries take the panels' place
            enum ttzo_error error = still_wanted(e);
            if (error)
                return error;
        }
    }
    return TTZO_ERROR_OK;
}

// ---- units: their biases, and what node_cge makes every entry of ----------------------------------------------------

// Queries that move one unit of layer `l` by mu each, until there are four; `above` and `below` are the changes of its
// activation when it moves up and down.
struct unit_queries {
    uint32_t l, n;
    uint32_t bias; // the coordinate of unit 0
    uint16_t units[Q];
    float above[Q], below[Q];
};

static void ask_units(struct estimate *e, struct unit_queries *queries)
{
    float above[Q], below[Q] = { 0.0f };
    bool has_bias = e->reuse.rooms[queries->l].layer->has_bias;
    if (queries->n == 0)
        return;
    ttzo_propagate_ask_units(&e->reuse, queries->l, queries->units, queries->above, queries->n, above);
    if (e->antithetic)
        ttzo_propagate_ask_units(&e->reuse, queries->l, queries->units, queries->below, queries->n, below);
    for (uint32_t q = 0; q < queries->n; q++) {
        uint32_t bias = queries->bias + queries->units[q];
        float difference = above[q] - below[q];
        if (is_node_cge(e->phase))
            e->reuse.unit_changes[queries->units[q]] = difference;
        if (has_bias && ttzo_is_asked(&e->asked, bias))
            e->trainer->gradient[bias] = e->trainer->gradient[bias] + difference;
    }
    queries->n = 0;
}

static void query_units(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *room = &e->reuse.rooms[l];
    const struct ttzo_layer *layer = room->layer;
    enum ttzo_activation activation = (enum ttzo_activation)layer->activation;
    bool keeps = is_node_cge(e->phase);
    float mu = e->phase->perturb_radius;
    struct unit_queries queries = { .l = l, .bias = layer->parameter_offset + ttzo_layer_parameters(layer) -
                                                    layer->out_features };
    for (uint32_t unit = 0; unit < layer->out_features; unit++) {
        if (keeps)
            e->reuse.unit_changes[unit] = 0.0f;
        if (ttzo_propagate_sleeps(activation, ttzo_load(room->z, unit, room->has_narrow_z), mu) ||
            (!keeps && !(layer->has_bias && ttzo_is_asked(&e->asked, queries.bias + unit))))
            continue;
        float above = ttzo_propagate_change(&e->reuse, l, unit, mu);
        float below = e->antithetic ? ttzo_propagate_change(&e->reuse, l, unit, -mu) : 0.0f;
        if (above == 0.0f && below == 0.0f)
            continue;
        queries.units[queries.n] = (uint16_t)unit;
        queries.above[queries.n] = above;
        queries.below[queries.n++] = below;
        if (queries.n == Q)
            ask_units(e, &queries);
    }
    ask_units(e, &queries);
}

// The units' differences as panels [m / 4][ml, mr][4]; the last mode again where there is none.
static void pack_units(struct estimate *e, const struct ttzo_environment *environment)
{
    uint32_t modes = environment->core.m, mr = environment->mr;
    float *out = e->reuse.unit_panels;
    for (uint32_t m = 0; m < modes; m += 4) {
        uint32_t last = modes - m - 1;
        uint32_t second = last < 1 ? 0 : mr, third = last < 2 ? 0 : 2 * mr, fourth = last < 3 ? 0 : 3 * mr;
        const float *in = e->reuse.unit_changes + m * mr;
        for (uint32_t i = 0; i < environment->ml; i++, in += (modes - 1) * mr)
            for (uint32_t j = 0; j < mr; j++, in++, out += 4)
                out[0] = in[0], out[1] = in[second], out[2] = in[third], out[3] = in[fourth];
    }
}

// Every entry's derivative is the sum over the units it moves of slice times the unit's difference: assembled, not
// queried.
static enum ttzo_error assemble_core(struct estimate *e, const struct ttzo_environment *environment)
{
    uint32_t modes = environment->core.m, size = environment->ml * environment->mr;
    float *gradient = e->trainer->gradient + environment->room->layer->parameter_offset, sums[Q * Q];
    struct ttzo_slices slices;
    struct ttzo_slice_quad four;
    pack_units(e, environment);
    ttzo_slices_begin(&slices, environment, 1.0f);
    while (ttzo_slices_next(&slices, &four)) {
        if (!ttzo_slices_make(&slices, &four, e->reuse.slices, &e->reuse.macs))
            continue;
        for (uint32_t m = 0; m < modes; m += 4) {
            ttzo_multiply_panels(sums, Q, NULL, e->reuse.slices, e->reuse.unit_panels + m * size, Q, size, Q);
            for (uint32_t q = 0; q < four.count; q++)
                for (uint32_t k = 0; k < 4 && m + k < modes; k++) {
                    float *at = gradient + four.at[q] + (m + k) * four.m_stride;
                    *at = *at + sums[q * Q + k];
                }
        }
        e->reuse.macs += four.count * modes * size;
    }
    return still_wanted(e);
}

static enum ttzo_error gradient_of_layer(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *room = &e->reuse.rooms[l];
    struct ttzo_environment environment = { 0 };
    enum ttzo_error error = TTZO_ERROR_OK;
    query_units(e, l);
    if (is_node_cge(e->phase) && room->assembled != TTZO_BY_SLICES) {
        e->reuse.macs += ttzo_sums_add(room, e->reuse.unit_changes, e->trainer->gradient + room->layer->parameter_offset);
        return still_wanted(e);
    }
    for (uint32_t k = 0; k < ttzo_layer_length(room->layer) && !error; k++) {
        ttzo_sample_cache_restore_inputs(&e->reuse, l, k);
        e->reuse.macs += ttzo_environment_open(&environment, room, k);
        error = is_node_cge(e->phase) ? assemble_core(e, &environment) : query_core(e, l, k, &environment);
    }
    return error;
}

// ---- block_rge: random directions of one core, weight or bias at a time ---------------------------------------------

// moves [ml][m][mr][4] of query q += one slice [ml][mr], of four side by side, times the direction's entries
// (a, :, n, b), `entries` with stride.
static void add_slice(float *moves, const float *slice, const float *entries, uint32_t stride,
                      const struct ttzo_environment *environment)
{
    uint32_t m = environment->core.m, mr = environment->mr;
    for (uint32_t i = 0; i < environment->ml; i++, slice += Q * mr)
        for (uint32_t j = 0; j < m; j++, moves += Q * mr)
            for (uint32_t u = 0; u < mr; u++)
                moves[Q * u] = TTZO_MULADD(entries[j * stride], slice[Q * u], moves[Q * u]);
}

// Moves of query q += direction[q] times mu times every slice of the core, in the order of ttzo_slices_next.
static void add_moves(struct estimate *e, const struct ttzo_environment *environment, uint32_t block_size, uint32_t n)
{
    struct ttzo_slices slices;
    struct ttzo_slice_quad four;
    ttzo_slices_begin(&slices, environment, e->phase->perturb_radius);
    while (ttzo_slices_next(&slices, &four)) {
        if (!ttzo_slices_make(&slices, &four, e->reuse.slices, &e->reuse.macs))
            continue;
        for (uint32_t s = 0; s < four.count; s++)
            for (uint32_t q = 0; q < n; q++)
                add_slice(e->reuse.moves + q, e->reuse.slices + s,
                          e->reuse.directions + q * block_size + four.at[s] - environment->core.offset, four.m_stride,
                          environment);
        e->reuse.macs += (uint64_t)four.count * n * environment->room->layer->out_features;
    }
}

// Returns the largest move.
static float set_moves(struct estimate *e, uint32_t l, const struct ttzo_environment *environment, uint32_t size,
                       uint32_t n)
{
    uint32_t out_features = e->reuse.rooms[l].layer->out_features;
    float *moves = e->reuse.moves, mu = e->phase->perturb_radius, bound = 0.0f;
    for (uint32_t i = 0; i < out_features; i++)
        for (uint32_t q = 0; q < Q; q++)
            moves[i * Q + q] = environment || q >= n ? 0.0f : mu * e->reuse.directions[q * size + i];
    if (environment)
        add_moves(e, environment, size, n);
    for (uint32_t i = 0; i < Q * out_features; i++) {
        bound = moves[i] > bound ? moves[i] : bound;
        bound = -moves[i] > bound ? -moves[i] : bound;
    }
    return bound;
}

// One block of layer l: a core (with its open environment), or the bias (without).
static enum ttzo_error gradient_of_block(struct estimate *e, uint32_t l, const struct ttzo_environment *environment,
                                         uint32_t offset, uint32_t size)
{
    const struct ttzo_trainer *trainer = e->trainer;
    enum ttzo_direction kind = (enum ttzo_direction)e->phase->direction;
    uint32_t total = e->phase->n_queries;
    float *gradient = trainer->gradient + offset;
    for (uint32_t first = 0; first < total; first += Q) {
        uint32_t n = total - first < Q ? total - first : Q, number = e->block * total + first;
        for (uint32_t i = 0; i < n * size; i++)
            e->reuse.directions[i] = 0.0f;
        for (uint32_t q = 0; q < n; q++)
            ttzo_direction_add(e->reuse.directions + q * size, e->reuse.directions + q * size, 1.0f, size, kind,
                               trainer->training.seed, trainer->state.step, number + q);
        float bound = set_moves(e, l, environment, size, n);
        struct ttzo_slice_quad four = { .count = n };
        float differences[1][Q];
        struct block block = { .units = { l, 0, 1, e->reuse.rooms[l].layer->out_features, 0 }, .bound = bound,
                               .moves = e->reuse.moves, .n = 1, .fours = &four, .differences = differences };
        ask(e, &block);
        for (uint32_t q = 0; q < n; q++)
            for (uint32_t i = 0; i < size; i++)
                gradient[i] = TTZO_MULADD(differences[0][q], e->reuse.directions[q * size + i], gradient[i]);
        enum ttzo_error error = still_wanted(e);
        if (error)
            return error;
    }
    e->block++;
    return TTZO_ERROR_OK;
}

static enum ttzo_error gradient_of_blocks(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer_cache *room = &e->reuse.rooms[l];
    const struct ttzo_layer *layer = room->layer;
    struct ttzo_environment environment = { 0 };
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        ttzo_sample_cache_restore_inputs(&e->reuse, l, k);
        e->reuse.macs += ttzo_environment_open(&environment, room, k);
        enum ttzo_error error = gradient_of_block(e, l, &environment, layer->parameter_offset + core.offset,
                                                  core.left * core.m * core.n * core.right);
        if (error)
            return error;
    }
    if (!layer->has_bias)
        return TTZO_ERROR_OK;
    return gradient_of_block(e, l, NULL, layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features,
                             layer->out_features);
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

static uint32_t number_of_blocks(const struct ttzo_model *model)
{
    uint32_t blocks = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        blocks += ttzo_layer_length(&model->layers[l]) + model->layers[l].has_bias;
    return blocks;
}

// Queries of the estimate: loss evaluations but for the one at theta and for their second sides.
static uint32_t number_of_queries(const struct estimate *e)
{
    const struct ttzo_model *model = e->trainer->model;
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        units += model->layers[l].out_features;
    return is_node_cge(e->phase)    ? units
           : is_block_rge(e->phase) ? number_of_blocks(model) * e->phase->n_queries
                                    : e->asked.length;
}

static enum ttzo_error one_sample(struct estimate *e)
{
    enum ttzo_error error = TTZO_ERROR_OK;
    e->block = 0;
    for (uint32_t l = 0; l < e->trainer->model->info.n_layers && !error; l++)
        error = is_block_rge(e->phase) ? gradient_of_blocks(e, l) : gradient_of_layer(e, l);
    e->done++;
    return error ? error : still_wanted(e);
}

enum ttzo_error ttzo_estimate_by_cores(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                       const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    struct estimate e = { .trainer = trainer, .phase = phase, .asked = ttzo_coordinate_window_of(trainer, phase),
                          .antithetic = phase->difference == TTZO_DIFFERENCE_ANTITHETIC };
    ttzo_sample_cache_begin(&e.reuse, model, trainer->theta, trainer->cache_area, is_node_cge(phase));
    for (uint32_t i = 0; i < n; i++)
        trainer->gradient[i] = 0.0f;
    for (uint32_t l = 0; l < model->info.n_layers && is_node_cge(phase); l++)
        ttzo_sums_begin(&e.reuse.rooms[l]);
    float sum = 0.0f;
    for (uint32_t j = 0; j < batch; j++) {
        float row_loss = ttzo_sample_cache_forward(&e.reuse, rows->bytes + (size_t)trainer->batch_rows[j] * trainer->row_bytes);
        sum = sum + row_loss;
        if (!ttzo_is_finite(row_loss))
            return TTZO_ERROR_NON_FINITE;
        enum ttzo_error error = one_sample(&e);
        if (error)
            return error;
    }
    for (uint32_t l = 0; l < model->info.n_layers && is_node_cge(phase); l++)
        trainer->macs += ttzo_sums_finish(&e.reuse.rooms[l], trainer->gradient + model->layers[l].parameter_offset);
    ttzo_coordinate_window_finish(&e.asked, trainer, phase, is_block_rge(phase) ? phase->n_queries : 1);
    *loss = sum * (1.0f / (float)batch);
    *evaluations = 1 + (e.antithetic ? 2 : 1) * number_of_queries(&e);
    return ttzo_is_finite(*loss) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}
