// SPDX-License-Identifier: MIT
#include "equations/coordinate_columns.h"

#include "equations/bend.h"
#include "equations/bias_columns.h"
#include "equations/directions.h"
#include "equations/graph_columns.h"
#include "equations/jets.h"
#include "network/layers.h"
#include "network/product.h"
#include "number/real.h"

#if TTZO_HAS(COORDINATES)

// ---- which coordinates ----------------------------------------------------------------------------------------------

static const struct ttzo_layer *layer_from_end(const struct ttzo_model *model, uint32_t k)
{
    return &model->layers[model->info.n_layers - 1 - k];
}

bool ttzo_asks_all(const struct ttzo_model *model)
{
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (model->layers[l].kind != TTZO_LAYER_KIND_DENSE || model->layers[l].gather)
            return false;
    return model->info.n_parameters <= TTZO_MAX_COORDINATES;
}

// The last layer's place in theta, and its numbers.
static uint32_t last_place(const struct ttzo_model *model)
{
    return ttzo_is_graph(model) ? ttzo_graph_last(model) : layer_from_end(model, 0)->parameter_offset;
}

uint32_t ttzo_last_coordinates(const struct ttzo_model *model)
{
    return ttzo_is_graph(model) ? model->info.n_parameters - ttzo_unknown_constants(model) - ttzo_graph_last(model)
                                : ttzo_layer_parameters(layer_from_end(model, 0));
}

uint32_t ttzo_coordinates(const struct ttzo_model *model)
{
    if (ttzo_asks_all(model) || ttzo_is_graph(model))
        return model->info.n_parameters;
    const struct ttzo_layer *before = layer_from_end(model, 1);
    return ttzo_last_coordinates(model) + (before->has_bias ? before->out_features : 0u);
}

uint32_t ttzo_coordinate_place(const struct ttzo_model *model, uint32_t u)
{
    uint32_t n_last = ttzo_last_coordinates(model), last = last_place(model);
    if (u >= n_last && !ttzo_asks_all(model))
        return last - layer_from_end(model, 1)->out_features + u - n_last;
    return ttzo_place_of_unknown(u, last, n_last); // unknown constants come after the last layer
}

// ---- memory ---------------------------------------------------------------------------------------------------------

// Features that the layers but the last take, and make.
static uint64_t features_of_all(const struct ttzo_model *model)
{
    uint64_t features = 0;
    for (uint32_t l = 0; l + 1 < model->info.n_layers; l++)
        features += (uint64_t)model->layers[l].in_features + model->layers[l].out_features;
    return features + layer_from_end(model, 0)->in_features;
}

static uint64_t widest_layer(const struct ttzo_model *model)
{
    uint64_t widest = 0;
    for (uint32_t l = 0; l + 1 < model->info.n_layers; l++)
        widest = model->layers[l].out_features > widest ? model->layers[l].out_features : widest;
    return widest;
}

void ttzo_column_carve(const struct ttzo_model *model, struct ttzo_column_work *work, struct ttzo_carve *carve)
{
    uint64_t width = ttzo_jet_width(model);
    if (ttzo_is_graph(model)) {
        work->beside = ttzo_take(carve, model->info.n_parameters);
        return;
    }
    work->slopes.coefficients = ttzo_take(carve, ttzo_functions(model) * width);
    work->slopes.weights = ttzo_take(carve, ttzo_first_directions(model));
    work->slopes.unknowns = ttzo_take(carve, ttzo_unknown_constants(model));
    if (!ttzo_asks_all(model)) {
        ttzo_bias_column_carve(model, work, carve);
        return;
    }
    work->jets = ttzo_take(carve, width * features_of_all(model));
    work->changes[0] = ttzo_take(carve, width * widest_layer(model));
    work->changes[1] = ttzo_take(carve, width * widest_layer(model));
    work->moved = ttzo_take(carve, width);
    work->change = ttzo_take(carve, width);
}

// ---- a row of a dense network ---------------------------------------------------------------------------------------

// One row under way.
struct row {
    struct ttzo_trainer *trainer;
    const struct ttzo_model *model;
    const struct ttzo_row_slopes *slopes;
    const float *theta;
    uint32_t n, width, number; // directions, numbers of a jet, the row's number
    float mu;
    float *inputs[TTZO_MAX_LAYERS]; // jets of what a layer takes
    float *units[TTZO_MAX_LAYERS];  // jets of its units before the activation
    float *const *changes;
    float *moved, *change; // one jet
};

static struct row begin_row(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_column_work *work,
                            uint32_t number, float mu)
{
    const struct ttzo_model *model = trainer->model;
    struct row r = { .trainer = trainer,
                     .model = model,
                     .slopes = &work->slopes,
                     .theta = theta,
                     .number = number,
                     .mu = mu,
                     .changes = work->changes,
                     .moved = work->moved,
                     .change = work->change };
    float *at = work->jets;
    r.n = ttzo_first_directions(model);
    r.width = work->slopes.shape.width;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        r.inputs[l] = at;
        r.units[l] = at + r.width * model->layers[l].in_features;
        at = r.units[l] + (l + 1 < model->info.n_layers ? r.width * model->layers[l].out_features : 0u);
    }
    return r;
}

static struct ttzo_pde_direction direction_of(const struct row *r, uint32_t k)
{
    struct ttzo_pde_direction direction;
    ttzo_unpack_pde_direction(r->model->pde.directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
    return direction;
}

// The second derivatives [n_second] of a unit whose first ones are `first` [n].
static void bend_second(const struct row *r, const struct ttzo_bent *of, const float *first, const float *z, float *out)
{
    float square = 0.0f;
    if (!r->slopes->shape.sums) {
        for (uint32_t k = 0; k < r->n; k++)
            out[k] = TTZO_MULADD(of->curvature, first[k] * first[k], of->slope * z[k]);
        return;
    }
    for (uint32_t k = 0; k < r->n; k++)
        square = TTZO_MULADD(r->slopes->weights[k] * first[k], first[k], square);
    *out = TTZO_MULADD(of->curvature, square, of->slope * *z);
}

// out = the jet of phi where its argument's is z.
static void bend_jet(const struct row *r, enum ttzo_activation activation, const float *z, float *out)
{
    const struct ttzo_jet_shape *shape = &r->slopes->shape;
    struct ttzo_bent of = ttzo_bend(activation, z[0]);
    uint32_t second = 1 + shape->n_first, along = second + shape->n_second;
    out[0] = of.value;
    for (uint32_t k = 1; k < second; k++)
        out[k] = of.slope * z[k];
    if (shape->n_second)
        bend_second(r, &of, z + 1, z + second, out + second);
    for (uint32_t k = 0; along < r->width; k++) {
        uint32_t order = direction_of(r, k).order;
        float third = order > 2 ? ttzo_third_derivative(activation, of.value, of.slope) : 0.0f;
        ttzo_bend_along(order, &of, third, z + along, out + along);
        along += order;
    }
}

// What the residual changes by when the jet of output o changes so.
static float change_of_residual(const struct row *r, uint32_t o, const float *jet)
{
    const float *coefficients = r->slopes->coefficients + o * r->width;
    float sum = coefficients[0] * jet[0];
    for (uint32_t c = 1; c < r->width; c++)
        sum = TTZO_MULADD(coefficients[c], jet[c], sum);
    return sum;
}

// Column `at` of the inputs' jets: where direction number k leads.
static void begin_along(const struct row *r, uint32_t k, uint32_t at)
{
    const struct ttzo_pde_direction direction = direction_of(r, k);
    float scale = r->model->info.input_scale, *column = r->inputs[0] + at;
    if (direction.first == TTZO_VECTOR_DIRECTION) {
        const float *vector = ttzo_pde_vector(r->trainer, direction.second);
        for (uint32_t i = 0; i < r->model->pde.info.n_space; i++)
            column[i * r->width] = scale * vector[i];
        return;
    }
    column[direction.second * r->width] = direction.factor * scale;
    column[direction.first * r->width] = scale;
}

static void begin_inputs(const struct row *r)
{
    const struct ttzo_model_info *info = &r->model->info;
    const struct ttzo_jet_shape *shape = &r->slopes->shape;
    float *jet = r->inputs[0];
    uint32_t along = 1 + shape->n_first + shape->n_second;
    for (uint32_t i = 0; i < info->in_features; i++, jet += r->width) {
        for (uint32_t c = 1; c < r->width; c++)
            jet[c] = 0.0f;
        jet[0] = TTZO_MULADD(r->trainer->pde.point[i], info->input_scale, info->input_offset);
    }
    if (shape->n_first)
        ttzo_write_directions(r->trainer, r->number, 0, r->n, r->inputs[0] + 1, r->width);
    for (uint32_t k = 0; along < r->width; k++) {
        begin_along(r, k, along);
        along += direction_of(r, k).order;
    }
}

// The jets of all layers.
static void carry_jets(const struct row *r)
{
    begin_inputs(r);
    for (uint32_t l = 0; l + 1 < r->model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &r->model->layers[l];
        const float *w = r->theta + layer->parameter_offset, *bias = w + layer->in_features * layer->out_features;
        float *z = r->units[l], *out = r->inputs[l + 1];
        for (uint32_t j = 0; j < layer->out_features; j++)
            for (uint32_t c = 0; c < r->width; c++)
                z[j * r->width + c] = c == 0 && layer->has_bias ? bias[j] : 0.0f;
        ttzo_product(z, z, (struct ttzo_operand){ w, layer->in_features, 1 },
                     (struct ttzo_operand){ r->inputs[l], 1, r->width }, layer->out_features, layer->in_features,
                     r->width, TTZO_DATA_NONE);
        for (uint32_t j = 0; j < layer->out_features; j++)
            bend_jet(r, (enum ttzo_activation)layer->activation, z + j * r->width, out + j * r->width);
        r->trainer->macs += (uint64_t)layer->in_features * layer->out_features * r->width;
    }
}

// change = what unit j of layer l gives now, less what it gave; `moved` is its jet before the activation.
static void change_unit(const struct row *r, uint32_t l, uint32_t j, const float *moved, float *change)
{
    const float *before = r->inputs[l + 1] + j * r->width;
    bend_jet(r, (enum ttzo_activation)r->model->layers[l].activation, moved, change);
    for (uint32_t c = 0; c < r->width; c++)
        change[c] = change[c] - before[c];
    r->trainer->macs += 3 * r->width;
}

// Units of layer l whose inputs [first, first + n) change: all of them, into `out`.
static void change_layer(const struct row *r, uint32_t l, uint32_t first, uint32_t n, const float *changes, float *out)
{
    const struct ttzo_layer *layer = &r->model->layers[l];
    const float *w = r->theta + layer->parameter_offset + first;
    float *moved = r->moved;
    for (uint32_t j = 0; j < layer->out_features; j++, w += layer->in_features) {
        const float *z = r->units[l] + j * r->width;
        for (uint32_t c = 0; c < r->width; c++)
            moved[c] = z[c];
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t c = 0; c < r->width; c++)
                moved[c] = TTZO_MULADD(w[i], changes[i * r->width + c], moved[c]);
        change_unit(r, l, j, moved, out + j * r->width);
    }
    r->trainer->macs += (uint64_t)layer->out_features * n * r->width;
}

// The residual's change where unit j of layer l changes so.
static float carry_change(const struct row *r, uint32_t l, uint32_t j, const float *change)
{
    uint32_t last = r->model->info.n_layers - 1, n = 1, side = 0;
    for (l++; l < last; l++, side = 1 - side) {
        change_layer(r, l, j, n, change, r->changes[side]);
        change = r->changes[side];
        j = 0;
        n = r->model->layers[l].out_features;
    }
    const float *w = r->theta + r->model->layers[last].parameter_offset + j;
    uint32_t outputs = ttzo_functions(r->model);
    float sum = 0.0f;
    for (uint32_t o = 0; o < outputs; o++, w += r->model->layers[last].in_features)
        for (uint32_t i = 0; i < n; i++)
            sum = TTZO_MULADD(w[i], change_of_residual(r, o, change + i * r->width), sum);
    r->trainer->macs += outputs * n * r->width;
    return sum;
}

// The derivative by the parameter of unit j of layer l that multiplies input i; the bias' is after the last one.
static float column_of_weight(const struct row *r, uint32_t l, uint32_t j, uint32_t i)
{
    const float *z = r->units[l] + j * r->width, *x = r->inputs[l] + i * r->width;
    float *moved = r->moved;
    bool is_bias = i == r->model->layers[l].in_features;
    for (uint32_t c = 0; c < r->width; c++)
        moved[c] = is_bias ? z[c] + (c == 0 ? r->mu : 0.0f) : TTZO_MULADD(r->mu, x[c], z[c]);
    change_unit(r, l, j, moved, r->change);
    return carry_change(r, l, j, r->change) * (1.0f / r->mu);
}

// The derivative by number u of the last layer.
static float column_of_last(const struct row *r, uint32_t u)
{
    uint32_t last = r->model->info.n_layers - 1, inputs = r->model->layers[last].in_features;
    uint32_t weights = inputs * ttzo_functions(r->model);
    r->trainer->macs += r->width;
    return u < weights ? change_of_residual(r, u / inputs, r->inputs[last] + (u % inputs) * r->width)
                       : r->slopes->coefficients[(u - weights) * r->width];
}

static float column_of(const struct row *r, uint32_t u)
{
    const struct ttzo_model *model = r->model;
    uint32_t n_last = ttzo_last_coordinates(model), constants = ttzo_unknown_constants(model), l = 0;
    if (u < n_last)
        return column_of_last(r, u);
    if (u >= model->info.n_parameters - constants)
        return r->slopes->unknowns[u + constants - model->info.n_parameters];
    uint32_t place = u - n_last;
    while (place >= ttzo_layer_parameters(&model->layers[l]))
        place -= ttzo_layer_parameters(&model->layers[l++]);
    uint32_t inputs = model->layers[l].in_features, weights = inputs * model->layers[l].out_features;
    return place < weights ? column_of_weight(r, l, place / inputs, place % inputs)
                           : column_of_weight(r, l, place - weights, inputs);
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// Columns of a dense network, each joining what stands there where `joins`. Its frame is large: inlined, it would lie below
// that of the derivatives too.
__attribute__((noinline)) static void dense_columns(struct ttzo_trainer *trainer, const float *theta,
                                                    const struct ttzo_column_work *work, uint32_t number, float mu,
                                                    bool joins, uint32_t first, uint32_t end, float *column,
                                                    uint32_t stride)
{
    struct row r = begin_row(trainer, theta, work, number, mu);
    carry_jets(&r);
    for (uint32_t u = first; u < end; u++, column += stride)
        *column = joins ? *column + column_of(&r, u) : column_of(&r, u);
}

float ttzo_row_columns(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_column_work *work,
                       uint32_t number, float mu, uint32_t first, uint32_t end, float *column, uint32_t stride)
{
    struct ttzo_column_work own = *work;
    if (ttzo_is_graph(trainer->model))
        return ttzo_graph_columns(trainer, theta, work->beside, number, mu, first, end, column, stride);
    struct ttzo_pde_row row = ttzo_pde_begin_row(trainer, number);
    uint32_t sides = ttzo_pde_has_opposite(trainer->model, &row) ? 2 : 1;
    float residual = 0.0f;
    for (uint32_t side = 0; side < sides; side++) {
        float share = ttzo_linearise(trainer, theta, &row, side, mu, &own.slopes);
        residual = side ? residual + share : share;
        trainer->macs += trainer->macs_per_row;
        if (!ttzo_asks_all(trainer->model)) {
            ttzo_bias_columns(trainer, &own, number, mu, first, end, column, stride);
            continue;
        }
        dense_columns(trainer, theta, &own, number, mu, side > 0, first, end, column, stride);
    }
    return residual;
}

#endif
