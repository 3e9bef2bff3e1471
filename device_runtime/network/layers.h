// SPDX-License-Identifier: MIT
// Layers as short lists of matrix products: dense and tensor-train layers run the same loop.
#ifndef TTZO_LAYERS_H
#define TTZO_LAYERS_H
#include "model/model.h"

// One matrix product of a layer, for one sample: `repeats` times
//     out[rows, columns] = core . in  (core_left)   or   in . core  (otherwise), summed over `inner`.
// `in` and `out` are the sample's arrays, contiguous in C order, repeat by repeat.
struct ttzo_contraction {
    uint32_t repeats, rows, inner, columns;
    bool core_left;
    uint32_t core_offset;       // of the core in the layer's parameters
    uint32_t core_outer_stride; // from row to row (core_left) or from column to column
    uint32_t core_inner_stride; // along the summed index
};

// Core `k`: (left, m, n, right) in C order, with a mode of 1 where a 2L-way TT core has none; a dense W[out, in] is the
// single core (1, out, in, 1).
struct ttzo_core {
    uint32_t left, m, n, right;
    uint32_t offset; // in the layer's parameters
};

struct ttzo_core ttzo_layer_core(const struct ttzo_layer *layer, uint32_t k);

// The same without the offset, which takes longer to find.
struct ttzo_core ttzo_layer_core_shape(const struct ttzo_layer *layer, uint32_t k);

// How many contractions the layer has: 1 for dense, one for each core otherwise.
uint32_t ttzo_layer_length(const struct ttzo_layer *layer);

// The layer's contraction number `index` in the order of execution: TT-matrix right to left (last core first), 2L-way
// TT input modes first to last, then output modes first to last.
struct ttzo_contraction ttzo_layer_contraction(const struct ttzo_layer *layer, uint32_t index);

// Numbers of the largest array that its contractions make of one sample; 64 bits, because the layer may not be checked
// yet.
uint64_t ttzo_layer_widest(const struct ttzo_layer *layer);

// out = start + core . in, by ttzo_product; `bias` is the start, NULL means zeros. With `skip_zeros`, zeros of `in` are
// left out. Returns the multiply-adds done.
uint32_t ttzo_contract(const struct ttzo_contraction *step, const float *core, const float *in, const float *bias,
                       float *out, bool skip_zeros);

// Parameters of the layer, bias included. The layer's modes and ranks must have been checked.
uint32_t ttzo_layer_parameters(const struct ttzo_layer *layer);

// One sample through the layer, contraction by contraction: `buffers[*current]` holds the inputs before and the outputs
// after, the other buffer is overwritten. Each output is one chain of multiply-adds over the ascending summed index; in
// the last contraction it starts at the bias.
void ttzo_layer_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2], uint32_t *current);

#endif
