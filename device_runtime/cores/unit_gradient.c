// SPDX-License-Identifier: MIT
#include "cores/unit_gradient.h"

#include "cores/halved_sums.h"
#include "model/carve.h"
#include "network/panels.h"
#include "number/real.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

static uint64_t product_of(uint32_t a, uint32_t b, uint32_t c)
{
    return (uint64_t)a * b * c;
}

enum ttzo_assembled ttzo_assembled_by(const struct ttzo_layer *layer, bool keeps_matrix)
{
    if (keeps_matrix)
        return TTZO_BY_MATRIX;
    struct ttzo_halves h = ttzo_halves_shape(layer);
    uint64_t numbers = product_of(h.ml, h.nl, h.rank) + product_of(h.mr, h.nr, h.rank);
    return numbers <= TTZO_MAX_MATRIX ? TTZO_BY_HALVES : TTZO_BY_SLICES;
}

static void need_panels(uint64_t *most, uint32_t rows, uint32_t inner)
{
    uint64_t numbers = (((uint64_t)rows + 3u) / 4u * 4u + 4u) * inner;
    *most = numbers > *most ? numbers : *most;
}

// A product P[q][m][n][t] = sum over r of A[q][n][r] B[r][m][t]: that of one half and one core, or of both halves. Number
// (q, m, n, t) of it stands at (q m) * line + n * outer + t * inner.
struct factors {
    uint32_t q, m, n, t, r;
    uint32_t line, outer, inner;
};

static struct factors factors(uint32_t q, uint32_t m, uint32_t n, uint32_t t, uint32_t r)
{
    return (struct factors){ q, m, n, t, r, n * t, t, 1 };
}

static void need_factors(uint64_t *most, struct factors f)
{
    need_panels(most, f.r, f.n);
    need_panels(most, f.n, f.t);
}

// The product before core k, of the one before core k - 1 and that core.
static struct factors factors_before(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k - 1);
    struct ttzo_core core = ttzo_layer_core_shape(layer, k - 1);
    return factors(e.ml, core.m, e.nl, core.n * core.right, core.left);
}

// The product after core k, of core k + 1 and the one after that.
static struct factors factors_after(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k + 1);
    struct ttzo_core core = ttzo_layer_core_shape(layer, k + 1);
    return factors(core.left * core.m, e.mr, core.n, e.nr, core.right);
}

// Of the sums by matrix, [nl][nr][ml][mr].
static struct factors factors_of_matrix(const struct ttzo_halves *h)
{
    return (struct factors){ h->ml, h->mr, h->nl, h->nr, h->rank, 1, h->nr * h->ml * h->mr, h->ml * h->mr };
}

// By matrix: what adds up over the samples.
struct sums {
    float *left;   // [ml][nl][r], scratch
    float *matrix; // [in_features][out_features]
};

static void carve_sums(struct sums *sums, const struct ttzo_layer *layer, struct ttzo_carve *carve)
{
    struct ttzo_halves h = ttzo_halves_shape(layer);
    sums->left = ttzo_take_even(carve, product_of(h.ml, h.nl, h.rank));
    sums->matrix = ttzo_take_even(carve, product_of(layer->in_features, layer->out_features, 1));
}

uint64_t ttzo_sums_numbers(const struct ttzo_layer *layer, enum ttzo_assembled by)
{
    struct sums sums;
    struct ttzo_carve carve = { NULL, 0 };
    if (by == TTZO_BY_SLICES || ttzo_layer_length(layer) == 1)
        return 0;
    struct ttzo_halves h = ttzo_halves_shape(layer);
    if (by == TTZO_BY_HALVES)
        return ttzo_halved_sums_numbers(&h);
    carve_sums(&sums, layer, &carve);
    return carve.numbers;
}

uint64_t ttzo_sums_panels(const struct ttzo_layer *layer, enum ttzo_assembled by)
{
    uint32_t length = ttzo_layer_length(layer);
    uint64_t most = ttzo_matrix_panels(layer);
    if (by == TTZO_BY_SLICES || length == 1)
        return most;
    struct ttzo_halves h = ttzo_halves_shape(layer);
    uint32_t split = ttzo_matrix_split(layer);
    if (by == TTZO_BY_MATRIX)
        need_factors(&most, factors_of_matrix(&h));
    else if (ttzo_halved_sums_panels(&h) > most)
        most = ttzo_halved_sums_panels(&h);
    for (uint32_t k = split; k >= 2; k--)
        need_factors(&most, factors_before(layer, k));
    for (uint32_t k = split - 1; k + 2 < length; k++)
        need_factors(&most, factors_after(layer, k));
    return most;
}

static struct sums sums_of(const struct ttzo_layer_cache *cache)
{
    struct sums sums = { 0 };
    struct ttzo_carve carve = { cache->states.numbers, 0 };
    carve_sums(&sums, cache->layer, &carve);
    return sums;
}

// ---- products -------------------------------------------------------------------------------------------------------

// The summed indices of a panel at which its four lines are not all zero lie in [first, end).
struct range {
    uint32_t first, end;
};

static bool is_zero(const float *four)
{
    return four[0] == 0.0f && four[1] == 0.0f && four[2] == 0.0f && four[3] == 0.0f;
}

static struct range live_range(const float *panel, uint32_t inner)
{
    struct range live = { 0, inner };
    while (live.end > 0 && is_zero(panel + 4 * (live.end - 1)))
        live.end--;
    while (live.first < live.end && is_zero(panel + 4 * live.first))
        live.first++;
    return live;
}

// out[rows, columns] = start + left . right, rows `stride` apart; what is zero in four lines of `right` at the ends of
// the summed index is left out. `start` may be out; NULL means zeros.
static uint32_t multiply(float *out, uint32_t stride, const float *start, struct ttzo_operand left, uint32_t rows,
                         struct ttzo_operand right, uint32_t columns, uint32_t inner, float *panels)
{
    float *four = panels + ttzo_panel_numbers(rows, inner);
    uint32_t done = 0;
    ttzo_pack_panels(panels, left, rows, inner);
    for (uint32_t j = 0; j < columns; j += 4, right.at += 4 * right.outer) {
        uint32_t n = columns - j < 4 ? columns - j : 4, at_once = rows;
        ttzo_pack_panels(four, right, n, inner);
        struct range live = live_range(four, inner);
        if (live.end == 0 && start == out)
            continue;
        if (live.end - live.first < inner)
            at_once = 4; // what is left out parts the panels of `left`
        for (uint32_t i = 0; i < rows; i += at_once)
            ttzo_multiply_panels(out + i * stride + j, stride, start ? start + i * stride + j : NULL,
                                 panels + i * inner + 4 * live.first, four + 4 * live.first,
                                 rows - i < at_once ? rows - i : at_once, live.end - live.first, n);
        done += rows * n * (live.end - live.first);
    }
    return done;
}

// dA[q][n][r] = sum over m, t of P[q][m][n][t] B[r][m][t]
static uint32_t first_factor(struct factors f, const float *product, const float *second, float *out, float *panels)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < f.q; i++, out += f.n * f.r)
        for (uint32_t m = 0; m < f.m; m++, product += f.line)
            done += multiply(out, f.r, m ? out : NULL, (struct ttzo_operand){ product, f.outer, f.inner }, f.n,
                             (struct ttzo_operand){ second + m * f.t, f.m * f.t, 1 }, f.r, f.t, panels);
    return done;
}

// dB[r][m][t] = sum over q, n of A[q][n][r] P[q][m][n][t]
static uint32_t second_factor(struct factors f, const float *product, const float *first, float *out, float *panels)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < f.q; i++, first += f.n * f.r)
        for (uint32_t m = 0; m < f.m; m++, product += f.line)
            done += multiply(out + m * f.t, f.m * f.t, i ? out + m * f.t : NULL, (struct ttzo_operand){ first, 1, f.r },
                             f.r, (struct ttzo_operand){ product, f.inner, f.outer }, f.t, f.n, panels);
    return done;
}

// ---- a sample -------------------------------------------------------------------------------------------------------

void ttzo_sums_begin(const struct ttzo_layer_cache *cache)
{
    uint64_t numbers = ttzo_sums_numbers(cache->layer, (enum ttzo_assembled)cache->assembled);
    float *sums = cache->states.numbers;
    if (cache->assembled == TTZO_BY_HALVES) {
        ttzo_halved_sums_begin(cache);
        return;
    }
    for (uint64_t i = 0; i < numbers; i++)
        sums[i] = 0.0f;
}

static const float *inputs_of(const struct ttzo_layer_cache *cache)
{
    return cache->input.numbers;
}

static const float *bias_of(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_layer *layer = cache->layer;
    return layer->has_bias ? cache->parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL;
}

// Inputs that are not zero, of so many at a time.
#define CHUNK 64u
struct live {
    const float *input; // number 0 of the chunk
    uint32_t n;
    uint16_t at[CHUNK];
};

static void list_live(struct live *live, const float *input, uint32_t n)
{
    uint16_t *at = live->at;
    live->input = input;
    for (uint32_t i = 0; i < n; i++)
        if (ttzo_size_bits(input[i]) != 0)
            *at++ = (uint16_t)i;
    live->n = (uint32_t)(at - live->at);
}

// A matrix of these steps from input to input and from output to output. Four neighbouring outputs, or one, of z += W x:
// chains over the listed inputs.
struct steps {
    uint32_t in, out;
};

static inline void add_inputs_to_four(float *z, const struct live *live, const float *weights, struct steps steps)
{
    float s0 = z[0], s1 = z[1], s2 = z[2], s3 = z[3];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        const float *w = weights + *at * steps.in;
        float x = live->input[*at];
        s0 = TTZO_MULADD(w[0], x, s0), s1 = TTZO_MULADD(w[steps.out], x, s1);
        s2 = TTZO_MULADD(w[2 * steps.out], x, s2), s3 = TTZO_MULADD(w[3 * steps.out], x, s3);
    }
    z[0] = s0, z[1] = s1, z[2] = s2, z[3] = s3;
}

// The same for eight outputs that lie side by side.
static void add_inputs_to_eight(float *z, const struct live *live, const float *weights, uint32_t in_step)
{
    float s0 = z[0], s1 = z[1], s2 = z[2], s3 = z[3], s4 = z[4], s5 = z[5], s6 = z[6], s7 = z[7];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        const float *w = weights + *at * in_step;
        float x = live->input[*at];
        s0 = TTZO_MULADD(w[0], x, s0), s1 = TTZO_MULADD(w[1], x, s1);
        s2 = TTZO_MULADD(w[2], x, s2), s3 = TTZO_MULADD(w[3], x, s3);
        s4 = TTZO_MULADD(w[4], x, s4), s5 = TTZO_MULADD(w[5], x, s5);
        s6 = TTZO_MULADD(w[6], x, s6), s7 = TTZO_MULADD(w[7], x, s7);
    }
    z[0] = s0, z[1] = s1, z[2] = s2, z[3] = s3, z[4] = s4, z[5] = s5, z[6] = s6, z[7] = s7;
}

// The same for two outputs that lie side by side.
static void add_inputs_to_two(float *z, const struct live *live, const float *weights, uint32_t in_step)
{
    float s0 = z[0], s1 = z[1];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        const float *w = weights + *at * in_step;
        float x = live->input[*at];
        s0 = TTZO_MULADD(w[0], x, s0), s1 = TTZO_MULADD(w[1], x, s1);
    }
    z[0] = s0, z[1] = s1;
}

static void add_inputs(float *z, const struct live *live, const float *weights, struct steps steps)
{
    float sum = *z;
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++)
        sum = TTZO_MULADD(weights[*at * steps.in], live->input[*at], sum);
    *z = sum;
}

// The same for W += D x.
static inline void add_to_four(float *matrix, const struct live *live, const float *differences, struct steps steps)
{
    float d0 = differences[0], d1 = differences[1], d2 = differences[2], d3 = differences[3];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        float x = live->input[*at], *w = matrix + *at * steps.in;
        float *w1 = w + steps.out, *w2 = w1 + steps.out, *w3 = w2 + steps.out;
        *w = TTZO_MULADD(d0, x, *w), *w1 = TTZO_MULADD(d1, x, *w1);
        *w2 = TTZO_MULADD(d2, x, *w2), *w3 = TTZO_MULADD(d3, x, *w3);
    }
}

static void add_to_eight(float *matrix, const struct live *live, const float *differences, uint32_t in_step)
{
    float d0 = differences[0], d1 = differences[1], d2 = differences[2], d3 = differences[3];
    float d4 = differences[4], d5 = differences[5], d6 = differences[6], d7 = differences[7];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        float x = live->input[*at], *w = matrix + *at * in_step;
        w[0] = TTZO_MULADD(d0, x, w[0]), w[1] = TTZO_MULADD(d1, x, w[1]);
        w[2] = TTZO_MULADD(d2, x, w[2]), w[3] = TTZO_MULADD(d3, x, w[3]);
        w[4] = TTZO_MULADD(d4, x, w[4]), w[5] = TTZO_MULADD(d5, x, w[5]);
        w[6] = TTZO_MULADD(d6, x, w[6]), w[7] = TTZO_MULADD(d7, x, w[7]);
    }
}

static void add_to_two(float *matrix, const struct live *live, const float *differences, uint32_t in_step)
{
    float d0 = differences[0], d1 = differences[1];
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++) {
        float x = live->input[*at], *w = matrix + *at * in_step;
        w[0] = TTZO_MULADD(d0, x, w[0]), w[1] = TTZO_MULADD(d1, x, w[1]);
    }
}

static void add_to_one(float *matrix, const struct live *live, float difference, struct steps steps)
{
    for (const uint16_t *at = live->at, *end = at + live->n; at != end; at++)
        matrix[*at * steps.in] = TTZO_MULADD(difference, live->input[*at], matrix[*at * steps.in]);
}

// Steps of a dense layer's weights and of their derivatives, or of another layer's matrix and its sums.
static struct steps steps_of(const struct ttzo_layer *layer)
{
    return ttzo_layer_length(layer) == 1 ? (struct steps){ 1, layer->in_features }
                                         : (struct steps){ layer->out_features, 1 };
}

static uint32_t forward_by_matrix(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_layer *layer = cache->layer;
    const float *bias = bias_of(cache), *input = inputs_of(cache);
    uint32_t inputs = layer->in_features, outputs = layer->out_features, done = 0;
    const struct steps steps = steps_of(layer);
    const float *matrix = ttzo_layer_length(layer) == 1 ? cache->parameters : cache->matrix;
    float *z = cache->z;
    for (uint32_t o = 0; o < outputs; o++)
        z[o] = bias ? bias[o] : 0.0f;
    for (uint32_t first = 0; first < inputs; first += CHUNK) {
        const float *weights = matrix + first * steps.in;
        struct live live;
        uint32_t o = 0;
        list_live(&live, input + first, inputs - first < CHUNK ? inputs - first : CHUNK);
        for (; steps.out == 1 && o + 8 <= outputs; o += 8)
            add_inputs_to_eight(z + o, &live, weights + o, steps.in);
        for (; o + 4 <= outputs; o += 4)
            if (steps.out == 1)
                add_inputs_to_four(z + o, &live, weights + o, (struct steps){ steps.in, 1 });
            else
                add_inputs_to_four(z + o, &live, weights + o * steps.out, (struct steps){ 1, steps.out });
        for (; steps.out == 1 && o + 2 <= outputs; o += 2)
            add_inputs_to_two(z + o, &live, weights + o, steps.in);
        for (; o < outputs; o++)
            add_inputs(z + o, &live, weights + o * steps.out, steps);
        done += outputs * live.n;
    }
    return done;
}

uint32_t ttzo_sums_forward(const struct ttzo_layer_cache *cache)
{
    return cache->assembled == TTZO_BY_HALVES ? ttzo_halved_sums_forward(cache) : forward_by_matrix(cache);
}

static uint32_t add_to_matrix(const struct ttzo_layer *layer, const float *input, const float *differences,
                              float *matrix)
{
    uint32_t inputs = layer->in_features, outputs = layer->out_features, done = 0;
    const struct steps steps = steps_of(layer);
    for (uint32_t first = 0; first < inputs; first += CHUNK) {
        float *sums = matrix + first * steps.in;
        struct live live;
        uint32_t o = 0;
        list_live(&live, input + first, inputs - first < CHUNK ? inputs - first : CHUNK);
        for (; steps.out == 1 && o + 8 <= outputs; o += 8)
            add_to_eight(sums + o, &live, differences + o, steps.in);
        for (; o + 4 <= outputs; o += 4)
            if (steps.out == 1)
                add_to_four(sums + o, &live, differences + o, (struct steps){ steps.in, 1 });
            else
                add_to_four(sums + o * steps.out, &live, differences + o, (struct steps){ 1, steps.out });
        for (; steps.out == 1 && o + 2 <= outputs; o += 2)
            add_to_two(sums + o, &live, differences + o, steps.in);
        for (; o < outputs; o++)
            add_to_one(sums + o * steps.out, &live, differences[o], steps);
        done += outputs * live.n;
    }
    return done;
}

uint32_t ttzo_sums_add(const struct ttzo_layer_cache *cache, const float *differences, float *gradient)
{
    if (cache->assembled == TTZO_BY_HALVES)
        return ttzo_halved_sums_add(cache, differences);
    float *matrix = ttzo_layer_length(cache->layer) == 1 ? gradient : sums_of(cache).matrix;
    return add_to_matrix(cache->layer, inputs_of(cache), differences, matrix);
}

// ---- from halves to cores -------------------------------------------------------------------------------------------

// Where the derivative of a product goes: into the gradient where it is one core's, else in the product's own place.
static float *place_of(const struct ttzo_layer_cache *cache, enum ttzo_side side, uint32_t k, float *gradient)
{
    if (side == TTZO_BEFORE && k == 1)
        return gradient;
    if (side == TTZO_AFTER && k + 2 == ttzo_layer_length(cache->layer))
        return gradient + ttzo_layer_core(cache->layer, k + 1).offset;
    return ttzo_stored_product(cache, side, k);
}

// A product's derivative is where the product was; of its two factors, one is a core, and the other is no longer wanted
// when its own derivative takes its place.
static uint32_t derive_left(const struct ttzo_layer_cache *cache, uint32_t split, float *gradient)
{
    uint32_t done = 0;
    for (uint32_t k = split; k >= 2; k--) {
        struct factors f = factors_before(cache->layer, k);
        uint32_t offset = ttzo_layer_core(cache->layer, k - 1).offset;
        const float *product = ttzo_stored_product(cache, TTZO_BEFORE, k);
        done +=
            second_factor(f, product, ttzo_core_product(cache, TTZO_BEFORE, k - 1), gradient + offset, cache->panels);
        done += first_factor(f, product, cache->parameters + offset, place_of(cache, TTZO_BEFORE, k - 1, gradient),
                             cache->panels);
    }
    return done;
}

static uint32_t derive_right(const struct ttzo_layer_cache *cache, uint32_t split, float *gradient)
{
    uint32_t done = 0;
    for (uint32_t k = split - 1; k + 2 < ttzo_layer_length(cache->layer); k++) {
        struct factors f = factors_after(cache->layer, k);
        uint32_t offset = ttzo_layer_core(cache->layer, k + 1).offset;
        const float *product = ttzo_stored_product(cache, TTZO_AFTER, k);
        done += first_factor(f, product, ttzo_core_product(cache, TTZO_AFTER, k + 1), gradient + offset, cache->panels);
        done += second_factor(f, product, cache->parameters + offset, place_of(cache, TTZO_AFTER, k + 1, gradient),
                              cache->panels);
    }
    return done;
}

uint32_t ttzo_sums_finish(const struct ttzo_layer_cache *cache, float *gradient)
{
    enum ttzo_assembled by = (enum ttzo_assembled)cache->assembled;
    if (by == TTZO_BY_SLICES || ttzo_layer_length(cache->layer) == 1)
        return 0;
    const struct ttzo_halves h = ttzo_matrix_halves(cache);
    uint32_t split = ttzo_matrix_split(cache->layer), done = 0;
    float *left = place_of(cache, TTZO_BEFORE, split, gradient),
          *right = place_of(cache, TTZO_AFTER, split - 1, gradient);
    if (by == TTZO_BY_MATRIX) {
        const struct sums sums = sums_of(cache);
        struct factors f = factors_of_matrix(&h);
        done += first_factor(f, sums.matrix, h.right, sums.left, cache->panels);
        done += second_factor(f, sums.matrix, h.left, right, cache->panels);
        for (uint32_t i = 0; i < h.ml * h.nl * h.rank; i++)
            left[i] = sums.left[i];
    } else
        ttzo_halved_sums_finish(cache, left, right);
    return done + derive_left(cache, split, gradient) + derive_right(cache, split, gradient);
}
