// SPDX-License-Identifier: MIT
#include "cores/gathered_propagate.h"

#include "network/gathered_layer.h"
#include "network/listed_product.h"
#include "network/loss.h"
#include "network/network.h"

#if TTZO_HAS(GATHERED)

#define Q TTZO_QUERIES_AT_ONCE

void ttzo_gathered_scratch_carve(struct ttzo_gathered_scratch *scratch, const struct ttzo_model *model,
                                 struct ttzo_carve *carve)
{
    uint64_t outputs = 0, arrivals = 0, image = 0, lines = 0, patch = 0, features = 0;
    for (uint32_t l = 0; l < model->info.n_layers; l++) {
        const struct ttzo_layer *layer = &model->layers[l];
        uint64_t its = ttzo_layer_outputs(layer);
        bool takes_arrivals = l > 0 || model->info.n_layers == 1;
        outputs = its > outputs ? its : outputs;
        arrivals = takes_arrivals && its > arrivals ? its : arrivals;
        lines = l > 0 && layer->in_features > lines ? layer->in_features
                                                    : lines; // patches read fewer; 0.2 freezes how many
        if (l == 0 || !ttzo_has_patches(layer))
            continue;
        image = ttzo_layer_inputs(layer) > image ? ttzo_layer_inputs(layer) : image;
        patch = layer->in_features > patch ? layer->in_features : patch;
        features = layer->out_features > features ? layer->out_features : features;
    }
    scratch->changes = ttzo_take_even(carve, Q * outputs);
    scratch->arrivals = ttzo_take_even(carve, Q * ((arrivals + 3) & ~(uint64_t)3));
    scratch->lines = ttzo_take_even(carve, Q * lines);
    scratch->made = ttzo_take_even(carve, Q * features);
    scratch->places = (uint16_t *)ttzo_take_even(carve, (outputs + 1) / 2);
    scratch->change_at = (uint16_t *)ttzo_take_even(carve, (image + 1) / 2);
    scratch->rows = (uint16_t *)ttzo_take_even(carve, (patch + 1) / 2);
    for (uint64_t i = 0; scratch->change_at && i < image; i++)
        scratch->change_at[i] = 0;
}

// ---- changes on their way -------------------------------------------------------------------------------------------

// Four moves as numbers and as their bits.
union four_moves {
    struct ttzo_quad quad;
    uint32_t bits[Q];
};

#define SIGN_BIT 0x80000000u

// The largest size, as bits.
static inline uint32_t largest(const union four_moves *move)
{
    uint32_t a = move->bits[0] << 1, b = move->bits[1] << 1, c = move->bits[2] << 1, d = move->bits[3] << 1;
    a = a > b ? a : b;
    c = c > d ? c : d;
    return a > c ? a : c;
}

// What four moves in `change` do to an activation at z, h; whether they change it at all.
__attribute__((noinline)) static bool bend(enum ttzo_activation activation, float z, float h, union four_moves *change)
{
    uint32_t all = 0;
    if (activation == TTZO_ACTIVATION_RELU && ttzo_size_bits(z) > largest(change))
        return z > 0.0f;
    for (uint32_t q = 0; q < Q; q++) {
        float move = change->quad.of[q];
        change->quad.of[q] = move == 0.0f ? 0.0f : ttzo_activation_change(activation, z, h, move);
        all |= change->bits[q];
    }
    return all << 1 != 0;
}

static inline float number_of(uint32_t bits)
{
    const union {
        uint32_t bits;
        float number;
    } both = { bits };
    return both.number;
}

// ttzo_gathered_changes where the activation is tanh: moves are mostly so small that they are their own tanh.
__attribute__((noinline)) static uint32_t tanh_changes(struct ttzo_gathered_queries *queries, const float *h,
                                                       uint32_t n, uint32_t first, uint32_t end,
                                                       const union four_moves *move, uint32_t step, uint32_t flip)
{
    union four_moves *change = (union four_moves *)queries->scratch.changes + n;
    uint16_t *places = queries->scratch.places;
    for (; first < end; first++, move += step) {
        uint32_t a = move->bits[0], b = move->bits[1], c = move->bits[2], d = move->bits[3];
        if ((a | b | c | d) << 1 == 0)
            continue;
        float number = h[first], slope = TTZO_MULADD(-number, number, 1.0f);
        change->quad.of[0] = ttzo_tanh_change(number, slope, number_of(a ^ flip));
        change->quad.of[1] = ttzo_tanh_change(number, slope, number_of(b ^ flip));
        change->quad.of[2] = ttzo_tanh_change(number, slope, number_of(c ^ flip));
        change->quad.of[3] = ttzo_tanh_change(number, slope, number_of(d ^ flip));
        if (slope == 0.0f && (change->bits[0] | change->bits[1] | change->bits[2] | change->bits[3]) << 1 == 0)
            continue;
        places[n++] = (uint16_t)first;
        change++;
    }
    return n;
}

uint32_t ttzo_gathered_changes(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t first,
                               uint32_t end, const float *moves, uint32_t step, float sign)
{
    enum ttzo_activation activation = (enum ttzo_activation)queries->cache.model->layers[l].activation;
    const union four_moves *move = (const union four_moves *)moves;
    const float *z = queries->cache.layers[l].z, *h = queries->cache.layers[l].output;
    union four_moves *change = (union four_moves *)queries->scratch.changes + n;
    uint16_t *places = queries->scratch.places;
    uint32_t flip = sign < 0.0f ? SIGN_BIT : 0;
    if (activation == TTZO_ACTIVATION_TANH)
        return tanh_changes(queries, h, n, first, end, move, step / Q, flip);
    for (; first < end; first++, move += step / Q) {
        uint32_t a = move->bits[0], b = move->bits[1], c = move->bits[2], d = move->bits[3];
        uint32_t all = (a | b | c | d) << 1;
        if (!all)
            continue;
        bool bends = activation != TTZO_ACTIVATION_IDENTITY;
        if (activation == TTZO_ACTIVATION_RELU) {
            const union {
                float number;
                uint32_t bits;
            } at = { z[first] };
            bends = at.bits << 1 <= all; // else no move turns the sign of z
            if (!bends && at.bits & SIGN_BIT)
                continue;
        }
        change->bits[0] = a ^ flip, change->bits[1] = b ^ flip, change->bits[2] = c ^ flip, change->bits[3] = d ^ flip;
        places[n] = (uint16_t)first;
        if (bends && !bend(activation, z[first], h[first], change))
            continue;
        change++, n++;
    }
    return n;
}

// Where a patch lies in an image; what is outside of the image is left out.
struct window {
    uint32_t first_row, end_row, first_column, end_column; // of the kernel
    uint32_t at;                                           // in a channel, of the kernel's number 0: may wrap
};

static struct window window_at(const struct ttzo_layer *layer, uint32_t position)
{
    uint32_t top = position / layer->out_width * layer->stride_height;
    uint32_t left = position % layer->out_width * layer->stride_width;
    uint32_t above = layer->padding_height, before = layer->padding_width;
    uint32_t rows = layer->height + above - top, columns = layer->width + before - left;
    return (struct window){ top < above ? above - top : 0, rows < layer->kernel_height ? rows : layer->kernel_height,
                            left < before ? before - left : 0,
                            columns < layer->kernel_width ? columns : layer->kernel_width,
                            (top - above) * layer->width + left - before };
}

// The changes that the patch at a position reads, in the order of the patch: `lines` [n][4], and where each stands there
// in `rows`. They are in the channels from `first` to `last`. Returns n.
static uint32_t list_patch(struct ttzo_gathered_queries *queries, const struct ttzo_layer *layer, uint32_t position,
                           uint32_t first, uint32_t last)
{
    const struct ttzo_quad *changes = (const struct ttzo_quad *)queries->scratch.changes;
    struct ttzo_quad *line = (struct ttzo_quad *)queries->scratch.lines;
    uint16_t *row = queries->scratch.rows;
    struct window window = window_at(layer, position);
    uint32_t channel_size = (uint32_t)layer->height * layer->width, wide = layer->kernel_width;
    for (uint32_t c = first; c <= last; c++)
        for (uint32_t i = window.first_row; i < window.end_row; i++) {
            const uint16_t *at = queries->scratch.change_at + c * channel_size;
            uint32_t k = (c * layer->kernel_height + i) * wide + window.first_column;
            at += window.at + i * layer->width + window.first_column;
            for (uint32_t j = window.first_column; j < window.end_column; j++, k++, at++)
                if (*at) {
                    *line++ = changes[*at - 1];
                    *row++ = (uint16_t)k;
                }
        }
    return (uint32_t)(row - queries->scratch.rows);
}

// What arrives at all outputs of a position, whose changes are listed.
static void arrive_at_position(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t position, uint32_t n)
{
    const struct ttzo_layer *layer = &queries->cache.model->layers[l];
    uint32_t outputs = layer->out_features, positions = (uint32_t)ttzo_layer_positions(layer);
    const struct ttzo_listed_matrix matrix = { queries->cache.layers[l].weights, outputs, outputs, 1 };
    const struct ttzo_quad *made = (const struct ttzo_quad *)queries->scratch.made;
    struct ttzo_quad *arrival = (struct ttzo_quad *)queries->scratch.arrivals + position;
    ttzo_multiply_listed(queries->scratch.made, queries->scratch.lines, &matrix, queries->scratch.rows, n);
    for (uint32_t o = 0; o < outputs; o++, arrival += positions)
        *arrival = made[o];
}

// Multiply-adds are counted as if all of a channel changed.
static void arrive_at_patches(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries)
{
    const struct ttzo_layer *layer = &queries->cache.model->layers[l];
    const uint16_t *places = queries->scratch.places;
    uint32_t channel_size = (uint32_t)layer->height * layer->width, outputs = (uint32_t)ttzo_layer_outputs(layer);
    uint32_t channels = 0, end = 0;
    for (uint32_t i = 0; i < n; i++) {
        queries->scratch.change_at[places[i]] = (uint16_t)(i + 1);
        if (places[i] < end)
            continue;
        end = (places[i] / channel_size + 1) * channel_size;
        channels++;
    }
    queries->cache.macs += channels * outputs * layer->kernel_height * layer->kernel_width * n_queries;
    for (uint32_t i = 0; i < Q * outputs; i++)
        queries->scratch.arrivals[i] = 0.0f;
    for (uint32_t p = 0, first = places[0] / channel_size; p < ttzo_layer_positions(layer); p++) {
        uint32_t listed = list_patch(queries, layer, p, first, end / channel_size - 1);
        if (listed)
            arrive_at_position(queries, l, p, listed);
    }
    for (uint32_t i = 0; i < n; i++)
        queries->scratch.change_at[places[i]] = 0;
}

// The n changes arrive at layer `l`, which is whole.
static void arrive_at_whole(struct ttzo_gathered_queries *queries, uint32_t l, uint32_t n, uint32_t n_queries)
{
    uint32_t outputs = queries->cache.model->layers[l].out_features;
    struct ttzo_operand matrix = ttzo_gathered_matrix(&queries->cache, l);
    const struct ttzo_listed_matrix weights = { matrix.at, outputs, matrix.outer, matrix.inner };
    ttzo_multiply_listed(queries->scratch.arrivals, queries->scratch.changes, &weights, queries->scratch.places, n);
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
