// SPDX-License-Identifier: MIT
#include "cores/slices.h"

#include "network/panels.h"
#include "network/tile.h"
#include "number/real.h"

#define Q TTZO_QUERIES_AT_ONCE

// ---- sizes ----------------------------------------------------------------------------------------------------------

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

uint32_t ttzo_slice_widest(const struct ttzo_layer *layer)
{
    uint32_t widest = 1;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        widest = larger(widest, e.ml * e.mr);
    }
    return widest;
}

// The panels of four lines, and of what they are multiplied by.
uint64_t ttzo_slices_panels(const struct ttzo_layer *layer)
{
    uint64_t most = 0, middle = ttzo_middle_core(layer);
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        uint64_t size = k >= middle ? Q * (uint64_t)e.ml * e.nr + ttzo_panel_numbers(e.mr, e.nr)
                                    : Q * (uint64_t)e.mr * e.nl + ttzo_panel_numbers(e.ml, e.nl);
        if (ttzo_is_tensor(layer) && k < middle)
            size = Q * (uint64_t)layer->ranks[middle] + ttzo_panel_numbers(e.mr, layer->ranks[middle]);
        if (size > most)
            most = size;
    }
    return most;
}

// ---- four lines -----------------------------------------------------------------------------------------------------

static bool is_from_input(const struct ttzo_environment *e)
{
    return TTZO_HAS(TENSORS) && e->way == TTZO_FROM_INPUT;
}

static struct ttzo_slice_walk walk_of(const struct ttzo_environment *e)
{
    const struct ttzo_core *core = &e->core;
    if (e->way == TTZO_FROM_RIGHT)
        return (struct ttzo_slice_walk){
            e->nl, e->mr, e->ml, core->n * core->right * e->mr, 1, { e->factor, e->nl * core->left, core->left },
            1,     1,     e->mr
        };
    return (struct ttzo_slice_walk){
        e->nr, e->ml, e->mr, 1, core->left * core->n * e->nr, { e->factor, e->nr, 1 }, e->mr * e->nr, e->mr, 1
    };
}

static float size_of(float number)
{
    return number < 0.0f ? -number : number;
}

// At summed index k, where the four lines are the floats `at`: those of all kept indices, times `scales`. Returns the
// largest size of the numbers without scale.
__attribute__((noinline)) static TTZO_SIZE_BITS pack_kept(const struct ttzo_slice_walk *walk, uint32_t k,
                                                          const float *const at[Q], const float scales[Q], float *out)
{
    const float *a = at[0], *b = at[1], *c = at[2], *d = at[3];
    uint32_t step = walk->kept_stride, out_step = Q * walk->summed, n = walk->kept;
    TTZO_SIZE_BITS largest = 0;
#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP) && defined(__OPTIMIZE__) // else registers are short
// A number is seldom larger than all before it.
#define NUMBER(line, to, larger, back)                                                                                 \
    "ldr %[p], [%[" #line "], %[at]]\n vmov s" #to ", %[p]\n cmp %[most], %[p], lsl #1\n blo " #larger "f\n" #back ":" \
    "\n"
#define LARGER(larger, back) #larger ": lsl %[most], %[p], #1\n b " #back "b\n"
    const float *first = scales; // then a number
    uint32_t offset = 4 * k * walk->summed_stride;
    __asm volatile(
        "vldmia %[p], {s8-s11}\n"
        "1: " NUMBER(a, 12, 22, 32) NUMBER(b, 13, 23, 33) NUMBER(c, 14, 24, 34) NUMBER(
            d, 15, 25,
            35) "vmul.f32 s12, s12, s8\n vmul.f32 s13, s13, s9\n vmul.f32 s14, s14, s10\n vmul.f32 s15, s15, s11\n"
                "add %[at], %[step]\n vstmia %[out], {s12-s15}\n add %[out], %[out_step]\n subs %[n], #1\n bne 1b\n"
                "b 2f\n" LARGER(22, 32) LARGER(23, 33) LARGER(24, 34) LARGER(25, 35) "2:\n"
        : [p] "+r"(first), [at] "+r"(offset), [most] "+r"(largest), [out] "+r"(out), [n] "+r"(n)
        : [a] "r"(a), [b] "r"(b), [c] "r"(c), [d] "r"(d), [step] "r"(4 * step), [out_step] "r"(4 * out_step)
        : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "cc", "memory");
#undef NUMBER
#undef LARGER
#else
    for (uint32_t i = k * walk->summed_stride; n; n--, i += step, out += out_step) {
        out[0] = scales[0] * a[i], out[1] = scales[1] * b[i], out[2] = scales[2] * c[i], out[3] = scales[3] * d[i];
        largest =
            ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(largest, a[i]), b[i]), c[i]), d[i]);
    }
#endif
    return largest;
}

// The same for numbers of 16 bits, where lines begin at these places.
static TTZO_SIZE_BITS pack_narrow(const struct ttzo_slice_walk *walk, uint32_t k, const int16_t *state,
                                  const uint32_t places[Q], const float scales[Q], float *out)
{
    TTZO_SIZE_BITS largest = 0;
    uint32_t at = k * walk->summed_stride;
    for (uint32_t i = 0; i < walk->kept; i++, at += walk->kept_stride, out += Q * walk->summed)
        for (uint32_t q = 0; q < Q; q++) {
            float number = ttzo_load(state, places[q] + at, true);
            out[q] = scales[q] * number;
            largest = ttzo_larger_size(largest, number);
        }
    return largest;
}

// The running lines, times `scale`, as panels [kept][summed][4]; zeros after the last line.
static void pack_lines(struct ttzo_slices *slices, float *panels)
{
    const struct ttzo_slice_walk *walk = &slices->walk;
    const struct ttzo_array *state = &slices->environment->state;
    const uint32_t *places = slices->quad.places, n = slices->quad.count;
    const float *wide = state->numbers, scale = slices->scale;
    const float *const at[Q] = { wide + places[0], wide + places[1], wide + places[2], wide + places[3] };
    const float scales[Q] = { scale, n < 2 ? 0.0f : scale, n < 3 ? 0.0f : scale, n < 4 ? 0.0f : scale };
    union {
        TTZO_SIZE_BITS bits;
        float number;
    } most = { 0 };
    slices->first = walk->summed;
    slices->end = 0;
    for (uint32_t k = 0; k < walk->summed; k++, panels += Q) {
        TTZO_SIZE_BITS largest = ttzo_is_narrow(*state) ? pack_narrow(walk, k, state->numbers, places, scales, panels)
                                                        : pack_kept(walk, k, at, scales, panels);
        if (largest > 0) {
            slices->first = slices->end ? slices->first : k;
            slices->end = k + 1;
        }
        most.bits = largest > most.bits ? largest : most.bits;
    }
    most.bits >>= 1;
    slices->largest = slices->scale * most.number; // what the largest is rounded to is the largest of all
}

// Whether the line at this place has a number that is not zero.
static inline bool is_live_of(const struct ttzo_slices *slices, uint32_t at, bool narrow)
{
    const struct ttzo_slice_walk *walk = &slices->walk;
    const void *state = slices->environment->state.numbers;
    TTZO_SIZE_BITS any = 0;
    for (uint32_t k = walk->summed; k; k--, at += walk->summed_stride)
        for (uint32_t i = walk->kept, place = at, step = walk->kept_stride; i; i--, place += step)
            any |= ttzo_size_bits(ttzo_load(state, place, narrow));
    return any != 0;
}

__attribute__((noinline)) static bool is_live(const struct ttzo_slices *slices, uint32_t at)
{
    return ttzo_is_narrow(slices->environment->state) ? is_live_of(slices, at, true) : is_live_of(slices, at, false);
}

// ---- slices ---------------------------------------------------------------------------------------------------------

// The largest sum of sizes over the summed index of the factor: slices are no larger than that times the state.
static float gain_of(const struct ttzo_environment *e, const struct ttzo_slice_walk *walk)
{
    uint32_t others = e->way == TTZO_FROM_RIGHT ? e->core.left : e->core.right;
    float largest = 0.0f;
    for (uint32_t other = 0; other < others; other++)
        for (uint32_t row = 0; row < walk->rows; row++) {
            const float *at = walk->factor.at + other * walk->other_stride + row * walk->factor.outer;
            float sum = 0.0f;
            for (uint32_t k = 0; k < walk->summed; k++, at += walk->factor.inner)
                sum = sum + size_of(*at);
            largest = sum > largest ? sum : largest;
        }
    return largest;
}

void ttzo_slices_begin(struct ttzo_slices *slices, const struct ttzo_environment *environment, float scale)
{
    const struct ttzo_core *core = &environment->core;
    uint32_t row = core->n * core->right, a_step = core->m * row;
    *slices = (struct ttzo_slices){ .environment = environment, .walk = walk_of(environment), .scale = scale };
    slices->middle =
        slices->walk.summed / 2 * slices->walk.summed_stride + slices->walk.kept / 2 * slices->walk.kept_stride;
    slices->line.coordinate = core->offset;
    slices->run = row;
    if (environment->way == TTZO_FROM_RIGHT) {
        slices->left = row;
        slices->step = (struct ttzo_line){ environment->mr, 1 };
        slices->others = core->left;
        slices->other_step = a_step;
    } else if (is_from_input(environment)) {
        slices->left = core->left * row;
        slices->step = (struct ttzo_line){ 1, 1 };
        slices->jump.coordinate = a_step - row;
        slices->others = 1;
    } else {
        slices->run = core->left;
        slices->left = core->n * core->left;
        slices->step = (struct ttzo_line){ core->n * environment->nr, a_step };
        slices->jump =
            (struct ttzo_line){ environment->nr - core->left * slices->step.place, core->right - core->left * a_step };
        slices->others = core->right;
        slices->other_step = 1;
    }
    slices->left_in_run = slices->run;
    if (!is_from_input(environment)) // above what its sums were rounded to
        slices->gain = environment->factor ? 1.001f * gain_of(environment, &slices->walk) : 1.0f;
}

// Turns to the next four lines that count. Data are zero at the border rather than in the middle of a line, which is
// looked at first.
static void next_lines(struct ttzo_slices *slices)
{
    struct ttzo_slice_quad *quad = &slices->quad;
    const struct ttzo_array *state = &slices->environment->state;
    const bool narrow = ttzo_is_narrow(*state), takes_all = is_from_input(slices->environment);
    struct ttzo_line line = slices->line;
    uint32_t n = 0, left = slices->left;
    for (; left && n < Q; left--) {
        if (takes_all || ttzo_load(state->numbers, line.place + slices->middle, narrow) != 0.0f ||
            is_live(slices, line.place))
            quad->places[n] = line.place, quad->at[n++] = line.coordinate;
        line.place += slices->step.place, line.coordinate += slices->step.coordinate;
        if (--slices->left_in_run)
            continue;
        slices->left_in_run = slices->run;
        line.place += slices->jump.place, line.coordinate += slices->jump.coordinate;
    }
    slices->line = line;
    slices->left = left;
    quad->count = n;
    for (; n < Q; n++)
        quad->places[n] = quad->places[0];
    slices->other = 0;
    slices->packed = false;
}

bool ttzo_slices_next(struct ttzo_slices *slices, struct ttzo_slice_quad *quad)
{
    if (!slices->begun || ++slices->other == slices->others)
        next_lines(slices);
    else
        for (uint32_t q = 0; q < Q; q++)
            slices->quad.at[q] += slices->other_step;
    slices->begun = true;
    *quad = slices->quad;
    return quad->count > 0;
}

// To the middle rank, c[r] = sum over nr of state[a, n, nr] TTZO_MIDDLE[b, nr, r], and out: sum over r of c[r]
// outputs[r, mr].
static bool make_from_input(struct ttzo_slices *slices, const struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    const struct ttzo_environment *e = slices->environment;
    uint32_t rank = e->rank;
    float largest = 0.0f;
    float *to_rank = e->cache->panels, *outputs = to_rank + Q * rank;
    for (uint32_t i = 0; i < Q * rank; i++)
        to_rank[i] = 0.0f;
    for (uint32_t q = 0; q < quad->count; q++) {
        uint32_t line = quad->places[q], b = line % e->core.right;
        struct ttzo_array state = ttzo_array_from(e->state, line / e->core.right * e->nr);
        if (!e->factor) // the last input core: its right rank is the middle one
            to_rank[b * Q + q] = slices->scale * ttzo_load(state.numbers, 0, ttzo_is_narrow(state));
        for (uint32_t r = 0; r < rank && e->factor; r++)
            for (uint32_t k = 0; k < e->nr; k++)
                to_rank[r * Q + q] = TTZO_MULADD(slices->scale * ttzo_load(state.numbers, k, ttzo_is_narrow(state)),
                                                 e->factor[(b * e->nr + k) * rank + r], to_rank[r * Q + q]);
        *macs += e->factor ? rank * (e->nr + e->mr) : e->mr;
    }
    ttzo_pack_panels(outputs, (struct ttzo_operand){ e->outputs, 1, e->mr }, e->mr, rank);
    ttzo_multiply_panels(out, Q, NULL, outputs, to_rank, e->mr, rank, Q);
    for (uint32_t i = 0; i < Q * e->mr; i++)
        largest = size_of(out[i]) > largest ? size_of(out[i]) : largest;
    slices->bound = largest > slices->bound ? largest : slices->bound;
    return largest > 0.0f;
}

// From a state's four lines, and the factor of the other index.
static bool make_from_lines(struct ttzo_slices *slices, const struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    const struct ttzo_environment *e = slices->environment;
    const uint32_t summed = slices->walk.summed, kept = slices->walk.kept, n_rows = slices->walk.rows;
    const uint32_t kept_step = Q * slices->walk.kept_step, row_step = Q * slices->walk.row_step;
    float *lines = e->factor ? e->cache->panels : out, *rows = lines + Q * kept * summed;
    if (!slices->packed)
        pack_lines(slices, lines);
    slices->packed = true;
    float largest = slices->gain * slices->largest;
    slices->bound = largest > slices->bound ? largest : slices->bound;
    if (slices->end == 0)
        return false;
    if (!e->factor)
        return true;
    struct ttzo_operand factor = slices->walk.factor;
    factor.at += slices->other * slices->walk.other_stride + slices->first * factor.inner;
    uint32_t inner = slices->end - slices->first;
    ttzo_pack_panels(rows, factor, n_rows, inner);
    const float *from = lines + Q * slices->first;
    if (n_rows % 4 == 0)
        ttzo_multiply_tiles(out, row_step, NULL, rows, from, n_rows, inner,
                            &(struct ttzo_more_panels){ kept - 1, kept_step, Q * summed });
    else
        for (uint32_t i = kept; i; i--, out += kept_step, from += Q * summed)
            ttzo_multiply_ragged(out, row_step, NULL, rows, from, n_rows, inner, Q);
    *macs += (uint64_t)n_rows * kept * inner * quad->count;
    return true;
}

bool ttzo_slices_make(struct ttzo_slices *slices, const struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    return is_from_input(slices->environment) ? make_from_input(slices, quad, out, macs)
                                              : make_from_lines(slices, quad, out, macs);
}

struct ttzo_lines ttzo_slices_lines(const struct ttzo_slices *slices, const struct ttzo_slice_quad *quad)
{
    const struct ttzo_environment *e = slices->environment;
    struct ttzo_lines lines = { .state = e->state, .scale = slices->scale, .step = slices->walk.kept_stride };
    for (uint32_t q = 0; q < Q; q++)
        lines.at[q] = quad->places[q];
    return lines;
}
