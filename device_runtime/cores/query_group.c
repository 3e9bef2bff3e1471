// SPDX-License-Identifier: MIT
#include "cores/query_group.h"

#include "cores/aim.h"

// No move changes a unit's activation.
static void nothing_moves(const struct ttzo_query_group *group, float sign)
{
    for (uint32_t i = 0; i < group->n && sign > 0.0f; i++)
        for (uint32_t q = 0; q < TTZO_QUERIES_AT_ONCE; q++)
            group->differences[i][q] = 0.0f;
}

static void ask_side(const struct ttzo_query_group *group, struct ttzo_queries *queries, float sign)
{
    uint32_t at = 0, end = group->units.rows * group->units.columns;
    do {
        bool first = at == 0;
        at = ttzo_propagate_aim(queries, &group->units, at, group->bound);
        if (first && at == end && queries->aim.n_awake == 0)
            nothing_moves(group, sign);
        else
            ttzo_propagate_group(queries, group, sign, first, at == end);
    } while (at < end);
}

void ttzo_query_group_ask(const struct ttzo_query_group *group, struct ttzo_queries *queries, bool antithetic)
{
    ask_side(group, queries, 1.0f);
    if (antithetic)
        ask_side(group, queries, -1.0f);
}
