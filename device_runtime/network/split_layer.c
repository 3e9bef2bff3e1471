// SPDX-License-Identifier: MIT
// With the modes on the left of the split taken together, and those on the right, and `b` over the rank between them,
//     W[(m_left m_right), (n_left n_right)] = sum over b of L[m_left, n_left, b] R[b, m_right, n_right].
// A half is kept as panels of four lines: four output modes m for each left rank, [m / 4][left rank][n, right rank][4];
// after them the last m % 4 modes, whose lines (m, left rank) fill panels one after the other. Split after its last
// core a layer has no right half: the left one is W.
#include "network/split_layer.h"

#include "network/layers.h"
#include "network/panels.h"
#include "number/real.h"

#if TTZO_HAS(SPLIT)

// ---- geometry -------------------------------------------------------------------------------------------------------

// Cores [first, end) of a layer.
struct half {
    const struct ttzo_layer *layer;
    uint32_t first, end;
    uint32_t m, n; // products of their modes
};

static struct half half_of(const struct ttzo_layer *layer, uint32_t first, uint32_t end)
{
    struct half half = { layer, first, end, 1, 1 };
    for (uint32_t k = first; k < end; k++) {
        half.m *= layer->out_modes[k];
        half.n *= layer->in_modes[k];
    }
    return half;
}

static struct half left_half(const struct ttzo_layer *layer)
{
    return half_of(layer, 0, layer->contraction);
}

static struct half right_half(const struct ttzo_layer *layer)
{
    return half_of(layer, layer->contraction, layer->n_in_modes);
}

static bool is_whole(const struct ttzo_layer *layer)
{
    return layer->contraction == layer->n_in_modes;
}

static uint64_t to_whole_panel(uint64_t numbers)
{
    return (numbers + 3) / 4 * 4;
}

static uint64_t half_numbers(const struct half *half)
{
    const uint16_t *ranks = half->layer->ranks;
    if (half->first == half->end)
        return 0;
    uint64_t lines =
        (uint64_t)(half->m & ~3u) * ranks[half->first] + to_whole_panel((half->m & 3u) * ranks[half->first]);
    return lines * half->n * ranks[half->end];
}

// Numbers of the products of the half's first cores, all but the last: two of them take turns.
static uint64_t widest_product(const struct half *half)
{
    const struct ttzo_layer *layer = half->layer;
    uint64_t size = layer->ranks[half->first], widest = 0;
    for (uint32_t k = half->first; k + 1 < half->end; k++) {
        size = size * layer->out_modes[k] * layer->in_modes[k];
        if (k > half->first && size * layer->ranks[k + 1] > widest)
            widest = size * layer->ranks[k + 1];
    }
    return to_whole_panel(widest);
}

static uint64_t columns_of(const struct ttzo_layer *layer, uint32_t k)
{
    return (uint64_t)layer->out_modes[k] * layer->in_modes[k] * layer->ranks[k + 1];
}

// Scratch of half_prepare: two products in turn, some rows of the first factor, the last core, four rows of the result.
static uint64_t half_scratch(const struct half *half)
{
    const struct ttzo_layer *layer = half->layer;
    uint32_t last = half->end - 1;
    if (half->end - half->first < 2)
        return 0;
    uint64_t columns = to_whole_panel(columns_of(layer, last));
    uint64_t lines = to_whole_panel(layer->in_modes[last - 1]);
    return 2 * widest_product(half) + (columns + lines) * layer->ranks[last] + 4 * columns;
}

uint64_t ttzo_split_prepared(const struct ttzo_layer *layer)
{
    struct half left = left_half(layer), right = right_half(layer);
    return half_numbers(&left) + half_numbers(&right);
}

uint64_t ttzo_split_scratch(const struct ttzo_layer *layer)
{
    struct half left = left_half(layer), right = right_half(layer);
    uint64_t middle = 4 * (uint64_t)left.n * layer->ranks[left.end];
    uint64_t most = is_whole(layer) ? 0 : to_whole_panel(left.n) * right.n + (right.m % 4 ? 2 : 1) * middle;
    uint64_t for_left = half_scratch(&left), for_right = half_scratch(&right);
    most = for_left > most ? for_left : most;
    return for_right > most ? for_right : most;
}

uint64_t ttzo_split_macs(const struct ttzo_layer *layer)
{
    struct half left = left_half(layer), right = right_half(layer);
    if (is_whole(layer))
        return (uint64_t)left.n * left.m;
    return (uint64_t)left.n * layer->ranks[left.end] * right.m * (right.n + left.m);
}

// ---- the halves -----------------------------------------------------------------------------------------------------

// Row `row` of a product of the half's cores up to `end`: its left rank, output and input mode.
struct place {
    uint32_t rank, m, n;
};

static struct place locate(const struct half *half, uint32_t end, uint32_t row)
{
    struct place place = { 0, 0, 0 };
    uint32_t m_scale = 1, n_scale = 1;
    for (uint32_t k = end; k-- > half->first;) {
        uint32_t m = half->layer->out_modes[k], n = half->layer->in_modes[k];
        place.n += row % n * n_scale;
        row /= n;
        place.m += row % m * m_scale;
        row /= m;
        n_scale *= n;
        m_scale *= m;
    }
    place.rank = row;
    return place;
}

// Puts one row of the finished product, [m][n, right rank] of the last core, where the panels need it.
static void place_row(const struct half *half, uint32_t row, const float *from, float *panels)
{
    const struct ttzo_layer *layer = half->layer;
    uint32_t last = half->end - 1, m_last = layer->out_modes[last], left_rank = layer->ranks[half->first];
    uint32_t run = (uint32_t)layer->in_modes[last] * layer->ranks[last + 1];
    uint32_t panel = 4 * half->n * layer->ranks[half->end];
    struct place place = locate(half, last, row);
    uint32_t m = place.m * m_last, end = m + m_last;
    panels += 4 * place.n * run;
    if (m_last % 4 == 0)
        for (; m < end; m += 4, from += 4 * run)
            ttzo_pack_panels(panels + (m / 4 * left_rank + place.rank) * panel, (struct ttzo_operand){ from, run, 1 },
                             4, run);
    else
        for (; m < end; m++) {
            bool is_whole = m < (half->m & ~3u);
            uint32_t line = is_whole ? 4 * place.rank + m % 4 : m % 4 * left_rank + place.rank;
            float *to = panels + (m / 4 * left_rank + line / 4) * panel + line % 4;
            for (uint32_t i = 0; i < run; i++, to += 4)
                *to = *from++;
        }
}

// The product of all cores but the last as rows of ranks[last] numbers; `product` and `spare` take turns.
static const float *all_but_last(const struct half *half, const float *core, float *product, float *spare,
                                 uint32_t *n_rows, const float **last_core, uint64_t *macs)
{
    const struct ttzo_layer *layer = half->layer;
    const float *made = core;
    uint32_t rows = layer->ranks[half->first] * (uint32_t)layer->out_modes[half->first] * layer->in_modes[half->first];
    core += rows * layer->ranks[half->first + 1];
    for (uint32_t k = half->first + 1; k + 1 < half->end; k++) {
        uint32_t inner = layer->ranks[k], columns = (uint32_t)columns_of(layer, k);
        *macs += ttzo_product(product, NULL, (struct ttzo_operand){ made, inner, 1 },
                              (struct ttzo_operand){ core, 1, columns }, rows, inner, columns, TTZO_DATA_NONE);
        made = product;
        product = spare;
        spare = (float *)made;
        rows *= (uint32_t)layer->out_modes[k] * layer->in_modes[k];
        core += inner * columns;
    }
    *n_rows = rows;
    *last_core = core;
    return made;
}

// The half's last product, `made` [rows, inner] . `core` [inner, columns], row by row, each then put in its place.
static void multiply_by_rows(const struct half *half, const float *made, uint32_t rows, const float *core,
                             float *panels, float *scratch)
{
    uint32_t inner = half->layer->ranks[half->end - 1], columns = (uint32_t)columns_of(half->layer, half->end - 1);
    float *four = scratch, *core_panels = four + 4 * inner, *stripe = core_panels + ttzo_panel_numbers(columns, inner);
    ttzo_pack_panels(core_panels, (struct ttzo_operand){ core, 1, columns }, columns, inner);
    for (uint32_t row = 0; row < rows; row += 4, made += 4 * inner) {
        uint32_t n = rows - row < 4 ? rows - row : 4;
        ttzo_pack_panels(four, (struct ttzo_operand){ made, inner, 1 }, n, inner);
        for (uint32_t j = 0; j < columns; j += 4)
            ttzo_multiply_panels(stripe + j, columns, NULL, four, core_panels + j * inner, n, inner,
                                 columns - j < 4 ? columns - j : 4);
        for (uint32_t i = 0; i < n; i++)
            place_row(half, row + i, stripe + i * columns, panels);
    }
}

// The same when the last core's output modes fill panels: a tile takes rows that differ in the input mode of the core
// before, and four output modes, and its place is the result's.
static void multiply_in_place(const struct half *half, const float *made, uint32_t rows, const float *core,
                              float *panels, float *scratch)
{
    const struct ttzo_layer *layer = half->layer;
    uint32_t last = half->end - 1, inner = layer->ranks[last], columns = (uint32_t)columns_of(layer, last);
    uint32_t m_last = layer->out_modes[last], run = columns / m_last, n_before = layer->in_modes[last - 1];
    uint32_t panel = 4 * half->n * layer->ranks[half->end], left_rank = layer->ranks[half->first];
    // Rows beyond whole tiles are taken with the last tile's others once more: the same numbers, and no edge.
    uint32_t whole = n_before < 4 ? n_before : n_before & ~3u, again = n_before - 4;
    float *left = scratch, *right = left + ttzo_panel_numbers(n_before, inner), *to = right;
    for (uint32_t m = 0; m < m_last; m += 4)
        for (uint32_t i = 0; i < run; i++, to += 4 * inner)
            ttzo_pack_panels(to, (struct ttzo_operand){ core + m * run + i, run, columns }, 4, inner);
    for (uint32_t row = 0; row < rows; row += n_before, made += n_before * inner) {
        struct place place = locate(half, last, row);
        const float *four_modes = right;
        ttzo_pack_panels(left, (struct ttzo_operand){ made, inner, 1 }, whole, inner);
        if (whole < n_before)
            ttzo_pack_panels(left + whole * inner, (struct ttzo_operand){ made + again * inner, inner, 1 }, 4, inner);
        for (uint32_t m = place.m * m_last; m < (place.m + 1) * m_last; m += 4) {
            to = panels + (m / 4 * left_rank + place.rank) * panel + 4 * place.n * run;
            for (uint32_t i = 0; i < run; i++, four_modes += 4 * inner, to += 4) {
                ttzo_multiply_panels(to, 4 * run, NULL, left, four_modes, whole, inner, 4);
                if (whole < n_before)
                    ttzo_multiply_panels(to + 4 * again * run, 4 * run, NULL, left + whole * inner, four_modes, 4,
                                         inner, 4);
            }
        }
    }
}

// Returns the multiply-adds done.
static uint64_t half_prepare(const struct half *half, const float *theta, float *panels, float *scratch)
{
    const struct ttzo_layer *layer = half->layer;
    if (half->first == half->end)
        return 0;
    uint32_t last = half->end - 1, rows = layer->ranks[last];
    const float *core = theta + layer->parameter_offset +
                        ttzo_layer_contraction(layer, layer->n_in_modes - 1u - half->first).core_offset;
    uint32_t numbers = half->m % 4 ? (uint32_t)half_numbers(half) : 0; // zeros where some lines do not exist
    for (uint32_t i = 0; i < numbers; i++)
        panels[i] = 0.0f;
    if (last == half->first) {
        for (uint32_t row = 0; row < rows; row++)
            place_row(half, row, core + row * columns_of(layer, last), panels);
        return 0;
    }
    uint64_t macs = 0;
    float *spare = scratch + widest_product(half);
    const float *made = all_but_last(half, core, scratch, spare, &rows, &core, &macs);
    scratch = spare + widest_product(half);
    if (layer->out_modes[last] % 4)
        multiply_by_rows(half, made, rows, core, panels, scratch);
    else
        multiply_in_place(half, made, rows, core, panels, scratch);
    return macs + rows * layer->ranks[last] * columns_of(layer, last);
}

uint64_t ttzo_split_prepare(const struct ttzo_layer *layer, const float *theta, float *prepared, float *scratch)
{
    struct half left = left_half(layer), right = right_half(layer);
    uint64_t macs = half_prepare(&right, theta, prepared, scratch);
    return macs + half_prepare(&left, theta, prepared + half_numbers(&right), scratch);
}

// ---- one row --------------------------------------------------------------------------------------------------------

// The last modes of the right half, fewer than four: their lines (mode, b) come side by side, and are then brought into
// middle[n_left, b][4] like the others.
static void last_modes(float *middle, const float *inputs, const float *prepared, uint32_t n_left, uint32_t n_right,
                       uint32_t rank, uint32_t modes)
{
    uint32_t lines = (modes * rank + 3) & ~3u;
    float *row = middle + 4 * n_left * rank;
    for (uint32_t line = 0; line < lines; line += 4)
        ttzo_multiply_panels(row + line, lines, NULL, inputs, prepared + line * n_right, n_left, n_right, 4);
    for (uint32_t i = 0; i < n_left; i++, row += lines, middle += 4 * rank)
        ttzo_pack_panels(middle, (struct ttzo_operand){ row, rank, 1 }, modes, rank);
}

// W times the row: four outputs go through a panel of it side by side.
static void multiply_whole(const struct half *whole, const float *panels, const float *in, const float *bias,
                           float *out)
{
    for (uint32_t m = 0; m < whole->m; m += 4) {
        uint32_t lines = whole->m - m < 4 ? whole->m - m : 4;
        float sums[4] = { 0.0f };
        for (uint32_t i = 0; bias && i < lines; i++)
            sums[i] = bias[m + i];
        for (uint32_t i = 0; i < whole->n; i++, panels += 4) {
            sums[0] = TTZO_MULADD(panels[0], in[i], sums[0]);
            sums[1] = TTZO_MULADD(panels[1], in[i], sums[1]);
            sums[2] = TTZO_MULADD(panels[2], in[i], sums[2]);
            sums[3] = TTZO_MULADD(panels[3], in[i], sums[3]);
        }
        for (uint32_t i = 0; i < lines; i++)
            out[m + i] = sums[i];
    }
}

void ttzo_split_forward(const struct ttzo_layer *layer, const float *theta, const float *prepared, const float *in,
                        float *out, float *scratch)
{
    struct half left = left_half(layer), right = right_half(layer);
    uint32_t rank = layer->ranks[left.end];
    const float *left_panels = prepared + half_numbers(&right);
    const float *bias =
        layer->has_bias ? theta + layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features : NULL;
    if (is_whole(layer)) {
        multiply_whole(&left, left_panels, in, bias, out);
        return;
    }
    float *inputs = scratch, *middle = inputs + ttzo_panel_numbers(left.n, right.n);
    ttzo_pack_panels(inputs, (struct ttzo_operand){ in, right.n, 1 }, left.n, right.n);
    // Four output modes of the right half at a time: middle[n_left, b][4], then their outputs.
    for (uint32_t j = 0; j < right.m; j += 4) {
        uint32_t modes = right.m - j < 4 ? right.m - j : 4;
        if (modes == 4)
            for (uint32_t b = 0; b < rank; b++, prepared += 4 * right.n)
                ttzo_multiply_panels(middle + 4 * b, 4 * rank, NULL, inputs, prepared, left.n, right.n, 4);
        else
            last_modes(middle, inputs, prepared, left.n, right.n, rank, modes);
        ttzo_multiply_panels(out + j, right.m, bias ? bias + j : NULL, left_panels, middle, left.m, left.n * rank,
                             modes);
    }
}

#endif
