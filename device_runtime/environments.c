// SPDX-License-Identifier: MIT
#include "environments.h"

#include <stddef.h>

#include "panels.h"

// ---- a sample: forward, keeping states ------------------------------------------------------------------------------

// State k is the array that meets core k on the way forward: TT-matrix [nl][n][right_k][mr], 2L-way TT
// [ml][left_k][n][nr]. The first one on the way is the layer's input.
static bool is_kept(const struct ttzo_layer *layer, uint32_t k)
{
    if (ttzo_is_tensor(layer))
        return k > 0;
    return k < ttzo_cut_of(layer) && k + 1 < ttzo_layer_length(layer);
}

static uint64_t state_size(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    struct ttzo_core core = ttzo_layer_core(layer, k);
    return ttzo_is_tensor(layer) ? (uint64_t)e.ml * core.left * core.n * e.nr : (uint64_t)e.nl * core.n * core.right * e.mr;
}

static uint64_t state_numbers_before(const struct ttzo_layer *layer, uint32_t end)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < end; k++)
        if (is_kept(layer, k))
            numbers += ttzo_even(state_size(layer, k));
    return numbers;
}

uint64_t ttzo_states_numbers(const struct ttzo_layer *layer)
{
    return state_numbers_before(layer, ttzo_layer_length(layer));
}

static float *kept_state(const struct ttzo_room *room, uint32_t k)
{
    return room->states + state_numbers_before(room->layer, k);
}

// A panel of four lines of `in`, side by side; false when all its numbers are zero.
static bool pack_columns(float *panel, const float *in, uint32_t inner, uint32_t stride, uint32_t columns)
{
    uint32_t second = columns > 1 ? 1 : 0, third = columns > 2 ? 2 : 0, fourth = columns > 3 ? 3 : 0;
    bool live = false;
    for (; inner; inner--, in += stride, panel += 4) {
        float v0 = in[0], v1 = in[second], v2 = in[third], v3 = in[fourth];
        panel[0] = v0, panel[1] = v1, panel[2] = v2, panel[3] = v3;
        live |= v0 != 0.0f || v1 != 0.0f || v2 != 0.0f || v3 != 0.0f;
    }
    return live;
}

// out[rows, columns] = start + core . in, for the core's panels; columns are left out four at a time where `in` is zero.
static uint32_t multiply_core(float *out, const float *start, const float *core, const float *in, uint32_t rows,
                              uint32_t inner, uint32_t columns, float *panel)
{
    uint32_t done = 0;
    for (uint32_t j = 0; j < columns; j += 4) {
        uint32_t n = columns - j < 4 ? columns - j : 4;
        if (pack_columns(panel, in + j, inner, columns, n)) {
            ttzo_multiply_panels(out + j, columns, start ? start + j : NULL, core, panel, rows, inner, n);
            done += rows * inner * n;
        } else
            for (uint32_t i = 0; i < rows; i++)
                for (uint32_t c = j; c < j + n; c++)
                    out[i * columns + c] = start ? start[i * columns + c] : 0.0f;
    }
    return done;
}

// How a contraction fills tiles: four columns of `in`, four of its rows, or not at all.
enum tiling { BY_COLUMNS, BY_ROWS, NOT_TILED };

static enum tiling tiling_of(const struct ttzo_contraction *step)
{
    if (!step->core_left)
        return NOT_TILED;
    return step->columns > 1 ? BY_COLUMNS : step->repeats >= 4 ? BY_ROWS : NOT_TILED;
}

static uint64_t tiling_numbers(const struct ttzo_contraction *step)
{
    uint32_t core = ttzo_panel_numbers(step->rows, step->inner);
    switch (tiling_of(step)) {
    case BY_COLUMNS: return core + 4u * step->inner;
    case BY_ROWS: return core + ttzo_panel_numbers(step->repeats, step->inner);
    default: return 0;
    }
}

static bool all_zero(const float *at, uint32_t n)
{
    for (; n; n--)
        if (*at++ != 0.0f)
            return false;
    return true;
}

// One column: out[repeats, rows] = in[repeats, inner] . core. Left out are the first and last fours of `in` that are zero.
static uint32_t multiply_rows(const struct ttzo_contraction *step, const float *core, const float *in, float *lines,
                              float *out)
{
    uint32_t rows = step->rows, inner = step->inner, first = 0, end = step->repeats;
    while (first + 4 < end && all_zero(in + first * inner, 4 * inner))
        first += 4;
    while (first + 4 < end && all_zero(in + (end - 1) * inner, inner))
        end--;
    for (uint32_t i = 0; i < first * rows; i++)
        out[i] = 0.0f;
    for (uint32_t i = end * rows; i < step->repeats * rows; i++)
        out[i] = 0.0f;
    ttzo_pack_panels(lines, (struct ttzo_operand){ in + first * inner, inner, 1 }, end - first, inner);
    for (uint32_t j = 0; j < rows; j += 4)
        ttzo_multiply_panels(out + first * rows + j, rows, NULL, lines, core + j * inner, end - first, inner,
                             rows - j < 4 ? rows - j : 4);
    return (end - first) * inner * rows;
}

static uint32_t contract(const struct ttzo_room *room, const struct ttzo_contraction *step, const float *in,
                         const float *bias, float *out)
{
    const float *entries = room->parameters + step->core_offset;
    enum tiling tiling = tiling_of(step);
    if (tiling == NOT_TILED)
        return ttzo_contract(step, entries, in, bias, out, true);
    float *operand = room->panels + ttzo_panel_numbers(step->rows, step->inner);
    uint32_t done = 0;
    ttzo_pack_panels(room->panels,
                     (struct ttzo_operand){ entries, step->core_outer_stride, step->core_inner_stride }, step->rows,
                     step->inner);
    if (tiling == BY_ROWS) // more than one repeat: not the last contraction, and no bias
        return multiply_rows(step, room->panels, in, operand, out);
    for (uint32_t i = 0; i < step->repeats; i++, in += step->inner * step->columns, out += step->rows * step->columns)
        done += multiply_core(out, bias, room->panels, in, step->rows, step->inner, step->columns, operand);
    return done;
}

uint32_t ttzo_room_forward(const struct ttzo_room *room, float *const buffers[2])
{
    const struct ttzo_layer *layer = room->layer;
    uint32_t length = ttzo_layer_length(layer), current = 0, done = 0;
    const float *in = room->input;
    for (uint32_t index = 0; index < length; index++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, index);
        bool last = index + 1 == length;
        uint32_t next = ttzo_is_tensor(layer) ? index + 1 : length - 2u - index;
        const float *bias =
            last && layer->has_bias ? room->parameters + ttzo_layer_parameters(layer) - layer->out_features : NULL;
        float *out = last ? room->z : is_kept(layer, next) ? kept_state(room, next) : buffers[current];
        done += contract(room, &step, in, bias, out);
        in = out;
        current = 1 - current;
    }
    return done;
}

// ---- a sample: sweeping from the left (TT-matrix) -------------------------------------------------------------------

// Array k of the sweep is [ml][left_k][n][nr]: x contracted with the cores before k.
uint64_t ttzo_sweep_widest(const struct ttzo_layer *layer)
{
    uint64_t widest = 0;
    uint32_t length = ttzo_layer_length(layer);
    if (ttzo_is_tensor(layer) || ttzo_cut_of(layer) == length)
        return 0;
    for (uint32_t k = 1; k < length; k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        struct ttzo_core core = ttzo_layer_core(layer, k);
        uint64_t size = (uint64_t)e.ml * core.left * core.n * e.nr;
        if (size > widest)
            widest = size;
    }
    return widest;
}

// The core as panels of lines (m, b), summed over (a, n).
static void pack_core(float *panels, const float *entries, const struct ttzo_core *core)
{
    uint32_t lines = core->m * core->right, row = core->n * core->right;
    for (uint32_t line = 0; line < lines; line += 4) {
        const float *at[4];
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t one = line + i < lines ? line + i : line;
            at[i] = entries + one / core->right * row + one % core->right;
        }
        for (uint32_t a = 0; a < core->left; a++)
            for (uint32_t n = 0; n < core->n; n++, panels += 4)
                for (uint32_t i = 0; i < 4; i++)
                    panels[i] = at[i][a * core->m * row + n * core->right];
    }
}

// Array k+1 from array k: [ml][m][b] . [n][nr], summed over (a, n) in that order.
static uint32_t sweep_core(const struct ttzo_room *room, uint32_t k, const float *in, float *out)
{
    struct ttzo_extents e = ttzo_extents_around(room->layer, k);
    struct ttzo_core core = ttzo_layer_core(room->layer, k);
    uint32_t rows = core.m * core.right, inner = core.left * core.n, done = 0;
    float *panel = room->panels + ttzo_panel_numbers(rows, inner);
    pack_core(room->panels, room->parameters + core.offset, &core);
    for (uint32_t i = 0; i < e.ml; i++, in += inner * e.nr, out += rows * e.nr)
        done += multiply_core(out, NULL, room->panels, in, rows, inner, e.nr, panel);
    return done;
}

uint64_t ttzo_environment_panels(const struct ttzo_layer *layer)
{
    uint64_t most = 0;
    bool sweeps = ttzo_sweep_widest(layer) > 0;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_contraction step = ttzo_layer_contraction(layer, k);
        struct ttzo_core core = ttzo_layer_core(layer, k);
        uint32_t rows = core.m * core.right, inner = core.left * core.n;
        uint64_t forward = tiling_numbers(&step);
        uint64_t sweep = sweeps && k + 1 < ttzo_layer_length(layer) ? ttzo_panel_numbers(rows, inner) + 4 * inner : 0;
        most = forward > most ? forward : most;
        most = sweep > most ? sweep : most;
    }
    return most;
}

// ---- turning to a core ----------------------------------------------------------------------------------------------

uint32_t ttzo_environment_open(struct ttzo_environment *environment, const struct ttzo_room *room, uint32_t k,
                               float *const buffers[2])
{
    const struct ttzo_layer *layer = room->layer;
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    uint32_t cut = ttzo_cut_of(layer), done = 0;
    bool first = ttzo_is_tensor(layer) ? k == 0 : k + 1 == ttzo_layer_length(layer);
    struct ttzo_environment made = { .room = room, .core = ttzo_layer_core(layer, k), .ml = e.ml, .mr = e.mr,
                                     .nl = e.nl, .nr = e.nr, .state = environment->state,
                                     .current = environment->current };
    made.way = k >= cut ? TTZO_FROM_LEFT : ttzo_is_tensor(layer) ? TTZO_FROM_INPUT : TTZO_FROM_RIGHT;
    made.factor = ttzo_core_product(room, k >= cut ? TTZO_BEHIND : ttzo_is_tensor(layer) ? TTZO_MIDDLE : TTZO_BEFORE, k);
    if (made.way == TTZO_FROM_INPUT) {
        made.rank = layer->ranks[cut];
        made.outputs = ttzo_core_product(room, TTZO_BEHIND, cut - 1);
    }
    if (ttzo_is_tensor(layer) || k < cut)
        made.state = first ? room->input : kept_state(room, k);
    else
        for (uint32_t i = k == cut ? 0 : k - 1; i < k; i++) {
            made.current = 1 - made.current;
            done += sweep_core(room, i, i ? made.state : room->input, buffers[made.current]);
            made.state = buffers[made.current];
        }
    *environment = made;
    return done;
}
