// SPDX-License-Identifier: MIT
#include "cores/query_group.h"

#include <stddef.h>

#define Q TTZO_QUERIES_AT_ONCE

static void move_quad(const struct ttzo_query_group *group, struct ttzo_queries *queries, float sign, uint32_t i,
                      bool first)
{
    struct ttzo_moves moves; // lines are only read where there are no quads
    moves.quads = NULL;
    if (!TTZO_HAS(NARROW) || group->moves)
        moves.quads = (const struct ttzo_quad *)(group->moves + i * group->size);
    else
        moves.lines = ttzo_slices_lines(group->slices, &group->quads[i]);
    ttzo_propagate_move(queries, &moves, sign, i, group->quads[i].count, first);
}

// No move changes a unit's activation.
static void nothing_moves(const struct ttzo_query_group *group, float sign)
{
    for (uint32_t i = 0; i < group->n && sign > 0.0f; i++)
        for (uint32_t q = 0; q < Q; q++)
            group->differences[i][q] = 0.0f;
}

// L(sign times moves) - L(0) of each query; of a negative sign, what stood there less that.
static void ask_side(const struct ttzo_query_group *group, struct ttzo_queries *queries, float sign)
{
    uint32_t at = 0, end = group->units.rows * group->units.columns;
    do {
        bool first = at == 0;
        at = ttzo_propagate_aim(queries, &group->units, at, group->bound);
        if (first && at == end && queries->aim.n_awake == 0) {
            nothing_moves(group, sign);
            return;
        }
        for (uint32_t i = 0; i < group->n; i++)
            move_quad(group, queries, sign, i, first);
    } while (at < end);
    for (uint32_t i = 0; i < group->n; i++) {
        float found[Q], *differences = group->differences[i];
        ttzo_propagate_ask(queries, i, group->quads[i].count, sign < 0.0f ? found : differences);
        for (uint32_t q = 0; sign < 0.0f && q < group->quads[i].count; q++)
            differences[q] = differences[q] - found[q];
    }
}

void ttzo_query_group_ask(const struct ttzo_query_group *group, struct ttzo_queries *queries, bool antithetic)
{
    ask_side(group, queries, 1.0f);
    if (antithetic)
        ask_side(group, queries, -1.0f);
}
