// SPDX-License-Identifier: MIT
#include "cores/gathered_propagate.h"

#include "network/gathered_layer.h"
#include "network/loss.h"
#include "network/network.h"
#include "network/panels.h"

#if TTZO_HAS(GATHERED)

#define Q TTZO_QUERIES_AT_ONCE

void ttzo_gathered_scratch_carve(struct ttzo_gathered_scratch *scratch, const struct ttzo_model *model,
                                 struct ttzo_carve *carve)
{
    uint64_t outputs = 0, image = 0, weights = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t kernel = (uint64_t)layer->kernel_height * layer->kernel_width;
        uint64_t size = ttzo_has_patches(layer) ? kernel : layer->in_features;
        outputs = ttzo_layer_outputs(layer) > outputs ? ttzo_layer_outputs(layer) : outputs;
        weights = l > 0 && size > weights ? size : weights;
        if (l > 0 && ttzo_has_patches(layer) && ttzo_layer_inputs(layer) > image)
            image = ttzo_layer_inputs(layer);
    }
    scratch->changes = ttzo_take_even(carve, Q * outputs);
    scratch->arrivals = ttzo_take_even(carve, Q * ((outputs + 3) & ~(uint64_t)3));
    scratch->image = ttzo_take_even(carve, Q * image);
    scratch->weights = ttzo_take_even(carve, Q * weights);
    scratch->places = (uint16_t *)ttzo_take_even(carve, (outputs + 1) / 2);
    for (uint64_t i = 0; scratch->image && i < Q * image; i++)
        scratch->image[i] = 0.0f;
}

// ---- changes on their way -------------------------------------------------------------------------------------------

static bool any_moves(struct ttzo_quad move)
{
    return (ttzo_size_bits(move.of[0]) | ttzo_size_bits(move.of[1]) | ttzo_size_bits(move.of[2]) |
            ttzo_size_bits(move.of[3])) != 0;
}

static float least(struct ttzo_quad move)
{
    float a = move.of[0] < move.of[1] ? move.of[0] : move.of[1];
    float b = move.of[2] < move.of[3] ? move.of[2] : move.of[3];
    return a < b ? a : b;
}

static float most(struct ttzo_quad move)
{
    float a = move.of[0] > move.of[1] ? move.of[0] : move.of[1];
    float b = move.of[2] > move.of[3] ? move.of[2] : move.of[3];
    return a > b ? a : b;
}

// What four moves in `change` do to an activation at z, h; whether they change it at all.
static bool bend(enum ttzo_activation activation, float z, float h, struct ttzo_quad *change)
{
    bool live = false;
    for (uint32_t q = 0; q < Q; q++) {
        float move = change->of[q];
        change->of[q] = move == 0.0f ? 0.0f : ttzo_activation_change(activation, z, h, move);
        live |= change->of[q] != 0.0f;
    }
    return live;
}

uint32_t ttzo_gathered_changes(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t first,
                               uint32_t end, const float *moves, uint32_t step, float sign)
{
    enum ttzo_activation activation = (enum ttzo_activation)queries->cache.model->layers[l].activation;
    const float *z = queries->cache.layers[l].z + first, *h = queries->cache.layers[l].output + first;
    struct ttzo_quad *change = (struct ttzo_quad *)queries->scratch.changes + n;
    uint16_t *place = queries->scratch.places + n;
    bool relu = activation == TTZO_ACTIVATION_RELU, straight = activation == TTZO_ACTIVATION_IDENTITY;
    for (; first < end; first++, moves += step, z++, h++) {
        const struct ttzo_quad move = { { sign * moves[0], sign * moves[1], sign * moves[2], sign * moves[3] } };
        if (relu && *z <= 0.0f && *z + most(move) <= 0.0f)
            continue;
        bool linear = straight || (relu && *z > 0.0f && *z + least(move) > 0.0f);
        *change = move;
        *place = (uint16_t)first;
        if (linear ? !any_moves(move) : !bend(activation, *z, *h, change))
            continue;
        change++, place++;
    }
    return (uint32_t)(place - queries->scratch.places);
}

// The panel [kernel][4] of channel `channel` of the changed image at a position.
static void open_patch(struct ttzo_gathered_queries *queries, const struct ttzo_layer *layer, uint32_t channel,
                       uint32_t top, uint32_t left)
{
    const float *image = queries->scratch.image + Q * channel * layer->height * layer->width;
    float *out = queries->scratch.weights;
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

// One channel of the changed image arrives at layer `l`, after those that did (`goes_on`).
static void arrive_from_channel(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t channel, bool goes_on)
{
    const struct ttzo_layer *layer = &queries->cache.model->layers[l];
    uint32_t kernel = (uint32_t)layer->kernel_height * layer->kernel_width;
    uint32_t positions = (uint32_t)ttzo_layer_positions(layer), outputs = layer->out_features;
    uint32_t columns = (layer->width + 2u * layer->padding_width - layer->kernel_width) / layer->stride_width + 1;
    for (uint32_t p = 0; p < positions; p++) {
        open_patch(queries, layer, channel, p / columns * layer->stride_height, p % columns * layer->stride_width);
        for (uint32_t o = 0; o < outputs; o += 4) {
            float *out = queries->scratch.arrivals + Q * (o * positions + p);
            const float *weights = queries->cache.layers[l].weights + o * layer->in_features + Q * channel * kernel;
            ttzo_multiply_panels(out, Q * positions, goes_on ? out : NULL, weights, queries->scratch.weights,
                                 outputs - o < 4 ? outputs - o : 4, kernel, Q);
        }
    }
}

static void arrive_at_patches(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = &queries->cache.model->layers[l];
    uint32_t channel_size = (uint32_t)layer->height * layer->width, before = UINT32_MAX;
    for (uint32_t i = 0; i < n * Q; i++)
        queries->scratch.image[Q * queries->scratch.places[i / Q] + i % Q] = queries->scratch.changes[i];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t channel = queries->scratch.places[i] / channel_size;
        if (channel == before)
            continue;
        arrive_from_channel(queries, l, channel, before != UINT32_MAX);
        before = channel;
        queries->cache.macs += ttzo_layer_outputs(layer) * layer->kernel_height * layer->kernel_width * n_queries;
    }
    for (uint32_t i = 0; i < n * Q; i++)
        queries->scratch.image[Q * queries->scratch.places[i / Q] + i % Q] = 0.0f;
}

// The n changes arrive at layer `l`, which is whole: four outputs at a time, their weights after these places as a
// panel.
static void arrive_at_whole(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries)
{
    uint32_t outputs = queries->cache.model->layers[l].out_features;
    struct ttzo_operand matrix = ttzo_gathered_matrix(&queries->cache, l);
    for (uint32_t j = 0; j < outputs; j += 4) {
        uint32_t columns = outputs - j < 4 ? outputs - j : 4; // the first again where there is none
        uint32_t second = columns > 1 ? matrix.inner : 0, third = columns > 2 ? 2 * matrix.inner : 0;
        uint32_t fourth = columns > 3 ? 3 * matrix.inner : 0;
        const float *weights = matrix.at + j * matrix.inner;
        float *out = queries->scratch.weights;
        for (uint32_t i = 0; i < n; i++, out += 4) {
            const float *at = weights + queries->scratch.places[i] * matrix.outer;
            out[0] = at[0], out[1] = at[second], out[2] = at[third], out[3] = at[fourth];
        }
        ttzo_multiply_panels(queries->scratch.arrivals + Q * j, Q, NULL, queries->scratch.weights,
                             queries->scratch.changes, 4, n, Q);
    }
    queries->cache.macs += n * outputs * n_queries;
}

// The n changes of layer `l - 1` as changes of layer `l`; returns how many.
static uint32_t arrive(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = &queries->cache.model->layers[l];
    uint32_t outputs = (uint32_t)ttzo_layer_outputs(layer);
    if (ttzo_has_patches(layer))
        arrive_at_patches(queries, l, n, n_queries);
    else
        arrive_at_whole(queries, l, n, n_queries);
    return ttzo_gathered_changes(queries, l, 0, 0, outputs, queries->scratch.arrivals, Q, 1.0f);
}

static void measure(const struct ttzo_gathered_queries *queries, uint32_t n_queries, float differences[Q])
{
    ttzo_loss_changes(queries->cache.model, queries->cache.slopes, (const struct ttzo_quad *)queries->scratch.arrivals,
                      n_queries, queries->cache.target, queries->scratch.changes, differences);
}

void ttzo_gathered_propagate(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries,
                             float differences[Q])
{
    uint32_t last = queries->cache.model->info.n_layers - 1u, outputs = queries->cache.model->info.out_features;
    const struct ttzo_layer *end = &queries->cache.model->layers[last];
    bool arrives_whole = !ttzo_has_patches(end) && end->activation == TTZO_ACTIVATION_IDENTITY;
    for (uint32_t q = 0; q < Q; q++)
        differences[q] = 0.0f;
    for (; l < last && n; l++) {
        if (l + 1 == last && arrives_whole) {
            arrive_at_whole(queries, last, n, n_queries);
            measure(queries, n_queries, differences);
            return;
        }
        n = arrive(queries, l + 1, n, n_queries);
    }
    if (!n)
        return;
    for (uint32_t i = 0; i < Q * outputs; i++)
        queries->scratch.arrivals[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t q = 0; q < Q; q++)
            queries->scratch.arrivals[Q * queries->scratch.places[i] + q] = queries->scratch.changes[i * Q + q];
    measure(queries, n_queries, differences);
}

#endif
