// SPDX-License-Identifier: MIT
#include "equations/jets.h"

#include "equations/bend.h"
#include "equations/compensated_jet.h"
#include "equations/directions.h"
#include "equations/graph_jets.h"
#include "number/real.h"

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

static void keep_units(const struct ttzo_walk *w, enum ttzo_activation activation, float *column)
{
    uint32_t units = ttzo_units_of(w);
    for (uint32_t j = 0; j < units; j++, column += w->n_columns)
        *column = activate_and_keep(activation, *column, &w->at[j], &w->slope[j]);
}

static void bend_with_own(const struct ttzo_walk *w, const struct jet *jet, enum ttzo_activation activation,
                          float *column)
{
    uint32_t units = ttzo_units_of(w), n = jet->n_first;
    for (uint32_t j = 0; j < units; j++, column += w->n_columns) {
        float slope = w->slope[j], bent = curvature(activation, w->at[j], slope);
        for (uint32_t k = 0; k < n; k++) {
            float along = column[k];
            column[k] = slope * along;
            column[n + k] = TTZO_MULADD(bent, along * along, slope * column[n + k]);
        }
    }
}

static void bend_with_sum(const struct ttzo_walk *w, const struct jet *jet, enum ttzo_activation activation,
                          float *column)
{
    const struct ttzo_derivation *d = w->d;
    uint32_t units = ttzo_units_of(w), n = jet->n_first;
    uint32_t summed = d->n_summed > jet->first ? d->n_summed - jet->first : 0; // directions that join the sum
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

static void bend_alone(const struct ttzo_walk *w, const struct jet *jet, float *column)
{
    uint32_t units = ttzo_units_of(w);
    for (uint32_t j = 0; j < units; j++, column += w->n_columns)
        for (uint32_t k = 0; k < jet->n_first; k++)
            column[k] = w->slope[j] * column[k];
}

static void bend(const struct ttzo_walk *w, const struct jet *jet, enum ttzo_activation activation, float *columns)
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

static void begin_columns(const struct ttzo_derivation *d, const struct jet *jet)
{
    float *column = d->trainer->activations[0], scale = d->model->info.input_scale;
    uint32_t n_columns = jet_columns(jet);
    ttzo_fill(column, d->n_inputs * n_columns, 0.0f);
    ttzo_write_directions(d->trainer, d->row, jet->first, jet->n_first, column + jet->has_value, n_columns);
    for (uint32_t i = 0; i < d->n_inputs && jet->has_value; i++, column += n_columns)
        column[0] = TTZO_MULADD(d->work->point[i], scale, d->model->info.input_offset);
}

static void keep_derivatives(const struct ttzo_derivation *d, const struct jet *jet, const float *column)
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

static void carry_jet(const struct ttzo_derivation *d, const struct jet *jet)
{
    struct ttzo_walk w = ttzo_begin_walk(d, jet_columns(jet));
    const float *outputs = d->trainer->activations[0];
    begin_columns(d, jet);
    while (w.l < d->n_layers) {
        enum ttzo_activation activation;
        float *columns = ttzo_enter_layer(&w, jet->has_value, w.l == 0 && !jet->has_value, &activation);
        if (activation != TTZO_ACTIVATION_IDENTITY)
            bend(&w, jet, activation, columns);
        ttzo_leave_layer(&w);
        outputs = columns;
    }
    keep_derivatives(d, jet, outputs);
}

void ttzo_carry_value(const struct ttzo_derivation *d)
{
    if (ttzo_is_graph(d->model)) {
        ttzo_graph_value(d);
        return;
    }
    carry_jet(d, &(struct jet){ .has_value = true });
}

void ttzo_derive_by_jets(const struct ttzo_derivation *d)
{
    if (ttzo_is_graph(d->model)) {
        ttzo_graph_derive_by_jets(d);
        return;
    }
    uint32_t most = ttzo_derive_columns(d->model);
    bool own = ttzo_is_needed(d, TTZO_NEED_DIAGONAL), sum = ttzo_is_needed(d, TTZO_NEED_LAPLACIAN) && !own;
    struct jet jet = { .has_value = true, .has_own = own, .sums = sum };
    bool summed = !sum;
    do {
        uint32_t left = d->n_directions - jet.first, room = (most - jet.has_value) / (own ? 2 : 1);
        jet.n_first = left < room ? left : room;
        jet.has_sum = sum && jet.n_first == left && left < room;
        carry_jet(d, &jet);
        summed = summed || jet.has_sum;
        jet.first += jet.n_first;
        jet.has_value = false;
    } while (jet.first < d->n_directions || !summed);
}

// ---- jets along the section's directions -----------------------------------------------------------------------------

// The first `order` derivatives along one direction go through a unit.
static void bend_along(const struct ttzo_walk *w, uint32_t order, enum ttzo_activation activation, float *column)
{
    uint32_t units = ttzo_units_of(w);
    for (uint32_t j = 0; j < units; j++, column += order) {
        struct ttzo_bent of = { w->at[j], w->slope[j], curvature(activation, w->at[j], w->slope[j]) };
        float third = order > 2 ? ttzo_third_derivative(activation, of.value, of.slope) : 0.0f;
        ttzo_bend_along(order, &of, third, column, column);
    }
}

static void carry_along(const struct ttzo_derivation *d, const struct ttzo_pde_direction *direction, float *made)
{
    uint32_t order = direction->order;
    struct ttzo_walk w = ttzo_begin_walk(d, order);
    float *columns = d->trainer->activations[0];
    ttzo_fill(columns, d->n_inputs * order, 0.0f);
    ttzo_write_along(d->trainer, direction, columns, order);
    while (w.l < d->n_layers) {
        enum ttzo_activation activation;
        columns = ttzo_enter_layer(&w, false, w.l == 0, &activation);
        if (activation != TTZO_ACTIVATION_IDENTITY)
            bend_along(&w, order, activation, columns);
        ttzo_leave_layer(&w);
    }
    for (uint32_t o = 0; o < d->m; o++)
        for (uint32_t k = 0; k < order; k++)
            made[k * d->m + o] = *columns++;
}

void ttzo_derive_along(const struct ttzo_derivation *d)
{
    if (ttzo_is_graph(d->model)) {
        ttzo_graph_derive_along(d);
        return;
    }
    const struct ttzo_pde *pde = &d->model->pde;
    float *made = d->work->along;
    for (uint32_t k = 0; k < ttzo_pde_directions(pde); k++, made += TTZO_MAX_ORDER * d->m) {
        struct ttzo_pde_direction direction;
        ttzo_unpack_pde_direction(pde->directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
        carry_along(d, &direction, made);
    }
}

uint32_t ttzo_derive_columns(const struct ttzo_model *model)
{
    const uint32_t few = TTZO_FEW_COLUMNS, many = 2 * TTZO_PAIRS_AT_ONCE;
    if (ttzo_is_graph(model))
        return ttzo_graph_columns_at_once(model);
    if (ttzo_is_compensated(model))
        return TTZO_COMPENSATED_FLOATS;
    if (!ttzo_carries_jets(model))
        return many;
    uint32_t passes, highest = ttzo_highest_order(&model->pde, &passes), whole = ttzo_whole_jet(model);
    uint32_t columns = whole <= many ? whole : few;
    return columns < highest ? highest : columns;
}

void ttzo_derive_buffers(const struct ttzo_model *model, uint64_t numbers[2])
{
    if (ttzo_is_graph(model)) {
        ttzo_graph_derive_buffers(model, numbers);
        return;
    }
    ttzo_columns_buffers(model, numbers);
    for (uint32_t i = 0; i < 2; i++)
        numbers[i] = numbers[i] * ttzo_derive_columns(model);
}
