// SPDX-License-Identifier: MIT
// A layer's linear part applied to several columns at once: arrays [features][n_columns]. A 2L-way train is taken with its
// neighbouring cores multiplied out two by two, which halves its multiply-adds.
#ifndef TTZO_COLUMNS_H
#define TTZO_COLUMNS_H
#include "ttzo.h"

#define TTZO_MERGED_MODES 64u // at most, of two cores taken together

// How many cores are taken together from core `k` on, one or two: input cores two by two from the first, output cores up
// to the last.
uint32_t ttzo_cores_together(const struct ttzo_layer *layer, uint32_t k);

// Numbers of a layer's parameters with cores merged; 0 when none are. 64 bits, because it may not be checked yet.
uint64_t ttzo_merged_numbers(const struct ttzo_layer *layer);

// The layer with cores merged, its first parameter at 0; the same layer when none are.
struct ttzo_layer ttzo_merged_layer(const struct ttzo_layer *layer);

// Writes its parameters.
void ttzo_merge_cores(const struct ttzo_layer *layer, const float *theta, float *merged);

// buffers[*current] holds the columns [in_features][n_columns] before and [out_features][n_columns] after; the other buffer
// is overwritten. With `has_value` the first column's chains start at the bias. With `skip_zeros`, rows of inputs that
// are zero throughout are left out.
void ttzo_columns_forward(const struct ttzo_layer *layer, const float *theta, float *const buffers[2],
                          uint32_t *current, uint32_t n_columns, bool has_value, bool skip_zeros);

// Numbers that one column takes of each buffer on its way through the first layers' inputs to the last layer's outputs.
void ttzo_columns_buffers(const struct ttzo_model *model, uint64_t numbers[2]);

#endif
