// SPDX-License-Identifier: MIT
#include "cores/propagate.h"

#include "network/loss.h"
#include "network/network.h"
#include "network/panels.h"
#include "number/real.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- aim ------------------------------------------------------------------------------------------------------------

// How many numbers lie between two rows of `arrivals` at layer `l`.
static uint32_t arrival_stride(const struct ttzo_reuse *reuse, uint32_t l)
{
    return (reuse->rooms[l].layer->out_features + 3u) & ~3u;
}

static bool goes_by_matrix(const struct ttzo_layer_cache *room)
{
    return room->has_matrix || ttzo_layer_length(room->layer) == 1;
}

// Row `place` of the matrix of layer `l`, [out_features]: where it is kept, or in reuse->row.
static const float *weights_behind(struct ttzo_reuse *reuse, uint32_t l, uint32_t place)
{
    const struct ttzo_layer_cache *room = &reuse->rooms[l];
    uint32_t inputs = room->layer->in_features, outputs = room->layer->out_features;
    if (room->matrix && !ttzo_has_narrow_matrix(room))
        return (const float *)room->matrix + place * outputs;
    if (room->matrix)
        for (uint32_t j = 0; j < outputs; j++)
            reuse->row[j] = ttzo_load(room->matrix, place * outputs + j, true);
    else if (room->has_matrix) {
        if (reuse->halves_of != l)
            reuse->halves = ttzo_matrix_halves(room);
        reuse->halves_of = l;
        reuse->macs += ttzo_matrix_row(&reuse->halves, place, reuse->row);
    } else
        for (uint32_t j = 0; j < outputs; j++)
            reuse->row[j] = room->parameters[j * inputs + place];
    return reuse->row;
}

// The same where the matrix has numbers of 16 bits.
static void collect_narrow(struct ttzo_reuse *reuse, const struct ttzo_layer_cache *room, uint32_t n)
{
    uint32_t outputs = room->layer->out_features;
    for (uint32_t i = 0; i < n; i++) {
        const int16_t *in = (const int16_t *)room->matrix + reuse->places[i] * outputs, *end = in + outputs;
        float *out = reuse->weights + 4 * i;
        for (; end - in >= 4; in += 4, out += 4 * n)
            for (uint32_t j = 0; j < 4; j++)
                out[j] = ttzo_load(in, j, true);
        for (; in != end; in++, out++)
            *out = ttzo_load(in, 0, true);
    }
}

// Rows `places` of the matrix behind as panels [output / 4][place][4], any numbers behind the last output.
static void collect_weights(struct ttzo_reuse *reuse, uint32_t l, uint32_t n)
{
    struct ttzo_quad *quads = (struct ttzo_quad *)reuse->weights;
    uint32_t outputs = reuse->rooms[l].layer->out_features, whole = outputs & ~3u, rest = outputs & 3u;
    if (ttzo_has_narrow_matrix(&reuse->rooms[l])) {
        collect_narrow(reuse, &reuse->rooms[l], n);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const float *row = weights_behind(reuse, l, reuse->places[i]);
        struct ttzo_quad *out = quads + i;
        for (const float *end = row + whole; row != end; row += 4, out += n)
            *out = *(const struct ttzo_quad *)row;
        for (uint32_t j = 0; j < rest; j++)
            out->of[j] = row[j];
    }
}

// Units from number `number` on, `step` apart, so many of them.
struct run {
    uint32_t unit, step, number, count;
};

// A unit that moves of at most `bound` do not put to sleep; one that `bends` does not follow them as they are.
static inline void take(struct ttzo_reuse *reuse, const struct run *run, bool bends)
{
    if (bends)
        reuse->bends[reuse->n_bends++] = (uint16_t)reuse->n_awake;
    reuse->numbers[reuse->n_awake] = (uint16_t)run->number;
    reuse->places[reuse->n_awake++] = (uint16_t)run->unit;
}

static void take_relu(struct ttzo_reuse *reuse, const float *z, struct run run, float bound)
{
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        if (!(z[run.unit] <= -bound))
            take(reuse, &run, !(z[run.unit] > bound));
}

// The same comparisons in units of 2^-11, whole numbers on one side.
static void take_narrow_relu(struct ttzo_reuse *reuse, const int16_t *z, struct run run, float bound)
{
    const float beyond_all = 40000.0f;
    float units = bound * 2048.0f < beyond_all ? bound * 2048.0f : beyond_all;
    int32_t below = (int32_t)units, above = (float)below < units ? below + 1 : below;
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        if (z[run.unit] > -above)
            take(reuse, &run, z[run.unit] <= below);
}

static void take_run(struct ttzo_reuse *reuse, const struct ttzo_layer_cache *room, struct run run, float bound)
{
    bool bends = room->layer->activation != TTZO_ACTIVATION_IDENTITY;
    if (room->layer->activation != TTZO_ACTIVATION_RELU)
        for (; run.count; run.count--, run.unit += run.step, run.number++)
            take(reuse, &run, bends);
    else if (TTZO_HAS(NARROW) && room->has_narrow_z)
        take_narrow_relu(reuse, room->z, run, bound);
    else
        take_relu(reuse, room->z, run, bound);
}

uint32_t ttzo_propagate_aim(struct ttzo_reuse *reuse, const struct ttzo_units *units, uint32_t from, float bound)
{
    const struct ttzo_layer_cache *room = &reuse->rooms[units->layer];
    uint32_t number = from, end = units->rows * units->columns;
    reuse->layer = units->layer;
    reuse->n_awake = reuse->n_bends = 0;
    while (number < end && reuse->n_awake < reuse->units_at_once) {
        uint32_t column = number % units->columns, free = reuse->units_at_once - reuse->n_awake;
        struct run run = { units->first + number / units->columns * units->jump + column, 1, number,
                           units->columns - column };
        if (units->columns == 1) {
            run.step = units->jump;
            run.count = end - number;
        }
        run.count = run.count < free ? run.count : free;
        take_run(reuse, room, run, bound);
        number += run.count;
    }
    if (units->layer + 1 < reuse->model->info.n_layers && goes_by_matrix(room + 1))
        collect_weights(reuse, units->layer + 1, reuse->n_awake);
    return number;
}

// ---- on the way -----------------------------------------------------------------------------------------------------

static void copy(float *out, const float *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = in[i];
}

// The n changes at `places` as the input of layer `l`: through all its cores, one query after the other.
static void contract_changes(struct ttzo_reuse *reuse, uint32_t l, const uint16_t *places, uint32_t n,
                             uint32_t n_queries)
{
    const struct ttzo_layer_cache *room = &reuse->rooms[l];
    const struct ttzo_layer *layer = room->layer;
    uint32_t length = ttzo_layer_length(layer);
    for (uint32_t q = 0; q < n_queries; q++) {
        uint32_t current = 0;
        for (uint32_t i = 0; i < layer->in_features; i++)
            reuse->vectors[0][i] = 0.0f;
        for (uint32_t i = 0; i < n; i++)
            reuse->vectors[0][places[i]] = reuse->changes[i * Q + q];
        for (uint32_t index = 0; index < length; index++, current = 1 - current) {
            struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
            reuse->macs += ttzo_contract(&step, room->parameters + step.core_offset, reuse->vectors[current], NULL,
                                         reuse->vectors[1 - current], true);
        }
        copy(reuse->arrivals + q * arrival_stride(reuse, l), reuse->vectors[current], layer->out_features);
    }
}

// The n changes at `places` arrive at the pre-activations of layer `l`.
static void arrive(struct ttzo_reuse *reuse, uint32_t l, const uint16_t *places, uint32_t n, uint32_t n_queries)
{
    uint32_t outputs = reuse->rooms[l].layer->out_features, stride = arrival_stride(reuse, l);
    if (!goes_by_matrix(&reuse->rooms[l])) {
        contract_changes(reuse, l, places, n, n_queries);
        return;
    }
    for (uint32_t i = 0; i < Q * stride; i++)
        reuse->arrivals[i] = 0.0f;
    const float *change = reuse->changes;
    for (uint32_t i = 0; i < n; i++, change += Q) {
        const float *row = weights_behind(reuse, l, places[i]);
        for (uint32_t q = 0; q < n_queries; q++)
            for (uint32_t j = 0; j < outputs; j++)
                reuse->arrivals[q * stride + j] = TTZO_MULADD(row[j], change[q], reuse->arrivals[q * stride + j]);
    }
    reuse->macs += n * outputs * n_queries;
}

// The same for the units that were aimed at, on top of what has arrived before.
static void arrive_aimed(struct ttzo_reuse *reuse, uint32_t n_queries, bool first)
{
    uint32_t l = reuse->layer + 1, n = reuse->n_awake, outputs = reuse->rooms[l].layer->out_features;
    if (!goes_by_matrix(&reuse->rooms[l])) {
        contract_changes(reuse, l, reuse->places, n, n_queries);
        return;
    }
    for (uint32_t j = 0; j < outputs; j += 4)
        ttzo_multiply_panels(reuse->arrivals + j, arrival_stride(reuse, l), first ? NULL : reuse->arrivals + j,
                             reuse->changes, reuse->weights + j * n, Q, n, Q);
    reuse->macs += n * outputs * n_queries;
}

// From arrivals at the pre-activations of layer `l` to changes of its activations, at the `listed` units where there are
// any; returns how many.
static uint32_t list_changes(struct ttzo_reuse *reuse, uint32_t l, uint32_t n_queries)
{
    uint32_t n = 0, stride = arrival_stride(reuse, l);
    for (uint32_t unit = 0; unit < reuse->rooms[l].layer->out_features; unit++) {
        float *change = reuse->changes + n * Q;
        bool live = false;
        for (uint32_t q = 0; q < Q; q++) {
            change[q] = q < n_queries ? ttzo_propagate_change(reuse, l, unit, reuse->arrivals[q * stride + unit]) : 0.0f;
            live |= change[q] != 0.0f;
        }
        if (live)
            reuse->listed[n++] = (uint16_t)unit;
    }
    return n;
}

// The n changes of outputs at `places` as rows of `arrivals`.
static void spread(struct ttzo_reuse *reuse, const uint16_t *places, uint32_t n)
{
    uint32_t stride = arrival_stride(reuse, reuse->model->info.n_layers - 1u);
    for (uint32_t i = 0; i < Q * stride; i++)
        reuse->arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            reuse->arrivals[q * stride + places[i]] = reuse->changes[i * Q + q];
}

static void measure(struct ttzo_reuse *reuse, uint32_t n_queries, float differences[Q])
{
    uint32_t stride = arrival_stride(reuse, reuse->model->info.n_layers - 1u);
    ttzo_loss_changes(reuse->model, reuse->slopes, reuse->arrivals, stride, n_queries, reuse->target, differences);
}

// Arrivals at layer `l` go on to the loss.
static void go_on(struct ttzo_reuse *reuse, uint32_t l, uint32_t n_queries, float differences[Q])
{
    uint32_t last = reuse->model->info.n_layers - 1u;
    for (; l < last; l++)
        arrive(reuse, l + 1, reuse->listed, list_changes(reuse, l, n_queries), n_queries);
    if (reuse->rooms[last].layer->activation != TTZO_ACTIVATION_IDENTITY)
        spread(reuse, reuse->listed, list_changes(reuse, last, n_queries));
    measure(reuse, n_queries, differences);
}

// ---- queries --------------------------------------------------------------------------------------------------------

static void read_lines(struct ttzo_quad *awake, const struct ttzo_lines *lines, const uint16_t *numbers, uint32_t n)
{
    for (const uint16_t *end = numbers + n; numbers != end; numbers++, awake++)
        for (uint32_t q = 0, at = *numbers * lines->step; q < Q; q++)
            awake->of[q] = lines->scale * ttzo_load(lines->state.numbers, lines->at[q] + at, lines->state.narrow);
}

// The moves of the units that are awake as changes of their activations.
static void change_activations(struct ttzo_reuse *reuse, const struct ttzo_moves *moves, float sign)
{
    struct ttzo_quad *awake = (struct ttzo_quad *)reuse->changes;
    if (TTZO_HAS(NARROW) && !moves->quads)
        read_lines(awake, &moves->lines, reuse->numbers, reuse->n_awake);
    else
        for (uint32_t i = 0; i < reuse->n_awake; i++)
            awake[i] = moves->quads[reuse->numbers[i]];
    for (uint32_t i = 0; sign < 0.0f && i < Q * reuse->n_awake; i++)
        reuse->changes[i] = -reuse->changes[i];
    for (uint32_t i = 0; i < reuse->n_bends; i++) {
        float *change = reuse->changes + Q * reuse->bends[i];
        for (uint32_t q = 0; q < Q; q++)
            change[q] = ttzo_propagate_change(reuse, reuse->layer, reuse->places[reuse->bends[i]], change[q]);
    }
}

static void turn_to(struct ttzo_reuse *reuse, uint32_t four)
{
    reuse->arrivals = reuse->all_arrivals + four * reuse->arrivals_size;
}

void ttzo_propagate_move(struct ttzo_reuse *reuse, const struct ttzo_moves *moves, float sign, uint32_t four,
                      uint32_t n_queries, bool first)
{
    turn_to(reuse, four);
    if (reuse->n_awake == 0) {
        for (uint32_t i = 0; first && i < reuse->arrivals_size; i++)
            reuse->arrivals[i] = 0.0f;
        return;
    }
    change_activations(reuse, moves, sign);
    if (reuse->layer + 1u == reuse->model->info.n_layers)
        spread(reuse, reuse->places, reuse->n_awake);
    else
        arrive_aimed(reuse, n_queries, first);
}

void ttzo_propagate_ask(struct ttzo_reuse *reuse, uint32_t four, uint32_t n_queries,
                     float differences[TTZO_QUERIES_AT_ONCE])
{
    turn_to(reuse, four);
    if (reuse->layer + 1u == reuse->model->info.n_layers)
        measure(reuse, n_queries, differences);
    else
        go_on(reuse, reuse->layer + 1, n_queries, differences);
}

float ttzo_propagate_change(const struct ttzo_reuse *reuse, uint32_t l, uint32_t unit, float move)
{
    const struct ttzo_layer_cache *room = &reuse->rooms[l];
    enum ttzo_activation activation = (enum ttzo_activation)room->layer->activation;
    float z = ttzo_load(room->z, unit, room->has_narrow_z), output = z;
    if (move == 0.0f)
        return 0.0f;
    if (!TTZO_HAS(NARROW) || room->output)
        output = room->output[unit];
    else if (activation == TTZO_ACTIVATION_TANH) // the only one that asks
        output = ttzo_tanh(z);
    return ttzo_activation_change(activation, z, output, move);
}

// Units that each one query changes, as changes at `units`.
static void change_units(struct ttzo_reuse *reuse, const float *changes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            reuse->changes[i * Q + q] = i == q ? changes[q] : 0.0f;
}

void ttzo_propagate_ask_units(struct ttzo_reuse *reuse, uint32_t l, const uint16_t *units, const float *changes,
                           uint32_t n_queries, float differences[TTZO_QUERIES_AT_ONCE])
{
    turn_to(reuse, 0);
    if (l + 1u == reuse->model->info.n_layers) {
        change_units(reuse, changes, n_queries);
        spread(reuse, units, n_queries);
        measure(reuse, n_queries, differences);
        return;
    }
    const struct ttzo_layer_cache *room = &reuse->rooms[++l];
    uint32_t outputs = room->layer->out_features, stride = arrival_stride(reuse, l);
    if (!goes_by_matrix(room)) {
        change_units(reuse, changes, n_queries);
        contract_changes(reuse, l, units, n_queries, n_queries);
    } else {
        float *row = reuse->arrivals;
        for (uint32_t q = 0; q < n_queries; q++, row += stride) {
            const float *weights = weights_behind(reuse, l, units[q]), *end = weights + outputs;
            for (float change = changes[q], *out = row; weights != end;)
                *out++ = *weights++ * change;
        }
        reuse->macs += n_queries * outputs;
    }
    go_on(reuse, l, n_queries, differences);
}
