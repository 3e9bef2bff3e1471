// SPDX-License-Identifier: MIT
// The enumeration of a sparse grid: four nested counters (class, places, order of values, signs), the last fastest.
#include "equations/sparse_grid.h"

#include "number/real.h"

// ---- one counter each: to the next state, or false at the last

// The choices of n of `dimension` places, ascending, in lexicographic order.
static bool next_places(uint16_t *index, unsigned n, unsigned dimension)
{
    for (unsigned k = n; k-- > 0;) {
        if (index[k] < dimension - n + k) {
            index[k]++;
            for (unsigned j = k + 1; j < n; j++) {
                index[j] = (uint16_t)(index[j - 1] + 1);
            }
            return true;
        }
    }
    return false;
}

static void reverse(uint8_t *from, uint8_t *to)
{
    for (; from < to; from++, to--) {
        uint8_t kept = *from;
        *from = *to;
        *to = kept;
    }
}

// The distinct orders of n numbers, in lexicographic order. At the last one the first comes back.
static bool next_order(uint8_t *order, unsigned n)
{
    unsigned fall = n; // order[fall - 1 ...] never rises
    while (fall > 1 && order[fall - 2] >= order[fall - 1]) {
        fall--;
    }
    if (fall <= 1) {
        if (n > 0) {
            reverse(order, order + n - 1);
        }
        return false;
    }
    unsigned larger = n - 1;
    while (order[larger] <= order[fall - 2]) {
        larger--;
    }
    uint8_t kept = order[fall - 2];
    order[fall - 2] = order[larger];
    order[larger] = kept;
    reverse(order + fall - 1, order + n - 1);
    return true;
}

static void first_of_class(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node)
{
    const struct ttzo_sparse_class *now = &grid->classes[node->class_number];
    node->weight = now->weight;
    node->n_nonzero = now->n_nonzero;
    node->sign_pattern = 0;
    for (unsigned k = 0; k < now->n_nonzero; k++) {
        node->index[k] = (uint16_t)k;
        node->order[k] = now->value[k];
    }
}

static bool next_state(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node)
{
    if (++node->sign_pattern < 1u << node->n_nonzero) {
        return true;
    }
    node->sign_pattern = 0;
    if (next_order(node->order, node->n_nonzero) || next_places(node->index, node->n_nonzero, grid->dimension)) {
        return true;
    }
    if (node->class_number + 1u >= grid->n_classes) {
        return false;
    }
    node->class_number++;
    first_of_class(grid, node);
    return true;
}

// ---- the walk

// Choices of coordinates, orders of values on them, signs: D (D - 1) .. (D - n + 1) 2^n / (repeats' factorials).
static uint64_t class_nodes(const struct ttzo_sparse_class *class, uint32_t dimension)
{
    uint64_t nodes = 1, repeats = 1;
    for (uint32_t k = 0; k < class->n_nonzero; k++) {
        if (nodes > UINT64_MAX / (2 * 65535u))
            return UINT32_MAX;
        nodes *= 2u * (dimension - k);
        repeats = k && class->value[k] == class->value[k - 1] ? repeats + 1 : 1;
        nodes /= repeats;
    }
    return nodes;
}

uint32_t ttzo_sparse_grid_nodes(const struct ttzo_sparse_grid *grid)
{
    uint64_t nodes = 0;
    for (uint32_t c = 0; c < grid->n_classes && nodes < UINT32_MAX; c++)
        nodes += class_nodes(&grid->classes[c], grid->dimension);
    return nodes < UINT32_MAX ? (uint32_t)nodes : UINT32_MAX;
}

void ttzo_sparse_grid_begin(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node)
{
    node->number = 0;
    node->class_number = 0;
    node->started = false;
    first_of_class(grid, node);
}

bool ttzo_sparse_grid_next(const struct ttzo_sparse_grid *grid, struct ttzo_sparse_node *node)
{
    if (node->started) {
        if (!next_state(grid, node)) {
            return false;
        }
        node->number++;
    }
    node->started = true;
    // bit 0 turns all signs; bit k gives coordinate k its own
    unsigned turned = node->sign_pattern & 1u;
    for (unsigned k = 0; k < node->n_nonzero; k++) {
        unsigned own = k == 0 ? 0u : (unsigned)node->sign_pattern >> k & 1u;
        float magnitude = grid->values[node->order[k]];
        node->value[k] = own != turned ? -magnitude : magnitude;
    }
    return true;
}

// ---- checks of what comes from outside

static bool class_is_valid(const struct ttzo_sparse_grid *grid, const struct ttzo_sparse_class *checked)
{
    if (checked->n_nonzero > TTZO_SPARSE_MAX_NONZERO || checked->n_nonzero > grid->dimension) {
        return false;
    }
    for (unsigned k = 0; k < checked->n_nonzero; k++) {
        if (checked->value[k] >= grid->n_values || (k > 0 && checked->value[k] < checked->value[k - 1])) {
            return false;
        }
    }
    return ttzo_is_finite(checked->weight);
}

bool ttzo_sparse_grid_is_valid(const struct ttzo_sparse_grid *grid)
{
    bool valid = grid->dimension > 0 && grid->n_classes > 0;
    for (unsigned k = 0; k < grid->n_values; k++) {
        float below = k > 0 ? grid->values[k - 1] : 0.0f;
        valid = valid && ttzo_is_finite(grid->values[k]) && grid->values[k] > below;
    }
    for (unsigned k = 0; k < grid->n_classes; k++) {
        valid = valid && class_is_valid(grid, &grid->classes[k]);
    }
    return valid;
}
