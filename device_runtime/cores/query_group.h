// SPDX-License-Identifier: MIT
// Queries that move the same units of a layer, asked together.
#ifndef TTZO_QUERY_GROUP_H
#define TTZO_QUERY_GROUP_H
#include "cores/propagate.h"

// L(+moves) - L(0) of each query, or L(+moves) - L(-moves) if `antithetic`, into the group's differences.
void ttzo_query_group_ask(const struct ttzo_query_group *group, struct ttzo_queries *queries, bool antithetic);

#endif
