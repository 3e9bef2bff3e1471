// SPDX-License-Identifier: MIT
#include "equations/compensated_jet.h"

#include "equations/compensated.h"
#include "equations/compensated_basis.h"
#include "equations/compensated_columns.h"
#include "network/layers.h"
#include "network/merged_layer.h"

#define WIDTH TTZO_COMPENSATED_FLOATS

// What a column carries: the value, a direction's first derivative, or a second derivative: along the direction in the
// column before, or the sum over those that went through.
enum kind { NOTHING, VALUE, DIRECTION, SECOND };

struct pass {
    enum kind kind[2];
    uint32_t direction[2];
    bool own; // second derivatives are each direction's own
};

// One derivation under way.
struct derivation {
    struct ttzo_trainer *trainer;
    const struct ttzo_pde_work *work;
    const float *theta;
    uint32_t n_layers, n_inputs, n_space, m;
    uint32_t basis;                  // directions that stand for those of space, or 0
    uint32_t n_directions, n_summed; // of which the first ones join the sum
    float *curvature;                // [units][2], or NULL: not kept
    const float *shared;             // see ttzo_compensated_shared; or NULL
};

// ---- numbers in memory ----------------------------------------------------------------------------------------------

// The two floats of one column of a feature.
static struct ttzo_two_floats get_column(const float *feature, uint32_t c)
{
    return (struct ttzo_two_floats){ ttzo_lanes_of(feature[c]), ttzo_lanes_of(feature[2 + c]) };
}

static void put_column(float *feature, uint32_t c, struct ttzo_two_floats x)
{
    feature[c] = ttzo_lanes_first(x.head);
    feature[2 + c] = ttzo_lanes_first(x.tail);
}

static struct ttzo_two_floats get(const float at[2])
{
    return (struct ttzo_two_floats){ ttzo_lanes_of(at[0]), ttzo_lanes_of(at[1]) };
}

static void put(float at[2], ttzo_lanes first, ttzo_lanes second)
{
    at[0] = ttzo_lanes_first(first);
    at[1] = ttzo_lanes_first(second);
}

// ---- activations ----------------------------------------------------------------------------------------------------

static struct ttzo_two_floats nothing(void)
{
    return (struct ttzo_two_floats){ ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
}

// Not so of NaN, which stays NaN.
static bool is_below(struct ttzo_two_floats z)
{
    return ttzo_lanes_first(ttzo_two_floats_whole(z)) < 0.0f;
}

// phi(z), phi'(z) as well.
static inline struct ttzo_two_floats bend(enum ttzo_activation activation, struct ttzo_two_floats z,
                                          struct ttzo_two_floats *slope)
{
    struct ttzo_two_floats value;
    if (activation == TTZO_ACTIVATION_SINE) {
        struct ttzo_sine_and_cosine both = ttzo_two_floats_sine(z);
        *slope = both.cosine;
        return both.sine;
    }
    if (activation == TTZO_ACTIVATION_TANH) {
        struct ttzo_sum one = { ttzo_lanes_of(1.0f), ttzo_lanes_of(0.0f) };
        value = ttzo_two_floats_tanh(z);
        *slope = ttzo_rounded(ttzo_two_floats_muladd(ttzo_two_floats_minus(value), value, one));
        return value;
    }
    *slope = get((const float[2]){ is_below(z) ? 0.0f : 1.0f, 0.0f });
    return is_below(z) ? nothing() : z;
}

// phi(z) alone.
static inline struct ttzo_two_floats bend_again(enum ttzo_activation activation, struct ttzo_two_floats z)
{
    if (activation == TTZO_ACTIVATION_SINE)
        return ttzo_two_floats_sine_alone(z);
    if (activation == TTZO_ACTIVATION_TANH)
        return ttzo_two_floats_tanh(z);
    return is_below(z) ? nothing() : z;
}

// phi''(z) of phi(z) and phi'(z).
static inline struct ttzo_two_floats curvature_of(enum ttzo_activation activation, struct ttzo_two_floats value,
                                                  struct ttzo_two_floats slope)
{
    if (activation == TTZO_ACTIVATION_SINE)
        return ttzo_two_floats_minus(value);
    if (activation != TTZO_ACTIVATION_TANH)
        return nothing();
    struct ttzo_two_floats half = ttzo_two_floats_times(value, slope);
    return (struct ttzo_two_floats){ -2.0f * half.head, -2.0f * half.tail };
}

// slope second + curvature squares
static inline struct ttzo_two_floats bend_second(struct ttzo_two_floats slope, struct ttzo_two_floats second,
                                                 struct ttzo_two_floats curvature, struct ttzo_two_floats squares)
{
    return ttzo_rounded(ttzo_two_floats_muladd(curvature, squares, ttzo_two_floats_product(slope, second)));
}

// One layer's units on their way through: kept of each are the slope, and the curvature or the sum of squares.
struct units {
    enum ttzo_activation activation;
    uint32_t n;
    float *columns, *slope, *kept;
    float *curvature; // or NULL: not kept
};

static void bend_value(const struct units *u)
{
    for (uint32_t j = 0; j < u->n; j++) {
        float *feature = u->columns + WIDTH * j;
        struct ttzo_two_floats slope, value = bend(u->activation, get_column(feature, 0), &slope);
        put_column(feature, 0, value);
        put(u->slope + 2 * j, slope.head, slope.tail);
        if (!u->curvature)
            continue;
        struct ttzo_two_floats curvature = curvature_of(u->activation, value, slope);
        put(u->curvature + 2 * j, curvature.head, curvature.tail);
    }
}

// The value's column once more, whose slopes are kept, and with it what sums up the directions.
static void bend_value_and_sum(const struct units *u)
{
    for (uint32_t j = 0; j < u->n; j++) {
        float *feature = u->columns + WIDTH * j, *kept = u->kept + 2 * j;
        struct ttzo_two_floats value = bend_again(u->activation, get_column(feature, 0)), slope = get(u->slope + 2 * j);
        struct ttzo_sum squares = { ttzo_lanes_of(kept[0]), ttzo_lanes_of(kept[1]) };
        put_column(feature, 0, value);
        put_column(feature, 1,
                   bend_second(slope, get_column(feature, 1), curvature_of(u->activation, value, slope),
                               ttzo_rounded(squares)));
    }
}

// What sums up the directions, alone in the first column, by the kept curvatures.
static void bend_sum(const struct units *u)
{
    for (uint32_t j = 0; j < u->n; j++) {
        float *feature = u->columns + WIDTH * j, *kept = u->kept + 2 * j;
        struct ttzo_sum squares = { ttzo_lanes_of(kept[0]), ttzo_lanes_of(kept[1]) };
        put_column(feature, 0,
                   bend_second(get(u->slope + 2 * j), get_column(feature, 0), get(u->curvature + 2 * j),
                               ttzo_rounded(squares)));
    }
}

// Before the direction in the first column is bent itself.
static void bend_own_second(const struct units *u)
{
    const struct ttzo_sum zero = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
    for (uint32_t j = 0; j < u->n; j++) {
        float *feature = u->columns + WIDTH * j;
        struct ttzo_two_floats along = get_column(feature, 0),
                               square = ttzo_rounded(ttzo_two_floats_muladd(along, along, zero));
        put_column(feature, 1,
                   bend_second(get(u->slope + 2 * j), get_column(feature, 1), get(u->curvature + 2 * j), square));
    }
}

// Directions in the columns [first, end); the squares of those before `end_summed` join the sum, which begins anew with
// `begins`.
static inline __attribute__((always_inline)) void bend_directions(const struct units *u, uint32_t first, uint32_t end,
                                                                  uint32_t end_summed, bool begins)
{
    for (uint32_t j = 0; j < u->n; j++) {
        float *feature = u->columns + WIDTH * j, *kept = u->kept + 2 * j;
        const struct ttzo_two_floats slope = get(u->slope + 2 * j);
        struct ttzo_sum squares = { ttzo_lanes_of(begins ? 0.0f : kept[0]), ttzo_lanes_of(begins ? 0.0f : kept[1]) };
        for (uint32_t c = first; c < end; c++) {
            struct ttzo_two_floats along = get_column(feature, c);
            if (c < end_summed)
                squares = ttzo_two_floats_muladd(along, along, squares);
            put_column(feature, c, ttzo_two_floats_times(slope, along));
        }
        if (first < end_summed)
            put(kept, squares.sum, squares.rest);
    }
}

// The first layer's, whose directions are at hand.
static void bend_shared(const struct derivation *d, const struct pass *pass, const struct units *u)
{
    if (pass->kind[0] == VALUE)
        bend_value(u);
    for (uint32_t c = 0; c < 2; c++) {
        const float *along = d->shared + 2 * pass->direction[c] * u->n;
        for (uint32_t j = 0; j < u->n && pass->kind[c] == DIRECTION; j++)
            put_column(u->columns + WIDTH * j, c, ttzo_two_floats_times(get(u->slope + 2 * j), get(along + 2 * j)));
    }
}

static void bend_columns(const struct derivation *d, const struct pass *pass, const struct units *u)
{
    if (pass->kind[0] == VALUE && pass->kind[1] == SECOND) {
        bend_value_and_sum(u);
        return;
    }
    if (pass->kind[0] == SECOND) {
        bend_sum(u);
        return;
    }
    if (pass->kind[0] == VALUE)
        bend_value(u);
    if (pass->kind[1] == SECOND)
        bend_own_second(u);
    uint32_t first = pass->kind[0] == DIRECTION ? 0 : 1, end = pass->kind[1] == DIRECTION ? 2 : 1, summed = first;
    while (summed < end && !pass->own && pass->direction[summed] < d->n_summed)
        summed++;
    bool begins = first < end && pass->direction[first] == 0;
    if (first == 1 && end == 2)
        bend_directions(u, 1, 2, summed, begins);
    else if (end == 2 && summed == 2)
        bend_directions(u, 0, 2, 2, begins);
    else if (end == 2 && summed == 1)
        bend_directions(u, 0, 2, 1, begins);
    else
        bend_directions(u, first, end, summed, begins);
}

// ---- passes ---------------------------------------------------------------------------------------------------------

// What input i moves by along a direction.
static struct ttzo_two_floats step_along(const struct derivation *d, uint32_t direction, uint32_t i)
{
    struct ttzo_two_floats scale =
        ttzo_two_floats_of(ttzo_lanes_of(d->trainer->model->info.input_scale), ttzo_lanes_of(0.0f));
    if (d->basis && direction < d->basis && i < d->n_space)
        return ttzo_two_floats_times(scale, get(d->work->basis + 2 * (direction * d->n_space + i)));
    bool own = i == (d->basis ? direction - d->basis + d->n_space : direction);
    return own ? scale : get((const float[2]){ 0.0f, 0.0f });
}

static void begin_columns(const struct derivation *d, const struct pass *pass)
{
    const struct ttzo_model_info *info = &d->trainer->model->info;
    float *feature = d->trainer->activations[0];
    for (uint32_t i = 0; i < d->n_inputs; i++, feature += WIDTH)
        for (uint32_t c = 0; c < 2; c++) {
            struct ttzo_two_floats number = get((const float[2]){ 0.0f, 0.0f });
            if (pass->kind[c] == VALUE) {
                float input = TTZO_MULADD(d->work->point[i], info->input_scale, info->input_offset);
                number = ttzo_two_floats_of(ttzo_lanes_of(input), ttzo_lanes_of(0.0f));
            } else if (pass->kind[c] == DIRECTION) {
                number = step_along(d, pass->direction[c], i);
            }
            put_column(feature, c, number);
        }
}

// A direction of the basis is shared out to the inputs.
static void share_out(const struct derivation *d, uint32_t direction, const float *columns, uint32_t c)
{
    const float *basis = d->work->basis + 2 * direction * d->n_space;
    for (uint32_t i = 0; i < d->n_space; i++)
        for (uint32_t o = 0; o < d->m; o++) {
            float *first = d->work->first + i * d->m + o;
            float along = ttzo_lanes_first(ttzo_two_floats_whole(get_column(columns + WIDTH * o, c)));
            *first = TTZO_MULADD(basis[2 * i] + basis[2 * i + 1], along, direction ? *first : 0.0f);
        }
}

// Where a column's results belong, [m].
static float *place_of(const struct derivation *d, const struct pass *pass, uint32_t c)
{
    const struct ttzo_pde_work *work = d->work;
    switch (pass->kind[c]) {
    case VALUE: return work->value;
    case DIRECTION:
        return work->first + (d->basis ? pass->direction[c] - d->basis + d->n_space : pass->direction[c]) * d->m;
    case SECOND: return pass->own ? work->diagonal + pass->direction[0] * d->m : work->laplacian;
    case NOTHING: break;
    }
    return NULL;
}

// Second derivatives of a layer that bends nothing yet.
static void clear_column(float *columns, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++)
        put_column(columns + WIDTH * j, 0, nothing());
}

// The sums of squares after the shared directions; they are read alone.
static float *shared_squares(const struct derivation *d, uint32_t n_units)
{
    return d->work->shared + 2 * d->n_directions * n_units;
}

// Whether the first layer's linear part makes nothing of a pass: what it would make is known.
static bool skips_first_layer(const struct derivation *d, const struct pass *pass)
{
    return pass->kind[0] == SECOND || (d->shared && pass->kind[0] == DIRECTION);
}

// The linear part of the first layer; in the buffer where a layer's results end, also when they are not made.
static void enter_first_layer(const struct derivation *d, const struct pass *pass, uint32_t *buffer)
{
    const struct ttzo_layer *first = d->trainer->model->layers;
    if (skips_first_layer(d, pass)) {
        struct ttzo_layer taken = ttzo_merged_layer(first);
        *buffer = ttzo_layer_length(&taken) % 2;
        if (pass->kind[0] == SECOND)
            clear_column(d->trainer->activations[*buffer], first->out_features);
        return;
    }
    begin_columns(d, pass);
    bool both = pass->kind[1] != NOTHING && !(d->shared && pass->kind[1] == DIRECTION);
    ttzo_compensated_forward(first, d->theta, d->work->merged, d->trainer->activations, buffer, pass->kind[0] == VALUE,
                             both);
}

static void carry(const struct derivation *d, const struct pass *pass)
{
    const struct ttzo_layer *layers = d->trainer->model->layers;
    float *const *buffers = d->trainer->activations;
    const float *merged = d->work->merged;
    uint32_t buffer = 0, before = 0;
    for (uint32_t l = 0; l < d->n_layers; l++) {
        bool is_shared = l == 0 && d->shared;
        if (l == 0)
            enter_first_layer(d, pass, &buffer);
        else
            ttzo_compensated_forward(&layers[l], d->theta, merged, buffers, &buffer, pass->kind[0] == VALUE,
                                     pass->kind[1] != NOTHING);
        merged += ttzo_compensated_merged(&layers[l]);
        if (layers[l].activation == TTZO_ACTIVATION_IDENTITY)
            continue;
        struct units u = { (enum ttzo_activation)layers[l].activation,
                           layers[l].out_features,
                           buffers[buffer],
                           d->work->slope + 2 * before,
                           is_shared ? shared_squares(d, layers[l].out_features) : d->work->squares + 2 * before,
                           d->curvature ? d->curvature + 2 * before : NULL };
        if (is_shared && pass->kind[0] != SECOND && pass->kind[1] != SECOND)
            bend_shared(d, pass, &u);
        else
            bend_columns(d, pass, &u);
        before += u.n;
    }
    for (uint32_t c = 0; c < 2; c++) {
        if (pass->kind[c] == DIRECTION && pass->direction[c] < d->basis) {
            share_out(d, pass->direction[c], buffers[buffer], c);
            continue;
        }
        float *to = place_of(d, pass, c);
        for (uint32_t o = 0; to && o < d->m; o++)
            to[o] = ttzo_lanes_first(ttzo_two_floats_whole(get_column(buffers[buffer] + WIDTH * o, c)));
    }
}

static void carry_each_with_its_own(const struct derivation *d)
{
    carry(d, &(struct pass){ { VALUE, NOTHING }, { 0, 0 }, true });
    for (uint32_t i = 0; i < d->n_inputs; i++)
        carry(d, &(struct pass){ { DIRECTION, SECOND }, { i, i }, true });
}

static void carry_all(const struct derivation *d, bool sum)
{
    carry(d, &(struct pass){ { VALUE, DIRECTION }, { 0, 0 }, false });
    for (uint32_t k = 1; k < d->n_directions; k += 2)
        carry(d, &(struct pass){ { DIRECTION, k + 1 < d->n_directions ? DIRECTION : NOTHING }, { k, k + 1 }, false });
    if (sum && d->curvature)
        carry(d, &(struct pass){ { SECOND, NOTHING }, { 0, 0 }, false });
    else if (sum)
        carry(d, &(struct pass){ { VALUE, SECOND }, { 0, 0 }, false });
}

void ttzo_compensated_prepare(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers)
{
    const struct ttzo_model *model = trainer->model;
    float *merged = trainer->pde.merged;
    for (uint32_t l = 0; l < n_layers; l++) {
        ttzo_compensated_merge(&model->layers[l], theta, merged);
        merged += ttzo_compensated_merged(&model->layers[l]);
    }
    if (ttzo_basis_size(model))
        ttzo_basis_make(model, theta, trainer->pde.merged, trainer->pde.basis);
}

// Where curvatures are kept: in the squares' place of directions that each have their own second derivative, else in
// what lies idle.
static float *place_of_curvature(const struct ttzo_trainer *trainer, uint32_t n_layers, uint32_t needs)
{
    uint32_t units = 0;
    if (needs & TTZO_NEED_DIAGONAL)
        return trainer->pde.squares;
    for (uint32_t l = 0; l < n_layers; l++)
        if (trainer->model->layers[l].activation != TTZO_ACTIVATION_IDENTITY)
            units += trainer->model->layers[l].out_features;
    return needs & TTZO_NEED_LAPLACIAN && 2 * units <= trainer->pde.n_idle ? trainer->pde.idle : NULL;
}

static struct derivation derivation_of(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers,
                                       uint32_t needs)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n_inputs = model->info.in_features, n_space = model->pde.info.n_space;
    uint32_t basis = needs & TTZO_NEED_DIAGONAL ? 0 : ttzo_basis_size(model);
    bool shares = needs && !(needs & TTZO_NEED_DIAGONAL) && trainer->pde.held == theta;
    return (struct derivation){ trainer,
                                &trainer->pde,
                                theta,
                                n_layers,
                                n_inputs,
                                n_space,
                                model->layers[n_layers - 1].out_features,
                                basis,
                                basis ? basis + n_inputs - n_space : n_inputs,
                                basis ? basis : n_space,
                                place_of_curvature(trainer, n_layers, needs),
                                shares ? trainer->pde.shared : NULL };
}

void ttzo_compensated_jet(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers, uint32_t needs)
{
    struct derivation d = derivation_of(trainer, theta, n_layers, needs);
    if (!needs)
        carry(&d, &(struct pass){ { VALUE, NOTHING }, { 0, 0 }, false });
    else if (needs & TTZO_NEED_DIAGONAL)
        carry_each_with_its_own(&d);
    else
        carry_all(&d, (needs & TTZO_NEED_LAPLACIAN) != 0);
}

// ---- shared by rows -------------------------------------------------------------------------------------------------

static uint32_t directions_of(const struct ttzo_model *model)
{
    return ttzo_compensated_passes(model) - 3;
}

uint64_t ttzo_compensated_shared(const struct ttzo_model *model)
{
    const struct ttzo_layer *first = model->layers;
    if (!ttzo_is_compensated(model) || model->info.batch < 2 || first->activation == TTZO_ACTIVATION_IDENTITY)
        return 0;
    return 2 * ((uint64_t)directions_of(model) + 1) * first->out_features;
}

void ttzo_compensated_share(struct ttzo_trainer *trainer, const float *theta)
{
    const struct ttzo_layer *first = trainer->model->layers;
    const struct derivation d = derivation_of(trainer, theta, 1, 0);
    uint32_t n = first->out_features;
    float *squares = shared_squares(&d, n);
    for (uint32_t k = 0; k < d.n_directions; k += 2) {
        const struct pass pass = { { DIRECTION, k + 1 < d.n_directions ? DIRECTION : NOTHING }, { k, k + 1 }, false };
        uint32_t buffer = 0;
        enter_first_layer(&d, &pass, &buffer);
        for (uint32_t c = 0; c < 2 && pass.kind[c] == DIRECTION; c++)
            for (uint32_t j = 0; j < n; j++) {
                struct ttzo_two_floats along = get_column(trainer->activations[buffer] + WIDTH * j, c);
                put(trainer->pde.shared + 2 * ((k + c) * n + j), along.head, along.tail);
            }
    }
    for (uint32_t j = 0; j < n; j++) {
        struct ttzo_sum total = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
        for (uint32_t k = 0; k < d.n_summed; k++) {
            struct ttzo_two_floats along = get(trainer->pde.shared + 2 * (k * n + j));
            total = ttzo_two_floats_muladd(along, along, total);
        }
        put(squares + 2 * j, total.sum, total.rest);
    }
}

uint32_t ttzo_compensated_passes(const struct ttzo_model *model)
{
    uint32_t basis = ttzo_basis_size(model), n_space = model->pde.info.n_space;
    return 3 + model->info.in_features - (basis ? n_space - basis : 0);
}
