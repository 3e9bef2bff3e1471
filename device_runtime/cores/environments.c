// SPDX-License-Identifier: MIT
#include "cores/environments.h"

#include "model/carve.h"
#include "network/network.h"
#include "network/panels.h"
#include "network/tile.h"

// ---- slots: where arrays lie ----------------------------------------------------------------------------------------

// State k is the array that meets core k on the way forward: TT-matrix [nl][n][right_k][mr], 2L-way TT
// [ml][left_k][n][nr]. The first one on the way is the layer's input; all others are in slots.
//     2L-way TT   each in its own: slices of all cores ask for them
//     TT-matrix   those below the middle core each in its own. Those from the middle core on are only on the way: they
//     take turns in the
//                 first two slots. So do the arrays of the sweep from the left, when the states have been asked for.
static uint64_t state_size(const struct ttzo_layer *layer, uint32_t k, bool from_left)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    struct ttzo_core core = ttzo_layer_core_shape(layer, k);
    return from_left ? (uint64_t)e.ml * core.left * core.n * e.nr : (uint64_t)e.nl * core.n * core.right * e.mr;
}

static uint32_t slot_of_state(const struct ttzo_layer *layer, uint32_t k)
{
    uint32_t middle = ttzo_middle_core(layer);
    if (ttzo_is_tensor(layer))
        return k - 1;
    return k < middle ? k : middle == 1 ? (k - middle + 1) % 2 : (k - middle) % 2; // never that of the state before
}

static uint32_t slot_of_sweep(uint32_t k)
{
    return (k + 1) % 2;
}

static uint64_t slot_size(const struct ttzo_layer *layer, uint32_t slot)
{
    uint32_t length = ttzo_layer_length(layer);
    bool tensor = ttzo_is_tensor(layer);
    uint64_t largest = 0, size;
    for (uint32_t k = tensor ? 1 : 0; k + (tensor ? 0 : 1) < length; k++)
        if (slot_of_state(layer, k) == slot && (size = state_size(layer, k, tensor)) > largest)
            largest = size;
    for (uint32_t k = 1; !tensor && ttzo_middle_core(layer) < length && k < length; k++)
        if (slot_of_sweep(k) == slot && (size = state_size(layer, k, true)) > largest)
            largest = size;
    return largest;
}

static uint64_t numbers_before(const struct ttzo_layer *layer, uint32_t slot)
{
    uint64_t numbers = 0;
    for (uint32_t s = 0; s < slot; s++)
        numbers += ttzo_even(slot_size(layer, s));
    return numbers;
}

uint64_t ttzo_states_numbers(const struct ttzo_layer *layer)
{
    return numbers_before(layer, ttzo_layer_length(layer));
}

static struct ttzo_array slot(const struct ttzo_layer_cache *cache, uint32_t number)
{
    return ttzo_array_from(cache->states, (uint32_t)numbers_before(cache->layer, number));
}

bool ttzo_environment_sweeps(const struct ttzo_layer *layer)
{
    return !ttzo_is_tensor(layer) && ttzo_middle_core(layer) < ttzo_layer_length(layer);
}

bool ttzo_environment_sweep_begins(const struct ttzo_layer *layer, uint32_t k)
{
    return ttzo_environment_sweeps(layer) && k == ttzo_middle_core(layer);
}

// After what the first step forward writes; the sweep's first array is in slot 0, and no state is needed any more.
uint64_t ttzo_environment_input_place(const struct ttzo_layer *layer)
{
    return numbers_before(layer, slot_of_state(layer, ttzo_layer_length(layer) - 2u) + 1);
}

// Below the middle core the states of the cores before it have been asked for; from the middle core on only one array
// counts.
struct ttzo_span ttzo_environment_spare(const struct ttzo_layer *layer, uint32_t k)
{
    if (ttzo_is_tensor(layer))
        return (struct ttzo_span){ 0, 0 };
    if (k < ttzo_middle_core(layer))
        return (struct ttzo_span){ 0, numbers_before(layer, k) };
    if (slot_of_sweep(k) == 1)
        return (struct ttzo_span){ 0, numbers_before(layer, 1) };
    return (struct ttzo_span){ numbers_before(layer, 1), ttzo_states_numbers(layer) };
}

// ---- numbers of 16 bits ---------------------------------------------------------------------------------------------

// Rows of n numbers, of four in the strip, to rows of an array of 16-bit numbers.
static void narrow_rows(struct ttzo_array out, uint32_t out_stride, const float *strip, uint32_t rows, uint32_t n)
{
    int16_t *to = out.numbers;
    for (; rows; rows--, to += out_stride, strip += 4)
        for (uint32_t j = 0; j < n; j++)
            to[j] = ttzo_narrowed(strip[j]);
}

static void zero_rows(struct ttzo_array out, uint32_t stride, const float *start, uint32_t rows, uint32_t n)
{
    float *wide = out.numbers;
    int16_t *narrow = out.numbers;
    if (ttzo_is_narrow(out))
        for (uint32_t i = 0; i < rows * stride; i += stride)
            for (uint32_t j = i; j < i + n; j++)
                narrow[j] = start ? ttzo_narrowed(start[j]) : 0;
    else if (n == 4 && !start)
        for (; rows; rows--, wide += stride)
            *(struct ttzo_quad *)wide = (struct ttzo_quad){ { 0.0f } };
    else
        for (uint32_t i = 0; i < rows * stride; i += stride)
            for (uint32_t j = i; j < i + n; j++)
                wide[j] = start ? start[j] : 0.0f;
}

// ---- products -------------------------------------------------------------------------------------------------------

// Up to four columns of out[rows, stride] = start + left . right; arrays of 16 bits by way of a strip [rows][4].
static void multiply_into(struct ttzo_array out, uint32_t stride, const float *start, const float *left,
                          const float *right, uint32_t rows, uint32_t inner, uint32_t columns, float *strip)
{
    if (!ttzo_is_narrow(out)) {
        ttzo_multiply_panels(out.numbers, stride, start, left, right, rows, inner, columns);
        return;
    }
    for (uint32_t i = 0; start && i < rows; i++)
        for (uint32_t j = 0; j < columns; j++)
            strip[4 * i + j] = start[i * stride + j];
    ttzo_multiply_panels(strip, 4, start ? strip : NULL, left, right, rows, inner, 4);
    narrow_rows(out, stride, strip, rows, columns);
}

// Four lines from `at` on: the first, and those that stand so many numbers from it. False when all are zero.
static inline bool pack_four(float *panel, const void *in, uint32_t at, uint32_t inner, uint32_t stride,
                             uint32_t second, uint32_t third, uint32_t fourth, bool narrow)
{
    bool live = false;
    for (; inner; inner--, at += stride, panel += 4) {
        float v0 = ttzo_load(in, at, narrow), v1 = ttzo_load(in, at + second, narrow);
        float v2 = ttzo_load(in, at + third, narrow), v3 = ttzo_load(in, at + fourth, narrow);
        panel[0] = v0, panel[1] = v1, panel[2] = v2, panel[3] = v3;
        live |= v0 != 0.0f || v1 != 0.0f || v2 != 0.0f || v3 != 0.0f;
    }
    return live;
}

#if TTZO_COMPACT

// Lines that stand `apart` numbers apart: one loop for columns and rows.
static inline bool pack_lines_of(float *panel, const void *in, uint32_t at, uint32_t inner, uint32_t stride,
                                 uint32_t lines, uint32_t apart, bool narrow)
{
    uint32_t second = lines > 1 ? apart : 0, third = lines > 2 ? 2 * apart : 0, fourth = lines > 3 ? 3 * apart : 0;
    return pack_four(panel, in, at, inner, stride, second, third, fourth, narrow);
}

#define pack_columns_of(panel, in, at, inner, stride, columns, narrow)                                                 \
    pack_lines_of(panel, in, at, inner, stride, columns, 1, narrow)

#else

static inline bool pack_columns_of(float *panel, const void *in, uint32_t at, uint32_t inner, uint32_t stride,
                                   uint32_t columns, bool narrow)
{
    uint32_t second = columns > 1 ? 1 : 0, third = columns > 2 ? 2 : 0, fourth = columns > 3 ? 3 : 0;
    return pack_four(panel, in, at, inner, stride, second, third, fourth, narrow);
}

static inline bool pack_rows_of(float *panel, const void *in, uint32_t at, uint32_t inner, uint32_t rows, bool narrow)
{
    uint32_t second = rows > 1 ? inner : 0, third = rows > 2 ? 2 * inner : 0, fourth = rows > 3 ? 3 * inner : 0;
    return pack_four(panel, in, at, inner, 1, second, third, fourth, narrow);
}

#endif

static bool is_activated(struct ttzo_array in)
{
    return TTZO_HAS(NARROW) && in.activation != TTZO_ACTIVATION_IDENTITY;
}

// What an array means of n numbers of it; false when all are zero.
static bool activate(const struct ttzo_array *in, float *numbers, uint32_t n)
{
    bool live = false;
    ttzo_activate((enum ttzo_activation)in->activation, numbers, n);
    for (uint32_t i = 0; i < n; i++)
        live |= numbers[i] != 0.0f;
    return live;
}

typedef TTZO_SIZE_BITS __attribute__((may_alias)) any_bits;

// The same for four columns of floats.
static bool pack_four_columns(float *panel, const float *in, uint32_t inner, uint32_t stride)
{
    any_bits any = 0;
#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__OPTIMIZE__) // else registers are short
    __asm volatile("1: ldmia %[from], {r2-r5}\n stmia %[to]!, {r2-r5}\n orrs r2, r3\n orrs r4, r5\n orrs r2, r4\n"
                   "orr %[any], r2\n add %[from], %[step]\n subs %[n], #1\n bne 1b\n"
                   : [from] "+r"(in), [to] "+r"(panel), [any] "+r"(any), [n] "+r"(inner)
                   : [step] "r"(4 * stride)
                   : "r2", "r3", "r4", "r5", "cc", "memory");
#else
    const any_bits *from = (const any_bits *)(const void *)in;
    any_bits *to = (any_bits *)(void *)panel;
    for (; inner; inner--, from += stride, to += 4) {
        any_bits a = from[0], b = from[1], c = from[2], d = from[3];
        to[0] = a, to[1] = b, to[2] = c, to[3] = d;
        any |= a | b | c | d;
    }
#endif
    return any << 1 != 0; // a zero has at most a sign
}

// A panel of neighbouring columns of `in`, the last one again where there are fewer than four; false when all numbers
// are zero.
static bool pack_columns(float *panel, struct ttzo_array in, uint32_t at, uint32_t inner, uint32_t stride,
                         uint32_t columns)
{
    bool live = ttzo_is_narrow(in) ? pack_columns_of(panel, in.numbers, at, inner, stride, columns, true)
                : columns == 4     ? pack_four_columns(panel, (const float *)in.numbers + at, inner, stride)
                                   : pack_columns_of(panel, in.numbers, at, inner, stride, columns, false);
    return is_activated(in) ? activate(&in, panel, 4 * inner) : live;
}

// out[rows, columns] = start + core . in, for the core's panels; columns are left out four at a time where `in` is
// zero.
static uint32_t multiply_core(struct ttzo_array out, const float *start, const float *core, struct ttzo_array in,
                              uint32_t rows, uint32_t inner, uint32_t columns, float *panel)
{
    uint32_t done = 0;
    for (uint32_t j = 0; j < columns; j += 4) {
        uint32_t n = columns - j < 4 ? columns - j : 4;
        struct ttzo_array to = ttzo_array_from(out, j);
        if (pack_columns(panel, in, j, inner, columns, n)) {
            multiply_into(to, columns, start ? start + j : NULL, core, panel, rows, inner, n, panel + 4 * inner);
            done += rows * inner * n;
        } else
            zero_rows(to, columns, start ? start + j : NULL, rows, n);
    }
    return done;
}

// The same for neighbouring rows.
static bool pack_rows(float *panel, struct ttzo_array in, uint32_t at, uint32_t inner, uint32_t rows)
{
#if TTZO_COMPACT
    bool live = pack_lines_of(panel, in.numbers, at, inner, 1, rows, inner, ttzo_is_narrow(in));
#else
    bool live = ttzo_is_narrow(in) ? pack_rows_of(panel, in.numbers, at, inner, rows, true)
                                   : pack_rows_of(panel, in.numbers, at, inner, rows, false);
#endif
    return is_activated(in) ? activate(&in, panel, 4 * inner) : live;
}

// Rows of `in` that are multiplied at once where a contraction has one column, or its core stands on the right.
#define ROWS_AT_ONCE TTZO_ROWS_AT_ONCE

// The shape of such a product: out[rows, outputs] = in[rows, inner] . core.
struct by_rows {
    uint32_t rows, outputs;
};

static bool is_by_columns(const struct ttzo_contraction *step)
{
    return step->core_left && step->columns > 1;
}

static struct by_rows by_rows_of(const struct ttzo_contraction *step)
{
    return step->core_left ? (struct by_rows){ step->repeats, step->rows }
                           : (struct by_rows){ step->rows, step->columns };
}

static uint32_t multiply_rows(const struct ttzo_contraction *step, const float *core, struct ttzo_array in,
                              const float *start, float *lines, struct ttzo_array out)
{
    struct by_rows shape = by_rows_of(step);
    uint32_t inner = step->inner, outputs = shape.outputs, done = 0;
    float *strip = lines + ROWS_AT_ONCE * inner;
    for (uint32_t first = 0; first < shape.rows; first += ROWS_AT_ONCE) {
        uint32_t rows = shape.rows - first < ROWS_AT_ONCE ? shape.rows - first : ROWS_AT_ONCE;
        struct ttzo_array to = ttzo_array_from(out, first * outputs);
        const float *from = start ? start + first * outputs : NULL;
        bool live = false;
        for (uint32_t i = 0; i < rows; i += 4)
            live |= pack_rows(lines + i * inner, in, (first + i) * inner, inner, rows - i < 4 ? rows - i : 4);
        if (!live) {
            zero_rows(to, outputs, from, rows, outputs);
            continue;
        }
        for (uint32_t j = 0; j < outputs; j += 4)
            multiply_into(ttzo_array_from(to, j), outputs, from ? from + j : NULL, lines, core + j * inner, rows, inner,
                          outputs - j < 4 ? outputs - j : 4, strip);
        done += rows * inner * outputs;
    }
    return done;
}

static uint32_t contract(const struct ttzo_layer_cache *cache, const struct ttzo_contraction *step,
                         struct ttzo_array in, const float *bias, struct ttzo_array out)
{
    const float *entries = cache->parameters + step->core_offset;
    if (ttzo_layer_length(cache->layer) == 1)
        return ttzo_contract(step, entries, in.numbers, bias, out.numbers, true);
    uint32_t lines = step->core_left ? step->rows : step->columns, done = 0;
    float *operand = cache->panels + ttzo_panel_numbers(lines, step->inner);
    ttzo_pack_panels(cache->panels, (struct ttzo_operand){ entries, step->core_outer_stride, step->core_inner_stride },
                     lines, step->inner);
    if (!is_by_columns(step))
        return multiply_rows(step, cache->panels, in, bias, operand, out);
    for (uint32_t i = 0; i < step->repeats; i++)
        done += multiply_core(ttzo_array_from(out, i * step->rows * step->columns), bias, cache->panels,
                              ttzo_array_from(in, i * step->inner * step->columns), step->rows, step->inner,
                              step->columns, operand);
    return done;
}

uint64_t ttzo_environment_panels(const struct ttzo_layer *layer)
{
    uint64_t most = ttzo_matrix_panels(layer);
    bool sweeps = ttzo_environment_sweeps(layer);
    for (uint32_t k = 0; k < ttzo_layer_length(layer) && ttzo_layer_length(layer) > 1; k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        struct ttzo_core core = ttzo_layer_core(layer, k);
        uint32_t rows = core.m * core.right, inner = core.left * core.n;
        uint32_t lines = step.core_left ? step.rows : step.columns;
        uint64_t forward =
            ttzo_panel_numbers(lines, step.inner) + 4u * (uint64_t)step.inner + ttzo_panel_numbers(lines, 4);
        if (!is_by_columns(&step))
            forward = ttzo_panel_numbers(lines, step.inner) + ROWS_AT_ONCE * ((uint64_t)step.inner + 4u);
        uint64_t sweep = ttzo_panel_numbers(rows, inner) + 4u * (uint64_t)inner + ttzo_panel_numbers(rows, 4);
        most = forward > most ? forward : most;
        most = sweeps && k + 1 < ttzo_layer_length(layer) && sweep > most ? sweep : most;
    }
    return most;
}

// ---- a sample: forward, keeping states ------------------------------------------------------------------------------

uint32_t ttzo_environments_forward(const struct ttzo_layer_cache *cache)
{
    const struct ttzo_layer *layer = cache->layer;
    uint32_t length = ttzo_layer_length(layer), done = 0;
    struct ttzo_array in = cache->input;
    for (uint32_t index = 0; index < length; index++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
        bool last = index + 1 == length;
        uint32_t next = ttzo_is_tensor(layer) ? index + 1 : length - 2u - index;
        const float *bias =
            last && layer->has_bias ? cache->parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL;
        struct ttzo_array out = last ? ttzo_layer_cache_z(cache) : slot(cache, slot_of_state(layer, next));
        done += contract(cache, &step, in, bias, out);
        in = out;
    }
    return done;
}

// ---- a sample: sweeping from the left (TT-matrix) -------------------------------------------------------------------

// The core as panels of lines (m, b), summed over (a, n).
static void pack_core(float *panels, const float *entries, const struct ttzo_core *core)
{
    uint32_t lines = core->m * core->right, row = core->n * core->right, step = core->right;
    for (uint32_t line = 0; line < lines; line += 4) {
        const float *at[4];
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t one = line + i < lines ? line + i : line;
            at[i] = entries + one / core->right * row + one % core->right;
        }
        for (uint32_t left = 0; left < core->left; left++) {
            const float *a = at[0] + left * core->m * row, *b = a + (at[1] - at[0]);
            const float *c = a + (at[2] - at[0]), *d = a + (at[3] - at[0]);
            for (uint32_t n = core->n; n; n--, a += step, b += step, c += step, d += step, panels += 4)
                panels[0] = *a, panels[1] = *b, panels[2] = *c, panels[3] = *d;
        }
    }
}

// Array k+1 of the sweep, [ml][left_k+1][n][nr], from array k: [ml][m][b] . [n][nr], summed over (a, n) in that order.
static uint32_t sweep_core(const struct ttzo_layer_cache *cache, uint32_t k, struct ttzo_array in,
                           struct ttzo_array out)
{
    struct ttzo_extents e = ttzo_extents_around(cache->layer, k);
    struct ttzo_core core = ttzo_layer_core(cache->layer, k);
    uint32_t rows = core.m * core.right, inner = core.left * core.n, done = 0;
    float *panel = cache->panels + ttzo_panel_numbers(rows, inner);
    pack_core(cache->panels, cache->parameters + core.offset, &core);
    for (uint32_t i = 0; i < e.ml; i++)
        done += multiply_core(ttzo_array_from(out, i * rows * e.nr), NULL, cache->panels,
                              ttzo_array_from(in, i * inner * e.nr), rows, inner, e.nr, panel);
    return done;
}

// ---- turning to a core ----------------------------------------------------------------------------------------------

uint32_t ttzo_environment_open(struct ttzo_environment *environment, const struct ttzo_layer_cache *cache, uint32_t k)
{
    const struct ttzo_layer *layer = cache->layer;
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    uint32_t middle = ttzo_middle_core(layer), done = 0;
    bool tensor = ttzo_is_tensor(layer), first = tensor ? k == 0 : k + 1 == ttzo_layer_length(layer);
    struct ttzo_environment made = { .cache = cache,
                                     .core = ttzo_layer_core(layer, k),
                                     .ml = e.ml,
                                     .mr = e.mr,
                                     .nl = e.nl,
                                     .nr = e.nr,
                                     .state = environment->state };
    made.way = k >= middle ? TTZO_FROM_LEFT : tensor ? TTZO_FROM_INPUT : TTZO_FROM_RIGHT;
    made.factor = ttzo_core_product(cache, k >= middle ? TTZO_AFTER : tensor ? TTZO_MIDDLE : TTZO_BEFORE, k);
    if (tensor && k < middle) {
        made.rank = layer->ranks[middle];
        made.outputs = ttzo_core_product(cache, TTZO_AFTER, middle - 1);
    }
    if (tensor || k < middle)
        made.state = first ? cache->input : slot(cache, slot_of_state(layer, k));
    else
        for (uint32_t i = k == middle ? 0 : k - 1; i < k; i++) {
            struct ttzo_array out = slot(cache, slot_of_sweep(i + 1));
            done += sweep_core(cache, i, i ? made.state : cache->input, out);
            made.state = out;
        }
    *environment = made;
    return done;
}
