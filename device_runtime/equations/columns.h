// SPDX-License-Identifier: MIT
// A layer's linear part applied to several columns at once: arrays [features][n_columns]. A 2L-way train is taken with
// its neighbouring cores multiplied out two by two, which halves its multiply-adds.
#ifndef TTZO_COLUMNS_H
#define TTZO_COLUMNS_H
#include "model/model.h"

// buffers[*current] holds the columns [in_features][n_columns] before and [out_features][n_columns] after; the other
// buffer is overwritten. With `has_value` the first column's chains start at the bias. With `skip_zeros`, rows of
// inputs that are zero throughout are left out.
void ttzo_columns_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2],
                          uint32_t *current, uint32_t n_columns, bool has_value, bool skip_zeros);

// Numbers that one column takes of each buffer on its way through the first layers' inputs to the last layer's outputs.
void ttzo_columns_buffers(const struct ttzo_model *model, uint64_t numbers[2]);

#endif
