// SPDX-License-Identifier: MIT
#include "environments.h"

#include "product.h"

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
        done += ttzo_contract(&step, room->parameters + step.core_offset, in, bias, out, true);
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

// Array k+1 from array k: [ml][m][b] . [n][nr], summed over (a, n) in that order.
static uint32_t sweep_core(const struct ttzo_room *room, uint32_t k, const float *in, float *out)
{
    struct ttzo_extents e = ttzo_extents_around(room->layer, k);
    struct ttzo_core core = ttzo_layer_core(room->layer, k);
    const float *entries = room->parameters + core.offset;
    uint32_t done = 0;
    for (uint32_t i = 0; i < e.ml * core.m; i++, out += core.right * e.nr)
        for (uint32_t a = 0; a < core.left; a++)
            done += ttzo_product(
                out, a ? out : NULL,
                (struct ttzo_operand){ entries + (a * core.m + i % core.m) * core.n * core.right, 1, core.right },
                (struct ttzo_operand){ in + (i / core.m * core.left + a) * core.n * e.nr, 1, e.nr }, core.right, core.n,
                e.nr, TTZO_DATA_RIGHT);
    return done;
}

// ---- slices ---------------------------------------------------------------------------------------------------------

uint32_t ttzo_slice_widest(const struct ttzo_layer *layer)
{
    uint32_t widest = 1;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_extents e = ttzo_extents_around(layer, k);
        if (e.ml * e.mr > widest)
            widest = e.ml * e.mr;
    }
    return widest;
}

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

static void gather(float *out, const float *in, uint32_t stride, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, in += stride)
        out[i] = *in;
}

// Sum over nl of TTZO_BEFORE[ml, nl, a] state[nl, n, b, mr].
static uint32_t slice_from_right(const struct ttzo_environment *e, uint32_t a, uint32_t n, uint32_t b, float *slice)
{
    const struct ttzo_core *core = &e->core;
    const float *state = e->state + (n * core->right + b) * e->mr;
    if (!e->factor) {
        gather(slice, state, 1, e->mr);
        return 0;
    }
    return ttzo_product(slice, NULL, (struct ttzo_operand){ e->factor + a, e->nl * core->left, core->left },
                        (struct ttzo_operand){ state, 1, core->n * core->right * e->mr }, e->ml, e->nl, e->mr,
                        TTZO_DATA_RIGHT);
}

// Sum over nr of state[ml, a, n, nr] TTZO_BEHIND[b, mr, nr].
static uint32_t slice_from_left(const struct ttzo_environment *e, uint32_t a, uint32_t n, uint32_t b, float *slice)
{
    const struct ttzo_core *core = &e->core;
    const float *state = e->state + (a * core->n + n) * e->nr;
    uint32_t stride = core->left * core->n * e->nr;
    if (!e->factor) {
        gather(slice, state, stride, e->ml);
        return 0;
    }
    return ttzo_product(slice, NULL, (struct ttzo_operand){ state, stride, 1 },
                        (struct ttzo_operand){ e->factor + b * e->mr * e->nr, e->nr, 1 }, e->ml, e->nr, e->mr,
                        TTZO_DATA_LEFT);
}

// To the middle rank, c[r] = sum over nr of state[a, n, nr] TTZO_MIDDLE[b, nr, r], and out: sum over r of c[r] outputs[r, mr].
// Rank by rank, so that c need not be stored.
static uint32_t slice_from_input(const struct ttzo_environment *e, uint32_t a, uint32_t n, uint32_t b, float *slice)
{
    const float *state = e->state + (a * e->core.n + n) * e->nr;
    uint32_t done = 0;
    if (!e->factor) // the last input core: its right rank is the middle one
        return ttzo_product(slice, NULL, (struct ttzo_operand){ state, 0, 0 },
                            (struct ttzo_operand){ e->outputs + b * e->mr, 1, 0 }, 1, 1, e->mr, TTZO_DATA_LEFT);
    for (uint32_t r = 0; r < e->rank; r++) {
        float c;
        done += ttzo_product(&c, NULL, (struct ttzo_operand){ state, 0, 1 },
                             (struct ttzo_operand){ e->factor + b * e->nr * e->rank + r, 0, e->rank }, 1, e->nr, 1,
                             TTZO_DATA_LEFT);
        done += ttzo_product(slice, r ? slice : NULL, (struct ttzo_operand){ &c, 0, 0 },
                             (struct ttzo_operand){ e->outputs + r * e->mr, 1, 0 }, 1, 1, e->mr, TTZO_DATA_LEFT);
    }
    return done;
}

uint32_t ttzo_environment_slice(const struct ttzo_environment *environment, uint32_t a, uint32_t n, uint32_t b,
                                float *slice)
{
    switch (environment->way) {
    case TTZO_FROM_RIGHT: return slice_from_right(environment, a, n, b, slice);
    case TTZO_FROM_LEFT: return slice_from_left(environment, a, n, b, slice);
    default: return slice_from_input(environment, a, n, b, slice);
    }
}
