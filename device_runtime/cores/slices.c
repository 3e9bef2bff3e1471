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

// Where a line of the state begins.
static uint32_t line_at(const struct ttzo_environment *e, uint32_t line)
{
    const struct ttzo_core *core = &e->core;
    if (e->way == TTZO_FROM_RIGHT)
        return line * e->mr;
    uint32_t a = line % core->left, n = line / core->left;
    return (a * core->n + n) * e->nr;
}

static float size_of(float number)
{
    return number < 0.0f ? -number : number;
}

// At one summed index, where the four lines are floats that begin `at` these places: those of all kept indices, times
// `scales`. Returns the largest size of the numbers without scale.
static inline TTZO_SIZE_BITS pack_kept(const struct ttzo_slice_walk *walk, const float *state, const uint32_t at[4],
                                       const float scales[4], float *out)
{
    const float *a = state + at[0], *b = state + at[1], *c = state + at[2], *d = state + at[3];
    uint32_t step = walk->kept_stride, out_step = Q * walk->summed, n = walk->kept;
    TTZO_SIZE_BITS largest = 0;
#if TTZO_TILE == 2 && defined(__thumb2__) && defined(__ARM_FP) && defined(__OPTIMIZE__) // else registers are short
#define NUMBER(line, to)                                                                                               \
    "ldr %[p], [%[" #line "], %[at]]\n vmov s" #to                                                                     \
    ", %[p]\n cmp %[most], %[p], lsl #1\n it lo\n lsllo %[most], %[p], #1\n"
    const float *first = scales; // then a number
    uint32_t offset = 0;
    __asm volatile(
        "vldmia %[p], {s8-s11}\n"
        "1: " NUMBER(a, 12) NUMBER(b, 13) NUMBER(c, 14) NUMBER(
            d, 15) "vmul.f32 s12, s12, s8\n vmul.f32 s13, s13, s9\n vmul.f32 s14, s14, s10\n vmul.f32 s15, s15, s11\n"
                   "add %[at], %[step]\n vstmia %[out], {s12-s15}\n add %[out], %[out_step]\n subs %[n], #1\n bne 1b\n"
        : [p] "+r"(first), [at] "+r"(offset), [most] "+r"(largest), [out] "+r"(out), [n] "+r"(n)
        : [a] "r"(a), [b] "r"(b), [c] "r"(c), [d] "r"(d), [step] "r"(4 * step), [out_step] "r"(4 * out_step)
        : "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "cc", "memory");
#undef NUMBER
#else
    for (; n; n--, a += step, b += step, c += step, d += step, out += out_step) {
        out[0] = scales[0] * *a, out[1] = scales[1] * *b, out[2] = scales[2] * *c, out[3] = scales[3] * *d;
        largest = ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(largest, *a), *b), *c), *d);
    }
#endif
    return largest;
}

static inline void pack_lines_of(struct ttzo_slices *slices, float *panels, bool narrow)
{
    const struct ttzo_environment *e = slices->environment;
    const struct ttzo_slice_walk *walk = &slices->walk;
    const void *state = e->state.numbers;
    uint32_t n = slices->count, step = walk->kept_stride;
    TTZO_SIZE_BITS most = 0;
    float scale = slices->scale, scale1 = n < 2 ? 0.0f : scale, scale2 = n < 3 ? 0.0f : scale;
    float scale3 = n < 4 ? 0.0f : scale;
    uint32_t line0 = line_at(e, slices->running[0]), line1 = line_at(e, slices->running[1]);
    uint32_t line2 = line_at(e, slices->running[2]), line3 = line_at(e, slices->running[3]);
    slices->first = walk->summed;
    slices->end = 0;
    for (uint32_t k = 0; k < walk->summed; k++) {
        uint32_t to = k * walk->summed_stride, a = line0 + to, b = line1 + to, c = line2 + to, d = line3 + to;
        float *out = panels + 4 * k;
        TTZO_SIZE_BITS largest = 0;
        if (!narrow)
            largest = pack_kept(walk, state, (const uint32_t[]){ a, b, c, d },
                                (const float[]){ scale, scale1, scale2, scale3 }, out);
        for (uint32_t i = narrow ? walk->kept : 0; i; i--, a += step, b += step, c += step, d += step) {
            float v0 = ttzo_load(state, a, narrow), v1 = ttzo_load(state, b, narrow);
            float v2 = ttzo_load(state, c, narrow), v3 = ttzo_load(state, d, narrow);
            out[0] = scale * v0, out[1] = scale1 * v1, out[2] = scale2 * v2, out[3] = scale3 * v3;
            largest = ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(ttzo_larger_size(largest, v0), v1), v2), v3);
            out += 4 * walk->summed;
        }
        if (largest > 0) {
            slices->first = slices->end ? slices->first : k;
            slices->end = k + 1;
        }
        most = largest > most ? largest : most;
    }
    union {
        TTZO_SIZE_BITS bits;
        float number;
    } largest = { most >> 1 };
    slices->largest = slices->scale * largest.number; // what the largest is rounded to is the largest of all
}

// The running lines, times `scale`, as panels [kept][summed][4]; zeros after the last line.
static void pack_lines(struct ttzo_slices *slices, float *panels)
{
    if (ttzo_is_narrow(slices->environment->state))
        pack_lines_of(slices, panels, true);
    else
        pack_lines_of(slices, panels, false);
}

// Whether the line has a number that is not zero. Data are zero at the border rather than in the
// middle, which goes first.
static inline bool is_live_of(const struct ttzo_slices *slices, uint32_t line, bool narrow)
{
    const struct ttzo_slice_walk *walk = &slices->walk;
    const void *state = slices->environment->state.numbers;
    uint32_t at = line_at(slices->environment, line);
    if (ttzo_load(state, at + slices->middle, narrow) != 0.0f)
        return true;
    TTZO_SIZE_BITS any = 0;
    for (uint32_t k = walk->summed; k; k--, at += walk->summed_stride)
        for (uint32_t i = walk->kept, place = at, step = walk->kept_stride; i; i--, place += step)
            any |= ttzo_size_bits(ttzo_load(state, place, narrow));
    return any != 0;
}

static bool is_live(const struct ttzo_slices *slices, uint32_t line)
{
    return ttzo_is_narrow(slices->environment->state) ? is_live_of(slices, line, true)
                                                      : is_live_of(slices, line, false);
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
    *slices = (struct ttzo_slices){ .environment = environment, .walk = walk_of(environment), .scale = scale };
    slices->middle =
        slices->walk.summed / 2 * slices->walk.summed_stride + slices->walk.kept / 2 * slices->walk.kept_stride;
    slices->lines = core->n * (environment->way == TTZO_FROM_RIGHT ? core->right : core->left);
    slices->others = environment->way == TTZO_FROM_RIGHT ? core->left : core->right;
    if (is_from_input(environment)) {
        slices->lines = core->left * core->n * core->right;
        slices->others = 1;
    } else
        slices->gain = environment->factor ? 1.001f * gain_of(environment, &slices->walk)
                                           : 1.0f; // above what its sums were rounded to
}

static uint32_t coordinate(const struct ttzo_slices *slices, uint32_t line)
{
    const struct ttzo_environment *e = slices->environment;
    const struct ttzo_core *core = &e->core;
    uint32_t a = slices->other, b = a, rest = line; // (n, b)
    if (e->way == TTZO_FROM_LEFT) {
        a = line % core->left;
        rest = line / core->left * core->right + b;
    } else if (is_from_input(e)) {
        a = line / (core->n * core->right);
        rest = line % (core->n * core->right);
    }
    return core->offset + a * core->m * core->n * core->right + rest;
}

// Turns to the next four lines that count.
static void next_lines(struct ttzo_slices *slices)
{
    const struct ttzo_environment *e = slices->environment;
    const bool takes_all = is_from_input(e);
    uint32_t n = 0;
    for (; slices->line < slices->lines && n < Q; slices->line++)
        if (takes_all || is_live(slices, slices->line))
            slices->running[n++] = (uint16_t)slices->line;
    slices->count = (uint16_t)n;
    for (; n < Q; n++)
        slices->running[n] = slices->running[0];
    slices->other = 0;
    slices->packed = false;
}

bool ttzo_slices_next(struct ttzo_slices *slices, struct ttzo_slice_quad *quad)
{
    const struct ttzo_core *core = &slices->environment->core;
    if (!slices->begun || ++slices->other == slices->others)
        next_lines(slices);
    slices->begun = true;
    quad->count = slices->count;
    quad->m_stride = core->n * core->right;
    quad->largest = 0.0f;
    for (uint32_t q = 0; q < Q; q++)
        quad->lines[q] = slices->running[q];
    for (uint32_t q = 0; q < slices->count; q++)
        quad->at[q] = coordinate(slices, slices->running[q]);
    return slices->count > 0;
}

// To the middle rank, c[r] = sum over nr of state[a, n, nr] TTZO_MIDDLE[b, nr, r], and out: sum over r of c[r]
// outputs[r, mr].
static bool make_from_input(const struct ttzo_slices *slices, struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    const struct ttzo_environment *e = slices->environment;
    uint32_t rank = e->rank;
    float *to_rank = e->cache->panels, *outputs = to_rank + Q * rank;
    for (uint32_t i = 0; i < Q * rank; i++)
        to_rank[i] = 0.0f;
    for (uint32_t q = 0; q < quad->count; q++) {
        uint32_t line = quad->lines[q], b = line % e->core.right;
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
        quad->largest = size_of(out[i]) > quad->largest ? size_of(out[i]) : quad->largest;
    return quad->largest > 0.0f;
}

// From a state's four lines, and the factor of the other index.
static bool make_from_lines(struct ttzo_slices *slices, struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    const struct ttzo_environment *e = slices->environment;
    const uint32_t summed = slices->walk.summed, kept = slices->walk.kept, n_rows = slices->walk.rows;
    const uint32_t kept_step = Q * slices->walk.kept_step, row_step = Q * slices->walk.row_step;
    float *lines = e->factor ? e->cache->panels : out, *rows = lines + Q * kept * summed;
    if (!slices->packed)
        pack_lines(slices, lines);
    slices->packed = true;
    quad->largest = slices->gain * slices->largest;
    if (slices->end == 0)
        return false;
    if (!e->factor)
        return true;
    struct ttzo_operand factor = slices->walk.factor;
    factor.at += slices->other * slices->walk.other_stride + slices->first * factor.inner;
    uint32_t inner = slices->end - slices->first;
    ttzo_pack_panels(rows, factor, n_rows, inner);
    const float *from = lines + Q * slices->first;
    for (uint32_t i = kept; i; i--, out += kept_step, from += Q * summed)
        ttzo_multiply_panels(out, row_step, NULL, rows, from, n_rows, inner, Q);
    *macs += (uint64_t)n_rows * kept * inner * quad->count;
    return true;
}

bool ttzo_slices_make(struct ttzo_slices *slices, struct ttzo_slice_quad *quad, float *out, uint64_t *macs)
{
    return is_from_input(slices->environment) ? make_from_input(slices, quad, out, macs)
                                              : make_from_lines(slices, quad, out, macs);
}

struct ttzo_lines ttzo_slices_lines(const struct ttzo_slices *slices, const struct ttzo_slice_quad *quad)
{
    const struct ttzo_environment *e = slices->environment;
    struct ttzo_lines lines = { .state = e->state, .scale = slices->scale, .step = slices->walk.kept_stride };
    for (uint32_t q = 0; q < Q; q++)
        lines.at[q] = line_at(e, quad->lines[q]);
    return lines;
}
