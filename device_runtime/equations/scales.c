// SPDX-License-Identifier: MIT
#include "equations/scales.h"

#include "network/layers.h"
#include "number/real.h"
#include "operations/graph.h"

// Standard deviation of a layer's cores at the start, so that W has Xavier's.
static float core_scale(const struct ttzo_layer *layer)
{
    uint32_t length = ttzo_layer_length(layer);
    float spread = (float)((uint32_t)layer->in_features + layer->out_features);
    if (layer->kind == TTZO_LAYER_KIND_DENSE)
        return ttzo_sqrt(2.0f / spread);
    for (uint32_t k = 1; k < length; k++)
        spread = spread * (float)layer->ranks[k];
    return ttzo_exp(ttzo_log(2.0f / spread) * (0.5f / (float)length));
}

static struct ttzo_scaled of_layer(const struct ttzo_layer *layer, uint32_t first)
{
    uint32_t end = first + ttzo_layer_parameters(layer);
    return (struct ttzo_scaled){ first, end - (layer->has_bias ? layer->out_features : 0u), end, core_scale(layer) };
}

#if TTZO_HAS(OPERATIONS)

static struct ttzo_scaled of_node(const struct ttzo_graph *graph, const struct ttzo_node *node)
{
    uint32_t parameters = ttzo_graph_node_parameters(graph, node), first = node->parameters;
    if (!parameters || node->flags & (TTZO_NODE_FLAG_FROZEN | TTZO_NODE_FLAG_SHARED))
        return (struct ttzo_scaled){ 0, 0, 0, 0.0f };
    if (node->operation != TTZO_NODE_OPERATION_AFFINE)
        return (struct ttzo_scaled){ first, first, first + parameters, 0.0f };
    struct ttzo_layer layer = ttzo_graph_layer(graph, node);
    return of_layer(&layer, first);
}

#endif

struct ttzo_scaled ttzo_scaled_at(const struct ttzo_model *model, uint32_t index)
{
#if TTZO_HAS(OPERATIONS)
    if (ttzo_is_graph(model)) {
        struct ttzo_node node = ttzo_node_at(&model->graph, index);
        return of_node(&model->graph, &node);
    }
#endif
    const struct ttzo_layer *layer = &model->layers[index];
    return of_layer(layer, layer->parameter_offset);
}
