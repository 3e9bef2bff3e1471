// SPDX-License-Identifier: MIT
#include "environments.h"

#include "product.h"

// ---- extents --------------------------------------------------------------------------------------------------------

// Cores of one layer on both sides of core k.
struct extents {
    uint32_t ml, mr, nl, nr;
};

static struct extents extents_around(const struct ttzo_layer *layer, uint32_t k)
{
    struct extents e = { 1, 1, 1, 1 };
    for (uint32_t i = 0; i < ttzo_layer_length(layer); i++) {
        struct ttzo_core core = ttzo_layer_core(layer, i);
        if (i < k) {
            e.ml *= core.m;
            e.nl *= core.n;
        } else if (i > k) {
            e.mr *= core.m;
            e.nr *= core.n;
        }
    }
    return e;
}

static bool is_tensor(const struct ttzo_layer *layer)
{
    return layer->kind == TTZO_LAYER_KIND_TT_TENSOR;
}

// Core k's slices are made in one of three ways, each from the cheaper side:
//     TT-matrix and dense, k below the cut    x contracted with the cores behind k, times the product of those before
//     the same, from the cut on               x contracted with the cores before k, times the product of those behind
//     2L-way TT                               the same; the product behind an input core goes through the middle rank
// The cut of a 2L-way TT is its first output core.
static uint32_t cut_of(const struct ttzo_layer *layer)
{
    uint32_t length = ttzo_layer_length(layer), cut = 0;
    if (is_tensor(layer))
        return layer->n_in_modes;
    for (; cut < length; cut++) {
        struct extents e = extents_around(layer, cut);
        if (e.nl > e.nr)
            break;
    }
    return cut;
}

// Where the matrix is cut in two products: a core stands on either side.
static uint32_t matrix_cut(const struct ttzo_layer *layer)
{
    uint32_t cut = cut_of(layer), last = ttzo_layer_length(layer) - 1;
    return cut < last ? cut : last;
}

// Pieces of a cache are padded to an even count, so that a kernel may load pairs.
static uint32_t even(uint32_t numbers)
{
    return (numbers + 1u) & ~1u;
}

// ---- products of cores ----------------------------------------------------------------------------------------------

// LEFT  k: [ml][nl][left_k]      product of the cores before k
// RIGHT k: [right_k][mr][nr]     product of the cores behind k
// MIDDLE k: [right_k][nr][r]     2L-way TT: product of the input cores behind k; r is the middle rank
// A product of one core is the core itself and is not stored; a product of none is 1.
enum side { LEFT, RIGHT, MIDDLE, N_SIDES };

static uint32_t first_stored(const struct ttzo_layer *layer, enum side side, bool with_matrix)
{
    if (side == RIGHT)
        return is_tensor(layer) ? layer->n_in_modes - 1u : with_matrix ? matrix_cut(layer) - 1 : cut_of(layer);
    return side == LEFT ? 2 : 0;
}

static uint32_t end_stored(const struct ttzo_layer *layer, enum side side, bool with_matrix)
{
    uint32_t length = ttzo_layer_length(layer);
    uint32_t left = is_tensor(layer) ? 0 : cut_of(layer);
    if (side == LEFT)
        return with_matrix && matrix_cut(layer) >= left ? matrix_cut(layer) + 1 : left;
    if (side == RIGHT)
        return length < 2 ? 0 : length - 2;
    return is_tensor(layer) && layer->n_in_modes > 2 ? layer->n_in_modes - 2u : 0;
}

static uint32_t product_size(const struct ttzo_layer *layer, enum side side, uint32_t k)
{
    struct extents e = extents_around(layer, k);
    struct ttzo_core core = ttzo_layer_core(layer, k);
    return side == LEFT ? e.ml * e.nl * core.left
           : side == RIGHT ? core.right * e.mr * e.nr
                           : core.right * e.nr * layer->ranks[layer->n_in_modes];
}

// Numbers stored before product `k` of `side`; the end of all when side is N_SIDES.
static uint32_t numbers_before(const struct ttzo_layer *layer, bool with_matrix, enum side side, uint32_t k)
{
    uint32_t numbers = 0;
    for (enum side s = LEFT; s < N_SIDES; s++)
        for (uint32_t i = first_stored(layer, s, with_matrix); i < end_stored(layer, s, with_matrix); i++) {
            if (s == side && i == k)
                return numbers;
            numbers += even(product_size(layer, s, i));
        }
    return numbers;
}

uint32_t ttzo_products_numbers(const struct ttzo_layer *layer, bool with_matrix)
{
    return numbers_before(layer, with_matrix, N_SIDES, 0);
}

static float *stored_product(const struct ttzo_room *room, enum side side, uint32_t k)
{
    return room->products + numbers_before(room->layer, room->has_matrix, side, k);
}

// Product `k` of a side; NULL for the product of no core.
static const float *product_of(const struct ttzo_room *room, enum side side, uint32_t k)
{
    uint32_t end = side == MIDDLE ? room->layer->n_in_modes : ttzo_layer_length(room->layer);
    if (side == LEFT ? k == 0 : k + 1 == end)
        return NULL;
    if (side == LEFT && k == 1)
        return room->parameters;
    if (side != LEFT && k + 2 == end)
        return room->parameters + ttzo_layer_core(room->layer, k + 1).offset;
    return stored_product(room, side, k);
}

// LEFT k from LEFT k-1 [ml][nl][a] and core k-1 (a, m, n, b): [ml][m][nl][n][b].
static uint32_t extend_left(const struct ttzo_room *room, uint32_t k)
{
    struct extents e = extents_around(room->layer, k - 1);
    struct ttzo_core core = ttzo_layer_core(room->layer, k - 1);
    const float *before = product_of(room, LEFT, k - 1), *entries = room->parameters + core.offset;
    float *out = stored_product(room, LEFT, k);
    uint32_t done = 0, columns = core.n * core.right;
    for (uint32_t i = 0; i < e.ml * core.m; i++, out += e.nl * columns)
        done += ttzo_product(
            out, NULL, (struct ttzo_operand){ before + i / core.m * e.nl * core.left, core.left, 1 },
            (struct ttzo_operand){ entries + i % core.m * columns, 1, core.m * columns }, e.nl, core.left, columns,
            TTZO_DATA_NONE);
    return done;
}

// RIGHT k from core k+1 (a, m, n, b) and RIGHT k+1 [b][mr][nr]: [a][m][mr][n][nr].
static uint32_t extend_right(const struct ttzo_room *room, uint32_t k)
{
    struct extents e = extents_around(room->layer, k + 1);
    struct ttzo_core core = ttzo_layer_core(room->layer, k + 1);
    const float *behind = product_of(room, RIGHT, k + 1), *entries = room->parameters + core.offset;
    float *out = stored_product(room, RIGHT, k);
    uint32_t done = 0;
    for (uint32_t i = 0; i < core.left * core.m; i++)
        for (uint32_t j = 0; j < e.mr; j++, out += core.n * e.nr)
            done += ttzo_product(out, NULL,
                                 (struct ttzo_operand){ entries + i * core.n * core.right, core.right, 1 },
                                 (struct ttzo_operand){ behind + j * e.nr, 1, e.mr * e.nr }, core.n, core.right, e.nr,
                                 TTZO_DATA_NONE);
    return done;
}

// MIDDLE k from core k+1 (a, n, b) and MIDDLE k+1 [b][nr][r]: [a][n][nr][r].
static uint32_t extend_middle(const struct ttzo_room *room, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core(room->layer, k + 1);
    uint32_t columns = extents_around(room->layer, k + 1).nr * room->layer->ranks[room->layer->n_in_modes];
    return ttzo_product(stored_product(room, MIDDLE, k), NULL,
                        (struct ttzo_operand){ room->parameters + core.offset, core.right, 1 },
                        (struct ttzo_operand){ product_of(room, MIDDLE, k + 1), 1, columns }, core.left * core.n,
                        core.right, columns, TTZO_DATA_NONE);
}

// matrix [nl][nr][ml][mr] from LEFT c [ml][nl][a] and RIGHT c-1 [a][mr][nr].
static uint32_t make_matrix(const struct ttzo_room *room)
{
    uint32_t cut = matrix_cut(room->layer), done = 0;
    struct extents before = extents_around(room->layer, cut), behind = extents_around(room->layer, cut - 1);
    uint32_t rank = room->layer->ranks[cut];
    const float *left = product_of(room, LEFT, cut), *right = product_of(room, RIGHT, cut - 1);
    float *out = room->matrix;
    for (uint32_t i = 0; i < before.nl; i++)
        for (uint32_t j = 0; j < behind.nr; j++, out += before.ml * behind.mr)
            done += ttzo_product(out, NULL, (struct ttzo_operand){ left + i * rank, before.nl * rank, 1 },
                                 (struct ttzo_operand){ right + j, behind.nr, behind.mr * behind.nr }, before.ml, rank,
                                 behind.mr, TTZO_DATA_NONE);
    return done;
}

uint32_t ttzo_room_prepare(const struct ttzo_room *room)
{
    const struct ttzo_layer *layer = room->layer;
    uint32_t done = 0, first;
    for (uint32_t k = 2; k < end_stored(layer, LEFT, room->has_matrix); k++)
        done += extend_left(room, k);
    first = first_stored(layer, RIGHT, room->has_matrix);
    for (uint32_t k = end_stored(layer, RIGHT, room->has_matrix); k > first; k--)
        done += extend_right(room, k - 1);
    for (uint32_t k = end_stored(layer, MIDDLE, room->has_matrix); k > 0; k--)
        done += extend_middle(room, k - 1);
    return room->has_matrix ? done + make_matrix(room) : done;
}

// ---- a sample: forward, keeping states ------------------------------------------------------------------------------

// State k is the array that meets core k on the way forward: TT-matrix [nl][n][right_k][mr], 2L-way TT
// [ml][left_k][n][nr]. The first one on the way is the layer's input.
static bool is_kept(const struct ttzo_layer *layer, uint32_t k)
{
    if (is_tensor(layer))
        return k > 0;
    return k < cut_of(layer) && k + 1 < ttzo_layer_length(layer);
}

static uint32_t state_size(const struct ttzo_layer *layer, uint32_t k)
{
    struct extents e = extents_around(layer, k);
    struct ttzo_core core = ttzo_layer_core(layer, k);
    return is_tensor(layer) ? e.ml * core.left * core.n * e.nr : e.nl * core.n * core.right * e.mr;
}

static uint32_t state_numbers_before(const struct ttzo_layer *layer, uint32_t end)
{
    uint32_t numbers = 0;
    for (uint32_t k = 0; k < end; k++)
        if (is_kept(layer, k))
            numbers += even(state_size(layer, k));
    return numbers;
}

uint32_t ttzo_states_numbers(const struct ttzo_layer *layer)
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
        uint32_t next = is_tensor(layer) ? index + 1 : length - 2u - index;
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
uint32_t ttzo_sweep_widest(const struct ttzo_layer *layer)
{
    uint32_t widest = 0, length = ttzo_layer_length(layer);
    if (is_tensor(layer) || cut_of(layer) == length)
        return 0;
    for (uint32_t k = 1; k < length; k++) {
        struct extents e = extents_around(layer, k);
        struct ttzo_core core = ttzo_layer_core(layer, k);
        uint32_t size = e.ml * core.left * core.n * e.nr;
        if (size > widest)
            widest = size;
    }
    return widest;
}

// Array k+1 from array k: [ml][m][b] . [n][nr], summed over (a, n) in that order.
static uint32_t sweep_core(const struct ttzo_room *room, uint32_t k, const float *in, float *out)
{
    struct extents e = extents_around(room->layer, k);
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
        struct extents e = extents_around(layer, k);
        if (e.ml * e.mr > widest)
            widest = e.ml * e.mr;
    }
    return widest;
}

uint32_t ttzo_environment_open(struct ttzo_environment *environment, const struct ttzo_room *room, uint32_t k,
                               float *const buffers[2])
{
    const struct ttzo_layer *layer = room->layer;
    struct extents e = extents_around(layer, k);
    uint32_t cut = cut_of(layer), done = 0;
    bool first = is_tensor(layer) ? k == 0 : k + 1 == ttzo_layer_length(layer);
    struct ttzo_environment made = { .room = room, .core = ttzo_layer_core(layer, k), .ml = e.ml, .mr = e.mr,
                                     .nl = e.nl, .nr = e.nr, .state = environment->state,
                                     .current = environment->current };
    made.way = k >= cut ? TTZO_FROM_LEFT : is_tensor(layer) ? TTZO_FROM_INPUT : TTZO_FROM_RIGHT;
    made.factor = product_of(room, k >= cut ? RIGHT : is_tensor(layer) ? MIDDLE : LEFT, k);
    if (made.way == TTZO_FROM_INPUT) {
        made.rank = layer->ranks[cut];
        made.outputs = product_of(room, RIGHT, cut - 1);
    }
    if (is_tensor(layer) || k < cut)
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

// Sum over nl of LEFT[ml, nl, a] state[nl, n, b, mr].
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

// Sum over nr of state[ml, a, n, nr] RIGHT[b, mr, nr].
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

// To the middle rank, c[r] = sum over nr of state[a, n, nr] MIDDLE[b, nr, r], and out: sum over r of c[r] outputs[r, mr].
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
