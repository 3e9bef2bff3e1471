// SPDX-License-Identifier: MIT
// A network: one row of raw inputs through all layers.
#ifndef TTZO_NETWORK_H
#define TTZO_NETWORK_H
#include "ttzo.h"

// Bytes of one row: the raw inputs, and the target behind them.
uint32_t ttzo_input_bytes(const struct ttzo_model *model);
uint32_t ttzo_row_bytes(const struct ttzo_model *model);

// Numbers of the largest array in one sample's forward pass; 64 bits, because the model may not be checked yet.
uint64_t ttzo_network_widest(const struct ttzo_model *model);

// Multiply-accumulates of one forward pass.
uint32_t ttzo_network_macs(const struct ttzo_model *model);

// The network inputs [in_features] of a row.
void ttzo_read_inputs(const struct ttzo_model *model, const uint8_t *row, float *x);

// z[i] = activation(z[i]), i < n.
void ttzo_activate(enum ttzo_activation activation, float *z, uint32_t n);

// One row through the network at `theta`. Returns the outputs [out_features], which lie in one of the two buffers
// (each of ttzo_network_widest numbers).
float *ttzo_network_forward(const struct ttzo_model *model, const float *theta, const uint8_t *row,
                            float *const buffers[2]);

#endif
