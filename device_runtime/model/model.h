// SPDX-License-Identifier: MIT
// A model as data: what a bundle or model.c says, and what every room below the API reads.
#ifndef TTZO_MODEL_MODEL_H
#define TTZO_MODEL_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/parts.h"

#define TTZO_SPARSE_MAX_NONZERO 7u // non-zero coordinates of one node of a sparse grid: its level minus 1, at most

// All nodes of a sparse grid with these non-zero |coordinates|, at any places and with any signs.
struct ttzo_sparse_class {
    float weight;                           // of each node
    uint8_t n_nonzero;                      // entries of `value` that count
    uint8_t value[TTZO_SPARSE_MAX_NONZERO]; // numbers in the grid's `values`, ascending, repeats allowed
};

// A sparse grid as a table, written by exporter/pde/sparse_grid.py; equations/sparse_grid.h walks over its nodes.
struct ttzo_sparse_grid {
    uint16_t dimension;
    uint8_t n_classes;
    uint8_t n_values;
    const float *values;                     // [n_values] distinct non-zero |coordinates|, ascending
    const struct ttzo_sparse_class *classes; // [n_classes]
};

// A residual program; the numbers stay where they are.
struct ttzo_program {
    const float *constants;      // [n_constants]
    const uint8_t *instructions; // [n_instructions][4]: enum ttzo_operation, registers a, b, c
    uint8_t n_constants;
    uint8_t n_instructions;
    uint8_t output;
};

// Places of an equation in a model, fewer where the runtime has no part `systems` or no equations at all, so that other
// models take up to half a kilobyte less of flash.
#define TTZO_ROW_GROUP_PLACES (TTZO_HAS(SYSTEMS) ? TTZO_MAX_ROW_GROUPS : TTZO_HAS(EQUATIONS) ? TTZO_FEW_ROW_GROUPS : 1u)
#define TTZO_FUNCTION_PLACES (TTZO_HAS(SYSTEMS) ? TTZO_MAX_FIELDS : 1u)
#define TTZO_VECTOR_PLACES (TTZO_HAS(SYSTEMS) ? TTZO_MAX_PDE_VECTORS : 1u)

// A PDE: where its rows lie and what should be zero there. All zeros for models with another loss.
struct ttzo_pde {
    struct ttzo_pde_info info;
    const float *low, *high; // [in_features] bounds of the network's inputs
    struct ttzo_row_group groups[TTZO_ROW_GROUP_PLACES];
    struct ttzo_program conditions[TTZO_ROW_GROUP_PLACES]; // [n_groups]
    const uint8_t *directions;                             // [n_directions] records of the contract
    const float *units;                                    // [n_unknowns]
    const float *readings;                                 // [n_readings][in_features + n_measured]
    struct ttzo_program solution[TTZO_FUNCTION_PLACES];    // [out_features] from the network's outputs
    struct ttzo_program exact[TTZO_FUNCTION_PLACES];       // with has_exact
    struct ttzo_program points[2]; // with has_points: a uniform training point's place in space, its time
    struct ttzo_program vectors[TTZO_VECTOR_PLACES]; // of directions that are computed
    struct ttzo_sparse_grid grid;                    // with derivative sparse_grid
};

// A simulation whose unknown constants are the parameters; its section of the contract stays where it is.
struct ttzo_simulation {
    struct ttzo_simulation_info info; // zeros for models with another loss
    const uint8_t *section;           // [info.section_bytes], 4-byte aligned
};

// The nodes of a model that is no chain of layers, as records of the contract. Everything stays where it is.
struct ttzo_graph {
    struct ttzo_graph_info info; // n_nodes is 0 for a chain
    const uint8_t *nodes;        // [n_nodes][TTZO_NODE_BYTES]
    const uint8_t *arrays;       // [n_arrays][TTZO_NODE_ARRAY_BYTES]
    const uint8_t *attributes;   // [attribute_bytes]
    const uint8_t *constants;    // [constant_bytes], 4-byte aligned
};

// Gives the losses of a black box at `theta` [n_parameters]: `losses` [n_losses].
typedef void (*ttzo_ask_black_box)(void *context, const float *theta, float *losses);

// What is trained in the place of a network: a function of a program's own (ttzo_black_box). All zeros for other models.
struct ttzo_box {
    ttzo_ask_black_box ask;
    void *context;
    bool gives_residuals; // whose squares are the losses
};

// A model: data only, from model.c in flash or from a bundle. Layers and parameters stay where they are.
struct ttzo_model {
    uint8_t hash[TTZO_HASH_BYTES];
    struct ttzo_model_info info;
    struct ttzo_training training;
    struct ttzo_phase phases[TTZO_MAX_PHASES];
    const struct ttzo_layer *layers;   // [info.n_layers] of a chain
    struct ttzo_graph graph;           // of any other model
    const float *parameters;           // [info.n_parameters], theta at the start of training
    struct ttzo_pde pde;               // with info.loss residual
    struct ttzo_box box;               // of a black box: no layers
    struct ttzo_loss_info loss;        // with info.has_loss_section, else zeros
    const float *class_weights;        // [loss.n_class_weights]
    struct ttzo_row_info rows;         // with info.has_row_section, else zeros
    const float *columns;              // [3][rows.columns] centres, what they lack, factors
    const uint16_t *packing;           // with rows.packing: TTZO_LONGEST_CODE counts, then the symbols
    struct ttzo_simulation simulation; // with info.loss simulation: no layers
};

// What needs a part of the runtime; never where that is left out, because ttzo_read_bundle has refused the model.
static inline bool ttzo_has_equation(const struct ttzo_model *model)
{
    return TTZO_HAS(EQUATIONS) && model->info.loss == TTZO_LOSS_RESIDUAL;
}

// Columns whose readings the model normalises.
static inline uint32_t ttzo_reading_columns(const struct ttzo_model *model)
{
    return TTZO_HAS(READINGS) ? model->rows.columns : 0u;
}

// What of an equation only the part `systems` knows: functions beyond the first, directions, those that programs
// compute, random ones, unknown constants.
static inline uint32_t ttzo_functions(const struct ttzo_model *model)
{
    return TTZO_HAS(SYSTEMS) ? model->info.out_features : 1u;
}

static inline uint32_t ttzo_pde_directions(const struct ttzo_pde *pde)
{
    return TTZO_HAS(SYSTEMS) ? pde->info.n_directions : 0u;
}

static inline uint32_t ttzo_pde_vectors(const struct ttzo_pde *pde)
{
    return TTZO_HAS(SYSTEMS) ? pde->info.n_vectors : 0u;
}

static inline uint32_t ttzo_sampled_directions(const struct ttzo_pde *pde)
{
    return TTZO_HAS(SYSTEMS) ? pde->info.n_sampled : 0u;
}

static inline uint32_t ttzo_unknown_constants(const struct ttzo_model *model)
{
    return TTZO_HAS(SYSTEMS) ? model->pde.info.n_unknowns : 0u;
}

static inline bool ttzo_has_simulation(const struct ttzo_model *model)
{
    return TTZO_HAS(IDENTIFICATION) && model->info.loss == TTZO_LOSS_SIMULATION;
}

static inline bool ttzo_has_black_box(const struct ttzo_model *model)
{
    return model->box.ask != NULL;
}

// Whether a step takes no rows: the model makes its own.
static inline bool ttzo_needs_no_rows(const struct ttzo_model *model)
{
    return ttzo_has_equation(model) || ttzo_has_black_box(model);
}

// Whether each step varies the rows that it takes.
static inline bool ttzo_varies_rows(const struct ttzo_model *model)
{
    return TTZO_HAS(AUGMENTATION) && model->rows.channels != 0;
}

static inline bool ttzo_is_graph(const struct ttzo_model *model)
{
    return TTZO_HAS(OPERATIONS) && model->graph.info.n_nodes != 0;
}

static inline struct ttzo_node ttzo_node_at(const struct ttzo_graph *graph, uint32_t index)
{
    struct ttzo_node node;
    ttzo_unpack_node(graph->nodes + index * TTZO_NODE_BYTES, &node);
    return node;
}

static inline struct ttzo_node_array ttzo_node_array_at(const struct ttzo_graph *graph, uint32_t index)
{
    struct ttzo_node_array array;
    ttzo_unpack_node_array(graph->arrays + index * TTZO_NODE_ARRAY_BYTES, &array);
    return array;
}

static inline bool ttzo_is_split(const struct ttzo_layer *layer)
{
    return TTZO_HAS(SPLIT) && layer->contraction != 0;
}

static inline bool ttzo_is_gathered(const struct ttzo_layer *layer)
{
    return TTZO_HAS(GATHERED) && layer->gather != 0;
}

#endif
