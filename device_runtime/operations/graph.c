// SPDX-License-Identifier: MIT
#include "operations/graph.h"

#include "network/layers.h"
#include "operations/calls.h"

// ---- sizes ----------------------------------------------------------------------------------------------------------

size_t ttzo_read_graph(const uint8_t *bytes, size_t size, struct ttzo_graph *graph)
{
    if (size < TTZO_GRAPH_INFO_BYTES)
        return 0;
    ttzo_unpack_graph_info(bytes, &graph->info);
    const struct ttzo_graph_info *info = &graph->info;
    uint64_t nodes = (uint64_t)info->n_nodes * TTZO_NODE_BYTES,
             arrays = (uint64_t)info->n_arrays * TTZO_NODE_ARRAY_BYTES;
    uint64_t all = TTZO_GRAPH_INFO_BYTES + nodes + arrays + info->attribute_bytes + info->constant_bytes;
    if (all > size || info->n_nodes == 0 || info->attribute_bytes % 4 || info->constant_bytes % 4)
        return 0;
    graph->nodes = bytes + TTZO_GRAPH_INFO_BYTES;
    graph->arrays = graph->nodes + nodes;
    graph->attributes = graph->arrays + arrays;
    graph->constants = graph->attributes + info->attribute_bytes;
    for (uint32_t i = 0; i < info->n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        if (4u * node.attributes + ttzo_node_attribute_bytes(node.operation) > info->attribute_bytes)
            return 0;
    }
    return (size_t)all;
}

// The sizes of a node; all 0 where its attributes are inconsistent.
static struct ttzo_node_sizes sizes_of(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    struct ttzo_node_sizes sizes = { .n_inputs = 0 };
    uint32_t numbers = ttzo_node_array_at(graph, node->output).numbers;
    if (!ttzo_node_sizes(node->operation, graph->attributes + 4u * node->attributes, numbers, &sizes))
        return (struct ttzo_node_sizes){ .n_inputs = 0 };
    return sizes;
}

uint64_t ttzo_graph_scratch(const struct ttzo_graph *graph)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        struct ttzo_node_sizes sizes = sizes_of(graph, &node);
        uint64_t numbers = sizes.scratch;
        if (node.flags & TTZO_NODE_FLAG_INT8)
            numbers += sizes.int8_scratch ? sizes.int8_scratch : sizes.parameters;
        most = numbers > most ? numbers : most;
    }
    return most;
}

uint64_t ttzo_graph_macs(const struct ttzo_graph *graph)
{
    uint64_t macs = 0;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        macs += sizes_of(graph, &node).macs;
    }
    return macs;
}

uint32_t ttzo_graph_node_parameters(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    return (uint32_t)sizes_of(graph, node).parameters;
}

uint64_t ttzo_graph_node_macs(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    return sizes_of(graph, node).macs;
}

struct ttzo_layer ttzo_graph_layer(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    struct ttzo_layer layer;
    ttzo_unpack_layer(graph->attributes + 4u * node->attributes, &layer);
    return layer;
}

uint32_t ttzo_graph_blocks(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return 1;
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    return ttzo_layer_length(&layer) + layer.has_bias;
}

struct ttzo_block ttzo_graph_block(const struct ttzo_graph *graph, const struct ttzo_node *node, uint32_t index)
{
    uint32_t parameters = ttzo_graph_node_parameters(graph, node);
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return (struct ttzo_block){ node->parameters, parameters };
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    if (index == ttzo_layer_length(&layer))
        return (struct ttzo_block){ node->parameters + parameters - layer.out_features, layer.out_features };
    struct ttzo_core core = ttzo_layer_core(&layer, index);
    return (struct ttzo_block){ node->parameters + core.offset, core.left * core.m * core.n * core.right };
}

uint32_t ttzo_graph_tokens(const struct ttzo_graph *graph)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        struct ttzo_layer layer;
        if (node.operation != TTZO_NODE_OPERATION_AFFINE)
            continue;
        ttzo_unpack_layer(graph->attributes + 4u * node.attributes, &layer);
        if (layer.gather == TTZO_GATHER_TOKENS && (known == 0 || layer.in_features < known))
            known = layer.in_features;
    }
    return known;
}

// ---- forward --------------------------------------------------------------------------------------------------------

// All int8 parameters of a node as float32: matrices, then what stands after them as it is.
static void unpack_parameters(const struct ttzo_node_sizes *sizes, const uint8_t *constants, float *out)
{
    uint64_t left = sizes->parameters;
    for (uint32_t m = 0; m < sizes->n_matrices; m++) {
        uint32_t rows = (uint32_t)sizes->rows[m], columns = (uint32_t)sizes->columns[m];
        ttzo_int8_rows(constants, rows, columns, 0, rows, out);
        constants += ttzo_int8_bytes(rows, columns);
        out += rows * columns;
        left -= rows * columns;
    }
    for (; left; left--, constants += 4)
        *out++ = ttzo_get_f32(constants);
}

// A node's call; int8 parameters that are not read as they are become float32 in the scratch.
static struct ttzo_node_call call_of(const struct ttzo_graph *graph, const struct ttzo_node *node,
                                     const float *parameters, const float *const inputs[3], float *output,
                                     float *scratch)
{
    const uint8_t *constants = graph->constants + 4 * (size_t)node->parameters;
    struct ttzo_node_call call = {
        .attributes = graph->attributes + 4u * node->attributes,
        .numbers = ttzo_node_array_at(graph, node->output).numbers,
        .parameters = parameters,
        .inputs = { inputs[0], inputs[1], inputs[2] },
        .output = output,
        .scratch = scratch,
    };
    if (node->flags & TTZO_NODE_FLAG_INT8) {
        struct ttzo_node_sizes sizes = sizes_of(graph, node);
        if (sizes.int8_scratch) {
            call.int8 = constants;
        } else {
            unpack_parameters(&sizes, constants, scratch + sizes.scratch);
            call.parameters = scratch + sizes.scratch;
        }
    } else if (node->flags & TTZO_NODE_FLAG_FROZEN)
        call.parameters = (const float *)(const void *)constants;
    return call;
}

void ttzo_graph_run_node(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                         const float *const inputs[3], float *output, float *scratch)
{
    struct ttzo_node_call call = call_of(graph, node, parameters, inputs, output, scratch);
    ttzo_node_forward(node->operation, &call);
}

enum ttzo_activation ttzo_graph_activation(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    return (enum ttzo_activation)ttzo_graph_layer(graph, node).activation;
}

void ttzo_graph_run_affine(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                           const float *input, float *output, float *scratch)
{
    uint8_t attributes[TTZO_LAYER_BYTES];
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    layer.activation = TTZO_ACTIVATION_IDENTITY;
    ttzo_pack_layer(&layer, attributes);
    const struct ttzo_node_call call = {
        .attributes = attributes,
        .numbers = ttzo_node_array_at(graph, node->output).numbers,
        .parameters = parameters,
        .inputs = { input },
        .output = output,
        .scratch = scratch,
    };
    ttzo_affine_forward(&call);
}

uint64_t ttzo_graph_run_row(const struct ttzo_graph *graph, const struct ttzo_node *node, uint32_t index,
                            const float *parameters, const float *const inputs[3], float *output, float *scratch)
{
    struct ttzo_node_call call = call_of(graph, node, parameters, inputs, output, scratch);
    return node->operation == TTZO_NODE_OPERATION_AFFINE ? ttzo_affine_row(&call, index) : 0;
}

uint64_t ttzo_graph_run_moved(const struct ttzo_graph *graph, const struct ttzo_node *node, const float *parameters,
                              const float *const inputs[3], const float *before, const float *made, float *output,
                              float *scratch)
{
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return 0;
    struct ttzo_node_call call = call_of(graph, node, parameters, inputs, output, scratch);
    return ttzo_affine_moved_places(&call, before, made);
}

float *ttzo_graph_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row)
{
    const struct ttzo_graph *graph = &trainer->model->graph;
    float *arena = trainer->activations[0];
    ttzo_read_inputs(trainer->model, row, arena + ttzo_node_array_at(graph, 0).place);
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        const float *inputs[3] = { NULL, NULL, NULL };
        for (uint32_t k = 0; k < 3 && node.inputs[k] != TTZO_NO_ARRAY; k++)
            inputs[k] = arena + ttzo_node_array_at(graph, node.inputs[k]).place;
        ttzo_graph_run_node(graph, &node, theta + node.parameters, inputs,
                            arena + ttzo_node_array_at(graph, node.output).place, trainer->scratch);
    }
    struct ttzo_node last = ttzo_node_at(graph, graph->info.n_nodes - 1u);
    return arena + ttzo_node_array_at(graph, last.output).place;
}

// ---- derivatives ----------------------------------------------------------------------------------------------------

#if TTZO_HAS(EQUATIONS)

bool ttzo_graph_has_jets(const struct ttzo_graph *graph)
{
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        struct ttzo_activation_attributes a = { .activation = TTZO_ACTIVATION_IDENTITY };
        if (node.operation == TTZO_NODE_OPERATION_ACTIVATION)
            ttzo_unpack_activation_attributes(graph->attributes + 4u * node.attributes, &a);
        if (node.operation == TTZO_NODE_OPERATION_AFFINE)
            a.activation = ttzo_graph_layer(graph, &node).activation;
        if (!ttzo_node_has_jet(node.operation) || !ttzo_activation_has_jet((enum ttzo_activation)a.activation))
            return false;
    }
    return true;
}

static void run_jet(const struct ttzo_graph *graph, const struct ttzo_node *node, const struct ttzo_jet *jet,
                    struct ttzo_node_call *call)
{
    if (jet->n && ttzo_node_has_own_jet(node->operation)) {
        ttzo_node_jet(node->operation, call, jet);
        return;
    }
    for (uint32_t c = 0; c < ttzo_jet_columns(jet); c++) {
        ttzo_node_forward(node->operation, call);
        for (uint32_t k = 0; k < 3 && call->inputs[k]; k++)
            call->inputs[k] += ttzo_node_array_at(graph, node->inputs[k]).numbers;
        call->output += call->numbers;
    }
}

static float *columns_at(const struct ttzo_trainer *trainer, const struct ttzo_jet *jet, uint32_t array)
{
    return trainer->activations[0] + ttzo_jet_columns(jet) * ttzo_node_array_at(&trainer->model->graph, array).place;
}

float *ttzo_graph_jet_inputs(const struct ttzo_trainer *trainer, const struct ttzo_jet *jet)
{
    return columns_at(trainer, jet, 0);
}

const float *ttzo_graph_jet(const struct ttzo_trainer *trainer, const float *theta, const struct ttzo_jet *jet)
{
    const struct ttzo_graph *graph = &trainer->model->graph;
    float *output = NULL;
    for (uint32_t i = 0; i < graph->info.n_nodes; i++) {
        struct ttzo_node node = ttzo_node_at(graph, i);
        const float *inputs[3] = { NULL, NULL, NULL };
        for (uint32_t k = 0; k < 3 && node.inputs[k] != TTZO_NO_ARRAY; k++)
            inputs[k] = columns_at(trainer, jet, node.inputs[k]);
        output = columns_at(trainer, jet, node.output);
        struct ttzo_node_call call = call_of(graph, &node, theta + node.parameters, inputs, output, trainer->scratch);
        run_jet(graph, &node, jet, &call);
    }
    return output;
}

#endif
