// SPDX-License-Identifier: MIT
#include "equations/compensated_columns.h"

#include "equations/compensated.h"
#include "network/layers.h"
#include "network/merged_layer.h"

#define WIDTH TTZO_COMPENSATED_FLOATS
#define BLOCK 64u // summed indices whose weights are split at once

// ---- merged cores ---------------------------------------------------------------------------------------------------

// A core where two are taken together: the left one's rows by the right one's columns.
struct core_pair {
    uint32_t left_offset, right_offset; // in the layer's parameters
    uint32_t rows, inner, columns;
};

static struct core_pair pair_at(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core left = ttzo_layer_core(layer, k), right = ttzo_layer_core(layer, k + 1);
    return (struct core_pair){ left.offset, right.offset, left.left * left.m * left.n, left.right,
                               right.m * right.n * right.right };
}

// Numbers of core `k` and the next multiplied out; 0 where it is taken alone.
static uint32_t merged_size(const struct ttzo_layer *layer, uint32_t k)
{
    if (ttzo_cores_together(layer, k) < 2)
        return 0;
    struct core_pair pair = pair_at(layer, k);
    return pair.rows * pair.columns;
}

uint64_t ttzo_compensated_merged(const struct ttzo_layer *layer)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k += ttzo_cores_together(layer, k))
        numbers += 2 * (uint64_t)merged_size(layer, k);
    return numbers;
}

static struct ttzo_two_floats parameter(const float *at)
{
    return ttzo_two_floats_of(ttzo_lanes_of(*at), ttzo_lanes_of(0.0f));
}

static void put(float at[2], struct ttzo_two_floats x)
{
    at[0] = ttzo_lanes_first(x.head);
    at[1] = ttzo_lanes_first(x.tail);
}

// Heads [rows][columns], then tails.
static void multiply_out(const struct core_pair *pair, const float *parameters, float *merged)
{
    uint32_t size = pair->rows * pair->columns;
    const float *left = parameters + pair->left_offset;
    for (uint32_t i = 0; i < pair->rows; i++, left += pair->inner)
        for (uint32_t j = 0; j < pair->columns; j++, merged++) {
            const float *right = parameters + pair->right_offset + j;
            struct ttzo_sum total = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
            for (uint32_t k = 0; k < pair->inner; k++)
                total = ttzo_two_floats_muladd(parameter(left + k), parameter(right + k * pair->columns), total);
            struct ttzo_two_floats made = ttzo_rounded(total);
            merged[0] = ttzo_lanes_first(made.head);
            merged[size] = ttzo_lanes_first(made.tail);
        }
}

void ttzo_compensated_merge(const struct ttzo_layer *layer, const float *theta, float *merged)
{
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k += ttzo_cores_together(layer, k)) {
        uint32_t size = merged_size(layer, k);
        if (!size)
            continue;
        struct core_pair pair = pair_at(layer, k);
        multiply_out(&pair, theta + layer->parameter_offset, merged);
        merged += 2 * size;
    }
}

// ---- products -------------------------------------------------------------------------------------------------------

// A core: `outer` steps along the index that survives, `inner` along the summed one. Merged ones are heads and tails,
// others plain parameters.
struct weights {
    const float *at, *tails; // or NULL
    uint32_t outer, inner;
};

// Of two outputs at summed indices [k, k + n): [n][4], each the first's head and tail, then the second's.
static void split_weights(const struct weights *core, uint32_t first, uint32_t second, uint32_t k, uint32_t n,
                          float *out)
{
    const uint32_t at[2] = { first * core->outer + k * core->inner, second * core->outer + k * core->inner };
    for (uint32_t i = 0; i < n * core->inner; i += core->inner)
        for (uint32_t o = 0; o < 2; o++, out += 2) {
            out[0] = core->at[at[o] + i];
            if (core->tails)
                out[1] = core->tails[at[o] + i];
            else
                put(out, parameter(out));
        }
}

// Two outputs by two columns: four chains under way, which lie where their results will.
#if TTZO_LANES == 4

struct chains {
    struct ttzo_sum all;
};

static inline struct chains chains_at(const float *a, const float *b)
{
    return (struct chains){ { { a[0], a[1], b[0], b[1] }, { a[2], a[3], b[2], b[3] } } };
}

static inline void put_chains(float *a, float *b, struct chains s)
{
    for (uint32_t c = 0; c < 2; c++) {
        a[c] = s.all.sum[c];
        a[2 + c] = s.all.rest[c];
        b[c] = s.all.sum[2 + c];
        b[2 + c] = s.all.rest[2 + c];
    }
}

static inline struct chains rounded(struct chains s)
{
    struct ttzo_two_floats all = ttzo_rounded(s.all);
    return (struct chains){ { all.head, all.tail } };
}

static inline struct chains go_on(struct chains s, const float *w, const float *x)
{
    struct ttzo_two_floats weight = { { w[0], w[0], w[2], w[2] }, { w[1], w[1], w[3], w[3] } };
    struct ttzo_two_floats data = { { x[0], x[1], x[0], x[1] }, { x[2], x[3], x[2], x[3] } };
    return (struct chains){ ttzo_two_floats_muladd(weight, data, s.all) };
}

#else

struct chains {
    struct ttzo_sum a0, a1, b0, b1;
};

static inline struct chains chains_at(const float *a, const float *b)
{
    return (struct chains){ { a[0], a[2] }, { a[1], a[3] }, { b[0], b[2] }, { b[1], b[3] } };
}

static inline void put_chains(float *a, float *b, struct chains s)
{
    a[0] = s.a0.sum, a[1] = s.a1.sum, a[2] = s.a0.rest, a[3] = s.a1.rest;
    b[0] = s.b0.sum, b[1] = s.b1.sum, b[2] = s.b0.rest, b[3] = s.b1.rest;
}

static inline struct chains rounded(struct chains s)
{
    struct ttzo_two_floats a0 = ttzo_rounded(s.a0), a1 = ttzo_rounded(s.a1), b0 = ttzo_rounded(s.b0),
                           b1 = ttzo_rounded(s.b1);
    return (struct chains){ { a0.head, a0.tail }, { a1.head, a1.tail }, { b0.head, b0.tail }, { b1.head, b1.tail } };
}

static inline struct chains go_on(struct chains s, const float *w, const float *x)
{
    struct ttzo_two_floats a = { w[0], w[1] }, b = { w[2], w[3] }, x0 = { x[0], x[2] }, x1 = { x[1], x[3] };
    return (struct chains){ ttzo_two_floats_muladd(a, x0, s.a0), ttzo_two_floats_muladd(a, x1, s.a1),
                            ttzo_two_floats_muladd(b, x0, s.b0), ttzo_two_floats_muladd(b, x1, s.b1) };
}

#endif

// ---- layers ---------------------------------------------------------------------------------------------------------

// Once: outputs [rows][columns] of a core on the left, [columns][rows] of one on the right, features of `in` likewise.
// A last output without a neighbour is made twice.
static void contract(const struct ttzo_contraction *step, const struct weights *core, const float *in, float *out)
{
    static const float zeros[WIDTH];
    float weights[BLOCK * WIDTH];
    bool left = step->core_left;
    uint32_t n_core = left ? step->rows : step->columns, n_data = left ? step->columns : step->rows;
    uint32_t core_step = WIDTH * (left ? n_data : 1), data_step = WIDTH * (left ? 1 : n_core);
    uint32_t in_step = WIDTH * (left ? 1 : step->inner), summed_step = WIDTH * (left ? n_data : 1);
    for (uint32_t o = 0; o < n_core; o += 2) {
        uint32_t next = o + 1 < n_core ? o + 1 : o;
        for (uint32_t k = 0, n; k < step->inner; k += n) {
            float *a = out + o * core_step, *b = out + next * core_step;
            n = step->inner - k < BLOCK ? step->inner - k : BLOCK;
            split_weights(core, o, next, k, n, weights);
            for (uint32_t c = 0; c < n_data; c++, a += data_step, b += data_step) {
                struct chains chains = k ? chains_at(a, b) : chains_at(zeros, zeros);
                const float *x = in + c * in_step + k * summed_step, *w = weights, *end = weights + n * WIDTH;
                for (; w < end; w += WIDTH, x += summed_step)
                    chains = go_on(chains, w, x);
                put_chains(a, b, k + n < step->inner ? chains : rounded(chains));
            }
        }
    }
}

// The core of contraction `index` of the merged layer.
static struct weights weights_of(const struct ttzo_layer *layer, const float *parameters, const float *merged,
                                 const struct ttzo_contraction *step, uint32_t index)
{
    uint32_t k = 0, outer = step->core_outer_stride, inner = step->core_inner_stride;
    if (layer->kind != TTZO_LAYER_KIND_TT_TENSOR)
        return (struct weights){ parameters + step->core_offset, NULL, outer, inner };
    for (; index > 0; index--) {
        merged += 2 * merged_size(layer, k);
        k += ttzo_cores_together(layer, k);
    }
    uint32_t size = merged_size(layer, k);
    if (size)
        return (struct weights){ merged, merged + size, outer, inner };
    return (struct weights){ parameters + ttzo_layer_core(layer, k).offset, NULL, outer, inner };
}

static void add_bias(const float *bias, float *columns, uint32_t n)
{
    for (uint32_t o = 0; o < n; o++, columns += WIDTH) {
        struct ttzo_sum value = { ttzo_lanes_of(columns[0]), ttzo_lanes_of(columns[2]) };
        struct ttzo_two_floats made = ttzo_rounded(ttzo_plus(value, ttzo_lanes_of(bias[o])));
        columns[0] = ttzo_lanes_first(made.head);
        columns[2] = ttzo_lanes_first(made.tail);
    }
}

void ttzo_compensated_forward(const struct ttzo_layer *layer, const float *theta, const float *merged,
                              float *const buffers[2], uint32_t *current, bool has_value)
{
    struct ttzo_layer taken = ttzo_merged_layer(layer);
    const float *parameters = theta + layer->parameter_offset;
    uint32_t length = ttzo_layer_length(&taken);
    for (uint32_t index = 0; index < length; index++, *current = 1 - *current) {
        struct ttzo_contraction step = ttzo_layer_contraction(&taken, index);
        struct weights core = weights_of(layer, parameters, merged, &step, index);
        const float *in = buffers[*current];
        float *out = buffers[1 - *current];
        for (uint32_t repeat = 0; repeat < step.repeats; repeat++) {
            contract(&step, &core, in, out);
            in += WIDTH * step.inner * (step.core_left ? step.columns : step.rows);
            out += WIDTH * step.rows * step.columns;
        }
    }
    if (has_value && layer->has_bias)
        add_bias(parameters + ttzo_layer_parameters(layer) - layer->out_features, buffers[*current],
                 layer->out_features);
}
