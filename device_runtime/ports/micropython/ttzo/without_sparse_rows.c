// SPDX-License-Identifier: MIT
// A native module has this in the place of sparse_rows: in an interpreter rows are objects or files, and no memory is
// given to the region sparse, which therefore never holds a row.
#include "network/sparse_rows.h"

enum ttzo_error ttzo_sparse_check(const struct ttzo_model *model, const uint8_t *bytes, uint32_t count, uint32_t *n_rows,
                                  uint32_t *detail)
{
    (void)model, (void)bytes, (void)count, (void)n_rows;
    *detail = 0;
    return TTZO_ERROR_BAD_SPARSE_ROWS;
}

void ttzo_sparse_row(const struct ttzo_model *model, const uint8_t *bytes, uint32_t row, uint8_t *out)
{
    (void)model, (void)bytes, (void)row, (void)out;
}
