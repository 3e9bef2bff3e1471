// SPDX-License-Identifier: MIT
// Every number of a graph is checked here once, when it is loaded.
#include "network/network.h"
#include "number/real.h"
#include "operations/calls.h"
#include "operations/graph.h"

// ---- arrays ---------------------------------------------------------------------------------------------------------

// When each array is wanted: from the moment it is written to the last one that reads it. Node i runs at moment i + 1; the
// input is there at moment 0, the output is read after the last node.
struct lifetimes {
    uint8_t first[TTZO_MAX_NODES + 1], last[TTZO_MAX_NODES + 1];
};

// Whether every array is written by one node before it is read, and read by some node.
static bool order_is_sound(const struct ttzo_graph *graph, struct lifetimes *of, uint32_t *detail)
{
    uint32_t n = graph->info.n_nodes;
    of->first[0] = 0;
    for (uint32_t a = 1; a < graph->info.n_arrays; a++)
        of->first[a] = UINT8_MAX;
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
        of->last[a] = 0;
    for (*detail = 0; *detail < n; ++*detail) {
        struct ttzo_node node = ttzo_node_at(graph, *detail);
        for (uint32_t k = 0; k < 3; k++) {
            if (node.inputs[k] == TTZO_NO_ARRAY)
                continue;
            if (node.inputs[k] >= graph->info.n_arrays || of->first[node.inputs[k]] > *detail)
                return false;
            of->last[node.inputs[k]] = (uint8_t)(*detail + 1);
        }
        if (node.output >= graph->info.n_arrays || of->first[node.output] != UINT8_MAX)
            return false;
        of->first[node.output] = (uint8_t)(*detail + 1);
    }
    of->last[ttzo_node_at(graph, n - 1u).output] = (uint8_t)(n + 1);
    for (uint32_t a = 0; a < graph->info.n_arrays; a++)
        if (of->last[a] == 0)
            return false;
    return true;
}

static bool places_are_sound(const struct ttzo_graph *graph, const struct lifetimes *of)
{
    for (uint32_t a = 0; a < graph->info.n_arrays; a++) {
        struct ttzo_node_array mine = ttzo_node_array_at(graph, a);
        uint64_t end = (uint64_t)mine.place + mine.numbers;
        if (mine.numbers < 1 || mine.numbers > TTZO_MAX_FEATURES || end > graph->info.arena)
            return false;
        for (uint32_t b = 0; b < a; b++) {
            struct ttzo_node_array other = ttzo_node_array_at(graph, b);
            bool together = of->first[a] <= of->last[b] && of->first[b] <= of->last[a];
            if (together && mine.place < (uint64_t)other.place + other.numbers && other.place < end)
                return false;
        }
    }
    return true;
}

// ---- nodes ----------------------------------------------------------------------------------------------------------

static bool node_is_sound(const struct ttzo_graph *graph, const struct ttzo_node *node, struct ttzo_node_sizes *sizes)
{
    uint32_t output = ttzo_node_array_at(graph, node->output).numbers;
    bool frozen = node->flags & TTZO_NODE_FLAG_FROZEN, int8 = node->flags & TTZO_NODE_FLAG_INT8;
    if (4u * node->attributes + ttzo_node_attribute_bytes(node->operation) > graph->info.attribute_bytes ||
        node->flags > (TTZO_NODE_FLAG_FROZEN | TTZO_NODE_FLAG_INT8 | TTZO_NODE_FLAG_SHARED) || (int8 && !frozen) ||
        !ttzo_node_sizes(node->operation, graph->attributes + 4u * node->attributes, output, sizes) ||
        sizes->output != output || (sizes->parameters == 0 && (node->flags || node->parameters)))
        return false;
    for (uint32_t k = 0; k < 3; k++) {
        bool is_there = node->inputs[k] != TTZO_NO_ARRAY;
        if (is_there != (k < sizes->n_inputs) ||
            (is_there && ttzo_node_array_at(graph, node->inputs[k]).numbers != sizes->inputs[k]))
            return false;
    }
    return sizes->parameters <= TTZO_MAX_WIDTH && sizes->scratch <= TTZO_MAX_WIDTH &&
           sizes->int8_scratch <= TTZO_MAX_WIDTH;
}

// Numbers of a layer that stand in its node too, and tokens, which are the network's inputs as they are.
static bool layer_fits(const struct ttzo_model *model, const struct ttzo_node *node)
{
    const struct ttzo_model_info *info = &model->info;
    struct ttzo_layer layer;
    ttzo_unpack_layer(model->graph.attributes + 4u * node->attributes, &layer);
    uint32_t known = info->input_number == TTZO_NUMBER_UINT8 ? 256 : 32768;
    return layer.parameter_offset == node->parameters &&
           (layer.gather != TTZO_GATHER_TOKENS ||
            (node->inputs[0] == 0 && info->input_number != TTZO_NUMBER_FLOAT32 && info->input_scale == 1.0f &&
             info->input_offset == 0.0f && layer.in_features <= known));
}

// ---- parameters -----------------------------------------------------------------------------------------------------

// Where the next owner's parameters begin: in theta, and in the constants in units of 4 bytes.
struct ends {
    uint64_t theta, constants;
};

static uint64_t constant_words(const struct ttzo_node *node, const struct ttzo_node_sizes *sizes)
{
    uint64_t bytes = 4 * sizes->parameters;
    for (uint32_t m = 0; m < sizes->n_matrices && (node->flags & TTZO_NODE_FLAG_INT8); m++)
        bytes += ttzo_int8_bytes(sizes->rows[m], sizes->columns[m]) - 4 * sizes->rows[m] * sizes->columns[m];
    return bytes / 4;
}

// Whether an earlier node owns what this one shares: the same operation, as many parameters, held alike.
static bool owner_is_sound(const struct ttzo_graph *graph, uint32_t index, const struct ttzo_node *node,
                           const struct ttzo_node_sizes *sizes)
{
    for (uint32_t i = 0; i < index; i++) {
        struct ttzo_node owner = ttzo_node_at(graph, i);
        struct ttzo_node_sizes of;
        if (owner.operation == node->operation && owner.parameters == node->parameters &&
            (owner.flags | TTZO_NODE_FLAG_SHARED) == node->flags && !(owner.flags & TTZO_NODE_FLAG_SHARED) &&
            ttzo_node_sizes(owner.operation, graph->attributes + 4u * owner.attributes,
                            ttzo_node_array_at(graph, owner.output).numbers, &of) &&
            of.parameters == sizes->parameters && constant_words(&owner, &of) == constant_words(node, sizes) &&
            of.rows[0] == sizes->rows[0] && of.columns[0] == sizes->columns[0])
            return true;
    }
    return false;
}

// Whether what the node owns begins where the last owner's ends.
static bool place_is_sound(const struct ttzo_node *node, const struct ttzo_node_sizes *sizes, struct ends *ends)
{
    bool frozen = node->flags & TTZO_NODE_FLAG_FROZEN;
    uint64_t *end = frozen ? &ends->constants : &ends->theta;
    if (node->parameters != *end)
        return false;
    *end += frozen ? constant_words(node, sizes) : sizes->parameters;
    return *end <= (frozen ? TTZO_MAX_CONSTANT_BYTES / 4 : TTZO_MAX_PARAMETERS);
}

// Whether an owner's constants are finite, and lie in the section.
static bool constants_are_finite(const struct ttzo_graph *graph, const struct ttzo_node *node,
                                 const struct ttzo_node_sizes *sizes)
{
    const uint8_t *at = graph->constants + 4 * (size_t)node->parameters;
    uint64_t left = sizes->parameters;
    if (4 * (node->parameters + constant_words(node, sizes)) > graph->info.constant_bytes)
        return false;
    for (uint32_t m = 0; m < sizes->n_matrices && (node->flags & TTZO_NODE_FLAG_INT8); m++) {
        for (uint32_t i = 0; i < sizes->rows[m]; i++)
            if (!ttzo_is_finite(ttzo_get_f32(at + 4 * i)))
                return false;
        at += ttzo_int8_bytes(sizes->rows[m], sizes->columns[m]);
        left -= sizes->rows[m] * sizes->columns[m];
    }
    for (; left; left--, at += 4)
        if (!ttzo_is_finite(ttzo_get_f32(at)))
            return false;
    return true;
}

// ---- the graph ------------------------------------------------------------------------------------------------------

static bool nodes_are_sound(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_graph *graph = &model->graph;
    struct ends ends = { 0, 0 };
    for (*detail = 0; *detail < graph->info.n_nodes; ++*detail) {
        struct ttzo_node node = ttzo_node_at(graph, *detail);
        struct ttzo_node_sizes sizes;
        if (!node_is_sound(graph, &node, &sizes) ||
            (node.operation == TTZO_NODE_OPERATION_AFFINE && !layer_fits(model, &node)))
            return false;
        if (node.flags & TTZO_NODE_FLAG_SHARED ? !owner_is_sound(graph, *detail, &node, &sizes)
                                               : sizes.parameters && !place_is_sound(&node, &sizes, &ends))
            return false;
        if (node.flags == TTZO_NODE_FLAG_FROZEN || node.flags == (TTZO_NODE_FLAG_FROZEN | TTZO_NODE_FLAG_INT8))
            if (!constants_are_finite(graph, &node, &sizes))
                return false;
    }
    uint32_t unknowns = ttzo_has_equation(model) ? ttzo_unknown_constants(model) : 0; // after the nodes' parameters
    return ends.theta + unknowns == model->info.n_parameters && 4 * ends.constants == graph->info.constant_bytes;
}

bool ttzo_graph_is_sound(const struct ttzo_model *model, uint32_t *detail)
{
    const struct ttzo_graph *graph = &model->graph;
    const struct ttzo_graph_info *info = &graph->info;
    struct lifetimes lifetimes;
    *detail = info->n_nodes;
    if (info->n_nodes > TTZO_MAX_NODES || info->n_arrays != info->n_nodes + 1 || info->arena > TTZO_MAX_WIDTH ||
        info->constant_bytes > TTZO_MAX_CONSTANT_BYTES || (uintptr_t)graph->constants % 4 ||
        !order_is_sound(graph, &lifetimes, detail))
        return false;
    *detail = info->n_nodes;
    if (!places_are_sound(graph, &lifetimes) || ttzo_node_array_at(graph, 0).numbers != model->info.in_features ||
        ttzo_node_array_at(graph, ttzo_node_at(graph, info->n_nodes - 1u).output).numbers != model->info.out_features)
        return false;
    return nodes_are_sound(model, detail);
}
