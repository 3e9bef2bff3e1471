// SPDX-License-Identifier: MIT
#include "cores/propagate.h"

#include "cores/aim.h"
#include "network/listed_product.h"
#include "network/loss.h"
#include "network/network.h"
#include "network/panels.h"
#include "network/quad_product.h"
#include "number/real.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- memory ---------------------------------------------------------------------------------------------------------

static void carve_all(struct ttzo_queries *queries, const float *theta, struct ttzo_carve *carve)
{
    ttzo_sample_cache_carve(&queries->cache, theta, carve);
    ttzo_query_scratch_carve(&queries->scratch, &queries->aim, &queries->cache, carve);
    for (uint32_t l = 0; l < queries->cache.model->info.n_layers; l++)
        queries->cache.layers[l].panels = queries->scratch.panels;
}

uint64_t ttzo_propagate_numbers(const struct ttzo_model *model)
{
    struct ttzo_queries counting = { .cache.model = model };
    struct ttzo_carve carve = { NULL, 0 };
    carve_all(&counting, NULL, &carve);
    return carve.numbers;
}

void ttzo_propagate_begin(struct ttzo_queries *queries, const struct ttzo_model *model, const float *theta, float *area,
                          bool assembles)
{
    struct ttzo_carve carve = { area, 0 };
    *queries = (struct ttzo_queries){ .cache = { .model = model, .assembles = assembles } };
    carve_all(queries, theta, &carve);
    ttzo_sample_cache_begin(&queries->cache, &queries->scratch.macs);
}

// ---- on the way -----------------------------------------------------------------------------------------------------

static struct ttzo_quad *arrivals_of(const struct ttzo_queries *queries)
{
    return (struct ttzo_quad *)queries->scratch.arrivals;
}

static const struct ttzo_quad *changes_of(const struct ttzo_queries *queries)
{
    return (const struct ttzo_quad *)queries->scratch.changes;
}

// The n changes at `places` as the input of layer `l`: through all its cores, one query after the other.
static void contract_changes(struct ttzo_queries *queries, uint32_t l, const uint16_t *places, uint32_t n,
                             uint32_t n_queries)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    const struct ttzo_layer *layer = cache->layer;
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t q = 0; q < n_queries; q++) {
        uint32_t current = 0;
        for (uint32_t i = 0; i < layer->in_features; i++)
            queries->scratch.vectors[0][i] = 0.0f;
        for (uint32_t i = 0; i < n; i++)
            queries->scratch.vectors[0][places[i]] = queries->scratch.changes[i * Q + q];
        for (uint32_t index = 0; index < length; index++, current = 1 - current) {
            struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
            queries->scratch.macs +=
                ttzo_contract(&step, cache->parameters + step.core_offset, queries->scratch.vectors[current], NULL,
                              queries->scratch.vectors[1 - current], true);
        }
        for (uint32_t j = 0; j < layer->out_features; j++)
            arrivals_of(queries)[j].of[q] = queries->scratch.vectors[current][j];
    }
}

// The n changes at `places` arrive at the pre-activations of layer `l`.
static void arrive(struct ttzo_queries *queries, uint32_t l, const uint16_t *places, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    uint32_t inputs = cache->layer->in_features, outputs = cache->layer->out_features;
    float *arrivals = queries->scratch.arrivals;
    if (!ttzo_propagates_by_matrix(cache)) {
        contract_changes(queries, l, places, n, n_queries);
        return;
    }
    queries->scratch.macs += n * outputs * n_queries;
    bool is_dense = ttzo_layer_length(cache->layer) == 1;
    if (is_dense || (cache->matrix && !ttzo_has_narrow_matrix(cache))) {
        struct ttzo_listed_matrix matrix = { cache->matrix, outputs, outputs, 1 };
        if (is_dense)
            matrix = (struct ttzo_listed_matrix){ cache->parameters, outputs, 1, inputs };
        ttzo_multiply_listed(arrivals, queries->scratch.changes, &matrix, places, n);
        return;
    }
    for (uint32_t i = 0; i < Q * outputs; i++)
        arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        const float *row = ttzo_propagate_weights(queries, l, places[i]), *end = row + outputs;
        const struct ttzo_quad change = changes_of(queries)[i];
        for (float *out = arrivals; row != end; row++, out += Q)
            for (uint32_t q = 0; q < Q; q++)
                out[q] = TTZO_MULADD(*row, change.of[q], out[q]);
    }
}

// The same for the units that were aimed at, on top of what has arrived before.
static void arrive_aimed(struct ttzo_queries *queries, uint32_t n_queries, bool first)
{
    uint32_t l = queries->aim.layer + 1, n = queries->aim.n_awake;
    uint32_t outputs = queries->cache.layers[l].layer->out_features, whole = (outputs + 3u) & ~3u; // as arrivals are
    float *arrivals = queries->scratch.arrivals;
    if (!ttzo_propagates_by_matrix(&queries->cache.layers[l])) {
        contract_changes(queries, l, queries->aim.places, n, n_queries);
        return;
    }
    if (first)
        ttzo_multiply_quads(arrivals, 0, queries->aim.weights, NULL, 0, NULL, queries->scratch.changes, outputs, n, 1);
    else
        ttzo_multiply_panels(arrivals, Q, arrivals, queries->aim.weights, queries->scratch.changes, whole, n, Q);
    queries->scratch.macs += n * outputs * n_queries;
}

// Changes of the activation of one unit of layer `l`. False where there are none.
static bool change_unit(const struct ttzo_queries *queries, uint32_t l, uint32_t unit, struct ttzo_quad moves,
                        struct ttzo_quad *change)
{
    bool live = false;
    for (uint32_t q = 0; q < Q; q++) {
        change->of[q] = ttzo_propagate_change(queries, l, unit, moves.of[q]);
        live |= change->of[q] != 0.0f;
    }
    return live;
}

// From arrivals at the pre-activations of layer `l` to changes of its activations, at the `listed` units where there
// are any; returns how many.
static uint32_t list_changes(struct ttzo_queries *queries, uint32_t l, uint32_t n_queries)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    uint32_t outputs = cache->layer->out_features;
    const struct ttzo_quad *arrived = arrivals_of(queries);
    struct ttzo_quad *change = (struct ttzo_quad *)queries->scratch.changes;
    uint16_t *listed = queries->scratch.listed;
    bool may_skip = cache->layer->activation == TTZO_ACTIVATION_RELU && !cache->has_narrow_z;
    for (uint32_t unit = 0; unit < outputs; unit++) {
        const float *z = (const float *)cache->z + unit;
        struct ttzo_quad moves = *arrived++;
        for (uint32_t q = n_queries; q < Q; q++)
            moves.of[q] = 0.0f;
        TTZO_SIZE_BITS most = ttzo_size_bits(moves.of[0]);
        most = ttzo_larger_size(most, moves.of[1]);
        most = ttzo_larger_size(most, moves.of[2]);
        most = ttzo_larger_size(most, moves.of[3]);
        // A unit whose pre-activation is larger than all moves takes them as they are, or stays asleep.
        if (!may_skip || most >= ttzo_size_bits(*z)) {
            if (!change_unit(queries, l, unit, moves, change))
                continue;
        } else if (*z < 0.0f || most == 0)
            continue;
        else
            *change = moves;
        *listed++ = (uint16_t)unit;
        change++;
    }
    return (uint32_t)(listed - queries->scratch.listed);
}

// The n changes of outputs at `places` among all outputs.
static void spread(struct ttzo_queries *queries, const uint16_t *places, uint32_t n)
{
    for (uint32_t i = 0; i < Q * queries->cache.model->info.out_features; i++)
        queries->scratch.arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        arrivals_of(queries)[places[i]] = changes_of(queries)[i];
}

static void measure(struct ttzo_queries *queries, uint32_t n_queries, float *differences)
{
    ttzo_loss_changes(queries->cache.model, queries->cache.slopes, arrivals_of(queries), n_queries,
                      queries->cache.target, queries->scratch.row, differences);
}

// Arrivals at layer `l` go on to the loss.
static void go_on(struct ttzo_queries *queries, uint32_t l, uint32_t n_queries, float *differences)
{
    uint32_t last = queries->cache.model->info.n_layers - 1u;
    for (; TTZO_HAS(DEPTH) && l < last; l++)
        arrive(queries, l + 1, queries->scratch.listed, list_changes(queries, l, n_queries), n_queries);
    if (TTZO_HAS(DEPTH) && queries->cache.layers[last].layer->activation != TTZO_ACTIVATION_IDENTITY)
        spread(queries, queries->scratch.listed, list_changes(queries, last, n_queries));
    measure(queries, n_queries, differences);
}

// ---- queries --------------------------------------------------------------------------------------------------------

static void read_lines(struct ttzo_quad *awake, const struct ttzo_lines *lines, const uint16_t *numbers, uint32_t n)
{
    for (const uint16_t *end = numbers + n; numbers != end; numbers++, awake++)
        for (uint32_t q = 0, at = *numbers * lines->step; q < Q; q++)
            awake->of[q] = lines->scale * ttzo_load(lines->state.numbers, lines->at[q] + at, lines->state.narrow);
}

// Of four queries: changes of the activations where these are not linear.
static void bend(const struct ttzo_queries *queries, struct ttzo_quad *awake)
{
    for (uint32_t i = 0; i < queries->aim.n_bends; i++) {
        float *change = awake[queries->aim.bends[i]].of;
        for (uint32_t q = 0; q < Q; q++)
            change[q] = ttzo_propagate_change(queries, queries->aim.layer, queries->aim.places[queries->aim.bends[i]],
                                              change[q]);
    }
}

static inline void copy_moves(struct ttzo_quad *awake, const struct ttzo_quad *moves, const uint16_t *numbers,
                              uint32_t n)
{
    for (const uint16_t *end = numbers + n; numbers != end; numbers++, awake++)
        *awake = moves[*numbers];
}

// The moves of the units whose change counts, as changes of their activations.
static void change_activations(const struct ttzo_queries *queries, const struct ttzo_query_group *group, uint32_t quad,
                               float sign, struct ttzo_quad *awake)
{
    uint32_t n = queries->aim.n_awake;
    if (TTZO_HAS(NARROW) && !group->moves) {
        struct ttzo_lines lines = ttzo_slices_lines(group->slices, &group->quads[quad]);
        read_lines(awake, &lines, queries->aim.numbers, n);
    } else
        copy_moves(awake, (const struct ttzo_quad *)(group->moves + quad * group->size), queries->aim.numbers, n);
    for (uint32_t i = 0; sign < 0.0f && i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            awake[i].of[q] = -awake[i].of[q];
    bend(queries, awake);
}

static void turn_to(struct ttzo_queries *queries, uint32_t quad)
{
    queries->scratch.arrivals = queries->scratch.all_arrivals + quad * queries->scratch.arrivals_size;
}

// How changes of the units aimed at reach the loss.
enum road {
    ALONE, // they are changes of outputs, all that there are, which say all
    ENDS,  // they are changes of outputs
    LAST,  // they pass a matrix to outputs, which are all that counts
    FAR
};

static enum road road_of(const struct ttzo_queries *queries, const struct ttzo_units *units)
{
    uint32_t next = queries->aim.layer + 1u;
    if (ttzo_is_last_layer(queries, queries->aim.layer))
        return queries->aim.moved_alone && queries->aim.n_awake == units->rows * units->columns ? ALONE : ENDS;
    const struct ttzo_layer_cache *cache = &queries->cache.layers[next];
    bool is_near = ttzo_is_last_layer(queries, next) && ttzo_loss_is_plain(queries->cache.model) &&
                   cache->layer->activation == TTZO_ACTIVATION_IDENTITY && ttzo_propagates_by_matrix(cache);
    return is_near ? LAST : FAR;
}

// The units' moves by the quad go as far as they add up.
static void move_quad(struct ttzo_queries *queries, const struct ttzo_query_group *group, uint32_t quad, float sign,
                      bool first, enum road road)
{
    turn_to(queries, quad);
    if (queries->aim.n_awake == 0) {
        for (uint32_t j = 0; first && j < queries->scratch.arrivals_size; j++)
            queries->scratch.arrivals[j] = 0.0f;
        return;
    }
    change_activations(queries, group, quad, sign, (struct ttzo_quad *)queries->scratch.changes);
    if (road == ENDS)
        spread(queries, queries->aim.places, queries->aim.n_awake);
    else
        arrive_aimed(queries, group->quads[quad].count, first);
}

static void ask_quad(struct ttzo_queries *queries, uint32_t n_queries, enum road road, float differences[Q])
{
    if (road == FAR)
        go_on(queries, queries->aim.layer + 1, n_queries, differences);
    else
        measure(queries, n_queries, differences);
}

// Whether the whole group, whose moves are at hand, can go the road in one go: none of them bends on its way.
static bool goes_at_once(const struct ttzo_queries *queries, const struct ttzo_query_group *group, enum road road)
{
    const struct ttzo_aim *aim = &queries->aim;
    return aim->n_awake && aim->n_bends == 0 && group->moves &&
           (road != FAR || ttzo_propagates_by_matrix(&queries->cache.layers[aim->layer + 1u]));
}

// Moves of outputs among all outputs.
static void spread_all(struct ttzo_queries *queries, const struct ttzo_query_group *group)
{
    const struct ttzo_aim *aim = &queries->aim;
    uint32_t step = queries->scratch.arrivals_size;
    float *out = queries->scratch.all_arrivals;
    const float *moves = group->moves;
    for (float *end = out + group->n * step; out != end; out++)
        *out = 0.0f;
    out = queries->scratch.all_arrivals;
    for (uint32_t quad = 0; quad < group->n; quad++, out += step, moves += group->size)
        for (uint32_t i = 0; i < aim->n_awake; i++)
            ((struct ttzo_quad *)out)[aim->places[i]] = ((const struct ttzo_quad *)moves)[aim->numbers[i]];
}

// Without looking at what does not change from quad to quad.
static void move_at_once(struct ttzo_queries *queries, const struct ttzo_query_group *group, enum road road)
{
    struct ttzo_query_scratch *scratch = &queries->scratch;
    const struct ttzo_aim *aim = &queries->aim;
    if (road == ENDS)
        spread_all(queries, group);
    if (road == ENDS || road == ALONE)
        return;
    uint32_t outputs = queries->cache.layers[aim->layer + 1u].layer->out_features;
    ttzo_multiply_quads(scratch->all_arrivals, scratch->arrivals_size, aim->weights, group->moves, group->size,
                        aim->numbers, scratch->changes, outputs, aim->n_awake, group->n);
    scratch->macs += aim->n_awake * outputs * group->n_queries;
}

static void ask_at_once(struct ttzo_queries *queries, const struct ttzo_query_group *group, enum road road)
{
    const struct ttzo_query_scratch *scratch = &queries->scratch;
    uint32_t n = queries->aim.n_awake;
    if (road == ALONE)
        ttzo_loss_moved_changes(scratch->row, (const struct ttzo_quad *)group->moves, group->size / Q, group->n, n, n,
                                group->differences);
    else
        ttzo_loss_moved_changes(queries->cache.slopes, (const struct ttzo_quad *)scratch->all_arrivals,
                                scratch->arrivals_size / Q, group->n, queries->cache.model->info.out_features,
                                ttzo_get_u16(queries->cache.target), group->differences);
}

void ttzo_propagate_group(struct ttzo_queries *queries, const struct ttzo_query_group *group, float sign, bool first,
                          bool ask)
{
    enum road road = road_of(queries, &group->units);
    if (first && sign > 0.0f && goes_at_once(queries, group, road))
        move_at_once(queries, group, road);
    else {
        road = road == ALONE ? ENDS : road;
        for (uint32_t i = 0; i < group->n; i++)
            move_quad(queries, group, i, sign, first, road);
    }
    if (ask && road != FAR && sign > 0.0f && ttzo_loss_is_plain(queries->cache.model)) {
        ask_at_once(queries, group, road);
        return;
    }
    for (uint32_t i = 0; ask && i < group->n; i++) {
        float found[Q], *differences = group->differences[i];
        turn_to(queries, i);
        ask_quad(queries, group->quads[i].count, road, sign < 0.0f ? found : differences);
        for (uint32_t q = 0; sign < 0.0f && q < group->quads[i].count; q++)
            differences[q] = differences[q] - found[q];
    }
}

float ttzo_propagate_change(const struct ttzo_queries *queries, uint32_t l, uint32_t unit, float move)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    enum ttzo_activation activation = (enum ttzo_activation)cache->layer->activation;
    float z = ttzo_load(cache->z, unit, cache->has_narrow_z), output = z;
    if (move == 0.0f)
        return 0.0f;
    if (!TTZO_HAS(NARROW) || cache->output)
        output = cache->output[unit];
    else if (TTZO_HAS_CURVES && activation == TTZO_ACTIVATION_TANH) // the only one that asks
        output = ttzo_tanh(z);
    return ttzo_activation_change(activation, z, output, move);
}

// Units that each one query changes, as changes at `units`.
static void change_units(struct ttzo_queries *queries, const float *changes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            queries->scratch.changes[i * Q + q] = i == q ? changes[q] : 0.0f;
}

// Four changes of one unit each as arrivals at layer `l`, whose matrix starts at `weights`: from one unit and output to
// the next it is so far.
static inline void lay_rows(struct ttzo_queries *queries, uint32_t l, const float *weights, uint32_t row, uint32_t step,
                            const uint16_t *units, const float *changes)
{
    const float *a = weights + units[0] * row, *b = weights + units[1] * row, *c = weights + units[2] * row;
    const float *d = weights + units[3] * row;
    float of_a = changes[0], of_b = changes[1], of_c = changes[2], of_d = changes[3];
    float *out = queries->scratch.arrivals, *end = out + Q * queries->cache.layers[l].layer->out_features;
    for (; out != end; out += Q, a += step, b += step, c += step, d += step)
        out[0] = *a * of_a, out[1] = *b * of_b, out[2] = *c * of_c, out[3] = *d * of_d;
}

// The same where rows are made one after the other.
static void lay_made_rows(struct ttzo_queries *queries, uint32_t l, const uint16_t *units, const float *changes,
                          uint32_t n_queries)
{
    uint32_t outputs = queries->cache.layers[l].layer->out_features;
    for (uint32_t q = 0; q < n_queries; q++) {
        const float *weights = ttzo_propagate_weights(queries, l, units[q]);
        for (uint32_t j = 0; j < outputs; j++)
            arrivals_of(queries)[j].of[q] = weights[j] * changes[q];
    }
    for (uint32_t j = 0; j < outputs; j++)
        for (uint32_t q = n_queries; q < Q; q++)
            arrivals_of(queries)[j].of[q] = 0.0f;
}

void ttzo_propagate_ask_units(struct ttzo_queries *queries, uint32_t l, const uint16_t units[Q], const float changes[Q],
                              uint32_t n_queries, float *differences)
{
    turn_to(queries, 0);
    if (ttzo_is_last_layer(queries, l)) {
        change_units(queries, changes, n_queries);
        spread(queries, units, n_queries);
        measure(queries, n_queries, differences);
        return;
    }
    const struct ttzo_layer_cache *cache = &queries->cache.layers[++l];
    uint32_t outputs = cache->layer->out_features;
    if (!ttzo_propagates_by_matrix(cache)) {
        change_units(queries, changes, n_queries);
        contract_changes(queries, l, units, n_queries, n_queries);
    } else {
        if (ttzo_layer_length(cache->layer) == 1)
            lay_rows(queries, l, cache->parameters, 1, cache->layer->in_features, units, changes);
        else if (cache->matrix && !ttzo_has_narrow_matrix(cache))
            lay_rows(queries, l, cache->matrix, outputs, 1, units, changes);
        else
            lay_made_rows(queries, l, units, changes, n_queries);
        queries->scratch.macs += n_queries * outputs;
    }
    go_on(queries, l, n_queries, differences);
}
