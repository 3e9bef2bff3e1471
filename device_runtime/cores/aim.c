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

// Rows `places` of the matrix after as panels [output / 4][place][4], any numbers after the last output.
static void collect_weights(struct ttzo_queries *queries, uint32_t l, uint32_t n)
{
    const struct ttzo_layer_cache *cache = &queries->cache.layers[l];
    struct ttzo_quad *quads = (struct ttzo_quad *)queries->aim.weights;
    uint32_t outputs = cache->layer->out_features, whole = outputs & ~3u, rest = outputs & 3u;
    const uint16_t *places = queries->aim.places;
    if (ttzo_has_narrow_matrix(cache)) {
        collect_narrow(queries, cache, n);
        return;
    }
    for (struct ttzo_quad *end = quads + n; quads != end; quads++, places++) {
        const float *row = cache->matrix ? (const float *)cache->matrix + *places * outputs
                                         : ttzo_propagate_weights(queries, l, *places);
        struct ttzo_quad *out = quads;
        for (const float *last = row + whole; row != last; row += 4, out += n)
            *out = *(const struct ttzo_quad *)row;
        for (uint32_t j = 0; j < rest; j++)
            out->of[j] = row[j];
    }
}

// ---- units ----------------------------------------------------------------------------------------------------------

// Units from number `number` on, `step` apart, so many of them.
struct run {
    uint32_t unit, step, number, count;
};

// Takes units whose output a move of up to the bound can change.
struct taker {
    uint16_t *numbers, *places;
    uint32_t n;
};

static struct taker taker_of(const struct ttzo_aim *aim)
{
    return (struct taker){ aim->numbers, aim->places, aim->n_awake };
}

// `bends`: its activation is not linear over that range, so that the change must be evaluated.
static inline void take(struct ttzo_aim *aim, struct taker *taker, const struct run *run, bool bends)
{
    if (bends)
        aim->bends[aim->n_bends++] = (uint16_t)taker->n;
    taker->numbers[taker->n] = (uint16_t)run->number;
    taker->places[taker->n++] = (uint16_t)run->unit;
}

typedef TTZO_SIZE_BITS __attribute__((may_alias)) any_bits;

// For bound > 0 and a z that is a number: z <= -bound where the bits of z are no less than those of -bound.
static void take_relu(struct ttzo_aim *aim, const float *z, struct run run, float bound)
{
    const union {
        float number;
        TTZO_SIZE_BITS bits;
    } sleeps = { -bound };
    struct taker taker = taker_of(aim);
    const any_bits *at = (const any_bits *)(const void *)(z + run.unit), limit = sleeps.bits;
    const uint32_t first = run.unit, number = run.number, step = run.step;
    for (uint32_t left = run.count; left; left--, at += step) {
        for (; left && *at >= limit; at += step)
            left--;
        if (left == 0)
            break;
        run.number = number + (run.count - left);
        run.unit = first + (run.count - left) * step;
        take(aim, &taker, &run, !(z[run.unit] > bound));
    }
    aim->n_awake = taker.n;
}

// The same comparisons in units of 2^-11, whole numbers on one side.
static void take_narrow_relu(struct ttzo_aim *aim, const int16_t *z, struct run run, float bound)
{
    const float beyond_all = 40000.0f;
    float units = bound * 2048.0f < beyond_all ? bound * 2048.0f : beyond_all;
    int32_t below = (int32_t)units, above = (float)below < units ? below + 1 : below;
    struct taker taker = taker_of(aim);
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        if (z[run.unit] > -above)
            take(aim, &taker, &run, z[run.unit] <= below);
    aim->n_awake = taker.n;
}

static void take_all(struct ttzo_aim *aim, struct run run, bool bends)
{
    struct taker taker = taker_of(aim);
    for (; run.count; run.count--, run.unit += run.step, run.number++)
        take(aim, &taker, &run, bends);
    aim->n_awake = taker.n;
}

static void take_run(struct ttzo_aim *aim, const struct ttzo_layer_cache *cache, struct run run, float bound)
{
    if (cache->layer->activation != TTZO_ACTIVATION_RELU)
        take_all(aim, run, cache->layer->activation != TTZO_ACTIVATION_IDENTITY);
    else if (TTZO_HAS(NARROW) && cache->has_narrow_z)
        take_narrow_relu(aim, cache->z, run, bound);
    else
        take_relu(aim, cache->z, run, bound);
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
