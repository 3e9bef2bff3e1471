// SPDX-License-Identifier: MIT
#include "equations/derive.h"

#include "equations/compensated_jet.h"
#include "equations/directions.h"
#include "equations/graph_jets.h"
#include "equations/jets.h"
#include "equations/pairs.h"
#include "equations/sparse_grid.h"
#include "number/random.h"
#include "number/real.h"

#define PAIRS TTZO_PAIRS_AT_ONCE

// Inlined, its frame would lie below that of every derivative.
__attribute__((noinline)) static void merge_cores(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers)
{
    const struct ttzo_model *model = trainer->model;
    float *at = trainer->pde.merged;
    if (trainer->pde.held == theta)
        return;
    trainer->pde.held = NULL;
    if (ttzo_is_compensated(model)) {
        ttzo_compensated_prepare(trainer, theta, n_layers);
        return;
    }
    for (uint32_t l = 0; l < n_layers; l++) {
        uint64_t numbers = ttzo_merged_numbers(&model->layers[l]);
        if (numbers)
            ttzo_merge_cores(&model->layers[l], theta, at);
        at += numbers;
    }
}

void ttzo_hold_cores(struct ttzo_trainer *trainer, const float *theta)
{
    trainer->pde.held = NULL;
    merge_cores(trainer, theta, trainer->model->info.n_layers);
    if (ttzo_is_compensated(trainer->model) && trainer->pde.shared)
        ttzo_compensated_share(trainer, theta);
    trainer->pde.held = theta;
}

// ---- differences ----------------------------------------------------------------------------------------------------

// Columns [n_inputs][PAIRS], to be filled with what leads from the centre to each node: a chain's first layer reads them.
static float *clear_nodes(const struct ttzo_derivation *d)
{
    float *nodes = d->trainer->activations[ttzo_is_graph(d->model) ? 1 : 0];
    ttzo_fill(nodes, PAIRS * d->n_inputs, 0.0f);
    return nodes;
}

// The outputs at the pairs of nodes centre +- node are value + even +- odd: [m][2][PAIRS], even parts first.
static const float *carry_pairs(const struct ttzo_derivation *d)
{
    struct ttzo_walk w = ttzo_begin_walk(d, PAIRS);
    float *columns = d->trainer->activations[0];
    for (uint32_t i = 0; i < PAIRS * d->n_inputs; i++)
        columns[i] = columns[i] * d->model->info.input_scale;
    while (w.l < d->n_layers) {
        enum ttzo_activation activation;
        bool first = w.l == 0;
        uint32_t units = ttzo_units_of(&w);
        columns = ttzo_enter_layer(&w, false, first, &activation);
        if (first)
            ttzo_activate_first_pairs(activation, columns, w.at, w.slope, units);
        else
            ttzo_activate_pairs(activation, columns, w.at, w.slope, units);
        w.n_columns = 2 * PAIRS;
        ttzo_leave_layer(&w);
    }
    return columns;
}

// The same of the first n pairs of nodes, through any network.
static const float *pairs_of(const struct ttzo_derivation *d, uint32_t n)
{
    return ttzo_is_graph(d->model) ? ttzo_graph_pairs(d, n) : carry_pairs(d);
}

static void derive_by_differences(const struct ttzo_derivation *d)
{
    const struct ttzo_pde_work *work = d->work;
    float h = d->model->pde.info.radius;
    float first_scale = 1.0f / h, second_scale = 2.0f / (h * h);
    ttzo_carry_value(d);
    ttzo_fill(work->laplacian, d->m, 0.0f);
    for (uint32_t i = 0; i < d->n_inputs; i += PAIRS) {
        uint32_t n = d->n_inputs - i < PAIRS ? d->n_inputs - i : PAIRS;
        float *nodes = clear_nodes(d);
        for (uint32_t k = 0; k < n; k++)
            nodes[PAIRS * (i + k) + k] = h;
        const float *pairs = pairs_of(d, n);
        for (uint32_t j = 0; j < d->m; j++, pairs += 2 * PAIRS)
            for (uint32_t k = 0; k < n; k++) {
                float second = pairs[k] * second_scale;
                work->first[(i + k) * d->m + j] = pairs[PAIRS + k] * first_scale;
                if (ttzo_is_needed(d, TTZO_NEED_DIAGONAL))
                    work->diagonal[(i + k) * d->m + j] = second;
                else if (i + k < d->n_space)
                    work->laplacian[j] = work->laplacian[j] + second;
            }
    }
}

// ---- the Stein estimator (paper eqs. 8 and 9), centre value subtracted ----------------------------------------------

static void clear_sums(const struct ttzo_derivation *d)
{
    ttzo_carry_value(d);
    ttzo_fill(d->work->first, d->n_inputs * d->m, 0.0f);
    ttzo_fill(d->work->laplacian, d->m, 0.0f);
    if (ttzo_is_needed(d, TTZO_NEED_DIAGONAL))
        ttzo_fill(d->work->diagonal, d->n_inputs * d->m, 0.0f);
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
static void add_pair(const struct ttzo_derivation *d, const struct pair *pair, const float *parts)
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
        if (!ttzo_is_needed(d, TTZO_NEED_DIAGONAL))
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

static void place_pairs(const struct ttzo_derivation *d, const struct pair *pairs, uint32_t n)
{
    float *nodes = clear_nodes(d), sigma = d->model->pde.info.radius;
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t k = 0; k < pairs[p].n; k++)
            nodes[PAIRS * coordinate(&pairs[p], k) + p] = sigma * pairs[p].z[k];
}

static void add_parts(const struct ttzo_derivation *d, const struct pair *pairs, uint32_t n, const float *parts)
{
    for (uint32_t p = 0; p < n; p++)
        add_pair(d, &pairs[p], parts + p);
}

// Whether a node counts for its pair: a node and its mirror image stand side by side in the enumeration, and the origin
// changes nothing.
static bool leads_pair(const struct ttzo_sparse_node *node)
{
    return node->n_nonzero != 0 && (node->sign_pattern & 1u) == 0;
}

static struct pair pair_of(const struct ttzo_sparse_node *node)
{
    return (struct pair){ node->value, node->index, node->n_nonzero, node->weight };
}

// Of a chain; not inlined, as above.
__attribute__((noinline)) static void derive_on_grid(const struct ttzo_derivation *d)
{
    const struct ttzo_sparse_grid *grid = &d->model->pde.grid;
    struct ttzo_sparse_node node, kept[PAIRS];
    struct pair pairs[PAIRS];
    uint32_t n = 0;
    for (ttzo_sparse_grid_begin(grid, &node); ttzo_sparse_grid_next(grid, &node);) {
        if (!leads_pair(&node))
            continue;
        kept[n] = node;
        pairs[n] = pair_of(&kept[n]);
        if (++n < PAIRS)
            continue;
        place_pairs(d, pairs, n);
        add_parts(d, pairs, n, carry_pairs(d));
        n = 0;
    }
    if (n) {
        place_pairs(d, pairs, n);
        add_parts(d, pairs, n, carry_pairs(d));
    }
}

// Of a graph, which pairs pass one by one.
__attribute__((noinline)) static void derive_graph_on_grid(const struct ttzo_derivation *d)
{
    const struct ttzo_sparse_grid *grid = &d->model->pde.grid;
    struct ttzo_sparse_node node;
    for (ttzo_sparse_grid_begin(grid, &node); ttzo_sparse_grid_next(grid, &node);) {
        struct pair pair = pair_of(&node);
        if (!leads_pair(&node))
            continue;
        place_pairs(d, &pair, 1);
        add_parts(d, &pair, 1, ttzo_graph_pairs(d, 1));
    }
}

// Gaussian pairs, new ones for each row and step, under a key of their own: the complement of the seed.
static void derive_by_sampling(const struct ttzo_derivation *d)
{
    uint32_t n_pairs = d->model->pde.info.n_pairs;
    clear_sums(d);
    for (uint32_t first = 0; first < n_pairs; first += PAIRS) {
        uint32_t n = n_pairs - first < PAIRS ? n_pairs - first : PAIRS;
        struct pair pairs[PAIRS];
        float *z = d->work->normals;
        ttzo_fill(z, n * d->n_inputs, 0.0f);
        for (uint32_t p = 0; p < n; p++, z += d->n_inputs) {
            ttzo_direction_add(z, z, 1.0f, d->n_inputs, TTZO_DIRECTION_GAUSSIAN, ~d->trainer->training.seed,
                               d->trainer->state.step, d->row * n_pairs + first + p);
            pairs[p] = (struct pair){ z, NULL, d->n_inputs, 0.5f / (float)n_pairs };
        }
        place_pairs(d, pairs, n);
        add_parts(d, pairs, n, pairs_of(d, n));
    }
}

// ---- the choice -----------------------------------------------------------------------------------------------------

// Where both are needed, the Laplacian is the sum of the diagonal.
static void sum_diagonal(const struct ttzo_derivation *d)
{
    ttzo_fill(d->work->laplacian, d->m, 0.0f);
    for (uint32_t i = 0; i < d->n_space; i++)
        for (uint32_t j = 0; j < d->m; j++)
            d->work->laplacian[j] = d->work->laplacian[j] + d->work->diagonal[i * d->m + j];
}

void ttzo_derive(struct ttzo_trainer *trainer, const float *theta, uint32_t n_layers, uint32_t needs, uint32_t row)
{
    const struct ttzo_model *model = trainer->model;
    struct ttzo_derivation d = { trainer,
                                 model,
                                 &trainer->pde,
                                 theta,
                                 n_layers,
                                 needs,
                                 row,
                                 model->info.in_features,
                                 model->pde.info.n_space,
                                 ttzo_is_graph(model) ? (uint32_t)model->info.out_features
                                                      : (uint32_t)ttzo_layer_outputs(&model->layers[n_layers - 1]),
                                 ttzo_first_directions(model),
                                 ttzo_summed_directions(model) };
    merge_cores(trainer, theta, n_layers);
    if (ttzo_is_compensated(model)) {
        ttzo_compensated_jet(trainer, theta, n_layers, needs);
        if (ttzo_is_needed(&d, TTZO_NEED_DIAGONAL))
            sum_diagonal(&d);
        return;
    }
    if (!needs) {
        ttzo_carry_value(&d);
        return;
    }
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET:
    case TTZO_DERIVATIVE_SAMPLED_JET:
        if (!TTZO_HAS(SYSTEMS) || needs & ~(uint32_t)TTZO_NEED_ALONG)
            ttzo_derive_by_jets(&d);
        else
            ttzo_carry_value(&d);
        if (TTZO_HAS(SYSTEMS) && ttzo_is_needed(&d, TTZO_NEED_ALONG))
            ttzo_derive_along(&d);
        break;
    case TTZO_DERIVATIVE_COMPENSATED_JET: break;
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: derive_by_differences(&d); break;
    case TTZO_DERIVATIVE_SPARSE_GRID:
        clear_sums(&d); // the nodes' frames do not lie below the value's pass
        if (ttzo_is_graph(model))
            derive_graph_on_grid(&d);
        else
            derive_on_grid(&d);
        break;
    case TTZO_DERIVATIVE_MONTE_CARLO: derive_by_sampling(&d); break;
    }
    if (ttzo_is_needed(&d, TTZO_NEED_DIAGONAL))
        sum_diagonal(&d);
}

// ---- cost -----------------------------------------------------------------------------------------------------------

uint32_t ttzo_derive_passes(const struct ttzo_model *model)
{
    uint32_t n = model->info.in_features, passes;
    switch ((enum ttzo_derivative)model->pde.info.derivative) {
    case TTZO_DERIVATIVE_JET:
    case TTZO_DERIVATIVE_SAMPLED_JET:
        ttzo_highest_order(&model->pde, &passes);
        return 2 + ttzo_first_directions(model) + passes;
    case TTZO_DERIVATIVE_COMPENSATED_JET: return ttzo_compensated_passes(model);
    case TTZO_DERIVATIVE_FINITE_DIFFERENCE: return 1 + 2 * n;
    case TTZO_DERIVATIVE_SPARSE_GRID: return ttzo_sparse_grid_nodes(&model->pde.grid);
    case TTZO_DERIVATIVE_MONTE_CARLO: return 1 + 2 * model->pde.info.n_pairs;
    }
    return 1;
}
