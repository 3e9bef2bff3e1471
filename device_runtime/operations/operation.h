// SPDX-License-Identifier: MIT
// What every operation of a graph offers: its sizes, which its attributes say, and a forward pass of one row. Arrays are
// flat, in C order. See contract.toml for each operation's attributes and formula.
#ifndef TTZO_OPERATION_H
#define TTZO_OPERATION_H
#include "model/model.h"

// Sizes of a node in numbers, saturated at 2^32: attributes may not be checked yet.
struct ttzo_node_sizes {
    uint64_t inputs[3]; // of each array that it reads
    uint32_t n_inputs;
    uint64_t output;
    uint64_t parameters;
    uint32_t n_matrices; // the first of its parameters, [rows][columns]: what int8 constants hold as integers
    uint64_t rows[2], columns[2];
    uint64_t scratch;
    uint64_t int8_scratch; // where its parameters are int8, besides; 0: all of them as float32
    uint64_t macs;         // multiply-accumulates of one row
};

// One node at one row.
struct ttzo_node_call {
    const uint8_t *attributes;
    uint32_t numbers;        // of the output
    const float *parameters; // in the order of the contract
    const uint8_t *int8;     // a layer's int8 constants, in the place of parameters; else NULL
    const float *inputs[3];
    float *output;
    float *scratch;
};

// Derivatives that pass the nodes with the value: along each of `n` directions up to `order` (1 to 3), and, with n_summed,
// the sum of the second derivatives along the first n_summed of them, with order 1. In the place of an array stand its
// columns, one array after the other: value, first derivatives, second ones, third ones, the sum.
struct ttzo_jet {
    uint32_t n, order, n_summed;
};

static inline uint32_t ttzo_jet_columns(const struct ttzo_jet *jet)
{
    return 1 + jet->n * jet->order + (jet->n_summed > 0);
}

// Columns of n units pass their activation, in place; has_jet: whether they can, because it is smooth.
bool ttzo_activation_has_jet(enum ttzo_activation kind);
void ttzo_bend_jet(enum ttzo_activation kind, const struct ttzo_jet *jet, float *columns, uint32_t n);

// Of a dense layer that is not an embedding: makes the outputs anew that parameter `index` of its own changes, the same as
// ttzo_affine_forward would. Returns the multiply-accumulates; 0, and nothing is done, for other layers.
uint64_t ttzo_affine_row(const struct ttzo_node_call *call, uint32_t index);

// Of a layer that is applied to each place of a sequence, and whose parameters are float32: makes the outputs anew of the
// places whose inputs differ from `before`, and takes the others from `made`, the outputs for `before`: the same bits as
// ttzo_affine_forward. Returns the multiply-accumulates; 0, and nothing is done, for other layers.
uint64_t ttzo_affine_moved_places(const struct ttzo_node_call *call, const float *before, const float *made);

// A layer, or with groups its first group as a layer of its own.
struct ttzo_layer ttzo_affine_group(const struct ttzo_layer *layer);

// a * b, or 2^32 where it would be more.
static inline uint64_t ttzo_times(uint64_t a, uint64_t b)
{
    const uint64_t most = (uint64_t)1 << 32;
    return a == 0 || b == 0 ? 0 : a > most / b ? most : a * b;
}

// Rows [first, first + n) of an int8 matrix [rows][columns] as float32: (float)q * scale, rounded once.
void ttzo_int8_rows(const uint8_t *constants, uint32_t rows, uint32_t columns, uint32_t first, uint32_t n, float *out);

// Bytes of an int8 matrix in the constants: scales, integers, padding.
static inline uint64_t ttzo_int8_bytes(uint64_t rows, uint64_t columns)
{
    return 4 * rows + (rows * columns + 3) / 4 * 4;
}

#endif
