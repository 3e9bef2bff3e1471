// SPDX-License-Identifier: MIT
// Loss differences of single units: the derivatives of their biases, and what node_cge makes every entry's of.
#ifndef TTZO_UNIT_QUERIES_H
#define TTZO_UNIT_QUERIES_H
#include "cores/core_estimate.h"

// Asks the units of layer `l`. Biases go into the gradient; for node_cge every unit's difference stays in unit_changes.
void ttzo_unit_queries_ask(struct ttzo_core_estimate *e, uint32_t l);

// node_cge: every entry's derivative is the sum over the units it moves of slice times the unit's difference:
// assembled, not queried. For the core of an open environment.
void ttzo_unit_queries_assemble(struct ttzo_core_estimate *e, const struct ttzo_environment *environment);

#endif
