// SPDX-License-Identifier: MIT
#include "cores/core_products.h"

#include "model/carve.h"
#include "network/panels.h"
#include "network/product.h"
#include "number/real.h"

// ---- extents --------------------------------------------------------------------------------------------------------

struct ttzo_extents ttzo_extents_around(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = { 1, 1, 1, 1 };
    uint32_t first_out = ttzo_is_tensor(layer) ? layer->n_in_modes : 0; // core of the first output mode
    if (layer->kind == TTZO_LAYER_KIND_DENSE)
        return e;
    for (uint32_t i = 0; i < layer->n_in_modes; i++)
        if (i < k)
            e.nl *= layer->in_modes[i];
        else if (i > k)
            e.nr *= layer->in_modes[i];
    for (uint32_t i = 0; i < layer->n_out_modes; i++)
        if (first_out + i < k)
            e.ml *= layer->out_modes[i];
        else if (first_out + i > k)
            e.mr *= layer->out_modes[i];
    return e;
}

bool ttzo_is_tensor(const struct ttzo_layer *layer)
{
    return TTZO_HAS(TENSORS) && layer->kind == TTZO_LAYER_KIND_TT_TENSOR;
}

uint32_t ttzo_middle_core(const struct ttzo_layer *layer)
{
    uint32_t length = ttzo_layer_length(layer), middle = 0;
    if (ttzo_is_tensor(layer))
        return layer->n_in_modes;
    for (uint32_t before = 1; middle < length && layer->kind != TTZO_LAYER_KIND_DENSE; middle++) {
        uint32_t after = 1;
        for (uint32_t i = middle + 1; i < layer->n_in_modes; i++)
            after *= layer->in_modes[i];
        if (before > after)
            return middle;
        before *= layer->in_modes[middle];
    }
    return length;
}

uint32_t ttzo_matrix_split(const struct ttzo_layer *layer)
{
    uint32_t middle = ttzo_middle_core(layer), last = ttzo_layer_length(layer) - 1;
    return middle < last ? middle : last;
}

// ---- products of cores ----------------------------------------------------------------------------------------------

static uint32_t first_stored(const struct ttzo_layer *layer, enum ttzo_side side, bool with_matrix)
{
    if (side == TTZO_AFTER)
        return ttzo_is_tensor(layer) ? layer->n_in_modes - 1u
               : with_matrix         ? ttzo_matrix_split(layer) - 1
                                     : ttzo_middle_core(layer);
    return side == TTZO_BEFORE ? 2 : 0;
}

static uint32_t end_stored(const struct ttzo_layer *layer, enum ttzo_side side, bool with_matrix)
{
    uint32_t length = ttzo_layer_length(layer);
    uint32_t left = ttzo_is_tensor(layer) ? 0 : ttzo_middle_core(layer);
    if (side == TTZO_BEFORE)
        return with_matrix && ttzo_matrix_split(layer) >= left ? ttzo_matrix_split(layer) + 1 : left;
    if (side == TTZO_AFTER)
        return length < 2 ? 0 : length - 2;
    return ttzo_is_tensor(layer) && layer->n_in_modes > 2 ? layer->n_in_modes - 2u : 0;
}

static uint64_t product_size(const struct ttzo_layer *layer, enum ttzo_side side, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    struct ttzo_core core = ttzo_layer_core(layer, k);
    return side == TTZO_BEFORE  ? (uint64_t)e.ml * e.nl * core.left
           : side == TTZO_AFTER ? (uint64_t)core.right * e.mr * e.nr
                                : (uint64_t)core.right * e.nr * layer->ranks[layer->n_in_modes];
}

// Numbers stored before product `k` of `side`; the end of all when side is TTZO_SIDES.
static uint64_t numbers_before(const struct ttzo_layer *layer, bool with_matrix, enum ttzo_side side, uint32_t k)
{
    uint64_t numbers = 0;
    for (enum ttzo_side s = TTZO_BEFORE; s < TTZO_SIDES; s++)
        for (uint32_t i = first_stored(layer, s, with_matrix); i < end_stored(layer, s, with_matrix); i++) {
            if (s == side && i == k)
                return numbers;
            numbers += ttzo_even(product_size(layer, s, i));
        }
    return numbers;
}

uint64_t ttzo_products_numbers(const struct ttzo_layer *layer, bool with_matrix)
{
    return numbers_before(layer, with_matrix, TTZO_SIDES, 0);
}

uint64_t ttzo_matrix_scratch(const struct ttzo_layer *layer)
{
    return ttzo_products_numbers(layer, true) + layer->out_features;
}

float *ttzo_stored_product(const struct ttzo_layer_cache *cache, enum ttzo_side side, uint32_t k)
{
    return cache->products + numbers_before(cache->layer, cache->keeps_halves, side, k);
}

const float *ttzo_core_product(const struct ttzo_layer_cache *cache, enum ttzo_side side, uint32_t k)
{
    uint32_t end = side == TTZO_MIDDLE ? cache->layer->n_in_modes : ttzo_layer_length(cache->layer);
    if (side == TTZO_BEFORE ? k == 0 : k + 1 == end)
        return NULL;
    if (side == TTZO_BEFORE && k == 1)
        return cache->parameters;
    if (side != TTZO_BEFORE && k + 2 == end)
        return cache->parameters + ttzo_layer_core(cache->layer, k + 1).offset;
    return ttzo_stored_product(cache, side, k);
}

// TTZO_BEFORE k from TTZO_BEFORE k-1 [ml][nl][a] and core k-1 (a, m, n, b): [ml][m][nl][n][b].
static uint32_t extend_left(const struct ttzo_layer_cache *cache, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(cache->layer, k - 1);
    struct ttzo_core core = ttzo_layer_core(cache->layer, k - 1);
    const float *before = ttzo_core_product(cache, TTZO_BEFORE, k - 1), *entries = cache->parameters + core.offset;
    float *out = ttzo_stored_product(cache, TTZO_BEFORE, k);
    uint32_t done = 0, columns = core.n * core.right;
    for (uint32_t i = 0; i < e.ml * core.m; i++, out += e.nl * columns)
        done += ttzo_product(out, NULL, (struct ttzo_operand){ before + i / core.m * e.nl * core.left, core.left, 1 },
                             (struct ttzo_operand){ entries + i % core.m * columns, 1, core.m * columns }, e.nl,
                             core.left, columns, TTZO_DATA_NONE);
    return done;
}

// TTZO_AFTER k from core k+1 (a, m, n, b) and TTZO_AFTER k+1 [b][mr][nr]: [a][m][mr][n][nr].
static uint32_t extend_right(const struct ttzo_layer_cache *cache, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(cache->layer, k + 1);
    struct ttzo_core core = ttzo_layer_core(cache->layer, k + 1);
    const float *after = ttzo_core_product(cache, TTZO_AFTER, k + 1), *entries = cache->parameters + core.offset;
    float *out = ttzo_stored_product(cache, TTZO_AFTER, k);
    uint32_t done = 0;
    for (uint32_t i = 0; i < core.left * core.m; i++)
        for (uint32_t j = 0; j < e.mr; j++, out += core.n * e.nr)
            done += ttzo_product(out, NULL, (struct ttzo_operand){ entries + i * core.n * core.right, core.right, 1 },
                                 (struct ttzo_operand){ after + j * e.nr, 1, e.mr * e.nr }, core.n, core.right, e.nr,
                                 TTZO_DATA_NONE);
    return done;
}

// TTZO_MIDDLE k from core k+1 (a, n, b) and TTZO_MIDDLE k+1 [b][nr][r]: [a][n][nr][r].
static uint32_t extend_middle(const struct ttzo_layer_cache *cache, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core(cache->layer, k + 1);
    uint32_t columns = ttzo_extents_around(cache->layer, k + 1).nr * cache->layer->ranks[cache->layer->n_in_modes];
    return ttzo_product(ttzo_stored_product(cache, TTZO_MIDDLE, k), NULL,
                        (struct ttzo_operand){ cache->parameters + core.offset, core.right, 1 },
                        (struct ttzo_operand){ ttzo_core_product(cache, TTZO_MIDDLE, k + 1), 1, columns },
                        core.left * core.n, core.right, columns, TTZO_DATA_NONE);
}

struct ttzo_halves ttzo_halves_shape(const struct ttzo_layer *layer)
{
    uint32_t split = ttzo_matrix_split(layer);
    struct ttzo_extents before = ttzo_extents_around(layer, split), after = ttzo_extents_around(layer, split - 1);
    return (struct ttzo_halves){ NULL, NULL, before.ml, before.nl, after.mr, after.nr, layer->ranks[split] };
}

struct ttzo_halves ttzo_matrix_halves(const struct ttzo_layer_cache *cache)
{
    uint32_t split = ttzo_matrix_split(cache->layer);
    struct ttzo_halves halves = ttzo_halves_shape(cache->layer);
    halves.left = ttzo_core_product(cache, TTZO_BEFORE, split);
    halves.right = ttzo_core_product(cache, TTZO_AFTER, split - 1);
    return halves;
}

uint64_t ttzo_matrix_panels(const struct ttzo_layer *layer)
{
    uint32_t split = ttzo_matrix_split(layer);
    if (ttzo_layer_length(layer) == 1 || (uint32_t)layer->in_features * layer->out_features > TTZO_MAX_MATRIX)
        return 0;
    struct ttzo_extents after = ttzo_extents_around(layer, split - 1);
    return (uint64_t)after.mr * ttzo_panel_numbers(after.nr, layer->ranks[split]) +
           4u * (layer->ranks[split] + after.nr);
}

#if !TTZO_COMPACT

// matrix [nl][nr][ml][mr]: tiles of four neighbouring lines (ml, nl) of the left half and lines nr of the right one.
static uint32_t make_matrix(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_halves h = ttzo_matrix_halves(cache);
    uint32_t panels = ttzo_panel_numbers(h.nr, h.rank), step = h.ml * h.mr, lines = h.ml * h.nl;
    float *right = cache->panels, *four = right + h.mr * panels, *strip = four + 4 * h.rank;
    for (uint32_t m = 0; m < h.mr; m++)
        ttzo_pack_panels(right + m * panels, (struct ttzo_operand){ h.right + m * h.nr, 1, h.mr * h.nr }, h.nr, h.rank);
    for (uint32_t line = 0; line < lines; line += 4) {
        uint32_t n = lines - line < 4 ? lines - line : 4;
        ttzo_pack_panels(four, (struct ttzo_operand){ h.left + line * h.rank, h.rank, 1 }, n, h.rank);
        for (uint32_t m = 0; m < h.mr; m++) {
            ttzo_multiply_panels(strip, 4, NULL, right + m * panels, four, h.nr, h.rank, 4);
            for (uint32_t i = 0; i < n; i++) {
                float *out = (float *)cache->matrix + ((line + i) % h.nl * h.nr * h.ml + (line + i) / h.nl) * h.mr + m;
                const float *end = strip + 4 * h.nr;
                for (const float *from = strip + i; from < end; from += 4, out += step)
                    *out = *from;
            }
        }
    }
    return lines * h.mr * h.nr * h.rank;
}

#endif

uint32_t ttzo_matrix_row(const struct ttzo_halves *halves, uint32_t input, float *row)
{
    const struct ttzo_halves h = *halves;
    const float *left = h.left + input / h.nr * h.rank, *right = h.right + input % h.nr;
    uint32_t step = h.nl * h.rank, jump = h.mr * h.nr;
    for (uint32_t j = 0; j < h.mr; j++, right += h.nr) {
        const float *a = left;
        float *out = row + j;
        uint32_t i = h.ml;
        for (; i >= 4; i -= 4, a += 4 * step, out += 4 * h.mr) { // four outputs share the loads of the right half
            const float *b = a + step, *c = b + step, *d = c + step, *entry = right;
            float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
            for (uint32_t r = 0; r < h.rank; r++, entry += jump) {
                s0 = TTZO_MULADD(a[r], *entry, s0);
                s1 = TTZO_MULADD(b[r], *entry, s1);
                s2 = TTZO_MULADD(c[r], *entry, s2);
                s3 = TTZO_MULADD(d[r], *entry, s3);
            }
            out[0] = s0, out[h.mr] = s1, out[2 * h.mr] = s2, out[3 * h.mr] = s3;
        }
        for (; i; i--, a += step, out += h.mr) {
            const float *entry = right;
            float sum = 0.0f;
            for (uint32_t r = 0; r < h.rank; r++, entry += jump)
                sum = TTZO_MULADD(a[r], *entry, sum);
            *out = sum;
        }
    }
    return h.ml * h.mr * h.rank;
}

#if TTZO_COMPACT

// Row by row, in 16 bits too: their halves and a row are in `panels` then.
static uint32_t make_matrix_by_rows(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_halves h = ttzo_matrix_halves(cache);
    const bool narrow = ttzo_has_narrow_matrix(cache);
    uint32_t done = 0, outputs = h.ml * h.mr;
    for (uint32_t input = 0; input < h.nl * h.nr; input++) {
        float *row = narrow ? cache->panels + ttzo_products_numbers(cache->layer, true)
                            : (float *)cache->matrix + input * outputs;
        done += ttzo_matrix_row(&h, input, row);
        for (uint32_t j = 0; narrow && j < outputs; j++)
            ((int16_t *)cache->matrix)[input * outputs + j] = ttzo_narrowed(row[j]);
    }
    return done;
}

#define make_matrix make_matrix_by_rows
#define make_narrow_matrix make_matrix_by_rows

#else

// The same in 16 bits; the halves and a row are in `panels`.
static uint32_t make_narrow_matrix(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_halves h = ttzo_matrix_halves(cache);
    float *row = cache->panels + ttzo_products_numbers(cache->layer, true);
    int16_t *out = cache->matrix;
    uint32_t done = 0, outputs = h.ml * h.mr;
    for (uint32_t input = 0; input < h.nl * h.nr; input++, out += outputs) {
        done += ttzo_matrix_row(&h, input, row);
        for (uint32_t j = 0; j < outputs; j++)
            out[j] = ttzo_narrowed(row[j]);
    }
    return done;
}

#endif

static uint32_t make_products(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_layer *layer = cache->layer;
    uint32_t done = 0, first;
    for (uint32_t k = 2; k < end_stored(layer, TTZO_BEFORE, cache->keeps_halves); k++)
        done += extend_left(cache, k);
    first = first_stored(layer, TTZO_AFTER, cache->keeps_halves);
    for (uint32_t k = end_stored(layer, TTZO_AFTER, cache->keeps_halves); k > first; k--)
        done += extend_right(cache, k - 1);
    for (uint32_t k = end_stored(layer, TTZO_MIDDLE, cache->keeps_halves); TTZO_HAS(TENSORS) && k > 0; k--)
        done += extend_middle(cache, k - 1);
    return done;
}

uint32_t ttzo_core_products_make(const struct ttzo_layer_cache *cache)
{
    uint32_t done = make_products(cache);
    if (!cache->has_matrix || !cache->matrix)
        return done;
    if (!ttzo_has_narrow_matrix(cache))
        return done + make_matrix(cache);
    struct ttzo_layer_cache making = *cache;
    making.keeps_halves = true;
    making.products = cache->panels;
    done += make_products(&making);
    return done + make_narrow_matrix(&making);
}
