// SPDX-License-Identifier: MIT
#include "cores/aim.h"

#include "network/loss.h"

// ---- weights --------------------------------------------------------------------------------------------------------

const float *ttzo_propagate_weights(struct ttzo_queries *queries, uint32_t l, uint32_t place)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    uint32_t inputs = cache->layer->in_features, outputs = cache->layer->out_features;
    if (cache->matrix && !ttzo_has_narrow_matrix(cache))
        return (const float *)cache->matrix + place * outputs;
    if (cache->matrix)
        for (uint32_t j = 0; j < outputs; j++)
            queries->scratch.row[j] = ttzo_load(cache->matrix, place * outputs + j, true);
    else if (cache->has_matrix) {
        if (queries->scratch.halves_of != l)
            queries->scratch.halves = ttzo_matrix_halves(cache);
        queries->scratch.halves_of = l;
        queries->scratch.macs += ttzo_matrix_row(&queries->scratch.halves, place, queries->scratch.row);
    } else
        for (uint32_t j = 0; j < outputs; j++)
            queries->scratch.row[j] = cache->parameters[j * inputs + place];
    return queries->scratch.row;
}

// The same where the matrix has numbers of 16 bits.
static void collect_narrow(struct ttzo_queries *queries, const struct ttzo_layer_cache *cache, uint32_t n)
{
    uint32_t outputs = cache->layer->out_features;
    for (uint32_t i = 0; i < n; i++) {
        const int16_t *in = (const int16_t *)cache->matrix + queries->aim.places[i] * outputs, *end = in + outputs;
        float *out = queries->aim.weights + 4 * i;
        for (; end - in >= 4; in += 4, out += 4 * n)
            for (uint32_t j = 0; j < 4; j++)
                out[j] = ttzo_load(in, j, true);
        for (; in != end; in++, out++)
            *out = ttzo_load(in, 0, true);
    }
}

// Rows `places` of the matrix after as panels [output / 4][place][4], any numbers after the last output: rows are read, and
// may be read further, by fours.
static void collect_weights(struct ttzo_queries *queries, uint32_t l, uint32_t n)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    struct ttzo_quad *quads = (struct ttzo_quad *)queries->aim.weights, *out;
    const float *matrix = cache->matrix, *row;
    uint32_t outputs = cache->layer->out_features, fours = (outputs + 3) / 4, i;
    const uint16_t *places = queries->aim.places;
    if (ttzo_has_narrow_matrix(cache)) {
        collect_narrow(queries, cache, n);
        return;
    }
    for (struct ttzo_quad *end = quads + n; quads != end; quads++, places++) {
        row = matrix ? matrix + *places * outputs : ttzo_propagate_weights(queries, l, *places);
        for (i = fours, out = quads; i; i--, row += 4, out += n)
            *out = *(const struct ttzo_quad *)row;
    }
}

// ---- units ----------------------------------------------------------------------------------------------------------

// Units from number `number` on, `step` apart, so many of them.
struct run {
    uint32_t unit, step, number, count;
};

// Takes a unit whose output a move of up to the bound can change. `bends`: its activation is not linear over that range,
// so that the change must be evaluated.
static inline void take(struct ttzo_aim *aim, const struct run *run, bool bends)
{
    uint32_t n = aim->n_awake;
    if (bends)
        aim->bends[aim->n_bends++] = (uint16_t)n;
    aim->numbers[n] = (uint16_t)run->number;
    aim->places[n] = (uint16_t)run->unit;
    aim->n_awake = n + 1;
}

typedef TTZO_SIZE_BITS __attribute__((may_alias)) any_bits;

union bits_of {
    float number;
    TTZO_SIZE_BITS bits;
};

// For bound >= 0 and a z that is a number: z <= -bound where the bits of z are no less than those of -bound, and z > bound
// where they are above those of bound, without a sign.
__attribute__((noinline)) static void take_relu(struct ttzo_aim *aim, const float *z, const struct run *run,
                                                float bound)
{
    const union bits_of sleeps = { -bound }, bends = { bound };
    const any_bits limit = sleeps.bits, straight = bends.bits, sign = ((any_bits) ~(any_bits)0 >> 1) + 1;
    const any_bits *units = (const any_bits *)(const void *)z, *at = units + run->unit;
    const uint32_t end = run->number + run->count, step = run->step;
    uint32_t n = aim->n_awake;
    for (uint32_t left = run->count; left; left--, at += step) {
        for (; left && *at >= limit; at += step)
            left--;
        if (left == 0)
            break;
        if (*at <= straight || *at >= sign)
            aim->bends[aim->n_bends++] = (uint16_t)n;
        aim->numbers[n] = (uint16_t)(end - left);
        aim->places[n++] = (uint16_t)(at - units);
    }
    aim->n_awake = n;
}

// The same comparisons in units of 2^-11, whole numbers on one side.
static void take_narrow_relu(struct ttzo_aim *aim, const int16_t *z, struct run run, float bound)
{
    const float beyond_all = 40000.0f;
    float units = bound * 2048.0f < beyond_all ? bound * 2048.0f : beyond_all;
    int32_t below = (int32_t)units, above = (float)below < units ? below + 1 : below;
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        if (z[run.unit] > -above)
            take(aim, &run, z[run.unit] <= below);
}

static void take_all(struct ttzo_aim *aim, struct run run, bool bends)
{
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        take(aim, &run, bends);
}

static void take_run(struct ttzo_aim *aim, const struct ttzo_layer_cache *cache, struct run run, float bound)
{
    if (cache->layer->activation != TTZO_ACTIVATION_RELU)
        take_all(aim, run, cache->layer->activation != TTZO_ACTIVATION_IDENTITY);
    else if (TTZO_HAS(NARROW) && cache->has_narrow_z)
        take_narrow_relu(aim, cache->z, run, bound);
    else
        take_relu(aim, cache->z, &run, bound);
}

// Where outputs are moved and the class's is none of them, the others do not count: their slopes in scratch.row.
static void aim_at_outputs(struct ttzo_queries *queries)
{
    struct ttzo_aim *aim = &queries->aim;
    uint32_t own = ttzo_get_u16(queries->cache.target);
    aim->moved_alone = ttzo_loss_is_plain(queries->cache.model);
    for (uint32_t i = 0; i < aim->n_awake && aim->moved_alone; i++) {
        aim->moved_alone = aim->places[i] != own;
        queries->scratch.row[i] = queries->cache.slopes[aim->places[i]];
    }
}

uint32_t ttzo_propagate_aim(struct ttzo_queries *queries, const struct ttzo_units *units, uint32_t from, float bound)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[units->layer];
    uint32_t number = from, end = units->rows * units->columns;
    queries->aim.layer = units->layer;
    queries->aim.n_awake = queries->aim.n_bends = 0;
    while (number < end && queries->aim.n_awake < queries->aim.units_at_once) {
        uint32_t column = number % units->columns, free = queries->aim.units_at_once - queries->aim.n_awake;
        struct run run = { units->first + number / units->columns * units->jump + column, 1, number,
                           units->columns - column };
        if (units->columns == 1) {
            run.step = units->jump;
            run.count = end - number;
        }
        run.count = run.count < free ? run.count : free;
        take_run(&queries->aim, cache, run, bound);
        number += run.count;
    }
    if (ttzo_is_last_layer(queries, units->layer))
        aim_at_outputs(queries);
    else if (ttzo_propagates_by_matrix(cache + 1))
        collect_weights(queries, units->layer + 1, queries->aim.n_awake);
    return number;
}
