// SPDX-License-Identifier: MIT
#include "cores/halved_sums.h"

#include "model/carve.h"
#include "network/layers.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

static uint64_t product_of(uint32_t a, uint32_t b, uint32_t c)
{
    return (uint64_t)a * b * c;
}

static struct ttzo_halved_sums *take(const struct ttzo_halves *h, struct ttzo_carve *carve,
                                     struct ttzo_halved_sums *made)
{
    struct ttzo_halved_sums *place = (struct ttzo_halved_sums *)(void *)ttzo_take_even(carve, TTZO_HALVED_SUMS_NUMBERS);
    made->left = ttzo_take_even(carve, product_of(h->ml, h->nl, h->rank));
    made->right = ttzo_take_even(carve, product_of(h->mr, h->nr, h->rank));
    made->middle = ttzo_take_even(carve, product_of(h->ml, h->nr, h->rank));
    return place;
}

uint64_t ttzo_halved_sums_numbers(const struct ttzo_halves *halves)
{
    struct ttzo_halved_sums counted;
    struct ttzo_carve carve = { NULL, 0 };
    take(halves, &carve, &counted);
    return carve.numbers;
}

// Of the four arrays that are laid out there one after the other: L; L . x and four lines of R; D; four lines of x.
uint64_t ttzo_halved_sums_panels(const struct ttzo_halves *halves)
{
    uint64_t sizes[] = { product_of(halves->nl, halves->ml, 1), product_of(halves->nr, halves->ml + 4, 1),
                         product_of(halves->mr, halves->ml, 1) };
    uint64_t most = 0;
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        most = sizes[i] > most ? sizes[i] : most;
    return most;
}

// ---- a step ---------------------------------------------------------------------------------------------------------

void ttzo_halved_sums_begin(const struct ttzo_layer_cache *cache)
{
    _Static_assert(sizeof(struct ttzo_halved_sums) <= TTZO_HALVED_SUMS_NUMBERS * sizeof(float), "has its place");
    const struct ttzo_layer *layer = cache->layer;
    struct ttzo_halved_sums made = { .halves = ttzo_matrix_halves(cache) };
    struct ttzo_carve carve = { cache->states.numbers, 0 };
    struct ttzo_halved_sums *place = take(&made.halves, &carve, &made);
    for (float *at = made.left; at < made.middle; at++)
        *at = 0.0f;
    if (layer->has_bias)
        made.bias = cache->parameters + ttzo_layer_parameters(layer) - layer->out_features;
    *place = made;
}

// ---- a sample -------------------------------------------------------------------------------------------------------

static uint32_t at_most_4(uint32_t n)
{
    return n < 4 ? n : 4;
}

// The range of nr in which input[nl][nr] is not zero for all nl.
static struct ttzo_range live_columns(const float *input, uint32_t rows, uint32_t columns)
{
    struct ttzo_range live = { columns, 0 };
    for (uint32_t i = 0; i < rows; i++, input += columns) {
        for (uint32_t j = 0; j < live.first; j++)
            if (input[j] != 0.0f)
                live.first = j;
        for (uint32_t j = columns; j > live.end; j--)
            if (input[j - 1] != 0.0f)
                live.end = j;
    }
    return live.first < live.end ? live : (struct ttzo_range){ 0, 0 };
}

// Columns nr of products: the live ones, and zeros beside them that make whole tiles.
static struct ttzo_range widened(struct ttzo_range live, uint32_t nr)
{
    uint32_t n = (live.end - live.first + 3u) & ~3u, first = live.first + n > nr ? nr - n : live.first;
    return n > nr ? live : (struct ttzo_range){ first, first + n };
}

// middle[ml][nr] = L . x, for L [nl][ml]. What is zero in four columns of x at the ends of nl is left out. Returns the
// multiply-adds of live columns.
static uint32_t contract_input(const struct ttzo_halved_sums *sums, struct ttzo_columns left, const float *input,
                               float *middle)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range columns = widened(sums->live, h->nr);
    uint32_t done = 0;
    for (uint32_t j = columns.first; j < columns.end; j += 4) {
        uint32_t n = at_most_4(columns.end - j), first = j > sums->live.first ? j : sums->live.first;
        struct ttzo_columns four = { input + j, h->nr };
        struct ttzo_range live = ttzo_live_range(four, h->nl, n);
        four.at += live.first * four.step;
        ttzo_column_product(middle + j, h->nr, (struct ttzo_columns){ left.at + live.first * left.step, left.step },
                            four, h->ml, live.end - live.first, n, false);
        done += h->ml * ((j + n < sums->live.end ? j + n : sums->live.end) - first) * (live.end - live.first);
    }
    return done;
}

// z += L . x . R for one r; `middle` becomes L . x.
static uint32_t forward_one(const struct ttzo_layer_cache *cache, const struct ttzo_halved_sums *sums,
                            const float *left, const float *right, float *middle)
{
    const struct ttzo_halves *h = &sums->halves;
    uint32_t n = sums->live.end - sums->live.first;
    float *lines = cache->panels, *four = lines + n * h->ml, *z = cache->z;
    ttzo_lay_columns(lines, (struct ttzo_operand){ left, h->nl * h->rank, h->rank }, h->ml, h->nl);
    uint32_t done = contract_input(sums, (struct ttzo_columns){ lines, h->ml }, cache->input.numbers, middle);
    ttzo_lay_columns(lines, (struct ttzo_operand){ middle + sums->live.first, h->nr, 1 }, h->ml, n);
    right += sums->live.first;
    for (uint32_t j = 0; j < h->mr; j += 4, right += 4 * h->nr) {
        uint32_t columns = at_most_4(h->mr - j);
        ttzo_lay_columns(four, (struct ttzo_operand){ right, h->nr, 1 }, columns, n);
        ttzo_column_product(z + j, h->mr, (struct ttzo_columns){ lines, h->ml }, (struct ttzo_columns){ four, columns },
                            h->ml, n, columns, true);
    }
    return done + h->ml * h->mr * n;
}

uint32_t ttzo_halved_sums_forward(const struct ttzo_layer_cache *cache)
{
    struct ttzo_halved_sums *sums = cache->states.numbers;
    const struct ttzo_halves *h = &sums->halves;
    uint32_t done = 0, outputs = h->ml * h->mr;
    float *z = cache->z;
    sums->live = live_columns(cache->input.numbers, h->nl, h->nr);
    for (uint32_t i = 0; i < outputs && sums->bias; i++)
        z[i] = sums->bias[i];
    for (uint32_t i = 0; i < outputs && !sums->bias; i++)
        z[i] = 0.0f;
    for (uint32_t r = 0; r < h->rank && sums->live.end; r++)
        done += forward_one(cache, sums, h->left + r, h->right + r * h->mr * h->nr, sums->middle + r * h->ml * h->nr);
    return done;
}

// Adds to the right half's derivative: of each r, D' . (L . x).
static uint32_t add_to_right(const struct ttzo_halved_sums *sums, const float *differences)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range columns = widened(sums->live, h->nr);
    float *to = sums->right + columns.first;
    const float *middle = sums->middle + columns.first;
    for (uint32_t r = 0; r < h->rank; r++, to += h->mr * h->nr, middle += h->ml * h->nr)
        ttzo_column_product(to, h->nr, (struct ttzo_columns){ differences, h->mr },
                            (struct ttzo_columns){ middle, h->nr }, h->mr, h->ml, columns.end - columns.first, true);
    return h->rank * h->ml * h->mr * (sums->live.end - sums->live.first);
}

// D . R of each r [nr][r][ml], for D [mr][ml], in the place of L . x.
static uint32_t contract_differences(const struct ttzo_halved_sums *sums, const float *lines)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range columns = widened(sums->live, h->nr);
    uint32_t step = h->rank * h->ml;
    const float *right = h->right + columns.first;
    float *out = sums->middle + columns.first * step;
    for (uint32_t r = 0; r < h->rank; r++, right += h->mr * h->nr, out += h->ml)
        ttzo_column_product(out, step, (struct ttzo_columns){ right, h->nr }, (struct ttzo_columns){ lines, h->ml },
                            columns.end - columns.first, h->mr, h->ml, false);
    return step * h->mr * (sums->live.end - sums->live.first);
}

// Adds to the left half's derivative: of each r, D . R . x', four lines nl of the input at a time.
static uint32_t add_to_left(const struct ttzo_halved_sums *sums, const float *input, float *four)
{
    const struct ttzo_halves *h = &sums->halves;
    uint32_t from = sums->live.first, n = sums->live.end - from, step = h->rank * h->ml, done = 0;
    for (uint32_t j = 0; j < h->nl; j += 4, input += 4 * h->nr) {
        uint32_t columns = at_most_4(h->nl - j);
        ttzo_lay_columns(four, (struct ttzo_operand){ input + from, h->nr, 1 }, columns, n);
        struct ttzo_range live = ttzo_live_range((struct ttzo_columns){ four, columns }, n, columns);
        uint32_t length = live.end - live.first;
        if (length)
            ttzo_column_product(
                sums->left + j, h->nl, (struct ttzo_columns){ sums->middle + (from + live.first) * step, step },
                (struct ttzo_columns){ four + live.first * columns, columns }, step, length, columns, true);
        done += step * columns * length;
    }
    return done;
}

uint32_t ttzo_halved_sums_add(const struct ttzo_layer_cache *cache, const float *differences)
{
    const struct ttzo_halved_sums *sums = cache->states.numbers;
    const struct ttzo_halves *h = &sums->halves;
    if (sums->live.end == 0)
        return 0;
    uint32_t done = add_to_right(sums, differences);
    ttzo_lay_columns(cache->panels, (struct ttzo_operand){ differences, h->mr, 1 }, h->ml, h->mr);
    done += contract_differences(sums, cache->panels);
    return done + add_to_left(sums, cache->input.numbers, cache->panels);
}
