// SPDX-License-Identifier: MIT
// Training rows without their zeros, as they stand in the region sparse (struct sparse_rows of the contract).
#ifndef TTZO_SPARSE_ROWS_H
#define TTZO_SPARSE_ROWS_H
#include "model/model.h"

#if TTZO_HAS(SPARSE)

// Checks `count` bytes and counts their rows; TTZO_ERROR_BAD_SPARSE_ROWS or TTZO_ERROR_BAD_LABEL with the row in
// `detail`. ttzo_sparse_row then runs blind.
enum ttzo_error ttzo_sparse_check(const struct ttzo_model *model, const uint8_t *bytes, uint32_t count,
                                  uint32_t *n_rows, uint32_t *detail);

// Writes row `row` to `out` [row_bytes] as it is sent.
void ttzo_sparse_row(const struct ttzo_model *model, const uint8_t *bytes, uint32_t row, uint8_t *out);

#else

static inline enum ttzo_error ttzo_sparse_check(const struct ttzo_model *model, const uint8_t *bytes, uint32_t count,
                                                uint32_t *n_rows, uint32_t *detail)
{
    (void)model, (void)bytes, (void)count, (void)n_rows;
    *detail = TTZO_PART_SPARSE;
    return TTZO_ERROR_NOT_BUILT_IN;
}

static inline void ttzo_sparse_row(const struct ttzo_model *model, const uint8_t *bytes, uint32_t row, uint8_t *out)
{
    (void)model, (void)bytes, (void)row, (void)out;
}

#endif
#endif
