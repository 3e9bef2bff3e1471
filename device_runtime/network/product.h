// SPDX-License-Identifier: MIT
// The matrix products that all layers and environments are made of, in one place.
#ifndef TTZO_PRODUCT_H
#define TTZO_PRODUCT_H
#include <stdbool.h>
#include <stdint.h>

#include "contract/ttzo_contract.h"
#include "network/operand.h"

// Which operand of a product is data: zeros in it are left out.
enum ttzo_data { TTZO_DATA_NONE, TTZO_DATA_LEFT, TTZO_DATA_RIGHT };

// out[rows, columns] = start + left . right, C order; `start` lies like out (and may be out), NULL means zeros. Each
// output is one chain of multiply-adds over the ascending summed index. A summed index at which all data are zero is
// left out: that changes no output, but perhaps the sign of a zero. Returns the multiply-adds done.
uint32_t ttzo_product(float *out, const float *start, struct ttzo_operand left, struct ttzo_operand right,
                      uint32_t rows, uint32_t inner, uint32_t columns, enum ttzo_data data);

// A number of each of the queries that are evaluated side by side.
struct ttzo_quad {
    float of[TTZO_QUERIES_AT_ONCE];
};

// out[query * stride + column] = sum over i < n of changes[i][query] * matrix[places[i], column], for
// TTZO_QUERIES_AT_ONCE queries; `matrix` steps `outer` along places, `inner` along columns. Chains over ascending i.
// Returns the multiply-adds done for `n_queries` of them.
uint32_t ttzo_product_at_places(float *out, uint32_t stride, const float *changes, const uint16_t *places, uint32_t n,
                                struct ttzo_operand matrix, uint32_t columns, uint32_t n_queries);

#endif
