// SPDX-License-Identifier: MIT
// block_rge on graphs: random directions of one block at a time (struct ttzo_block).
#ifndef TTZO_GRAPH_BLOCKS_H
#define TTZO_GRAPH_BLOCKS_H
#include "cores/graph_queries.h"

#if TTZO_HAS(CORES) && TTZO_HAS(OPERATIONS) && TTZO_HAS(BLOCKS)

// Adds what the row says about the node's blocks, from number `*block` on. Fails with `cancelled`.
enum ttzo_error ttzo_graph_blocks_ask(struct ttzo_graph_estimate *e, uint32_t number, const struct ttzo_node *node,
                                      uint32_t *block);

#else

static inline enum ttzo_error ttzo_graph_blocks_ask(struct ttzo_graph_estimate *e, uint32_t number,
                                                    const struct ttzo_node *node, uint32_t *block)
{
    (void)e, (void)number, (void)node, (void)block;
    return TTZO_ERROR_NOT_BUILT_IN;
}

#endif
#endif
