// SPDX-License-Identifier: MIT
#include "equations/bias_columns.h"

#include "equations/bend.h"
#include "equations/columns.h"
#include "equations/directions.h"
#include "equations/jet_columns.h"
#include "network/layers.h"
#include "network/merged_layer.h"
#include "number/real.h"

#if TTZO_HAS(COORDINATES)

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint32_t units_before(const struct ttzo_model *model)
{
    uint32_t units = 0;
    for (uint32_t l = 0; l + 2 < model->info.n_layers; l++)
        units += model->layers[l].out_features;
    return units;
}

// Whether jets have kept the same numbers of the units, whose place is free once the row is derived: merged cores, and
// three numbers of each unit.
static bool shares_jets(const struct ttzo_model *model)
{
    bool laplacian = false;
    for (uint32_t g = 0; g < model->pde.info.n_groups; g++)
        laplacian = laplacian || model->pde.groups[g].needs & TTZO_NEED_LAPLACIAN;
    for (uint32_t l = 0; l + 1 < model->info.n_layers; l++)
        if (model->layers[l].activation == TTZO_ACTIVATION_IDENTITY)
            return false;
    return laplacian && ttzo_carries_jets(model);
}

void ttzo_bias_column_carve(const struct ttzo_model *model, struct ttzo_column_work *work, struct ttzo_carve *carve)
{
    uint64_t units = units_before(model), features = model->layers[model->info.n_layers - 1].in_features, merged = 0;
    for (uint32_t l = 0; l + 1 < model->info.n_layers; l++)
        merged += ttzo_merged_numbers(&model->layers[l]);
    work->second = ttzo_take(carve, features);
    if (shares_jets(model))
        return;
    work->at = ttzo_take(carve, units);
    work->slope = ttzo_take(carve, units);
    work->squares = ttzo_take(carve, units);
    work->z = ttzo_take(carve, features);
    work->square = ttzo_take(carve, features);
    work->along = ttzo_take(carve, features);
    work->merged = ttzo_take(carve, merged);
}

static struct ttzo_column_work shared(const struct ttzo_trainer *trainer, const struct ttzo_column_work *work)
{
    const struct ttzo_pde_work *jets = &trainer->pde;
    uint32_t units = units_before(trainer->model);
    struct ttzo_column_work own = *work;
    own.at = jets->at;
    own.slope = jets->slope;
    own.squares = jets->squares;
    own.z = jets->at + units;
    own.along = jets->slope + units;
    own.square = jets->squares + units;
    own.merged = jets->merged;
    return own;
}

// ---- a row ----------------------------------------------------------------------------------------------------------

// One pass: the value, the directions [first, first + n_first), and the weighted sum of second derivatives.
struct pass {
    bool has_value, has_second;
    uint32_t first, n_first;
};

struct row {
    struct ttzo_trainer *trainer;
    const struct ttzo_model *model;
    const struct ttzo_column_work *work;
    struct pass pass;
    uint32_t n_columns, number; // the row's number
};

static void merge_cores(const struct row *r)
{
    float *at = r->work->merged;
    for (uint32_t l = 0; l + 1 < r->model->info.n_layers; l++) {
        uint64_t numbers = ttzo_merged_numbers(&r->model->layers[l]);
        if (numbers)
            ttzo_merge_cores(&r->model->layers[l], r->trainer->theta, at);
        at += numbers;
    }
}

static void begin_columns(const struct row *r)
{
    const struct ttzo_model_info *info = &r->model->info;
    const struct pass *pass = &r->pass;
    float *column = r->trainer->activations[0];
    ttzo_write_directions(r->trainer, r->number, pass->first, pass->n_first, column + pass->has_value, r->n_columns);
    for (uint32_t i = 0; i < info->in_features; i++, column += r->n_columns) {
        if (pass->has_value)
            column[0] = TTZO_MULADD(r->trainer->pde.point[i], info->input_scale, info->input_offset);
        if (pass->has_second)
            column[r->n_columns - 1] = 0.0f;
    }
}

// square = what it is after the directions of this pass, whose derivatives of one unit stand in `column`.
static float add_squares(const struct row *r, const float *column, float square)
{
    const float *weights = r->work->slopes.weights + r->pass.first;
    for (uint32_t k = 0; k < r->pass.n_first; k++)
        square = TTZO_MULADD(weights[k] * column[k], column[k], square);
    return square;
}

// Units of a layer before the last two, numbered from `unit` on, pass the activation in place.
static void bend_units(const struct row *r, const struct ttzo_layer *layer, uint32_t unit, float *column)
{
    const struct ttzo_column_work *work = r->work;
    const struct pass *pass = &r->pass;
    enum ttzo_activation activation = (enum ttzo_activation)layer->activation;
    for (uint32_t j = 0; j < layer->out_features; j++, unit++) {
        if (pass->has_value) {
            struct ttzo_bent of = ttzo_bend(activation, *column);
            *column++ = work->at[unit] = of.value;
            work->slope[unit] = of.slope;
            work->squares[unit] = 0.0f;
        }
        float slope = work->slope[unit], square = add_squares(r, column, work->squares[unit]);
        work->squares[unit] = square;
        for (uint32_t k = 0; k < pass->n_first; k++, column++)
            *column = slope * *column;
        if (!pass->has_second)
            continue;
        float curvature = activation == TTZO_ACTIVATION_SINE   ? -work->at[unit]
                          : activation == TTZO_ACTIVATION_TANH ? -2.0f * work->at[unit] * slope
                                                               : 0.0f;
        *column = TTZO_MULADD(curvature, square, slope * *column);
        column++;
    }
}

// What is kept of the units before the last layer; `along` is their derivative in the direction of the slopes.
static void keep_units(const struct row *r, const float *column)
{
    const struct ttzo_column_work *work = r->work;
    const struct pass *pass = &r->pass;
    uint32_t n = r->model->layers[r->model->info.n_layers - 1].in_features;
    for (uint32_t j = 0; j < n; j++) {
        if (pass->has_value) {
            work->z[j] = *column++;
            work->square[j] = work->along[j] = work->second[j] = 0.0f;
        }
        work->square[j] = add_squares(r, column, work->square[j]);
        for (uint32_t k = 0; k < pass->n_first; k++)
            work->along[j] = TTZO_MULADD(work->slopes.coefficients[1 + pass->first + k], *column++, work->along[j]);
        if (pass->has_second)
            work->second[j] = *column++;
    }
}

static void carry(const struct row *r)
{
    const struct ttzo_model *model = r->model;
    float *const *buffers = r->trainer->activations;
    const float *merged = r->work->merged;
    uint32_t buffer = 0, unit = 0;
    begin_columns(r);
    for (uint32_t l = 0; l + 1 < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t numbers = ttzo_merged_numbers(layer);
        struct ttzo_layer taken = ttzo_merged_layer(layer);
        ttzo_columns_forward(&taken, numbers ? merged : r->trainer->theta, buffers, &buffer, r->n_columns,
                             r->pass.has_value, l == 0 && !r->pass.has_value);
        merged += numbers;
        if (l + 2 == model->info.n_layers) {
            keep_units(r, buffers[buffer]);
            continue;
        }
        bend_units(r, layer, unit, buffers[buffer]);
        unit += layer->out_features;
    }
}

static void carry_all(struct row *r)
{
    uint32_t most = ttzo_derive_columns(r->model), n = ttzo_first_directions(r->model);
    bool done = false;
    for (r->pass = (struct pass){ .has_value = true }; !done;) {
        struct pass *pass = &r->pass;
        uint32_t left = r->work->slopes.shape.n_first > 0 ? n - pass->first : 0, room = most - pass->has_value;
        pass->n_first = left < room ? left : room;
        done = !r->work->slopes.shape.n_first || (pass->n_first == left && left < room);
        pass->has_second = done && r->work->slopes.shape.n_first > 0;
        r->n_columns = pass->has_value + pass->n_first + pass->has_second;
        carry(r);
        pass->first += pass->n_first;
        pass->has_value = false;
    }
}

// ---- columns --------------------------------------------------------------------------------------------------------

// How the residual follows the weight of unit j, whose argument is z: the unit's jet, as the slopes take it.
static float follow(const struct ttzo_column_work *work, enum ttzo_activation activation, uint32_t j, float z)
{
    struct ttzo_bent of = ttzo_bend(activation, z);
    float sum = work->slopes.coefficients[0] * of.value;
    if (!work->slopes.shape.n_first)
        return sum;
    sum = TTZO_MULADD(of.slope, work->along[j], sum);
    return sum + TTZO_MULADD(of.curvature, work->square[j], of.slope * work->second[j]);
}

void ttzo_bias_columns(struct ttzo_trainer *trainer, const struct ttzo_column_work *work, uint32_t row, float mu,
                       uint32_t first, uint32_t end, float *column, uint32_t stride)
{
    const struct ttzo_model *model = trainer->model;
    const struct ttzo_layer *last = &model->layers[model->info.n_layers - 1], *before = last - 1;
    enum ttzo_activation activation = (enum ttzo_activation)before->activation;
    const float *w = trainer->theta + last->parameter_offset;
    uint32_t n = last->in_features, n_last = ttzo_layer_parameters(last);
    struct ttzo_column_work own = shares_jets(model) ? shared(trainer, work) : *work;
    struct row r = { .trainer = trainer, .model = model, .work = &own, .number = row };
    if (!shares_jets(model))
        merge_cores(&r);
    carry_all(&r);
    trainer->macs += trainer->macs_per_row;
    for (uint32_t u = first; u < end; u++, column += stride) {
        uint32_t j = u < n_last ? u : u - n_last;
        if (u < n_last) {
            *column = j < n ? follow(&own, activation, j, own.z[j]) : own.slopes.coefficients[0];
            continue;
        }
        float change = follow(&own, activation, j, own.z[j] + mu) - follow(&own, activation, j, own.z[j]);
        *column = w[j] * change * (1.0f / mu);
    }
}

#endif
