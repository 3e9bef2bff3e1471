// SPDX-License-Identifier: MIT
// What the columns of one row of coordinate_gn are computed in.
#ifndef TTZO_COLUMN_WORK_H
#define TTZO_COLUMN_WORK_H
#include "equations/row_slopes.h"
#include "model/carve.h"
#include "model/trainer.h"

// Work memory of one row.
struct ttzo_column_work {
    struct ttzo_row_slopes slopes;
    float *jets;                        // of all layers: inputs and units before the activation, [features][width] each
    float *changes[2];                  // [widest layer][width]
    float *moved, *change;              // [width]
    float *at, *slope, *squares;        // [units] of the layers before the last two: phi, phi', weighted sum of squared
                                        // directions
    float *z, *square, *along, *second; // [features of the last layer] of the units before it: a direction's share
    float *merged;                      // parameters of the layers whose cores are merged
    float *beside;                      // of a graph: [n_parameters], one of them moved
};

// Unknowns stand in this order: the last layer's [last, last + n_last) of theta, then what is before it, then what is after.
static inline uint32_t ttzo_place_of_unknown(uint32_t u, uint32_t last, uint32_t n_last)
{
    return u < n_last ? last + u : u - n_last < last ? u - n_last : u;
}

#endif
