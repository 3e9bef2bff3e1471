// SPDX-License-Identifier: MIT
#include "cores/gathered_gradient.h"

#include "model/carve.h"
#include "network/gathered_layer.h"
#include "network/loss.h"
#include "network/network.h"
#include "network/panels.h"
#include "number/real.h"
#include "cores/slices.h"
#include "cores/coordinate_window.h"

#if TTZO_HAS(GATHERED)

#define Q TTZO_QUERIES_AT_ONCE

// What is kept of one layer.
struct stage {
    const float *input;        // [inputs] of the sample
    float *z, *output;         // [outputs] before and behind the activation
    float *products, *matrix;  // of one application, made once a step
    float *weights;            // patches behind another layer: the matrix as panels [out_feature / 4][in_feature][4]
};

struct estimate {
    struct ttzo_trainer *trainer;
    const struct ttzo_model *model;
    const struct ttzo_phase *phase;
    struct stage stages[TTZO_MAX_LAYERS];
    uint32_t l;               // layer under way
    struct ttzo_layer one;    // one application of it
    struct ttzo_layer_cache room;    // and its caches
    struct ttzo_environment environment;
    float *inputs, *slopes;
    float *patch;             // [in_features] of one application
    float *one_z;             // [out_features]
    float *picked;            // slices of the cores that a token picks
    float *states, *panels;   // of one application
    float *four;              // [slice][4]
    float *moves;             // of each core [slices / 4][moved outputs][4]: what mu times each entry moves
    float *changes;           // [place][4] of a layer's outputs
    float *arrivals;          // behind patches [output][4], else [4][outputs, filled up to fours]
    float *image;             // [inputs][4] changes of an image, zeros but while they arrive
    float *window;            // [kernel][4] of it, or [place][4] weights behind what changes
    float *forward;           // scratch of a forward pass
    uint16_t *places;         // outputs that change, ascending
    const uint8_t *target;
    bool antithetic;
    struct ttzo_coordinate_window asked;
    uint32_t done;                        // samples
    uint64_t macs;
};

// ---- geometry -------------------------------------------------------------------------------------------------------


static uint32_t to_multiple_of_4(uint32_t n)
{
    return (n + 3u) & ~3u;
}

// A train behind another layer is multiplied out once a step.
static bool has_matrix(const struct ttzo_layer *layer, uint32_t l)
{
    return l > 0 && ttzo_layer_length(layer) > 1;
}

bool ttzo_gathered_gradient_is_sound(const struct ttzo_model *model, uint8_t estimator)
{
    for (uint32_t l = 0; l < model->info.n_layers; l++)
        if (has_matrix(&model->layers[l], l) &&
            (uint32_t)model->layers[l].in_features * model->layers[l].out_features > TTZO_MAX_MATRIX)
            return false;
    return estimator == TTZO_ESTIMATOR_CGE || estimator == TTZO_ESTIMATOR_COCD;
}

static bool has_patches(const struct ttzo_layer *layer)
{
    return layer->gather == TTZO_GATHER_PATCHES;
}

// How often a slice's outputs stand in a move: outer times all of them, each a run of so many neighbours.
static uint32_t outer_of(const struct ttzo_layer *layer)
{
    return layer->gather == TTZO_GATHER_TOKENS && layer->combine == TTZO_COMBINE_EACH ? layer->width : 1;
}

static uint32_t run_of(const struct ttzo_layer *layer)
{
    return has_patches(layer) ? (uint32_t)ttzo_layer_positions(layer) : 1;
}

static uint64_t slices_of_core(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_core core = ttzo_layer_core(layer, k);
    return (uint64_t)core.left * core.n * core.right;
}

// Outputs that an entry of core k moves.
static uint32_t moved_outputs(const struct ttzo_layer *layer, uint32_t k)
{
    struct ttzo_extents e = ttzo_extents_around(layer, k);
    return e.ml * e.mr * outer_of(layer) * run_of(layer);
}

// Numbers of the moves of all cores before `end`.
static uint64_t moves_before(const struct ttzo_layer *layer, uint32_t end)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < end; k++)
        numbers += (slices_of_core(layer, k) + 3) / 4 * 4 * moved_outputs(layer, k);
    return numbers;
}

// ---- memory, in the order of exporter/costs/gathered_memory.py --------------------------------------------------------------------

static uint64_t largest_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t picked_numbers(const struct ttzo_layer *one)
{
    uint64_t numbers = 0;
    for (uint32_t k = 0; k < ttzo_layer_length(one); k++)
        numbers += slices_of_core(one, k) * ttzo_layer_core(one, k).m;
    return numbers;
}

static void carve_stage(struct estimate *e, uint32_t l, struct ttzo_carve *carve)
{
    const struct ttzo_layer *layer = &e->model->layers[l], one = ttzo_gathered_application(layer);
    uint64_t outputs = ttzo_layer_outputs(layer), matrix = (uint64_t)layer->in_features * layer->out_features;
    struct stage *stage = &e->stages[l];
    stage->z = ttzo_take_even(carve, outputs);
    stage->output = ttzo_take_even(carve, outputs);
    stage->products = ttzo_take_even(carve, ttzo_products_numbers(&one, has_matrix(layer, l)));
    stage->matrix = ttzo_take_even(carve, has_matrix(layer, l) ? matrix : 0);
    stage->weights = ttzo_take_even(
        carve, has_patches(layer) && l > 0 ? (uint64_t)to_multiple_of_4(layer->out_features) * layer->in_features : 0);
}

static void carve_scratch(struct estimate *e, struct ttzo_carve *carve)
{
    uint64_t patch = 0, features = 0, picked = 0, states = 0, panels = 0, slice = 0, moves = 0, outputs = 0;
    uint64_t image = 0, window = 0, forward = 0;
    for (uint32_t l = 0; l < e->model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &e->model->layers[l], one = ttzo_gathered_application(layer);
        patch = largest_of(patch, one.in_features);
        features = largest_of(features, one.out_features);
        states = largest_of(states, ttzo_states_numbers(&one));
        panels = largest_of(panels, largest_of(ttzo_environment_panels(&one), ttzo_slices_panels(&one)));
        slice = largest_of(slice, ttzo_slice_widest(&one));
        moves = largest_of(moves, moves_before(layer, ttzo_layer_length(layer)));
        outputs = largest_of(outputs, ttzo_layer_outputs(layer));
        forward = largest_of(forward, layer->gather ? ttzo_gathered_scratch(layer) : 0);
        if (layer->gather == TTZO_GATHER_TOKENS)
            picked = picked_numbers(&one);
        if (has_patches(layer) && l > 0) {
            image = largest_of(image, ttzo_layer_inputs(layer));
            window = largest_of(window, (uint64_t)layer->kernel_height * layer->kernel_width);
        }
        if (!has_patches(layer) && l > 0)
            window = largest_of(window, layer->in_features);
    }
    e->slopes = ttzo_take_even(carve, e->model->info.out_features);
    e->patch = ttzo_take_even(carve, patch);
    e->one_z = ttzo_take_even(carve, features);
    e->picked = ttzo_take_even(carve, picked);
    e->states = ttzo_take_even(carve, states);
    e->panels = ttzo_take_even(carve, panels);
    e->four = ttzo_take_even(carve, Q * slice);
    e->moves = ttzo_take_even(carve, moves);
    e->changes = ttzo_take_even(carve, Q * outputs);
    e->arrivals = ttzo_take_even(carve, Q * ((outputs + 3) & ~(uint64_t)3));
    e->image = ttzo_take_even(carve, Q * image);
    e->window = ttzo_take_even(carve, Q * window);
    e->forward = ttzo_take_even(carve, forward);
    e->places = (uint16_t *)ttzo_take_even(carve, (outputs + 1) / 2);
}

static void carve_all(struct estimate *e, struct ttzo_carve *carve)
{
    const float *input = e->inputs = ttzo_take_even(carve, e->model->info.in_features);
    for (uint32_t l = 0; l < e->model->info.n_layers; l++) {
        e->stages[l].input = input;
        carve_stage(e, l, carve);
        input = e->stages[l].output;
    }
    carve_scratch(e, carve);
}

uint64_t ttzo_gathered_gradient_numbers(const struct ttzo_model *model)
{
    struct estimate counting = { .model = model };
    struct ttzo_carve carve = { NULL, 0 };
    carve_all(&counting, &carve);
    return carve.numbers;
}

// ---- one application of a layer -------------------------------------------------------------------------------------

// Turns to layer `l`.
static void use_layer(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    const struct stage *stage = &e->stages[l];
    e->l = l;
    e->one = ttzo_gathered_application(layer);
    e->room = (struct ttzo_layer_cache){ .layer = &e->one, .parameters = e->trainer->theta + layer->parameter_offset,
                                  .input = ttzo_array_of(stage->input), .z = e->one_z,
                                  .states = { .numbers = e->states }, .panels = e->panels, .products = stage->products,
                                  .matrix = stage->matrix, .has_matrix = has_matrix(layer, l),
                                  .keeps_halves = has_matrix(layer, l) };
}

// The room at one position: the patch there, or the token's own layer.
static void use_position(struct estimate *e, uint32_t position)
{
    const struct ttzo_layer *layer = &e->model->layers[e->l];
    const float *input = e->stages[e->l].input;
    if (has_patches(layer)) {
        ttzo_gathered_patch(layer, input, position, e->patch);
        e->room.input = ttzo_array_of(e->patch);
    } else if (layer->gather == TTZO_GATHER_TOKENS) {
        ttzo_gathered_token(layer, e->trainer->theta + layer->parameter_offset, (uint32_t)input[position], e->picked);
        e->patch[0] = 1.0f;
        e->room.input = ttzo_array_of(e->patch);
        e->room.parameters = e->picked;
        e->macs += ttzo_core_products_make(&e->room);
    }
    if (ttzo_layer_length(&e->one) > 1)
        e->macs += ttzo_environments_forward(&e->room);
}

// The matrix of layer `l`: element (input, output) of one application.
static struct ttzo_operand matrix_of(const struct estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    if (has_matrix(layer, l))
        return (struct ttzo_operand){ e->stages[l].matrix, layer->out_features, 1 };
    return (struct ttzo_operand){ e->trainer->theta + layer->parameter_offset, 1, layer->in_features };
}

// Once a step.
static void begin(struct estimate *e)
{
    struct ttzo_carve area = { e->trainer->cache_area, 0 };
    carve_all(e, &area);
    for (uint32_t l = 0; l < e->model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &e->model->layers[l];
        if (layer->gather == TTZO_GATHER_TOKENS)
            continue;
        use_layer(e, l);
        e->macs += ttzo_core_products_make(&e->room);
        if (!has_patches(layer) || l == 0)
            continue;
        struct ttzo_operand matrix = matrix_of(e, l);
        ttzo_pack_panels(e->stages[l].weights, (struct ttzo_operand){ matrix.at, matrix.inner, matrix.outer },
                         layer->out_features, layer->in_features);
        for (uint32_t i = 0; i < Q * ttzo_layer_inputs(layer); i++)
            e->image[i] = 0.0f;
    }
}

// Once a sample; returns its loss.
static float forward(struct estimate *e, const uint8_t *row)
{
    const struct ttzo_model *model = e->model;
    const float *outputs = e->stages[model->info.n_layers - 1u].output;
    ttzo_read_inputs(model, row, e->inputs);
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        const struct stage *stage = &e->stages[l];
        use_layer(e, l);
        e->room.z = stage->z;
        if (layer->gather) {
            ttzo_gathered_forward(layer, e->trainer->theta, stage->input, stage->z, e->forward);
            e->macs += ttzo_gathered_macs(layer);
        } else
            e->macs += ttzo_environments_forward(&e->room);
        uint32_t n = (uint32_t)ttzo_layer_outputs(layer);
        for (uint32_t i = 0; i < n; i++)
            stage->output[i] = stage->z[i];
        ttzo_activate((enum ttzo_activation)layer->activation, stage->output, n);
    }
    e->target = row + ttzo_input_bytes(model);
    ttzo_loss_slopes(model, outputs, e->target, e->slopes);
    for (uint32_t i = 0; i < model->info.out_features; i++)
        e->arrivals[i] = outputs[i];
    return ttzo_row_loss(model, e->arrivals, e->target);
}

// ---- what entries move ----------------------------------------------------------------------------------------------

// The digit of `token` at core k's input mode.
static uint32_t digit(const struct ttzo_layer *layer, uint32_t k, uint32_t token)
{
    uint32_t rest = 1;
    for (uint32_t i = k + 1; i < ttzo_layer_length(layer); i++)
        rest *= ttzo_layer_core(layer, i).n;
    return token / rest % ttzo_layer_core(layer, k).n;
}

// Brings slice `lane` of `four` to its place among the moves of core k; sums of tokens are added up.
static void keep_slice(struct estimate *e, uint32_t k, const struct ttzo_slice_quad *four, uint32_t lane, uint32_t position)
{
    const struct ttzo_layer *layer = &e->model->layers[e->l];
    struct ttzo_core core = ttzo_layer_core(layer, k);
    uint32_t run = run_of(layer), size = e->environment.ml * e->environment.mr, moved = moved_outputs(layer, k);
    uint32_t at = four->at[lane] - e->environment.core.offset;
    uint32_t a = at / (core.m * four->m_stride), rest = at % four->m_stride;
    if (layer->gather == TTZO_GATHER_TOKENS)
        rest += digit(layer, k, (uint32_t)e->stages[e->l].input[position]) * core.right;
    uint32_t slice = a * core.n * core.right + rest;
    uint32_t first = run > 1 ? position : outer_of(layer) > 1 ? position * size : 0;
    float *move = e->moves + moves_before(layer, k) + (slice / Q * moved + first) * Q + slice % Q;
    for (uint32_t i = 0; i < size; i++, move += run * Q)
        *move = *move + e->four[i * Q + lane];
}

static void add_position(struct estimate *e, uint32_t position)
{
    struct ttzo_slices slices;
    struct ttzo_slice_quad four;
    use_position(e, position);
    e->environment = (struct ttzo_environment){ 0 };
    for (uint32_t k = 0; k < ttzo_layer_length(&e->one); k++) {
        e->macs += ttzo_environment_open(&e->environment, &e->room, k);
        ttzo_slices_begin(&slices, &e->environment, e->phase->perturb_radius);
        while (ttzo_slices_next(&slices, &four))
            if (ttzo_slices_make(&slices, &four, e->four, &e->macs))
                for (uint32_t lane = 0; lane < four.count; lane++)
                    keep_slice(e, k, &four, lane, position);
    }
}

// The moves of all cores of layer `l`.
static void make_moves(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    bool tokens = layer->gather == TTZO_GATHER_TOKENS;
    uint32_t numbers = (uint32_t)moves_before(layer, ttzo_layer_length(layer)), count = 0;
    for (uint32_t i = 0; i < numbers; i++)
        e->moves[i] = 0.0f;
    for (uint32_t p = 0; p < ttzo_layer_positions(layer); p++) {
        if (tokens && (uint32_t)e->stages[l].input[p] == layer->padding_token)
            continue;
        use_layer(e, l);
        add_position(e, p);
        count++;
    }
    for (uint32_t i = 0; layer->combine == TTZO_COMBINE_MEAN && count && i < numbers; i++)
        e->moves[i] = e->moves[i] / (float)count;
}

// ---- changes on their way -------------------------------------------------------------------------------------------

// What four moves do to an activation at z, h; whether they change it at all.
static bool change_activation(enum ttzo_activation activation, float z, float h, const float move[Q], float change[Q])
{
    float low = move[0] < move[1] ? move[0] : move[1], high = move[0] > move[1] ? move[0] : move[1];
    low = move[2] < low ? move[2] : low, high = move[2] > high ? move[2] : high;
    low = move[3] < low ? move[3] : low, high = move[3] > high ? move[3] : high;
    if (activation == TTZO_ACTIVATION_RELU && z <= 0.0f && z + high <= 0.0f)
        return false;
    if (activation == TTZO_ACTIVATION_IDENTITY || (activation == TTZO_ACTIVATION_RELU && z > 0.0f && z + low > 0.0f)) {
        change[0] = move[0], change[1] = move[1], change[2] = move[2], change[3] = move[3];
        return low != 0.0f || high != 0.0f;
    }
    bool live = false;
    for (uint32_t q = 0; q < Q; q++) {
        change[q] = move[q] == 0.0f ? 0.0f : ttzo_activation_change(activation, z, h, move[q]);
        live |= change[q] != 0.0f;
    }
    return live;
}

// Adds those of the outputs [first, end) of layer `l` that change to the n that do. Move q of output i is
// sign * moves[i * step + q * stride].
static uint32_t list_changes(struct estimate *e, uint32_t l, uint32_t n, uint32_t first, uint32_t end, const float *moves,
                             uint32_t step, uint32_t stride, float sign)
{
    enum ttzo_activation activation = (enum ttzo_activation)e->model->layers[l].activation;
    const float *z = e->stages[l].z, *h = e->stages[l].output;
    for (uint32_t place = first; place < end; place++, moves += step) {
        const float move[Q] = { sign * moves[0], sign * moves[stride], sign * moves[2 * stride],
                                sign * moves[3 * stride] };
        e->places[n] = (uint16_t)place;
        n += change_activation(activation, z[place], h[place], move, e->changes + n * Q);
    }
    return n;
}

// The panel [kernel][4] of channel `channel` of the changed image at a position.
static void open_window(struct estimate *e, const struct ttzo_layer *layer, uint32_t channel, uint32_t top,
                        uint32_t left)
{
    const float *image = e->image + Q * channel * layer->height * layer->width;
    float *out = e->window;
    for (uint32_t i = 0; i < layer->kernel_height; i++)
        for (uint32_t j = 0; j < layer->kernel_width; j++, out += Q) {
            uint32_t y = top + i - layer->padding_height, x = left + j - layer->padding_width;
            const float *at = image + Q * (y * layer->width + x);
            if (y < layer->height && x < layer->width)
                out[0] = at[0], out[1] = at[1], out[2] = at[2], out[3] = at[3];
            else
                out[0] = out[1] = out[2] = out[3] = 0.0f;
        }
}

// One channel of the changed image arrives at layer `l`, behind those that did (`goes_on`).
static void arrive_from_channel(struct estimate *e, uint32_t l, uint32_t channel, bool goes_on)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    uint32_t kernel = (uint32_t)layer->kernel_height * layer->kernel_width;
    uint32_t positions = (uint32_t)ttzo_layer_positions(layer), outputs = layer->out_features;
    uint32_t columns = (layer->width + 2u * layer->padding_width - layer->kernel_width) / layer->stride_width + 1;
    for (uint32_t p = 0; p < positions; p++) {
        open_window(e, layer, channel, p / columns * layer->stride_height, p % columns * layer->stride_width);
        for (uint32_t o = 0; o < outputs; o += 4) {
            float *out = e->arrivals + Q * (o * positions + p);
            const float *weights = e->stages[l].weights + o * layer->in_features + Q * channel * kernel;
            ttzo_multiply_panels(out, Q * positions, goes_on ? out : NULL, weights, e->window,
                                 outputs - o < 4 ? outputs - o : 4, kernel, Q);
        }
    }
}

static void arrive_at_patches(struct estimate *e, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    uint32_t channel_size = (uint32_t)layer->height * layer->width, before = UINT32_MAX;
    for (uint32_t i = 0; i < n * Q; i++)
        e->image[Q * e->places[i / Q] + i % Q] = e->changes[i];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t channel = e->places[i] / channel_size;
        if (channel == before)
            continue;
        arrive_from_channel(e, l, channel, before != UINT32_MAX);
        before = channel;
        e->macs += ttzo_layer_outputs(layer) * layer->kernel_height * layer->kernel_width * n_queries;
    }
    for (uint32_t i = 0; i < n * Q; i++)
        e->image[Q * e->places[i / Q] + i % Q] = 0.0f;
}

// The n changes arrive at layer `l`, which is whole: four outputs at a time, their weights behind these places as a panel.
static void arrive_at_whole(struct estimate *e, uint32_t l, uint32_t n, uint32_t n_queries)
{
    uint32_t outputs = e->model->layers[l].out_features;
    struct ttzo_operand matrix = matrix_of(e, l);
    for (uint32_t j = 0; j < outputs; j += 4) {
        uint32_t columns = outputs - j < 4 ? outputs - j : 4; // the first again where there is none
        uint32_t second = columns > 1 ? matrix.inner : 0, third = columns > 2 ? 2 * matrix.inner : 0;
        uint32_t fourth = columns > 3 ? 3 * matrix.inner : 0;
        const float *weights = matrix.at + j * matrix.inner;
        float *out = e->window;
        for (uint32_t i = 0; i < n; i++, out += 4) {
            const float *at = weights + e->places[i] * matrix.outer;
            out[0] = at[0], out[1] = at[second], out[2] = at[third], out[3] = at[fourth];
        }
        ttzo_multiply_panels(e->arrivals + j, to_multiple_of_4(outputs), NULL, e->changes, e->window, Q, n, columns);
    }
    e->macs += n * outputs * n_queries;
}

// The n changes of layer `l - 1` as changes of layer `l`; returns how many.
static uint32_t arrive(struct estimate *e, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    uint32_t outputs = (uint32_t)ttzo_layer_outputs(layer);
    if (has_patches(layer)) {
        arrive_at_patches(e, l, n, n_queries);
        return list_changes(e, l, 0, 0, outputs, e->arrivals, Q, 1, 1.0f);
    }
    arrive_at_whole(e, l, n, n_queries);
    return list_changes(e, l, 0, 0, outputs, e->arrivals, 1, to_multiple_of_4(outputs), 1.0f);
}

// Loss differences of queries whose n changes of layer `l` are listed.
static void travel(struct estimate *e, uint32_t l, uint32_t n, uint32_t n_queries, float differences[Q])
{
    uint32_t last = e->model->info.n_layers - 1u, outputs = e->model->info.out_features;
    for (uint32_t q = 0; q < Q; q++)
        differences[q] = 0.0f;
    for (; l < last && n; l++)
        n = arrive(e, l + 1, n, n_queries);
    if (!n)
        return;
    for (uint32_t i = 0; i < Q * outputs; i++)
        e->arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n * Q; i++)
        e->arrivals[i % Q * outputs + e->places[i / Q]] = e->changes[i];
    ttzo_loss_changes(e->model, e->slopes, e->arrivals, outputs, n_queries, e->target, differences);
}

// ---- queries --------------------------------------------------------------------------------------------------------

// Outputs of layer `l` that mode m of core k moves; `moves` [moved outputs][4] times sign. Returns how many change.
static uint32_t list_moved(struct estimate *e, uint32_t l, uint32_t k, uint32_t m, const float *moves, float sign)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    struct ttzo_extents extents = ttzo_extents_around(layer, k);
    uint32_t run = run_of(layer), modes = ttzo_layer_core(layer, k).m, n = 0;
    for (uint32_t o = 0; o < outer_of(layer); o++)
        for (uint32_t i = 0; i < extents.ml; i++) {
            uint32_t first = (o * layer->out_features + (i * modes + m) * extents.mr) * run, count = extents.mr * run;
            n = list_changes(e, l, n, first, first + count, moves, Q, 1, sign);
            moves += Q * count;
        }
    return n;
}

// Entries m of the four slices from `slice` on.
static void query_entries(struct estimate *e, uint32_t l, uint32_t k, uint32_t slice, uint32_t m)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    struct ttzo_core core = ttzo_layer_core(layer, k);
    uint32_t each = core.n * core.right, left = (uint32_t)slices_of_core(layer, k) - slice, wanted = 0, at[Q];
    uint32_t count = left < Q ? left : Q;
    float differences[Q], below[Q] = { 0.0f }, *gradient = e->trainer->gradient;
    const float *moves = e->moves + moves_before(layer, k) + slice * moved_outputs(layer, k);
    for (uint32_t q = 0; q < count; q++) {
        uint32_t a = (slice + q) / each, rest = (slice + q) % each;
        at[q] = layer->parameter_offset + core.offset + (a * core.m + m) * each + rest;
        wanted += ttzo_is_asked(&e->asked, at[q]);
    }
    if (!wanted)
        return;
    travel(e, l, list_moved(e, l, k, m, moves, 1.0f), count, differences);
    if (e->antithetic)
        travel(e, l, list_moved(e, l, k, m, moves, -1.0f), count, below);
    for (uint32_t q = 0; q < count; q++)
        if (ttzo_is_asked(&e->asked, at[q]))
            gradient[at[q]] = gradient[at[q]] + (differences[q] - below[q]);
}

// A bias moves its output at every position.
static void query_bias(struct estimate *e, uint32_t l, uint32_t feature)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    uint32_t at = layer->parameter_offset + ttzo_layer_parameters(layer) - layer->out_features + feature;
    float *gradient = e->trainer->gradient, differences[2][Q] = { { 0.0f }, { 0.0f } };
    const float moves[Q] = { e->phase->perturb_radius };
    if (!ttzo_is_asked(&e->asked, at))
        return;
    for (uint32_t side = 0; side < (e->antithetic ? 2u : 1u); side++) {
        uint32_t run = run_of(layer), first = feature * run;
        uint32_t n = list_changes(e, l, 0, first, first + run, moves, 0, 1, side ? -1.0f : 1.0f);
        travel(e, l, n, 1, differences[side]);
    }
    gradient[at] = gradient[at] + (differences[0][0] - differences[1][0]);
}

static enum ttzo_error still_wanted(struct estimate *e)
{
    struct ttzo_trainer *trainer = e->trainer;
    trainer->macs += e->macs;
    e->macs = 0;
    if (trainer->poll && !trainer->poll(trainer->poll_context, e->done, e->model->info.batch))
        return TTZO_ERROR_CANCELLED;
    return TTZO_ERROR_OK;
}

static enum ttzo_error gradient_of_layer(struct estimate *e, uint32_t l)
{
    const struct ttzo_layer *layer = &e->model->layers[l];
    enum ttzo_error error = TTZO_ERROR_OK;
    make_moves(e, l);
    for (uint32_t feature = 0; layer->has_bias && feature < layer->out_features; feature++)
        query_bias(e, l, feature);
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++)
        for (uint32_t slice = 0; slice < slices_of_core(layer, k) && !error; slice += Q) {
            for (uint32_t m = 0; m < ttzo_layer_core(layer, k).m; m++)
                query_entries(e, l, k, slice, m);
            error = still_wanted(e);
        }
    return error;
}

// ---- the estimate ---------------------------------------------------------------------------------------------------

enum ttzo_error ttzo_estimate_applied(struct ttzo_trainer *trainer, const struct ttzo_rows *rows,
                                      const struct ttzo_phase *phase, float *loss, uint32_t *evaluations)
{
    const struct ttzo_model *model = trainer->model;
    uint32_t n = model->info.n_parameters, batch = model->info.batch;
    struct estimate e = { .trainer = trainer, .model = model, .phase = phase, .asked = ttzo_coordinate_window_of(trainer, phase),
                          .antithetic = phase->difference == TTZO_DIFFERENCE_ANTITHETIC };
    float sum = 0.0f;
    begin(&e);
    for (uint32_t i = 0; i < n; i++)
        trainer->gradient[i] = 0.0f;
    for (uint32_t j = 0; j < batch; j++) {
        float row_loss = forward(&e, rows->bytes + (size_t)trainer->batch_rows[j] * trainer->row_bytes);
        sum = sum + row_loss;
        if (!ttzo_is_finite(row_loss))
            return TTZO_ERROR_NON_FINITE;
        enum ttzo_error error = TTZO_ERROR_OK;
        for (uint32_t l = 0; l < model->info.n_layers && !error; l++)
            error = gradient_of_layer(&e, l);
        e.done++;
        if (!error)
            error = still_wanted(&e);
        if (error)
            return error;
    }
    ttzo_coordinate_window_finish(&e.asked, trainer, phase, 1);
    *loss = sum * (1.0f / (float)batch);
    *evaluations = 1 + (e.antithetic ? 2 : 1) * e.asked.length;
    return ttzo_is_finite(*loss) ? TTZO_ERROR_OK : TTZO_ERROR_NON_FINITE;
}

#endif
