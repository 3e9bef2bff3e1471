// SPDX-License-Identifier: MIT
// Written by write_operations.py from contract.toml; change that page, not this file.
#ifndef TTZO_CALLS_H
#define TTZO_CALLS_H
#include "operations/operation.h"
bool ttzo_affine_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_affine_forward(const struct ttzo_node_call *call);
void ttzo_affine_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet);
bool ttzo_activation_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_activation_forward(const struct ttzo_node_call *call);
void ttzo_activation_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet);
bool ttzo_scale_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_scale_forward(const struct ttzo_node_call *call);
void ttzo_scale_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet);
bool ttzo_learnt_array_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_learnt_array_forward(const struct ttzo_node_call *call);
void ttzo_learnt_array_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet);
bool ttzo_add_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_add_forward(const struct ttzo_node_call *call);
bool ttzo_multiply_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_multiply_forward(const struct ttzo_node_call *call);
void ttzo_multiply_jet(const struct ttzo_node_call *call, const struct ttzo_jet *jet);
bool ttzo_concat_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_concat_forward(const struct ttzo_node_call *call);
bool ttzo_slice_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_slice_forward(const struct ttzo_node_call *call);
bool ttzo_transpose_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_transpose_forward(const struct ttzo_node_call *call);
bool ttzo_max_pool_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_max_pool_forward(const struct ttzo_node_call *call);
bool ttzo_average_pool_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_average_pool_forward(const struct ttzo_node_call *call);
bool ttzo_global_mean_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_global_mean_forward(const struct ttzo_node_call *call);
bool ttzo_global_max_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_global_max_forward(const struct ttzo_node_call *call);
bool ttzo_soft_max_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_soft_max_forward(const struct ttzo_node_call *call);
bool ttzo_layer_norm_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_layer_norm_forward(const struct ttzo_node_call *call);
bool ttzo_rms_norm_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_rms_norm_forward(const struct ttzo_node_call *call);
bool ttzo_matrix_product_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_matrix_product_forward(const struct ttzo_node_call *call);
bool ttzo_recurrent_sizes(const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes);
void ttzo_recurrent_forward(const struct ttzo_node_call *call);

// What a node's attributes say of its sizes; false where they are inconsistent. `numbers`: of its output array.
static inline bool ttzo_node_sizes(uint8_t operation, const uint8_t *attributes, uint32_t numbers,
                                   struct ttzo_node_sizes *sizes)
{
    switch (operation) {
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_AFFINE: return ttzo_affine_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_ACTIVATION: return ttzo_activation_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_SCALE: return ttzo_scale_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_LEARNT_ARRAY: return ttzo_learnt_array_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_ADD: return ttzo_add_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_MULTIPLY: return ttzo_multiply_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_CONCAT: return ttzo_concat_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_SLICE: return ttzo_slice_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_TRANSPOSE: return ttzo_transpose_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_MAX_POOL: return ttzo_max_pool_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_AVERAGE_POOL: return ttzo_average_pool_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_GLOBAL_MEAN: return ttzo_global_mean_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_GLOBAL_MAX: return ttzo_global_max_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_SOFT_MAX: return ttzo_soft_max_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_LAYER_NORM: return ttzo_layer_norm_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_RMS_NORM: return ttzo_rms_norm_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_MATRIX_PRODUCT: return ttzo_matrix_product_sizes(attributes, numbers, sizes);
#endif
#if TTZO_HAS(RECURRENT)
    case TTZO_NODE_OPERATION_RECURRENT: return ttzo_recurrent_sizes(attributes, numbers, sizes);
#endif
    default: break;
    }
    return false;
}

// A node's forward pass of one row.
static inline void ttzo_node_forward(uint8_t operation, const struct ttzo_node_call *call)
{
    switch (operation) {
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_AFFINE: ttzo_affine_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_ACTIVATION: ttzo_activation_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_SCALE: ttzo_scale_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_LEARNT_ARRAY: ttzo_learnt_array_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_ADD: ttzo_add_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_MULTIPLY: ttzo_multiply_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_CONCAT: ttzo_concat_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_SLICE: ttzo_slice_forward(call); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_TRANSPOSE: ttzo_transpose_forward(call); break;
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_MAX_POOL: ttzo_max_pool_forward(call); break;
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_AVERAGE_POOL: ttzo_average_pool_forward(call); break;
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_GLOBAL_MEAN: ttzo_global_mean_forward(call); break;
#endif
#if TTZO_HAS(POOLING)
    case TTZO_NODE_OPERATION_GLOBAL_MAX: ttzo_global_max_forward(call); break;
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_SOFT_MAX: ttzo_soft_max_forward(call); break;
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_LAYER_NORM: ttzo_layer_norm_forward(call); break;
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_RMS_NORM: ttzo_rms_norm_forward(call); break;
#endif
#if TTZO_HAS(ATTENTION)
    case TTZO_NODE_OPERATION_MATRIX_PRODUCT: ttzo_matrix_product_forward(call); break;
#endif
#if TTZO_HAS(RECURRENT)
    case TTZO_NODE_OPERATION_RECURRENT: ttzo_recurrent_forward(call); break;
#endif
    default: break;
    }
}

#if TTZO_HAS(EQUATIONS)

// Whether derivatives pass a node of this operation.
static inline bool ttzo_node_has_jet(uint8_t operation)
{
    switch (operation) {
    case TTZO_NODE_OPERATION_AFFINE:
    case TTZO_NODE_OPERATION_ACTIVATION:
    case TTZO_NODE_OPERATION_SCALE:
    case TTZO_NODE_OPERATION_LEARNT_ARRAY:
    case TTZO_NODE_OPERATION_ADD:
    case TTZO_NODE_OPERATION_MULTIPLY:
    case TTZO_NODE_OPERATION_CONCAT:
    case TTZO_NODE_OPERATION_SLICE:
    case TTZO_NODE_OPERATION_TRANSPOSE:
    case TTZO_NODE_OPERATION_AVERAGE_POOL:
    case TTZO_NODE_OPERATION_GLOBAL_MEAN: return true;
    default: return false;
    }
}

// A node's jet of one row, of an operation with a rule of its own; without one, each column passes as the value does.
static inline void ttzo_node_jet(uint8_t operation, const struct ttzo_node_call *call, const struct ttzo_jet *jet)
{
    switch (operation) {
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_AFFINE: ttzo_affine_jet(call, jet); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_ACTIVATION: ttzo_activation_jet(call, jet); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_SCALE: ttzo_scale_jet(call, jet); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_LEARNT_ARRAY: ttzo_learnt_array_jet(call, jet); break;
#endif
#if TTZO_HAS(OPERATIONS)
    case TTZO_NODE_OPERATION_MULTIPLY: ttzo_multiply_jet(call, jet); break;
#endif
    default: break;
    }
}

// Whether it has one.
static inline bool ttzo_node_has_own_jet(uint8_t operation)
{
    switch (operation) {
    case TTZO_NODE_OPERATION_AFFINE:
    case TTZO_NODE_OPERATION_ACTIVATION:
    case TTZO_NODE_OPERATION_SCALE:
    case TTZO_NODE_OPERATION_LEARNT_ARRAY:
    case TTZO_NODE_OPERATION_MULTIPLY: return true;
    default: return false;
    }
}

#endif
#endif
