// SPDX-License-Identifier: MIT
// A network: one row of raw inputs through all layers.
#ifndef TTZO_NETWORK_H
#define TTZO_NETWORK_H
#include "model/trainer.h"
#include "number/real.h"

// Bytes of one row: the raw inputs, and the target after them.
uint32_t ttzo_input_bytes(const struct ttzo_model *model);
uint32_t ttzo_row_bytes(const struct ttzo_model *model);

// Numbers of the arrays that a forward pass needs: each of two activation buffers, what ttzo_network_prepare makes for a
// parameter vector, and the scratch of the largest layer; 64 bits, because the model may not be checked yet.
uint64_t ttzo_network_buffer(const struct ttzo_model *model);
uint64_t ttzo_network_prepared(const struct ttzo_model *model);
uint64_t ttzo_network_scratch(const struct ttzo_model *model);

// Multiply-accumulates of one sample in one layer.
uint64_t ttzo_layer_macs(const struct ttzo_layer *layer);

// Multiply-accumulates of one forward pass; what prepares for it is not counted.
uint32_t ttzo_network_macs(const struct ttzo_model *model);

// The network inputs [in_features] of a row.
void ttzo_read_inputs(const struct ttzo_model *model, const uint8_t *row, float *x);

// z[i] = activation(z[i]), i < n.
void ttzo_activate(enum ttzo_activation activation, float *z, uint32_t n);

// tanh(a + b) - tanh a from h = tanh a, its slope 1 - h h and b: tanh(a + b) = (tanh a + tanh b) / (1 + tanh a tanh b).
static inline float ttzo_tanh_change(float h, float slope, float move)
{
    const union {
        float number;
        TTZO_SIZE_BITS bits;
    } both = { move };
    float t = both.bits << 1 <= 2 * TTZO_TANH_IS_ITSELF ? move : ttzo_tanh(move);
    return t * slope / TTZO_MULADD(h, t, 1.0f);
}

// activation(z + move) - h where h = activation(z), without the cancellation of that difference.
float ttzo_activation_change(enum ttzo_activation activation, float z, float h, float move);

// Multiplies out what the layers' contractions need, at `theta`: before the first of any number of forward passes.
// Returns the multiply-adds done.
uint64_t ttzo_network_prepare(struct ttzo_trainer *trainer, const float *theta);

// One row through the network at `theta`, the parameters it was prepared for. Returns the outputs [out_features], which
// lie in one of the trainer's activation buffers.
float *ttzo_network_forward(const struct ttzo_trainer *trainer, const float *theta, const uint8_t *row);

#endif
