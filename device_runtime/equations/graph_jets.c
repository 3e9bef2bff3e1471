// SPDX-License-Identifier: MIT
// A jet's columns pass the nodes a few at a time, the value with each of them: so nothing of a node is kept from one pass to
// the next, and the Laplacian is the sum of the passes'.
#include "equations/graph_jets.h"

#include "equations/directions.h"
#include "number/real.h"
#include "operations/graph.h"
#include "operations/operation.h"

#if TTZO_HAS(OPERATIONS)

#define PAIRS TTZO_PAIRS_AT_ONCE

// ---- sizes ----------------------------------------------------------------------------------------------------------

bool ttzo_graph_suits_equation(const struct ttzo_model *model)
{
    uint32_t derivative = model->pde.info.derivative;
    return derivative != TTZO_DERIVATIVE_COMPENSATED_JET &&
           (!ttzo_carries_jets(model) || ttzo_graph_has_jets(&model->graph));
}

uint32_t ttzo_graph_columns_at_once(const struct ttzo_model *model)
{
    const uint32_t most = 2 * PAIRS;
    if (!ttzo_carries_jets(model))
        return 1;
    uint32_t all, highest = ttzo_highest_order(&model->pde, &all), whole = ttzo_whole_jet(model);
    uint32_t columns = whole < most ? whole : most;
    return columns > highest ? columns : 1 + highest;
}

void ttzo_graph_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    bool jets = ttzo_carries_jets(model);
    numbers[0] = (uint64_t)model->graph.info.arena * ttzo_graph_columns_at_once(model);
    numbers[1] = jets ? 0 : PAIRS * ((uint64_t)model->info.in_features + 2u * model->info.out_features);
}

// ---- jets -----------------------------------------------------------------------------------------------------------

// The point as the network reads it, moved by `factor` times column `k` of nodes beside it (NULL: not moved).
static void write_point(const struct ttzo_derivation *d, const float *nodes, float factor, float *out)
{
    const struct ttzo_model_info *info = &d->model->info;
    for (uint32_t i = 0; i < d->n_inputs; i++) {
        float x = nodes ? TTZO_MULADD(factor, nodes[PAIRS * i], d->work->point[i]) : d->work->point[i];
        out[i] = TTZO_MULADD(x, info->input_scale, info->input_offset);
    }
}

static void copy(float *out, const float *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = from[i];
}

static const struct ttzo_jet no_direction = { 0, 1, 0 };

void ttzo_graph_value(const struct ttzo_derivation *d)
{
    write_point(d, NULL, 0.0f, ttzo_graph_jet_inputs(d->trainer, &no_direction));
    copy(d->work->value, ttzo_graph_jet(d->trainer, d->theta, &no_direction), d->m);
}

// The jet of the directions from number `first` on.
static void carry_from(const struct ttzo_derivation *d, const struct ttzo_jet *jet, uint32_t first)
{
    const struct ttzo_pde_work *work = d->work;
    float *columns = ttzo_graph_jet_inputs(d->trainer, jet);
    write_point(d, NULL, 0.0f, columns);
    ttzo_fill(columns + d->n_inputs, (ttzo_jet_columns(jet) - 1) * d->n_inputs, 0.0f);
    for (uint32_t k = 0; k < jet->n; k++)
        ttzo_write_directions(d->trainer, d->row, first + k, 1, columns + (1 + k) * d->n_inputs, 1);
    const float *made = ttzo_graph_jet(d->trainer, d->theta, jet), *second = made + (1 + jet->n) * d->m;
    copy(work->value, made, d->m);
    copy(work->first + first * d->m, made + d->m, jet->n * d->m);
    if (jet->order > 1)
        copy(work->diagonal + first * d->m, second, jet->n * d->m);
    for (uint32_t o = 0; o < d->m && jet->n_summed; o++)
        work->laplacian[o] = work->laplacian[o] + second[o];
}

void ttzo_graph_derive_by_jets(const struct ttzo_derivation *d)
{
    bool own = ttzo_is_needed(d, TTZO_NEED_DIAGONAL), sums = ttzo_is_needed(d, TTZO_NEED_LAPLACIAN) && !own;
    uint32_t room = (ttzo_graph_columns_at_once(d->model) - 1 - sums) / (own ? 2 : 1), n;
    ttzo_fill(d->work->laplacian, d->m, 0.0f);
    for (uint32_t first = 0; first < d->n_directions; first += n) {
        uint32_t left = d->n_directions - first, summed = d->n_summed > first ? d->n_summed - first : 0;
        n = left < room ? left : room;
        struct ttzo_jet jet = { n, own ? 2 : 1, !sums ? 0 : summed < n ? summed : n };
        carry_from(d, &jet, first);
    }
}

void ttzo_graph_derive_along(const struct ttzo_derivation *d)
{
    const struct ttzo_pde *pde = &d->model->pde;
    float *made = d->work->along;
    for (uint32_t k = 0; k < ttzo_pde_directions(pde); k++, made += TTZO_MAX_ORDER * d->m) {
        struct ttzo_pde_direction direction;
        ttzo_unpack_pde_direction(pde->directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
        const struct ttzo_jet jet = { 1, direction.order, 0 };
        float *columns = ttzo_graph_jet_inputs(d->trainer, &jet);
        ttzo_fill(columns, (1u + direction.order) * d->n_inputs, 0.0f);
        ttzo_write_along(d->trainer, &direction, columns + d->n_inputs, 1);
        write_point(d, NULL, 0.0f, columns);
        copy(made, ttzo_graph_jet(d->trainer, d->theta, &jet) + d->m, direction.order * d->m);
    }
}

// ---- differences ----------------------------------------------------------------------------------------------------

const float *ttzo_graph_pairs(const struct ttzo_derivation *d, uint32_t n)
{
    const float *nodes = d->trainer->activations[1], *value = d->work->value;
    float *parts = d->trainer->activations[1] + PAIRS * d->n_inputs, *inputs;
    for (uint32_t k = 0; k < n; k++) {
        inputs = ttzo_graph_jet_inputs(d->trainer, &no_direction);
        write_point(d, nodes + k, 1.0f, inputs);
        const float *up = ttzo_graph_jet(d->trainer, d->theta, &no_direction);
        for (uint32_t o = 0; o < d->m; o++)
            parts[2 * PAIRS * o + k] = up[o] - value[o];
        write_point(d, nodes + k, -1.0f, inputs);
        const float *down = ttzo_graph_jet(d->trainer, d->theta, &no_direction);
        for (uint32_t o = 0; o < d->m; o++) {
            float *even = parts + 2 * PAIRS * o + k, of_up = *even, of_down = down[o] - value[o];
            *even = 0.5f * (of_up + of_down);
            even[PAIRS] = 0.5f * (of_up - of_down);
        }
    }
    return parts;
}

#endif
