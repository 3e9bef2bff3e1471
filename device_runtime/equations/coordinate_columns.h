// SPDX-License-Identifier: MIT
// The coordinates that coordinate_gn asks, and what each does to the residual of a row: changes of one unit go through
// the layers behind it as jets, and nothing before it moves.
//
// Of a network whose layers are all dense and that has at most TTZO_MAX_COORDINATES parameters, all parameters are
// asked. Of another one, the last layer's and the biases before it: each of those moves one unit alone.
//
// Of a graph that ends in a dense layer all parameters are asked, each by the residual beside it.
//
// Unknowns in order: the last layer's parameters, then the others in theta's order.
#ifndef TTZO_COORDINATE_COLUMNS_H
#define TTZO_COORDINATE_COLUMNS_H
#include "equations/column_work.h"

bool ttzo_asks_all(const struct ttzo_model *model);

// How many unknowns are the last layer's, and how many there are.
uint32_t ttzo_last_coordinates(const struct ttzo_model *model);
uint32_t ttzo_coordinates(const struct ttzo_model *model);

// Place in theta of unknown `u`.
uint32_t ttzo_coordinate_place(const struct ttzo_model *model, uint32_t u);

void ttzo_column_carve(const struct ttzo_model *model, struct ttzo_column_work *work, struct ttzo_carve *carve);

// Derivatives of row `row`'s residual at `theta` by the unknowns [first, end), at column[(u - first) stride]; returns the
// residual. Differences of `mu`. trainer->macs counts the work. Where not all parameters are asked, `theta` is the
// trainer's.
float ttzo_row_columns(struct ttzo_trainer *trainer, const float *theta, const struct ttzo_column_work *work,
                       uint32_t row, float mu, uint32_t first, uint32_t end, float *column, uint32_t stride);

#endif
