// SPDX-License-Identifier: MIT
// cge and cocd: a query for each entry of a core.
#ifndef TTZO_CORE_QUERIES_H
#define TTZO_CORE_QUERIES_H
#include "cores/core_estimate.h"

// Asks the entries of core `k` of layer `l`, whose environment is open, into the gradient. Fails with `cancelled`.
enum ttzo_error ttzo_core_queries_ask(struct ttzo_core_estimate *e, uint32_t l, uint32_t k,
                                      const struct ttzo_environment *environment);

#endif
