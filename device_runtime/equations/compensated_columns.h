// SPDX-License-Identifier: MIT
// A layer's linear part applied to two columns of compensated numbers at once: arrays [features][4], of each feature
// the two heads and the two tails. A 2L-way train's neighbouring cores are multiplied out as in columns.h.
#ifndef TTZO_COMPENSATED_COLUMNS_H
#define TTZO_COMPENSATED_COLUMNS_H
#include "model/model.h"

// Floats that a layer's merged cores take. 64 bits, because it may not be checked yet.
uint64_t ttzo_compensated_merged(const struct ttzo_layer *layer);

// Writes them.
void ttzo_compensated_merge(const struct ttzo_layer *layer, const float *theta, float *merged);

// buffers[*current] holds the columns [in_features][4] before and [out_features][4] after; the other buffer is
// overwritten. Each output is one chain over the ascending summed index, rounded once; with `has_value` the bias joins
// the first column's at the end. Without `both_columns` the first one alone is made.
void ttzo_compensated_forward(const struct ttzo_layer *layer, const float *theta, const float *merged,
                              float *const buffers[2], uint32_t *current, bool has_value, bool both_columns);

#endif
