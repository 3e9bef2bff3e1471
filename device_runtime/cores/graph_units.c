// SPDX-License-Identifier: MIT
#include "cores/graph_units.h"

#include "model/phase.h"
#include "network/gathered_layer.h"
#include "network/layers.h"
#include "network/network.h"
#include "number/real.h"
#include "operations/graph.h"
#include "operations/operation.h"

#if TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

bool ttzo_has_trained_units(const struct ttzo_node *node)
{
    return node->operation == TTZO_NODE_OPERATION_AFFINE && (node->flags & ~TTZO_NODE_FLAG_SHARED) == 0;
}

void ttzo_graph_units_carve(struct ttzo_graph_estimate *e, const struct ttzo_model *model, struct ttzo_carve *carve)
{
    const struct ttzo_graph *graph = &model->graph;
    uint32_t outputs = 0, inputs = 0;
    bool wanted = ttzo_has_estimator(model, TTZO_ESTIMATOR_NODE_CGE);
    for (uint32_t i = 0; i < graph->info.n_nodes && wanted; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        if (!ttzo_has_trained_units(&node))
            continue;
        uint32_t numbers = ttzo_node_array_at(graph, node.output).numbers;
        uint32_t applied = ttzo_graph_layer(graph, &node).in_features;
        outputs = numbers > outputs ? numbers : outputs;
        inputs = applied > inputs ? applied : inputs;
    }
    e->z = ttzo_take_even(carve, outputs);
    e->units = ttzo_take_even(carve, outputs);
    e->patch = ttzo_take_even(carve, inputs);
}

// ---- differences of units -------------------------------------------------------------------------------------------

static float difference_of(struct ttzo_graph_estimate *e, uint32_t number, enum ttzo_activation activation, uint32_t at,
                           float move)
{
    float moved = e->z[at] + move;
    ttzo_activate(activation, &moved, 1);
    return ttzo_graph_output_difference(e, number, at, moved);
}

enum ttzo_error ttzo_graph_units_ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    uint32_t n = ttzo_node_array_at(graph, node->output).numbers;
    enum ttzo_activation activation = ttzo_graph_activation(graph, node);
    float mu = e->base.phase->perturb_radius;
    enum ttzo_error error = TTZO_ERROR_OK;
    ttzo_graph_run_affine(graph, node, trainer->theta + node->parameters, ttzo_graph_kept(e, node->inputs[0]), e->z,
                          e->scratch);
    e->macs += ttzo_graph_node_macs(graph, node);
    for (uint32_t at = 0; at < n && !error; at++) {
        e->units[at] = difference_of(e, number, activation, at, mu);
        if (e->base.antithetic)
            e->units[at] = e->units[at] - difference_of(e, number, activation, at, -mu);
        error = ttzo_rows_still_wanted(&e->base, &e->macs);
    }
    return error;
}

// ---- parameters -----------------------------------------------------------------------------------------------------

// Where output `o` of application `p` lies in the layer's output array.
static uint32_t place_of(const struct ttzo_layer *layer, uint32_t p, uint32_t o)
{
    if (layer->gather == TTZO_GATHER_PATCHES)
        return o * (uint32_t)ttzo_layer_positions(layer) + p;
    return layer->combine == TTZO_COMBINE_EACH ? p * layer->out_features + o : o;
}

// The inputs of application `p` of group `g`.
static const float *inputs_of(struct ttzo_graph_estimate *e, const struct ttzo_layer *layer,
                              const struct ttzo_layer *group, const float *in, uint32_t p, uint32_t g)
{
    if (!TTZO_HAS(GATHERED) || layer->gather != TTZO_GATHER_PATCHES)
        return in + p * layer->in_features;
    ttzo_gathered_patch(group, in + g * (uint32_t)ttzo_layer_inputs(group), p, e->patch, 1);
    return e->patch;
}

static void add_dense(struct ttzo_graph_estimate *e, const struct ttzo_layer *layer, const float *in, float *gradient)
{
    struct ttzo_layer group = ttzo_affine_group(layer);
    uint32_t inner = layer->in_features, positions = (uint32_t)ttzo_layer_positions(layer);
    for (uint32_t p = 0; p < positions; p++)
        for (uint32_t o = 0, g = 0; o < layer->out_features; g++) {
            const float *x = inputs_of(e, layer, &group, in, p, g);
            for (uint32_t end = o + group.out_features; o < end; o++) {
                float difference = e->units[place_of(layer, p, o)], *row = gradient + o * inner;
                for (uint32_t i = 0; i < inner && difference != 0.0f; i++)
                    row[i] = TTZO_MULADD(difference, x[i], row[i]);
            }
        }
    e->macs += (uint64_t)positions * inner * layer->out_features;
}

// A token picks one input of the matrix.
static void add_tokens(const struct ttzo_graph_estimate *e, const struct ttzo_layer *layer, const float *in,
                       float *gradient)
{
    uint32_t count = 0;
    for (uint32_t t = 0; t < layer->width; t++)
        count += (uint32_t)in[t] != layer->padding_token;
    float share = layer->combine == TTZO_COMBINE_MEAN && count ? 1.0f / (float)count : 1.0f;
    for (uint32_t t = 0; t < layer->width; t++) {
        uint32_t token = (uint32_t)in[t];
        for (uint32_t o = 0; o < layer->out_features && token != layer->padding_token; o++) {
            float *entry = gradient + o * layer->in_features + token;
            *entry = TTZO_MULADD(e->units[place_of(layer, t, o)], share, *entry);
        }
    }
}

static void add_bias(const struct ttzo_graph_estimate *e, const struct ttzo_layer *layer, float *gradient)
{
    uint32_t positions = (uint32_t)ttzo_layer_positions(layer);
    for (uint32_t p = 0; p < positions; p++)
        for (uint32_t o = 0; o < layer->out_features; o++)
            gradient[o] = gradient[o] + e->units[place_of(layer, p, o)];
}

// The outputs are linear in each core: with one entry 1, the core's others and the bias 0, they are the derivatives.
// `offset`: of the core among the node's parameters.
static void add_core(struct ttzo_graph_estimate *e, const struct ttzo_node *node, const struct ttzo_core *core,
                     uint32_t offset)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    const struct ttzo_graph *graph = &trainer->model->graph;
    const float *in = ttzo_graph_kept(e, node->inputs[0]), *theta = trainer->theta + node->parameters + offset;
    float *entries = e->own + offset, *gradient = trainer->gradient + node->parameters + offset;
    uint32_t n = core->left * core->m * core->n * core->right,
             outputs = ttzo_node_array_at(graph, node->output).numbers;
    for (uint32_t i = 0; i < n; i++)
        entries[i] = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        float sum = 0.0f;
        entries[i] = 1.0f;
        ttzo_graph_run_affine(graph, node, e->own, in, e->z, e->scratch);
        for (uint32_t j = 0; j < outputs; j++)
            sum = TTZO_MULADD(e->units[j], e->z[j], sum);
        entries[i] = 0.0f;
        gradient[i] = gradient[i] + sum;
        e->macs += ttzo_graph_node_macs(graph, node) + outputs;
    }
    for (uint32_t i = 0; i < n; i++)
        entries[i] = theta[i];
}

static void add_cores(struct ttzo_graph_estimate *e, const struct ttzo_node *node, const struct ttzo_layer *layer)
{
    uint32_t n = layer->has_bias ? layer->out_features : 0u, bias = ttzo_layer_parameters(layer) - n;
    ttzo_graph_copy_own(e, node);
    for (uint32_t i = 0; i < n; i++)
        e->own[bias + i] = 0.0f;
    for (uint32_t k = 0; k < ttzo_layer_length(layer); k++) {
        struct ttzo_core core = ttzo_layer_core(layer, k);
        add_core(e, node, &core, core.offset);
    }
}

void ttzo_graph_units_add(struct ttzo_graph_estimate *e, const struct ttzo_node *node)
{
    const struct ttzo_trainer *trainer = e->base.trainer;
    struct ttzo_layer layer = ttzo_graph_layer(&trainer->model->graph, node);
    const float *in = ttzo_graph_kept(e, node->inputs[0]);
    float *gradient = trainer->gradient + node->parameters;
    if (layer.kind != TTZO_LAYER_KIND_DENSE)
        add_cores(e, node, &layer);
    else if (layer.gather == TTZO_GATHER_TOKENS)
        add_tokens(e, &layer, in, gradient);
    else
        add_dense(e, &layer, in, gradient);
    if (layer.has_bias)
        add_bias(e, &layer, gradient + ttzo_layer_parameters(&layer) - layer.out_features);
}

#endif
