// SPDX-License-Identifier: MIT
// Columns of the last layer and of the biases before it, for networks of any layers: the network's jet goes through the
// layers a few columns at a time, and of each unit before the last layer four numbers are kept.
#ifndef TTZO_BIAS_COLUMNS_H
#define TTZO_BIAS_COLUMNS_H
#include "equations/column_work.h"

void ttzo_bias_column_carve(const struct ttzo_model *model, struct ttzo_column_work *work, struct ttzo_carve *carve);

// As ttzo_row_columns, where the point and the slopes are known.
void ttzo_bias_columns(struct ttzo_trainer *trainer, const struct ttzo_column_work *work, uint32_t row, float mu,
                       uint32_t first, uint32_t end, float *column, uint32_t stride);

#endif
