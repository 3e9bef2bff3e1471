// SPDX-License-Identifier: MIT
// Models that are no chain of layers: their sizes and their forward pass. `ttzo_forward` and the functions after it serve
// chains and graphs alike.
#ifndef TTZO_GRAPH_H
#define TTZO_GRAPH_H
#include "model/trainer.h"
#include "network/network.h"

struct ttzo_jet;

#if TTZO_HAS(OPERATIONS)

// Points `graph` at the section that the first bytes of `bytes` hold (4-byte aligned). Returns its bytes; 0 where there are
// fewer than `size`. Its numbers are not checked, only that the records and attributes lie inside it.
size_t ttzo_read_graph(const uint8_t *bytes, size_t size, struct ttzo_graph *graph);

// Whether every number of the model's graph is in range and fits the others; else `detail` is the node's index.
bool ttzo_graph_is_sound(const struct ttzo_model *model, uint32_t *detail);

// Numbers of the scratch that the hungriest node needs, multiply-accumulates of one row, and how many tokens the inputs can
// tell apart, 0 where they are plain numbers. Of an unchecked graph some numbers.
uint64_t ttzo_graph_scratch(const struct ttzo_graph *graph);
uint64_t ttzo_graph_macs(const struct ttzo_graph *graph);
uint32_t ttzo_graph_tokens(const struct ttzo_graph *graph);

// Of one node: its parameters, and multiply-accumulates of one row.
uint32_t ttzo_graph_node_parameters(const struct ttzo_graph *graph, const struct ttzo_node *node);
uint64_t ttzo_graph_node_macs(const struct ttzo_graph *graph, const struct ttzo_node *node);

// One node: `parameters` are its own where they are trained, `inputs` the arrays that it reads.
void ttzo_graph_run_node(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                         const float *const inputs[3], float *output, float *scratch);

// Of an affine node whose parameters are float32: its outputs before the activation.
void ttzo_graph_run_affine(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                           const float *input, float *output, float *scratch);

// Whether derivatives pass all nodes: each has a rule, and its activation is smooth.
bool ttzo_graph_has_jets(const struct ttzo_graph *graph);

// Where the columns of the inputs' jet begin, which the caller writes; and the outputs' columns, after all nodes at `theta`.
// With no direction they are the plain arrays.
float *ttzo_graph_jet_inputs(const struct ttzo_trainer *trainer, const struct ttzo_jet *jet);
const float *ttzo_graph_jet(const struct ttzo_trainer *trainer, const float *theta, const struct ttzo_jet *jet);

// Of an affine node, its layer, and that layer's activation.
struct ttzo_layer ttzo_graph_layer(const struct ttzo_graph *graph, const struct ttzo_node *node);
enum ttzo_activation ttzo_graph_activation(const struct ttzo_graph *graph, const struct ttzo_node *node);

// Parameters [first, first + size) of theta: a core, weight or bias of a layer, or all parameters of another node.
struct ttzo_block {
    uint32_t first, size;
};

// How many blocks a node with parameters has, and which one is number `index`.
uint32_t ttzo_graph_blocks(const struct ttzo_graph *graph, const struct ttzo_node *node);
struct ttzo_block ttzo_graph_block(const struct ttzo_graph *graph, const struct ttzo_node *node, uint32_t index);

// The same where parameter `index` of a node's own alone has changed since `output` was made. Of a dense layer that is not
// an embedding the row of that parameter is made anew; returns the multiply-accumulates, 0 where nothing was done.
uint64_t ttzo_graph_run_row(const struct ttzo_graph *graph, const struct ttzo_node *node, uint32_t index,
                            const float *parameters, const float *const inputs[3], float *output, float *scratch);

// The same where no parameter has changed, only inputs: `before` and `made` are its first input and its output from before.
// Of a layer that is applied to each place the places that have moved are made anew, at least one.
uint64_t ttzo_graph_run_moved(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                              const float *const inputs[3], const float *before, const float *made, float *output,
                              float *scratch);

// One row through the graph at `theta`; the outputs lie in the arena, activations[0].
float *ttzo_graph_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row);

#else

static inline size_t ttzo_read_graph(const uint8_t *bytes, size_t size, struct ttzo_graph *graph)
{
    (void)bytes, (void)size, (void)graph;
    return 0;
}

static inline bool ttzo_graph_is_sound(const struct ttzo_model *model, uint32_t *detail)
{
    (void)model, (void)detail;
    return false;
}

static inline uint64_t ttzo_graph_scratch(const struct ttzo_graph *graph)
{
    (void)graph;
    return 0;
}

static inline uint64_t ttzo_graph_macs(const struct ttzo_graph *graph)
{
    (void)graph;
    return 0;
}

static inline uint32_t ttzo_graph_tokens(const struct ttzo_graph *graph)
{
    (void)graph;
    return 0;
}

static inline float *ttzo_graph_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row)
{
    (void)theta, (void)row;
    return trainer->activations[0];
}

#endif

// One row through the network at `theta`, the parameters that it was prepared for. The outputs lie in the trainer's memory.
static inline float *ttzo_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row)
{
    return ttzo_is_graph(trainer->model) ? ttzo_graph_forward(trainer, theta, row)
                                         : ttzo_network_forward(trainer, theta, row);
}

// Numbers of exchange buffer `index` (0 or 1) of a forward pass: of a graph the arena, and nothing.
static inline uint64_t ttzo_forward_buffer(const struct ttzo_model *model, uint32_t index)
{
    if (ttzo_is_graph(model))
        return index ? 0 : model->graph.info.arena;
    return ttzo_network_buffer(model);
}

static inline uint64_t ttzo_forward_scratch(const struct ttzo_model *model)
{
    return ttzo_is_graph(model) ? ttzo_graph_scratch(&model->graph) : ttzo_network_scratch(model);
}

// Multiply-accumulates of one row.
static inline uint32_t ttzo_forward_macs(const struct ttzo_model *model)
{
    if (!ttzo_is_graph(model))
        return ttzo_network_macs(model);
    uint64_t macs = ttzo_graph_macs(&model->graph);
    return macs < UINT32_MAX ? (uint32_t)macs : UINT32_MAX;
}

// How many tokens the inputs can tell apart; 0 where they are plain numbers.
static inline uint32_t ttzo_known_tokens(const struct ttzo_model *model)
{
    if (ttzo_is_graph(model))
        return ttzo_graph_tokens(&model->graph);
    if (!model->info.n_layers)
        return 0;
    const struct ttzo_layer *first = &model->layers[0];
    return ttzo_is_gathered(first) && first->gather == TTZO_GATHER_TOKENS ? first->in_features : 0;
}

#endif
