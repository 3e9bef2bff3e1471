// SPDX-License-Identifier: MIT
#include "equations/compensated_columns.h"

#include "equations/compensated.h"
#include "equations/compensated_tile.h"
#include "network/layers.h"
#include "network/merged_layer.h"

#define WIDTH TTZO_COMPENSATED_FLOATS
#define BLOCK 64u // summed indices whose weights are split at once
#define INLINED static inline __attribute__((always_inline))

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

// A float: what lies below its head, exactly.
static inline struct ttzo_two_floats parameter(ttzo_lanes number)
{
    ttzo_lanes head = ttzo_head(number);
    return (struct ttzo_two_floats){ head, number - head };
}

static void put(float at[2], struct ttzo_two_floats x)
{
    at[0] = ttzo_lanes_first(x.head);
    at[1] = ttzo_lanes_first(x.tail);
}

// [rows][columns][2]: heads and tails. Two rows of the left core at a time, so that the right one's numbers are split once
// for both.
static void multiply_out(const struct core_pair *pair, const float *parameters, float *merged)
{
    const float *left = parameters + pair->left_offset;
    for (uint32_t i = 0; i < pair->rows; i += 2) {
        uint32_t next = i + 1 < pair->rows ? i + 1 : i;
        const float *a = left + i * pair->inner, *b = left + next * pair->inner;
        float *of_a = merged + 2 * i * pair->columns, *of_b = merged + 2 * next * pair->columns;
        for (uint32_t j = 0; j < pair->columns; j++, of_a += 2, of_b += 2) {
            const float *right = parameters + pair->right_offset + j;
            struct ttzo_sum one = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) }, other = one;
            for (uint32_t k = 0; k < pair->inner; k++, right += pair->columns) {
                struct ttzo_two_floats number = parameter(ttzo_lanes_of(*right));
                one = ttzo_two_floats_muladd(parameter(ttzo_lanes_of(a[k])), number, one);
                other = ttzo_two_floats_muladd(parameter(ttzo_lanes_of(b[k])), number, other);
            }
            put(of_a, ttzo_rounded(one));
            put(of_b, ttzo_rounded(other));
        }
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

// A core: `outer` steps along the index that survives, `inner` along the summed one, in numbers. Those of a merged core
// are heads and tails, others plain parameters.
struct weights {
    const float *at;
    bool are_split;
    uint32_t outer, inner;
};

// Of outputs `first` and `second` at all summed indices: [n][4], each the first's head and tail, then the second's.
static void split_weights(const struct weights *core, uint32_t first, uint32_t second, uint32_t n, float *out)
{
    const float *a = core->at + first * core->outer, *b = core->at + second * core->outer;
    for (; n > 0; n--, a += core->inner, b += core->inner, out += WIDTH) {
        put(out, parameter(ttzo_lanes_of(*a)));
        put(out + 2, parameter(ttzo_lanes_of(*b)));
    }
}

// Weights of two outputs and a column's features, on their way along the summed index.
struct factors {
    const float *a, *b, *x;
    uint32_t weight_step, feature_step;
};

static inline void next_factors(struct factors *f)
{
    f->a += f->weight_step;
    f->b += f->weight_step;
    f->x += f->feature_step;
}

// x y as the beginning of a sum: ttzo_two_floats_muladd's at zero, where nothing is lost.
static inline struct ttzo_sum begin_sum(struct ttzo_two_floats x, struct ttzo_two_floats y)
{
    return (struct ttzo_sum){ x.head * y.head + 0.0f, TTZO_MULADD(ttzo_two_floats_whole(x), y.tail, x.tail * y.head) };
}

// Which of two outputs and two columns are made, and whether weights are plain numbers; known where the loops are compiled.
struct extent {
    bool both_outputs, both_columns, is_plain;
};

// Two outputs by two columns: four chains under way.
#if TTZO_LANES == 4

struct chains {
    struct ttzo_sum all;
};

static inline void put_chains(float *a, float *b, struct chains s, struct extent made)
{
    (void)made;
    for (uint32_t c = 0; c < 2; c++) {
        a[c] = s.all.sum[c];
        a[2 + c] = s.all.rest[c];
        b[c] = s.all.sum[2 + c];
        b[2 + c] = s.all.rest[2 + c];
    }
}

static inline struct chains rounded(struct chains s, struct extent made)
{
    (void)made;
    struct ttzo_two_floats all = ttzo_rounded(s.all);
    return (struct chains){ { all.head, all.tail } };
}

static inline struct ttzo_two_floats weights_at(const struct factors *f, struct extent made)
{
    if (made.is_plain)
        return parameter((ttzo_lanes){ f->a[0], f->a[0], f->b[0], f->b[0] });
    return (struct ttzo_two_floats){ { f->a[0], f->a[0], f->b[0], f->b[0] }, { f->a[1], f->a[1], f->b[1], f->b[1] } };
}

static inline struct ttzo_two_floats features_at(const struct factors *f)
{
    const float *x = f->x;
    return (struct ttzo_two_floats){ { x[0], x[1], x[0], x[1] }, { x[2], x[3], x[2], x[3] } };
}

static inline struct chains begin(const struct factors *f, struct extent made)
{
    return (struct chains){ begin_sum(weights_at(f, made), features_at(f)) };
}

static inline struct chains go_on(struct chains s, const struct factors *f, struct extent made)
{
    return (struct chains){ ttzo_two_floats_muladd(weights_at(f, made), features_at(f), s.all) };
}

#else

struct chains {
    struct ttzo_sum a0, a1, b0, b1; // the last two only where there are both outputs
};

static inline void put_chains(float *a, float *b, struct chains s, struct extent made)
{
    a[0] = s.a0.sum, a[2] = s.a0.rest;
    if (made.both_columns)
        a[1] = s.a1.sum, a[3] = s.a1.rest;
    if (made.both_outputs)
        b[0] = s.b0.sum, b[2] = s.b0.rest;
    if (made.both_outputs && made.both_columns)
        b[1] = s.b1.sum, b[3] = s.b1.rest;
}

static inline struct ttzo_sum rounded_chain(struct ttzo_sum total)
{
    struct ttzo_two_floats made = ttzo_rounded(total);
    return (struct ttzo_sum){ made.head, made.tail };
}

static inline struct chains rounded(struct chains s, struct extent made)
{
    s.a0 = rounded_chain(s.a0);
    if (made.both_columns)
        s.a1 = rounded_chain(s.a1);
    if (made.both_outputs)
        s.b0 = rounded_chain(s.b0);
    if (made.both_outputs && made.both_columns)
        s.b1 = rounded_chain(s.b1);
    return s;
}

static inline struct ttzo_two_floats weight_at(const float *at, struct extent made)
{
    return made.is_plain ? parameter(*at) : (struct ttzo_two_floats){ at[0], at[1] };
}

INLINED struct chains begin(const struct factors *f, struct extent made)
{
    const struct ttzo_two_floats a = weight_at(f->a, made), b = weight_at(f->b, made), x0 = { f->x[0], f->x[2] },
                                 x1 = { f->x[1], f->x[3] };
    const struct ttzo_sum none = { 0.0f, 0.0f };
    return (struct chains){ begin_sum(a, x0), made.both_columns ? begin_sum(a, x1) : none,
                            made.both_outputs ? begin_sum(b, x0) : none,
                            made.both_outputs && made.both_columns ? begin_sum(b, x1) : none };
}

INLINED struct chains go_on(struct chains s, const struct factors *f, struct extent made)
{
    const struct ttzo_two_floats a = weight_at(f->a, made), b = weight_at(f->b, made), x0 = { f->x[0], f->x[2] },
                                 x1 = { f->x[1], f->x[3] };
    s.a0 = ttzo_two_floats_muladd(a, x0, s.a0);
    if (made.both_columns)
        s.a1 = ttzo_two_floats_muladd(a, x1, s.a1);
    if (made.both_outputs)
        s.b0 = ttzo_two_floats_muladd(b, x0, s.b0);
    if (made.both_outputs && made.both_columns)
        s.b1 = ttzo_two_floats_muladd(b, x1, s.b1);
    return s;
}

#endif

// One or two outputs at one of the data: sums of n products, rounded. Two products at a time: a sum and the one before it
// change registers.
INLINED void make_outputs(struct factors f, uint32_t n, float *a, float *b, struct extent made)
{
#if TTZO_HAS_COMPENSATED_TILE
    if (made.both_outputs && !made.is_plain) {
        ttzo_compensated_tile(f.a, f.weight_step, f.x, f.feature_step, n, a, b, made.both_columns);
        return;
    }
#endif
    struct chains s = begin(&f, made);
    for (n--; n >= 2; n -= 2) {
        next_factors(&f);
        s = go_on(s, &f, made);
        next_factors(&f);
        s = go_on(s, &f, made);
    }
    if (n) {
        next_factors(&f);
        s = go_on(s, &f, made);
    }
    put_chains(a, b, rounded(s, made), made);
}

// ---- layers ---------------------------------------------------------------------------------------------------------

// A contraction as its outputs are made: two of a core's at a time, each for all data.
struct passage {
    uint32_t n_data, inner;
    uint32_t output_step, data_step; // of the results
    uint32_t in_step, feature_step;  // of the features: from one output's to the next one's, and along the sum
};

// One or two outputs of a core with all data.
INLINED void contract_outputs(const struct passage *of, struct factors f, float *out, struct extent made)
{
    float *a = out, *b = made.both_outputs ? out + of->output_step : out;
    for (uint32_t c = of->n_data; c > 0; c--, f.x += of->in_step, a += of->data_step, b += of->data_step)
        make_outputs(f, of->inner, a, b, made);
}

// Weights that each meet one feature, or more of them than are split at once.
static void contract_plain(const struct passage *of, const struct weights *core, const float *in, float *out,
                           uint32_t n_core)
{
    struct factors f = { core->at, core->at + core->outer, in, core->inner, of->feature_step };
    for (; n_core >= 2; n_core -= 2, f.a += 2 * core->outer, f.b += 2 * core->outer, out += 2 * of->output_step)
        contract_outputs(of, f, out, (struct extent){ true, true, true });
    f.b = f.a;
    if (n_core)
        contract_outputs(of, f, out, (struct extent){ false, true, true });
}

static void contract_split(const struct passage *of, const struct weights *core, const float *in, float *out,
                           uint32_t n_core, bool both_columns)
{
    float split[BLOCK * WIDTH];
    for (uint32_t o = 0; o < n_core; o += 2, out += 2 * of->output_step) {
        bool both = o + 1 < n_core;
        const float *a = core->at + 2 * o * core->outer;
        struct factors f = { a, both ? a + 2 * core->outer : a, in, 2 * core->inner, of->feature_step };
        if (!core->are_split) {
            split_weights(core, o, both ? o + 1 : o, of->inner, split);
            f = (struct factors){ split, split + 2, in, WIDTH, of->feature_step };
        }
        if (both && both_columns)
            contract_outputs(of, f, out, (struct extent){ true, true, false });
        else if (both)
            contract_outputs(of, f, out, (struct extent){ true, false, false });
        else // of one column too: a kernel less
            contract_outputs(of, f, out, (struct extent){ false, true, false });
    }
}

// Once: outputs [rows][columns] of a core on the left, [columns][rows] of one on the right, features of `in` likewise.
static void contract(const struct ttzo_contraction *step, const struct weights *core, const float *in, float *out,
                     bool both_columns)
{
    bool left = step->core_left;
    uint32_t n_core = left ? step->rows : step->columns, n_data = left ? step->columns : step->rows;
    const struct passage of = { n_data,
                                step->inner,
                                WIDTH * (left ? n_data : 1),
                                WIDTH * (left ? 1 : n_core),
                                WIDTH * (left ? 1 : step->inner),
                                WIDTH * (left ? n_data : 1) };
    if (!core->are_split && (n_data == 1 || step->inner > BLOCK))
        contract_plain(&of, core, in, out, n_core);
    else
        contract_split(&of, core, in, out, n_core, both_columns);
}

// How far the contractions of a layer have come.
struct progress {
    uint32_t k;          // the next core
    const float *merged; // what of merged cores is not read yet
};

// The core of a layer's next contraction.
static struct weights next_weights(const struct ttzo_layer *layer, const float *parameters,
                                   const struct ttzo_contraction *step, struct progress *at)
{
    uint32_t outer = step->core_outer_stride, inner = step->core_inner_stride;
    if (layer->kind != TTZO_LAYER_KIND_TT_TENSOR)
        return (struct weights){ parameters + step->core_offset, false, outer, inner };
    struct weights core = { at->merged, true, outer, inner };
    uint32_t together = ttzo_cores_together(layer, at->k);
    if (together == 2)
        at->merged += 2 * step->inner * (step->core_left ? step->rows : step->columns);
    else
        core = (struct weights){ parameters + ttzo_layer_core(layer, at->k).offset, false, outer, inner };
    at->k += together;
    return core;
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
                              float *const buffers[2], uint32_t *current, bool has_value, bool both_columns)
{
    struct ttzo_layer taken = ttzo_merged_layer(layer);
    const float *parameters = theta + layer->parameter_offset;
    uint32_t length = ttzo_layer_length(&taken);
    struct progress at = { 0, merged };
    for (uint32_t index = 0; index < length; index++, *current = 1 - *current) {
        struct ttzo_contraction step = ttzo_layer_contraction(&taken, index);
        struct weights core = next_weights(layer, parameters, &step, &at);
        const float *in = buffers[*current];
        float *out = buffers[1 - *current];
        for (uint32_t repeat = 0; repeat < step.repeats; repeat++) {
            contract(&step, &core, in, out, both_columns);
            in += WIDTH * step.inner * (step.core_left ? step.columns : step.rows);
            out += WIDTH * step.rows * step.columns;
        }
    }
    if (has_value && layer->has_bias)
        add_bias(parameters + ttzo_layer_parameters(layer) - layer->out_features, buffers[*current],
                 layer->out_features);
}
