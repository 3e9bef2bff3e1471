// SPDX-License-Identifier: MIT
// Which units of a layer queries change, and what these weigh in the layer after it.
#ifndef TTZO_AIM_H
#define TTZO_AIM_H
#include "cores/queries.h"

// Makes ready for queries that move these units from number `from` on, none by more than `bound`: leaves out the units
// that such a move cannot change, and collects the weights after the others, as many as there is room for. Returns the
// first number that is not aimed at.
uint32_t ttzo_propagate_aim(struct ttzo_queries *queries, const struct ttzo_units *units, uint32_t from, float bound);

// Row `place` of the matrix of layer `l` after the first, [out_features], which ttzo_goes_by_matrix: where it is kept, or in
// queries->scratch.row. Cheap where the same layer is asked again.
const float *ttzo_propagate_weights(struct ttzo_queries *queries, uint32_t l, uint32_t place);

#endif
