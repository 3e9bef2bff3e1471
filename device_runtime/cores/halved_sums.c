// SPDX-License-Identifier: MIT
#include "cores/halved_sums.h"

#include "model/carve.h"
#include "network/layers.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

static uint64_t product_of(uint32_t a, uint32_t b, uint32_t c)
{
    return (uint64_t)a * b * c;
}

// Whether both halves stay laid out from one sample to the next: where they are small.
static bool keeps_lines(const struct ttzo_halves *h)
{
    return product_of(h->ml, h->nl, h->rank) + product_of(h->mr, h->nr, h->rank) <= TTZO_KEPT_LINES;
}

static struct ttzo_halved_sums *take(const struct ttzo_halves *h, struct ttzo_carve *carve,
                                     struct ttzo_halved_sums *made)
{
    struct ttzo_halved_sums *place = (struct ttzo_halved_sums *)(void *)ttzo_take_even(carve, TTZO_HALVED_SUMS_NUMBERS);
    made->left = ttzo_take_even(carve, product_of(h->ml, h->nl, h->rank));
    made->right = ttzo_take_even(carve, product_of(h->mr, h->nr, h->rank));
    made->middle = ttzo_take_even(carve, product_of(h->ml, h->nr, h->rank));
    if (keeps_lines(h)) {
        made->left_lines = ttzo_take_even(carve, product_of(h->ml, h->nl, h->rank));
        made->right_lines = ttzo_take_even(carve, product_of(h->mr, h->nr, h->rank));
    }
    return place;
}

uint64_t ttzo_halved_sums_numbers(const struct ttzo_halves *halves)
{
    struct ttzo_halved_sums counted;
    struct ttzo_carve carve = { NULL, 0 };
    take(halves, &carve, &counted);
    return carve.numbers;
}

// Of what is laid out there, one after the other: a rank of L and of R; of L . x; D; four lines of x.
uint64_t ttzo_halved_sums_panels(const struct ttzo_halves *halves)
{
    uint64_t sizes[] = { product_of(halves->nl, halves->ml, 1), product_of(halves->nr, halves->mr, 1),
                         product_of(halves->nr, halves->ml, 1), product_of(halves->mr, halves->ml, 1),
                         product_of(halves->nr, 4, 1) };
    uint64_t most = 0;
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        most = sizes[i] > most ? sizes[i] : most;
    return most;
}

// ---- a step ---------------------------------------------------------------------------------------------------------

// Of rank r, L as [nl][ml], lines `step` apart; R as [nr][mr].
static void lay_left(const struct ttzo_halves *h, uint32_t r, float *lines, uint32_t step)
{
    ttzo_lay_columns(lines, step, (struct ttzo_operand){ h->left + r, h->nl * h->rank, h->rank }, h->ml, h->nl);
}

static void lay_right(const struct ttzo_halves *h, uint32_t r, float *lines)
{
    ttzo_lay_columns(lines, h->mr, (struct ttzo_operand){ h->right + r * h->mr * h->nr, h->nr, 1 }, h->mr, h->nr);
}

void ttzo_halved_sums_begin(const struct ttzo_layer_cache *cache)
{
    _Static_assert(sizeof(struct ttzo_halved_sums) <= TTZO_HALVED_SUMS_NUMBERS * sizeof(float), "has its place");
    const struct ttzo_layer *layer = cache->layer;
    struct ttzo_halved_sums made = { .halves = ttzo_matrix_halves(cache) };
    const struct ttzo_halves *h = &made.halves;
    struct ttzo_carve carve = { cache->states.numbers, 0 };
    struct ttzo_halved_sums *place = take(h, &carve, &made);
    for (float *at = made.left; at < made.middle; at++)
        *at = 0.0f;
    if (layer->has_bias)
        made.bias = cache->parameters + ttzo_layer_parameters(layer) - layer->out_features;
    for (uint32_t r = 0; r < h->rank && made.left_lines; r++) {
        lay_left(h, r, made.left_lines + r * h->ml, h->rank * h->ml);
        lay_right(h, r, made.right_lines + r * h->mr * h->nr);
    }
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

// Rows nr of products: the live ones, and zeros beside them that fill tiles of two rows.
static struct ttzo_range widened(struct ttzo_range live, uint32_t nr)
{
    uint32_t n = (live.end - live.first + 1u) & ~1u, first = live.first + n > nr ? nr - n : live.first;
    return n > nr ? live : (struct ttzo_range){ first, first + n };
}

// middle[nr][ml] = x' . L, for L [nl][ml] of `ranks` ranks beside each other. What is zero in four columns nr of x at the
// ends of nl is left out. Returns the multiply-adds of live columns.
static uint32_t contract_input(const struct ttzo_halved_sums *sums, struct ttzo_columns left, const float *input,
                               float *middle, uint32_t ranks)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range rows = widened(sums->live, h->nr);
    uint32_t done = 0, step = h->rank * h->ml;
    for (uint32_t j = rows.first; j < rows.end; j += 4) {
        uint32_t n = at_most_4(rows.end - j), first = j > sums->live.first ? j : sums->live.first;
        struct ttzo_columns four = { input + j, h->nr };
        struct ttzo_range live = ttzo_live_range(four, h->nl, n);
        four.at += live.first * four.step;
        ttzo_column_product(middle + j * step, step, four,
                            (struct ttzo_columns){ left.at + live.first * left.step, left.step }, n,
                            live.end - live.first, ranks * h->ml, false);
        done += ranks * h->ml * ((j + n < sums->live.end ? j + n : sums->live.end) - first) * (live.end - live.first);
    }
    return done;
}

// `middle` becomes x' . L of each r.
static uint32_t make_middle(const struct ttzo_layer_cache *cache, const struct ttzo_halved_sums *sums)
{
    const struct ttzo_halves *h = &sums->halves;
    const float *input = cache->input.numbers;
    uint32_t done = 0;
    if (sums->left_lines)
        return contract_input(sums, (struct ttzo_columns){ sums->left_lines, h->rank * h->ml }, input, sums->middle,
                              h->rank);
    for (uint32_t r = 0; r < h->rank; r++) {
        lay_left(h, r, cache->panels, h->ml);
        done += contract_input(sums, (struct ttzo_columns){ cache->panels, h->ml }, input, sums->middle + r * h->ml, 1);
    }
    return done;
}

uint32_t ttzo_halved_sums_forward(const struct ttzo_layer_cache *cache)
{
    struct ttzo_halved_sums *sums = cache->states.numbers;
    const struct ttzo_halves *h = &sums->halves;
    uint32_t outputs = h->ml * h->mr, step = h->rank * h->ml, n, first;
    float *z = cache->z;
    sums->live = live_columns(cache->input.numbers, h->nl, h->nr);
    first = sums->live.first, n = sums->live.end - first;
    for (uint32_t i = 0; i < outputs; i++)
        z[i] = sums->bias ? sums->bias[i] : 0.0f;
    if (n == 0)
        return 0;
    uint32_t done = make_middle(cache, sums);
    for (uint32_t r = 0; r < h->rank; r++) {
        const float *right = sums->right_lines ? sums->right_lines + r * h->mr * h->nr : cache->panels;
        if (!sums->right_lines)
            lay_right(h, r, cache->panels);
        ttzo_column_product(z, h->mr, (struct ttzo_columns){ sums->middle + first * step + r * h->ml, step },
                            (struct ttzo_columns){ right + first * h->mr, h->mr }, h->ml, n, h->mr, true);
    }
    return done + h->rank * outputs * n;
}

// Adds to the right half's derivative: of each r, x' . L . D.
static uint32_t add_to_right(const struct ttzo_halved_sums *sums, const float *differences, float *lines)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range rows = widened(sums->live, h->nr);
    uint32_t n = rows.end - rows.first, step = h->rank * h->ml;
    for (uint32_t r = 0; r < h->rank; r++) {
        ttzo_lay_columns(lines, n, (struct ttzo_operand){ sums->middle + rows.first * step + r * h->ml, step, 1 }, n,
                         h->ml);
        ttzo_column_product(sums->right + (r * h->nr + rows.first) * h->mr, h->mr, (struct ttzo_columns){ lines, n },
                            (struct ttzo_columns){ differences, h->mr }, n, h->ml, h->mr, true);
    }
    return step * h->mr * (sums->live.end - sums->live.first);
}

// R' . D' of each r [nr][r][ml], for D' [mr][ml], in the place of x' . L.
static uint32_t contract_differences(const struct ttzo_halved_sums *sums, const float *lines)
{
    const struct ttzo_halves *h = &sums->halves;
    struct ttzo_range rows = widened(sums->live, h->nr);
    uint32_t step = h->rank * h->ml;
    const float *right = h->right + rows.first;
    float *out = sums->middle + rows.first * step;
    for (uint32_t r = 0; r < h->rank; r++, right += h->mr * h->nr, out += h->ml)
        ttzo_column_product(out, step, (struct ttzo_columns){ right, h->nr }, (struct ttzo_columns){ lines, h->ml },
                            rows.end - rows.first, h->mr, h->ml, false);
    return step * h->mr * (sums->live.end - sums->live.first);
}

// Adds to the left half's derivative: of each r, x . R' . D', four lines nl of the input at a time.
static uint32_t add_to_left(const struct ttzo_halved_sums *sums, const float *input, float *four)
{
    const struct ttzo_halves *h = &sums->halves;
    uint32_t from = sums->live.first, n = sums->live.end - from, step = h->rank * h->ml, done = 0;
    for (uint32_t j = 0; j < h->nl; j += 4, input += 4 * h->nr) {
        uint32_t lines = at_most_4(h->nl - j);
        ttzo_lay_columns(four, lines, (struct ttzo_operand){ input + from, h->nr, 1 }, lines, n);
        struct ttzo_range live = ttzo_live_range((struct ttzo_columns){ four, lines }, n, lines);
        uint32_t length = live.end - live.first;
        if (length)
            ttzo_column_product(sums->left + j * step, step, (struct ttzo_columns){ four + live.first * lines, lines },
                                (struct ttzo_columns){ sums->middle + (from + live.first) * step, step }, lines, length,
                                step, true);
        done += step * lines * length;
    }
    return done;
}

uint32_t ttzo_halved_sums_add(const struct ttzo_layer_cache *cache, const float *differences)
{
    const struct ttzo_halved_sums *sums = cache->states.numbers;
    const struct ttzo_halves *h = &sums->halves;
    if (sums->live.end == 0)
        return 0;
    uint32_t done = add_to_right(sums, differences, cache->panels);
    ttzo_lay_columns(cache->panels, h->ml, (struct ttzo_operand){ differences, h->mr, 1 }, h->ml, h->mr);
    done += contract_differences(sums, cache->panels);
    return done + add_to_left(sums, cache->input.numbers, cache->panels);
}

// ---- the end of a step ----------------------------------------------------------------------------------------------

void ttzo_halved_sums_finish(const struct ttzo_layer_cache *cache, float *left, float *right)
{
    const struct ttzo_halved_sums *sums = cache->states.numbers;
    const struct ttzo_halves *h = &sums->halves;
    uint32_t step = h->rank * h->ml;
    for (uint32_t i = 0; i < h->ml; i++)
        for (uint32_t j = 0; j < h->nl; j++)
            for (uint32_t r = 0; r < h->rank; r++)
                *left++ = sums->left[j * step + r * h->ml + i];
    for (uint32_t r = 0; r < h->rank; r++, right += h->mr * h->nr)
        ttzo_lay_columns(right, h->nr, (struct ttzo_operand){ sums->right + r * h->mr * h->nr, h->mr, 1 }, h->nr,
                         h->mr);
}
