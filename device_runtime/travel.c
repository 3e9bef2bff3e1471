// SPDX-License-Identifier: MIT
#include "travel.h"

#include "loss.h"
#include "network.h"
#include "panels.h"
#include "real.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- a unit ---------------------------------------------------------------------------------------------------------

// What moves of at most `bound` do to a unit: nothing, the same to its activation, or something to be worked out.
enum fate { ASLEEP, FOLLOWS, BENDS };

static enum fate fate_of(enum ttzo_activation activation, float z, float bound)
{
    if (activation == TTZO_ACTIVATION_IDENTITY)
        return FOLLOWS;
    if (activation != TTZO_ACTIVATION_RELU)
        return BENDS;
    return z <= -bound ? ASLEEP : z > bound ? FOLLOWS : BENDS;
}

// ---- aim ------------------------------------------------------------------------------------------------------------

// How many numbers lie between two rows of `arrivals` at layer `l`.
static uint32_t arrival_stride(const struct ttzo_reuse *reuse, uint32_t l)
{
    return (reuse->rooms[l].layer->out_features + 3u) & ~3u;
}

// The layer's matrix, if there is one: element (input, output).
static struct ttzo_operand matrix_of(const struct ttzo_room *room)
{
    if (room->has_matrix)
        return (struct ttzo_operand){ room->matrix, room->layer->out_features, 1 };
    if (ttzo_layer_length(room->layer) == 1)
        return (struct ttzo_operand){ room->parameters, 1, room->layer->in_features };
    return (struct ttzo_operand){ NULL, 0, 0 };
}

// Rows `places` of the matrix behind as panels [output / 4][place][4], any numbers behind the last output.
static void collect_weights(struct ttzo_reuse *reuse, struct ttzo_operand matrix, uint32_t outputs, uint32_t n)
{
    struct ttzo_quad *out = (struct ttzo_quad *)reuse->weights;
    uint32_t whole = matrix.inner == 1 ? outputs & ~3u : 0;
    for (uint32_t j = 0; j < whole; j += 4)
        for (uint32_t i = 0; i < n; i++)
            *out++ = *(const struct ttzo_quad *)(matrix.at + j + reuse->places[i] * matrix.outer);
    for (uint32_t j = whole; j < outputs; j += 4) {
        uint32_t last = outputs - j - 1;
        const float *at = matrix.at + j * matrix.inner;
        uint32_t second = last < 1 ? 0 : matrix.inner, third = last < 2 ? 0 : 2 * matrix.inner;
        uint32_t fourth = last < 3 ? 0 : 3 * matrix.inner;
        for (uint32_t i = 0; i < n; i++, out++) {
            const float *row = at + reuse->places[i] * matrix.outer;
            out->of[0] = row[0], out->of[1] = row[second], out->of[2] = row[third], out->of[3] = row[fourth];
        }
    }
}

void ttzo_travel_aim(struct ttzo_reuse *reuse, const struct ttzo_units *units, float bound)
{
    const struct ttzo_room *room = &reuse->rooms[units->layer];
    enum ttzo_activation activation = (enum ttzo_activation)room->layer->activation;
    uint32_t n = 0, bends = 0, number = 0;
    for (uint32_t i = 0; i < units->rows; i++)
        for (uint32_t unit = units->first + i * units->jump, end = unit + units->columns; unit < end; unit++, number++) {
            enum fate fate = fate_of(activation, room->z[unit], bound);
            if (fate == ASLEEP)
                continue;
            if (fate == BENDS)
                reuse->bends[bends++] = (uint16_t)n;
            reuse->numbers[n] = (uint16_t)number;
            reuse->places[n++] = (uint16_t)unit;
        }
    reuse->layer = units->layer;
    reuse->n_awake = n;
    reuse->n_bends = bends;
    if (units->layer + 1 == reuse->model->info.n_layers)
        return;
    const struct ttzo_room *behind = room + 1;
    struct ttzo_operand matrix = matrix_of(behind);
    if (matrix.at)
        collect_weights(reuse, matrix, behind->layer->out_features, n);
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
    const struct ttzo_room *room = &reuse->rooms[l];
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
    uint32_t outputs = reuse->rooms[l].layer->out_features;
    struct ttzo_operand matrix = matrix_of(&reuse->rooms[l]);
    if (matrix.at)
        reuse->macs += ttzo_product_at_places(reuse->arrivals, arrival_stride(reuse, l), reuse->changes, places, n,
                                              matrix, outputs, n_queries);
    else
        contract_changes(reuse, l, places, n, n_queries);
}

// The same for the units that were aimed at.
static void arrive_aimed(struct ttzo_reuse *reuse, uint32_t n_queries)
{
    uint32_t l = reuse->layer + 1, n = reuse->n_awake, outputs = reuse->rooms[l].layer->out_features;
    if (!matrix_of(&reuse->rooms[l]).at) {
        contract_changes(reuse, l, reuse->places, n, n_queries);
        return;
    }
    for (uint32_t j = 0; j < outputs; j += 4)
        ttzo_multiply_panels(reuse->arrivals + j, arrival_stride(reuse, l), NULL, reuse->changes,
                             reuse->weights + j * n, Q, n, Q);
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
            change[q] = q < n_queries ? ttzo_travel_change(reuse, l, unit, reuse->arrivals[q * stride + unit]) : 0.0f;
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
    for (uint32_t q = 0; q < n_queries; q++)
        differences[q] = ttzo_loss_change(reuse->model, reuse->slopes, reuse->arrivals + q * stride, reuse->target);
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

// The moves of the units that are awake as changes of their activations.
static void change_activations(struct ttzo_reuse *reuse, const float *moves, float sign)
{
    const struct ttzo_quad *all = (const struct ttzo_quad *)moves;
    struct ttzo_quad *awake = (struct ttzo_quad *)reuse->changes;
    for (const uint16_t *number = reuse->numbers, *end = number + reuse->n_awake; number != end; number++)
        *awake++ = all[*number];
    for (uint32_t i = 0; sign < 0.0f && i < Q * reuse->n_awake; i++)
        reuse->changes[i] = -reuse->changes[i];
    for (uint32_t i = 0; i < reuse->n_bends; i++) {
        float *change = reuse->changes + Q * reuse->bends[i];
        for (uint32_t q = 0; q < Q; q++)
            change[q] = ttzo_travel_change(reuse, reuse->layer, reuse->places[reuse->bends[i]], change[q]);
    }
}

void ttzo_travel_ask(struct ttzo_reuse *reuse, const float *moves, uint32_t n_queries, float sign,
                     float differences[TTZO_QUERIES_AT_ONCE])
{
    for (uint32_t q = 0; q < Q; q++)
        differences[q] = 0.0f;
    if (reuse->n_awake == 0)
        return;
    change_activations(reuse, moves, sign);
    if (reuse->layer + 1u == reuse->model->info.n_layers) {
        spread(reuse, reuse->places, reuse->n_awake);
        measure(reuse, n_queries, differences);
        return;
    }
    arrive_aimed(reuse, n_queries);
    go_on(reuse, reuse->layer + 1, n_queries, differences);
}

float ttzo_travel_change(const struct ttzo_reuse *reuse, uint32_t l, uint32_t unit, float move)
{
    const struct ttzo_room *room = &reuse->rooms[l];
    if (move == 0.0f)
        return 0.0f;
    return ttzo_activation_change((enum ttzo_activation)room->layer->activation, room->z[unit], room->output[unit], move);
}

void ttzo_travel_ask_units(struct ttzo_reuse *reuse, uint32_t l, const uint16_t *units, const float *changes,
                           uint32_t n_queries, float differences[TTZO_QUERIES_AT_ONCE])
{
    for (uint32_t i = 0; i < n_queries; i++)
        for (uint32_t q = 0; q < Q; q++)
            reuse->changes[i * Q + q] = i == q ? changes[q] : 0.0f;
    if (l + 1u == reuse->model->info.n_layers) {
        spread(reuse, units, n_queries);
        measure(reuse, n_queries, differences);
        return;
    }
    struct ttzo_operand matrix = matrix_of(&reuse->rooms[++l]);
    uint32_t outputs = reuse->rooms[l].layer->out_features;
    for (uint32_t q = 0; q < n_queries && matrix.at; q++) {
        const float *weights = matrix.at + units[q] * matrix.outer;
        for (uint32_t j = 0; j < outputs; j++, weights += matrix.inner)
            reuse->arrivals[q * arrival_stride(reuse, l) + j] = *weights * changes[q];
        reuse->macs += outputs;
    }
    if (!matrix.at)
        contract_changes(reuse, l, units, n_queries, n_queries);
    go_on(reuse, l, n_queries, differences);
}
