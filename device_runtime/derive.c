// SPDX-License-Identifier: MIT
#include "derive.h"

#include "layers.h"
#include "network.h"
#include "random.h"
#include "real.h"

// One derivation under way.
struct derivation {
    struct ttzo_trainer *trainer;
    const struct ttzo_model *model;
    const struct ttzo_pde_work *work;
    const float *theta;
    uint32_t n_layers, needs, row;
    uint32_t n_inputs, n_space, m;
};

static bool is_needed(const struct derivation *d, uint32_t what)
{
    return (d->needs & what) != 0;
}

static void fill(float *out, uint32_t n, float value)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = value;
}

static void copy(float *out, const float *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = in[i];
}

// The m outputs at `point`; valid until the next pass.
static const float *outputs_at(const struct derivation *d, const float *point)
{
    float *x = d->trainer->activations[0];
    for (uint32_t i = 0; i < d->n_inputs; i++)
        x[i] = TTZO_MULADD(point[i], d->model->info.input_scale, d->model->info.input_offset);
    uint32_t current = 0;
    for (uint32_t l = 0; l < d->n_layers; l++) {
        const struct ttzo_layer *layer = &d->model->layers[l];
        ttzo_layer_forward(layer, d->theta, d->trainer->activations, &current);
        ttzo_activate((enum ttzo_activation)layer->activation, d->trainer->activations[current], layer->out_features);
    }
    return d->trainer->activations[current];
}

// ---- jets: value, then each direction, then the second-order column (forward Laplacian) -----------------------------

uint32_t ttzo_slopes_count(const struct ttzo_model *model)
{
    uint32_t units = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].activation != TTZO_ACTIVATION_IDENTITY)
            units += model->layers[l].out_features;
    return 3 * units;
}

// phi(z) in place; its two derivatives into slopes[3 j], slopes[3 j + 1].
static void activate_with_slopes(enum ttzo_activation activation, float *z, uint32_t n, float *slopes)
{
    for (uint32_t j = 0; j < n; j++, slopes += 3) {
        float x = z[j];
        if (activation == TTZO_ACTIVATION_SINE) {
            z[j] = ttzo_sin(x);
            slopes[0] = ttzo_cos(x);
            slopes[1] = -z[j];
        } else if (activation == TTZO_ACTIVATION_TANH) {
            z[j] = ttzo_tanh(x);
            slopes[0] = TTZO_MULADD(-z[j], z[j], 1.0f);
            slopes[1] = -2.0f * z[j] * slopes[0];
        } else { // relu: the second derivative is 0 wherever it exists
            z[j] = x < 0.0f ? 0.0f : x;
            slopes[0] = x < 0.0f ? 0.0f : 1.0f;
            slopes[1] = 0.0f;
        }
    }
}

static const float *value_with_slopes(const struct derivation *d)
{
    float *const *buffers = d->trainer->activations;
    float *slopes = d->work->slopes;
    uint32_t current = 0;
    for (uint32_t i = 0; i < d->n_inputs; i++)
        buffers[0][i] = TTZO_MULADD(d->work->point[i], d->model->info.input_scale, d->model->info.input_offset);
    for (uint32_t l = 0; l < d->n_layers; l++) {
        const struct ttzo_layer *layer = &d->model->layers[l];
        ttzo_layer_forward(layer, d->theta, buffers, &current);
        if (layer->activation != TTZO_ACTIVATION_IDENTITY) {
            activate_with_slopes((enum ttzo_activation)layer->activation, buffers[current], layer->out_features, slopes);
            slopes += 3 * layer->out_features;
        }
    }
    return buffers[current];
}

static void clear_squares(const struct derivation *d)
{
    float *slopes = d->work->slopes, *end = slopes + ttzo_slopes_count(d->model);
    for (; slopes < end; slopes += 3)
        slopes[2] = 0.0f;
}

// The layer's product without its bias.
static void linear_part(const struct derivation *d, uint32_t l, uint32_t *current)
{
    struct ttzo_layer layer = d->model->layers[l];
    if (layer.has_bias) {
        layer.has_bias = 0;
        ttzo_layer_forward(&layer, d->theta, d->trainer->activations, current);
    } else {
        ttzo_layer_forward(&d->model->layers[l], d->theta, d->trainer->activations, current);
    }
}

// The derivatives along coordinate `i`; with `squares`, each unit's squared directional derivative joins its sum.
static const float *along_coordinate(const struct derivation *d, uint32_t i, bool squares)
{
    float *const *buffers = d->trainer->activations;
    float *slopes = d->work->slopes;
    uint32_t current = 0;
    fill(buffers[0], d->n_inputs, 0.0f);
    buffers[0][i] = d->model->info.input_scale;
    for (uint32_t l = 0; l < d->n_layers; l++) {
        linear_part(d, l, &current);
        if (d->model->layers[l].activation == TTZO_ACTIVATION_IDENTITY)
            continue;
        float *column = buffers[current];
        for (uint32_t j = 0; j < d->model->layers[l].out_features; j++, slopes += 3) {
            if (squares)
                slopes[2] = TTZO_MULADD(column[j], column[j], slopes[2]);
            column[j] = slopes[0] * column[j];
        }
    }
    return buffers[current];
}

// The sum of second derivatives along all coordinates whose squares are in the slopes. It is 0 before the first
// activation.
static const float *second_order(const struct derivation *d)
{
    float *const *buffers = d->trainer->activations;
    const float *slopes = d->work->slopes;
    uint32_t current = 0;
    fill(buffers[0], d->model->layers[0].out_features, 0.0f);
    for (uint32_t l = 0; l < d->n_layers; l++) {
        if (l > 0)
            linear_part(d, l, &current);
        if (d->model->layers[l].activation == TTZO_ACTIVATION_IDENTITY)
            continue;
        float *column = buffers[current];
        for (uint32_t j = 0; j < d->model->layers[l].out_features; j++, slopes += 3)
            column[j] = TTZO_MULADD(slopes[1], slopes[2], slopes[0] * column[j]);
    }
    return buffers[current];
}

static void derive_by_jets(const struct derivation *d)
{
    const struct ttzo_pde_work *work = d->work;
    bool diagonal = is_needed(d, TTZO_NEED_DIAGONAL), laplacian = is_needed(d, TTZO_NEED_LAPLACIAN);
    copy(work->value, value_with_slopes(d), d->m);
    clear_squares(d);
    for (uint32_t i = 0; i < d->n_inputs; i++) {
        copy(work->first + i * d->m, along_coordinate(d, i, diagonal || (laplacian && i < d->n_space)), d->m);
        if (diagonal) {
            copy(work->diagonal + i * d->m, second_order(d), d->m);
            clear_squares(d);
        }
    }
    if (laplacian && !diagonal)
        copy(work->laplacian, second_order(d), d->m);
}

// ---- differences ----------------------------------------------------------------------------------------------------

// phi(z + d) - phi(z), t = phi(z).
static float difference(enum ttzo_activation activation, float d, float z, float t)
{
    if (activation == TTZO_ACTIVATION_SINE) // 2 sin(d / 2) cos(z + d / 2)
        return 2.0f * ttzo_sin(0.5f * d) * ttzo_cos(TTZO_MULADD(0.5f, d, z));
    if (activation == TTZO_ACTIVATION_TANH) { // tanh(d) (1 - t^2) / (1 + t tanh(d))
        float of_d = ttzo_tanh(d);
        return of_d * TTZO_MULADD(-t, t, 1.0f) / TTZO_MULADD(t, of_d, 1.0f);
    }
    float moved = z + d;
    return z < 0.0f ? (moved < 0.0f ? 0.0f : moved) : moved < 0.0f ? -z : d;
}

// A unit's inputs at a pair of nodes are z + even +- odd. The same of its outputs, no two nearby numbers subtracted.
static void activate_pair(enum ttzo_activation activation, float *even, float *odd, float z, float t)
{
    float e = *even, o = *odd, shift = difference(activation, e, z, t), at = t + shift;
    if (activation == TTZO_ACTIVATION_SINE) { // sin(z + e +- o) = sin(z + e) cos(o) +- cos(z + e) sin(o)
        float half = ttzo_sin(0.5f * o);
        *even = TTZO_MULADD(-2.0f * at * half, half, shift);
        *odd = ttzo_cos(z + e) * ttzo_sin(o);
    } else if (activation == TTZO_ACTIVATION_TANH) { // (at +- s) / (1 +- at s), s = tanh(o)
        float s = ttzo_tanh(o), slope = TTZO_MULADD(-at, at, 1.0f), scaled = at * s;
        float share = slope / TTZO_MULADD(-scaled, scaled, 1.0f);
        *even = TTZO_MULADD(-scaled * s, share, shift);
        *odd = s * share;
    } else {
        float up = difference(activation, e + o, z, t), down = difference(activation, e - o, z, t);
        *even = 0.5f * (up + down);
        *odd = 0.5f * (up - down);
    }
}

// The centre's outputs; what the differences need of it goes into the slopes.
static const float *outputs_of_centre(const struct derivation *d)
{
    float *const *buffers = d->trainer->activations;
    float *slopes = d->work->slopes;
    uint32_t current = 0;
    for (uint32_t i = 0; i < d->n_inputs; i++)
        buffers[0][i] = TTZO_MULADD(d->work->point[i], d->model->info.input_scale, d->model->info.input_offset);
    for (uint32_t l = 0; l < d->n_layers; l++) {
        const struct ttzo_layer *layer = &d->model->layers[l];
        ttzo_layer_forward(layer, d->theta, buffers, &current);
        float *z = buffers[current];
        if (layer->activation == TTZO_ACTIVATION_IDENTITY)
            continue;
        for (uint32_t j = 0; j < layer->out_features; j++)
            slopes[3 * j] = z[j];
        ttzo_activate((enum ttzo_activation)layer->activation, z, layer->out_features);
        for (uint32_t j = 0; j < layer->out_features; j++)
            slopes[3 * j + 1] = z[j];
        slopes += 3 * layer->out_features;
    }
    return buffers[current];
}

static void carry_linearly(const struct derivation *d, uint32_t l, float *column)
{
    const struct ttzo_layer *layer = &d->model->layers[l];
    uint32_t current = 0;
    copy(d->trainer->activations[0], column, layer->in_features);
    linear_part(d, l, &current);
    copy(column, d->trainer->activations[current], layer->out_features);
}

// The outputs at the pair of nodes point +- work->node are value + even +- odd: both parts go through the layers by
// themselves (float32 loses the second derivative otherwise).
static void pair_of_outputs(const struct derivation *d)
{
    const struct ttzo_pde_work *work = d->work;
    const float *slopes = work->slopes;
    fill(work->even, d->n_inputs, 0.0f);
    for (uint32_t i = 0; i < d->n_inputs; i++)
        work->odd[i] = work->node[i] * d->model->info.input_scale;
    for (uint32_t l = 0; l < d->n_layers; l++) {
        const struct ttzo_layer *layer = &d->model->layers[l];
        carry_linearly(d, l, work->odd);
        carry_linearly(d, l, work->even);
        if (layer->activation == TTZO_ACTIVATION_IDENTITY)
            continue;
        for (uint32_t j = 0; j < layer->out_features; j++, slopes += 3)
            activate_pair((enum ttzo_activation)layer->activation, &work->even[j], &work->odd[j], slopes[0], slopes[1]);
    }
}

static void derive_by_differences(const struct derivation *d)
{
    const struct ttzo_pde_work *work = d->work;
    float h = d->model->pde.info.radius;
    float first_scale = 1.0f / h, second_scale = 2.0f / (h * h);
    copy(work->value, outputs_of_centre(d), d->m);
    fill(work->node, d->n_inputs, 0.0f);
    fill(work->laplacian, d->m, 0.0f);
    for (uint32_t i = 0; i < d->n_inputs; i++) {
        work->node[i] = h;
        pair_of_outputs(d);
        work->node[i] = 0.0f;
        for (uint32_t j = 0; j < d->m; j++) {
            float second = work->even[j] * second_scale;
            work->first[i * d->m + j] = work->odd[j] * first_scale;
            if (is_needed(d, TTZO_NEED_DIAGONAL))
                work->diagonal[i * d->m + j] = second;
            else if (i < d->n_space)
                work->laplacian[j] = work->laplacian[j] + second;
        }
    }
}

// ---- the Stein estimator (paper eqs. 8 and 9), centre value subtracted ----------------------------------------------

static void clear_sums(const struct derivation *d)
{
    copy(d->work->value, outputs_of_centre(d), d->m);
    fill(d->work->first, d->n_inputs * d->m, 0.0f);
    fill(d->work->laplacian, d->m, 0.0f);
    if (is_needed(d, TTZO_NEED_DIAGONAL))
        fill(d->work->diagonal, d->n_inputs * d->m, 0.0f);
}

// The pair of nodes point +- sigma z with weight w each; z [n] at the coordinates `index` (NULL: all n_inputs).
static void add_pair(const struct derivation *d, const float *z, const uint16_t *index, uint32_t n, float weight)
{
    const struct ttzo_pde_work *work = d->work;
    float sigma = d->model->pde.info.radius, per_radius = 1.0f / sigma, per_square = per_radius * per_radius;
    float square = 0.0f;
    fill(work->node, d->n_inputs, 0.0f);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = index ? index[k] : k;
        work->node[i] = sigma * z[k];
        if (i < d->n_space)
            square = TTZO_MULADD(z[k], z[k], square);
    }
    pair_of_outputs(d);
    float laplacian_weight = weight * (square - (float)d->n_space) * per_square;
    for (uint32_t j = 0; j < d->m; j++) {
        float odd = work->odd[j] * (2.0f * weight * per_radius), even = 2.0f * work->even[j];
        work->laplacian[j] = TTZO_MULADD(laplacian_weight, even, work->laplacian[j]);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t i = index ? index[k] : k;
            work->first[i * d->m + j] = TTZO_MULADD(z[k], odd, work->first[i * d->m + j]);
        }
        if (!is_needed(d, TTZO_NEED_DIAGONAL))
            continue;
        for (uint32_t i = 0, k = 0; i < d->n_inputs; i++) {
            bool moved = k < n && i == (index ? index[k] : k);
            float own = moved ? TTZO_MULADD(z[k], z[k], -1.0f) : -1.0f;
            k += moved;
            work->diagonal[i * d->m + j] = TTZO_MULADD(own * (weight * per_square), even, work->diagonal[i * d->m + j]);
        }
    }
}

// A node and its mirror image stand side by side in the enumeration; the origin changes nothing.
static void derive_on_grid(const struct derivation *d)
{
    const struct ttzo_sparse_grid *grid = &d->model->pde.grid;
    struct ttzo_sparse_node node;
    clear_sums(d);
    for (ttzo_sparse_grid_begin(grid, &node); ttzo_sparse_grid_next(grid, &node);)
        if (node.n_nonzero > 0 && (node.sign_pattern & 1u) == 0)
            add_pair(d, node.value, node.index, node.n_nonzero, node.weight);
}

// Gaussian pairs, new ones for each row and step, under a key of their own: the complement of the seed.
static void derive_by_sampling(const struct derivation *d)
{
    uint32_t n_pairs = d->model->pde.info.n_pairs;
    float *z = d->work->normal;
    clear_sums(d);
    for (uint32_t pair = 0; pair < n_pairs; pair++) {
        fill(z, d->n_inputs, 0.0f);
        ttzo_direction_add(z, z, 1.0f, d->n_inputs, TTZO_DIRECTION_GAUSSIAN, ~d->trainer->training.seed,
                           d->trainer->state.step, d->row * n_pairs + pair);
        add_pair(d, z, NULL, d->n_inputs, 0.5f / (float)n_pairs);
    }
}

// ---- the choice -----------------------------------------------------------------------------------------------------

// Where both are needed, the Laplacian is the sum of the diagonal.
static void sum_diagonal(const struct derivation *d)
{
    fill(d->work->laplacian, d->m, 0.0f);
    for (uint32_t i = 0; i < d->n_space; i++)
        for (uint32_t j = 0; j < d->m; j++)
            d->work->laplacian[j] = d->work->laplacian[j] + d->work->diagonal[i * d->m + j];
}

void ttzo_derive(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers, uint32_t needs, uint32_t row)
{
    const struct ttzo_model *model = trainer->model;
    struct derivation d = { trainer, model, &trainer->pde, theta, n_layers, needs, row, model->info.in_features,
                            model->pde.info.n_space, model->layers[n_layers - 1].out_features };
    if (!needs) {
        copy(d.work->value, outputs_at(&d, d.work->point), d.m);
        return;
    }
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET: derive_by_jets(&d); break;
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: derive_by_differences(&d); break;
    case TTZO_DERIVATIVE_SPARSE_GRID: derive_on_grid(&d); break;
    case TTZO_DERIVATIVE_MONTE_CARLO: derive_by_sampling(&d); break;
    }
    if (is_needed(&d, TTZO_NEED_DIAGONAL))
        sum_diagonal(&d);
}

uint32_t ttzo_derive_passes(const struct ttzo_model *model)
{
    uint32_t n = model->info.in_features;
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET: return 2 + n;
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: return 1 + 2 * n;
    case TTZO_DERIVATIVE_SPARSE_GRID: return 1 + 2 * n * n; // exact at level 3 but for 2 n
    case TTZO_DERIVATIVE_MONTE_CARLO: return 1 + 2 * model->pde.info.n_pairs;
    }
    return 1;
}
