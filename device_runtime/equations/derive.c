// SPDX-License-Identifier: MIT
#include "equations/derive.h"

#include "equations/columns.h"
#include "equations/compensated_jet.h"
#include "equations/pairs.h"
#include "equations/sparse_grid.h"
#include "network/merged_layer.h"
#include "number/random.h"
#include "number/real.h"

#define PAIRS TTZO_PAIRS_AT_ONCE

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

// ---- layers with their cores merged ---------------------------------------------------------------------------------

static void merge_cores(const struct derivation *d)
{
    float *at = d->work->merged;
    for (uint32_t l = 0; l < d->n_layers; l++) {
        uint64_t numbers = ttzo_merged_numbers(&d->model->layers[l]);
        if (numbers)
            ttzo_merge_cores(&d->model->layers[l], d->theta, at);
        at += numbers;
    }
}

// The layers one after the other, and the work memory that belongs to each.
struct walk {
    const struct derivation *d;
    uint32_t l, buffer, n_columns;
    float *merged, *at, *slope, *squares;
};

static struct walk begin_walk(const struct derivation *d, uint32_t n_columns)
{
    const struct ttzo_pde_work *work = d->work;
    return (struct walk){ d, 0, 0, n_columns, work->merged, work->at, work->slope, work->squares };
}

// The next layer's linear part: its columns, and its activation. The caller turns them in place, and then calls
// leave_layer.
static float *enter_layer(struct walk *w, bool has_value, bool skip_zeros, enum ttzo_activation *activation)
{
    const struct derivation *d = w->d;
    const struct ttzo_layer *layer = &d->model->layers[w->l];
    uint64_t numbers = ttzo_merged_numbers(layer);
    float *const *buffers = d->trainer->activations;
    if (numbers) {
        struct ttzo_layer merged = ttzo_merged_layer(layer);
        ttzo_columns_forward(&merged, w->merged, buffers, &w->buffer, w->n_columns, has_value, skip_zeros);
    } else {
        ttzo_columns_forward(layer, d->theta, buffers, &w->buffer, w->n_columns, has_value, skip_zeros);
    }
    w->merged += numbers;
    *activation = (enum ttzo_activation)layer->activation;
    return buffers[w->buffer];
}

static void leave_layer(struct walk *w)
{
    const struct ttzo_layer *layer = &w->d->model->layers[w->l++];
    uint32_t units = layer->activation == TTZO_ACTIVATION_IDENTITY ? 0 : layer->out_features;
    w->at += units;
    w->slope += units;
    w->squares += units;
}

// ---- jets: the value, directional derivatives, and the running second-order sum (forward Laplacian) -----------------

// What goes through the layers at once: the value, the directions [first, first + n_first), and after them the second
// derivative along each of them, or the sum along all.
struct jet {
    bool has_value, has_own, has_sum;
    bool sums; // the directions' squares join those of the directions before
    uint32_t first, n_first;
};

static uint32_t jet_columns(const struct jet *jet)
{
    return jet->has_value + jet->n_first + (jet->has_own ? jet->n_first : jet->has_sum);
}

// phi(z), and what is kept of the unit.
static float activate_and_keep(enum ttzo_activation activation, float z, float *at, float *slope)
{
    if (activation == TTZO_ACTIVATION_SINE) {
        *slope = ttzo_cos(z);
        return *at = ttzo_sin(z);
    }
    if (activation == TTZO_ACTIVATION_TANH) {
        *at = ttzo_tanh(z);
        *slope = TTZO_MULADD(-*at, *at, 1.0f);
        return *at;
    }
    *at = z;
    *slope = z < 0.0f ? 0.0f : 1.0f;
    return z < 0.0f ? 0.0f : z; // NaN stays NaN
}

// phi''(z); of relu 0 wherever it exists.
static float curvature(enum ttzo_activation activation, float at, float slope)
{
    return activation == TTZO_ACTIVATION_SINE ? -at : activation == TTZO_ACTIVATION_TANH ? -2.0f * at * slope : 0.0f;
}

static void keep_units(const struct walk *w, enum ttzo_activation activation, float *column)
{
    uint32_t units = w->d->model->layers[w->l].out_features;
    for (uint32_t j = 0; j < units; j++, column += w->n_columns)
        *column = activate_and_keep(activation, *column, &w->at[j], &w->slope[j]);
}

static void bend_with_own(const struct walk *w, const struct jet *jet, enum ttzo_activation activation, float *column)
{
    uint32_t units = w->d->model->layers[w->l].out_features, n = jet->n_first;
    for (uint32_t j = 0; j < units; j++, column += w->n_columns) {
        float slope = w->slope[j], bent = curvature(activation, w->at[j], slope);
        for (uint32_t k = 0; k < n; k++) {
            float along = column[k];
            column[k] = slope * along;
            column[n + k] = TTZO_MULADD(bent, along * along, slope * column[n + k]);
        }
    }
}

static void bend_with_sum(const struct walk *w, const struct jet *jet, enum ttzo_activation activation, float *column)
{
    const struct derivation *d = w->d;
    uint32_t units = d->model->layers[w->l].out_features, n = jet->n_first;
    uint32_t summed = d->n_space > jet->first ? d->n_space - jet->first : 0; // directions that join the sum
    if (summed > n)
        summed = n;
    for (uint32_t j = 0; j < units; j++, column += w->n_columns) {
        float slope = w->slope[j], square = jet->first > 0 ? w->squares[j] : 0.0f;
        uint32_t k = 0;
        for (; k < summed; k++) {
            float along = column[k];
            column[k] = slope * along;
            square = TTZO_MULADD(along, along, square);
        }
        for (; k < n; k++)
            column[k] = slope * column[k];
        if (jet->has_sum)
            column[n] = TTZO_MULADD(curvature(activation, w->at[j], slope), square, slope * column[n]);
        else
            w->squares[j] = square;
    }
}

static void bend_alone(const struct walk *w, const struct jet *jet, float *column)
{
    uint32_t units = w->d->model->layers[w->l].out_features;
    for (uint32_t j = 0; j < units; j++, column += w->n_columns)
        for (uint32_t k = 0; k < jet->n_first; k++)
            column[k] = w->slope[j] * column[k];
}

static void bend(const struct walk *w, const struct jet *jet, enum ttzo_activation activation, float *columns)
{
    if (jet->has_value)
        keep_units(w, activation, columns);
    columns += jet->has_value;
    if (jet->has_own)
        bend_with_own(w, jet, activation, columns);
    else if (jet->sums)
        bend_with_sum(w, jet, activation, columns);
    else
        bend_alone(w, jet, columns);
}

static void begin_columns(const struct derivation *d, const struct jet *jet)
{
    float *column = d->trainer->activations[0], scale = d->model->info.input_scale;
    uint32_t n_columns = jet_columns(jet);
    fill(column, d->n_inputs * n_columns, 0.0f);
    for (uint32_t i = 0; i < d->n_inputs; i++, column += n_columns) {
        if (jet->has_value)
            column[0] = TTZO_MULADD(d->work->point[i], scale, d->model->info.input_offset);
        if (i >= jet->first && i - jet->first < jet->n_first)
            column[jet->has_value + i - jet->first] = scale;
    }
}

static void keep_derivatives(const struct derivation *d, const struct jet *jet, const float *column)
{
    const struct ttzo_pde_work *work = d->work;
    for (uint32_t o = 0; o < d->m; o++) {
        if (jet->has_value)
            work->value[o] = *column++;
        for (uint32_t k = 0; k < jet->n_first; k++)
            work->first[(jet->first + k) * d->m + o] = *column++;
        for (uint32_t k = 0; k < jet->n_first && jet->has_own; k++)
            work->diagonal[(jet->first + k) * d->m + o] = *column++;
        if (jet->has_sum)
            work->laplacian[o] = *column++;
    }
}

static void carry_jet(const struct derivation *d, const struct jet *jet)
{
    struct walk w = begin_walk(d, jet_columns(jet));
    const float *outputs = d->trainer->activations[0];
    begin_columns(d, jet);
    while (w.l < d->n_layers) {
        enum ttzo_activation activation;
        float *columns = enter_layer(&w, jet->has_value, w.l == 0 && !jet->has_value, &activation);
        if (activation != TTZO_ACTIVATION_IDENTITY)
            bend(&w, jet, activation, columns);
        leave_layer(&w);
        outputs = columns;
    }
    keep_derivatives(d, jet, outputs);
}

// The value alone, and what the differences need of the units.
static void carry_value(const struct derivation *d)
{
    carry_jet(d, &(struct jet){ .has_value = true });
}

static uint32_t whole_jet(uint32_t n_inputs, uint32_t needs)
{
    return needs & TTZO_NEED_DIAGONAL ? 1 + 2 * n_inputs : 1 + n_inputs + (needs & TTZO_NEED_LAPLACIAN ? 1u : 0u);
}

static void derive_by_jets(const struct derivation *d)
{
    uint32_t most = ttzo_derive_columns(d->model);
    bool own = is_needed(d, TTZO_NEED_DIAGONAL), sum = is_needed(d, TTZO_NEED_LAPLACIAN) && !own;
    struct jet jet = { .has_value = true, .has_own = own, .sums = sum };
    bool summed = !sum;
    do {
        uint32_t left = d->n_inputs - jet.first, room = (most - jet.has_value) / (own ? 2 : 1);
        jet.n_first = left < room ? left : room;
        jet.has_sum = sum && jet.n_first == left && left < room;
        carry_jet(d, &jet);
        summed = summed || jet.has_sum;
        jet.first += jet.n_first;
        jet.has_value = false;
    } while (jet.first < d->n_inputs || !summed);
}

// ---- differences ----------------------------------------------------------------------------------------------------

// The first layer's input columns [n_inputs][PAIRS], to be filled with what leads from the centre to each node.
static float *clear_nodes(const struct derivation *d)
{
    fill(d->trainer->activations[0], PAIRS * d->n_inputs, 0.0f);
    return d->trainer->activations[0];
}

// The outputs at the pairs of nodes centre +- node are value + even +- odd: [m][2][PAIRS], even parts first.
static const float *carry_pairs(const struct derivation *d)
{
    struct walk w = begin_walk(d, PAIRS);
    float *columns = d->trainer->activations[0];
    for (uint32_t i = 0; i < PAIRS * d->n_inputs; i++)
        columns[i] = columns[i] * d->model->info.input_scale;
    while (w.l < d->n_layers) {
        enum ttzo_activation activation;
        bool first = w.l == 0;
        uint32_t units = d->model->layers[w.l].out_features;
        columns = enter_layer(&w, false, first, &activation);
        if (first)
            ttzo_activate_first_pairs(activation, columns, w.at, w.slope, units);
        else
            ttzo_activate_pairs(activation, columns, w.at, w.slope, units);
        w.n_columns = 2 * PAIRS;
        leave_layer(&w);
    }
    return columns;
}

static void derive_by_differences(const struct derivation *d)
{
    const struct ttzo_pde_work *work = d->work;
    float h = d->model->pde.info.radius;
    float first_scale = 1.0f / h, second_scale = 2.0f / (h * h);
    carry_value(d);
    fill(work->laplacian, d->m, 0.0f);
    for (uint32_t i = 0; i < d->n_inputs; i += PAIRS) {
        uint32_t n = d->n_inputs - i < PAIRS ? d->n_inputs - i : PAIRS;
        float *nodes = clear_nodes(d);
        for (uint32_t k = 0; k < n; k++)
            nodes[PAIRS * (i + k) + k] = h;
        const float *pairs = carry_pairs(d);
        for (uint32_t j = 0; j < d->m; j++, pairs += 2 * PAIRS)
            for (uint32_t k = 0; k < n; k++) {
                float second = pairs[k] * second_scale;
                work->first[(i + k) * d->m + j] = pairs[PAIRS + k] * first_scale;
                if (is_needed(d, TTZO_NEED_DIAGONAL))
                    work->diagonal[(i + k) * d->m + j] = second;
                else if (i + k < d->n_space)
                    work->laplacian[j] = work->laplacian[j] + second;
            }
    }
}

// ---- the Stein estimator (paper eqs. 8 and 9), centre value subtracted ----------------------------------------------

static void clear_sums(const struct derivation *d)
{
    carry_value(d);
    fill(d->work->first, d->n_inputs * d->m, 0.0f);
    fill(d->work->laplacian, d->m, 0.0f);
    if (is_needed(d, TTZO_NEED_DIAGONAL))
        fill(d->work->diagonal, d->n_inputs * d->m, 0.0f);
}

// The nodes point +- sigma z with weight w each; z [n] at the coordinates `index` (NULL: all n_inputs).
struct pair {
    const float *z;
    const uint16_t *index;
    uint32_t n;
    float weight;
};

static uint32_t coordinate(const struct pair *pair, uint32_t k)
{
    return pair->index ? pair->index[k] : k;
}

// What a pair whose outputs' parts are even and odd [m][2][PAIRS] adds.
static void add_pair(const struct derivation *d, const struct pair *pair, const float *parts)
{
    const struct ttzo_pde_work *work = d->work;
    float per_radius = 1.0f / d->model->pde.info.radius, per_square = per_radius * per_radius, square = 0.0f;
    for (uint32_t k = 0; k < pair->n; k++)
        if (coordinate(pair, k) < d->n_space)
            square = TTZO_MULADD(pair->z[k], pair->z[k], square);
    float laplacian_weight = pair->weight * (square - (float)d->n_space) * per_square;
    for (uint32_t j = 0; j < d->m; j++, parts += 2 * PAIRS) {
        float odd = parts[PAIRS] * (2.0f * pair->weight * per_radius), even = 2.0f * parts[0];
        work->laplacian[j] = TTZO_MULADD(laplacian_weight, even, work->laplacian[j]);
        for (uint32_t k = 0; k < pair->n; k++) {
            float *first = work->first + coordinate(pair, k) * d->m + j;
            *first = TTZO_MULADD(pair->z[k], odd, *first);
        }
        if (!is_needed(d, TTZO_NEED_DIAGONAL))
            continue;
        for (uint32_t i = 0, k = 0; i < d->n_inputs; i++) {
            bool moved = k < pair->n && i == coordinate(pair, k);
            float own = moved ? TTZO_MULADD(pair->z[k], pair->z[k], -1.0f) : -1.0f;
            float *diagonal = work->diagonal + i * d->m + j;
            k += moved;
            *diagonal = TTZO_MULADD(own * (pair->weight * per_square), even, *diagonal);
        }
    }
}

static void add_pairs(const struct derivation *d, const struct pair *pairs, uint32_t n)
{
    float *nodes = clear_nodes(d), sigma = d->model->pde.info.radius;
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t k = 0; k < pairs[p].n; k++)
            nodes[PAIRS * coordinate(&pairs[p], k) + p] = sigma * pairs[p].z[k];
    const float *parts = carry_pairs(d);
    for (uint32_t p = 0; p < n; p++)
        add_pair(d, &pairs[p], parts + p);
}

// A node and its mirror image stand side by side in the enumeration; the origin changes nothing.
static void derive_on_grid(const struct derivation *d)
{
    const struct ttzo_sparse_grid *grid = &d->model->pde.grid;
    struct ttzo_sparse_node node, kept[PAIRS];
    struct pair pairs[PAIRS];
    uint32_t n = 0;
    clear_sums(d);
    for (ttzo_sparse_grid_begin(grid, &node); ttzo_sparse_grid_next(grid, &node);) {
        if (node.n_nonzero == 0 || (node.sign_pattern & 1u) != 0)
            continue;
        kept[n] = node;
        pairs[n] = (struct pair){ kept[n].value, kept[n].index, node.n_nonzero, node.weight };
        if (++n < PAIRS)
            continue;
        add_pairs(d, pairs, n);
        n = 0;
    }
    if (n)
        add_pairs(d, pairs, n);
}

// Gaussian pairs, new ones for each row and step, under a key of their own: the complement of the seed.
static void derive_by_sampling(const struct derivation *d)
{
    uint32_t n_pairs = d->model->pde.info.n_pairs;
    clear_sums(d);
    for (uint32_t first = 0; first < n_pairs; first += PAIRS) {
        uint32_t n = n_pairs - first < PAIRS ? n_pairs - first : PAIRS;
        struct pair pairs[PAIRS];
        float *z = d->work->normals;
        fill(z, n * d->n_inputs, 0.0f);
        for (uint32_t p = 0; p < n; p++, z += d->n_inputs) {
            ttzo_direction_add(z, z, 1.0f, d->n_inputs, TTZO_DIRECTION_GAUSSIAN, ~d->trainer->training.seed,
                               d->trainer->state.step, d->row * n_pairs + first + p);
            pairs[p] = (struct pair){ z, NULL, d->n_inputs, 0.5f / (float)n_pairs };
        }
        add_pairs(d, pairs, n);
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
    struct derivation d = { trainer,
                            model,
                            &trainer->pde,
                            theta,
                            n_layers,
                            needs,
                            row,
                            model->info.in_features,
                            model->pde.info.n_space,
                            model->layers[n_layers - 1].out_features };
    if (ttzo_is_compensated(model)) {
        ttzo_compensated_jet(trainer, theta, n_layers, needs);
        if (is_needed(&d, TTZO_NEED_DIAGONAL))
            sum_diagonal(&d);
        return;
    }
    merge_cores(&d);
    if (!needs) {
        carry_value(&d);
        return;
    }
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET: derive_by_jets(&d); break;
    case TTZO_DERIVATIVE_COMPENSATED_JET: break;
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: derive_by_differences(&d); break;
    case TTZO_DERIVATIVE_SPARSE_GRID: derive_on_grid(&d); break;
    case TTZO_DERIVATIVE_MONTE_CARLO: derive_by_sampling(&d); break;
    }
    if (is_needed(&d, TTZO_NEED_DIAGONAL))
        sum_diagonal(&d);
}

// ---- cost -----------------------------------------------------------------------------------------------------------

uint32_t ttzo_derive_passes(const struct ttzo_model *model)
{
    uint32_t n = model->info.in_features;
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET: return 2 + n;
    case TTZO_DERIVATIVE_COMPENSATED_JET: return ttzo_compensated_passes(model);
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: return 1 + 2 * n;
    case TTZO_DERIVATIVE_SPARSE_GRID: return ttzo_sparse_grid_nodes(&model->pde.grid);
    case TTZO_DERIVATIVE_MONTE_CARLO: return 1 + 2 * model->pde.info.n_pairs;
    }
    return 1;
}

uint32_t ttzo_derive_columns(const struct ttzo_model *model)
{
    const uint32_t few = TTZO_FEW_COLUMNS, many = 2 * PAIRS;
    uint32_t needs = 0;
    if (ttzo_is_compensated(model))
        return TTZO_COMPENSATED_FLOATS;
    if (model->pde.info.derivative != TTZO_DERIVATIVE_JET)
        return many;
    for (uint32_t g = 0; g < model->pde.info.n_groups; g++)
        needs |= model->pde.groups[g].needs;
    uint32_t whole = whole_jet(model->info.in_features, needs);
    return whole <= many ? whole : few;
}
