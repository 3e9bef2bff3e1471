// SPDX-License-Identifier: MIT
#include "network/sparse_rows.h"

#include "network/loss.h"
#include "network/network.h"

#if TTZO_HAS(SPARSE)

// Bytes of a row's parts.
struct parts {
    uint32_t mask, number, inputs, target;
};

static struct parts parts_of(const struct ttzo_model *model)
{
    uint32_t inputs = ttzo_input_bytes(model), n = model->info.in_features;
    return (struct parts){ (n + 7) / 8, inputs / n, inputs, ttzo_row_bytes(model) - inputs };
}

static uint32_t end_of(const uint8_t *bytes, uint32_t row)
{
    return ttzo_get_u32(bytes + TTZO_SPARSE_ROWS_BYTES + 4 * row);
}

static uint32_t begin_of(const uint8_t *bytes, uint32_t row)
{
    return row ? end_of(bytes, row - 1) : TTZO_SPARSE_ROWS_BYTES + 4 * ttzo_get_u32(bytes);
}

static uint32_t ones_in(const uint8_t *mask, uint32_t count)
{
    uint32_t ones = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t bits = mask[i]; bits; bits &= bits - 1)
            ones++;
    return ones;
}

// Whether the row [begin, end) is as long as its mask says, with no bit beyond the last input.
static bool row_is_sound(const struct parts *parts, uint32_t n_inputs, const uint8_t *bytes, uint32_t begin,
                         uint32_t end)
{
    if (end - begin < parts->mask + parts->target)
        return false;
    uint32_t spare = 8 * parts->mask - n_inputs, numbers = ones_in(bytes + begin, parts->mask);
    return bytes[begin + parts->mask - 1] >> (8 - spare) == 0 &&
           end - begin == parts->mask + numbers * parts->number + parts->target;
}

enum ttzo_error ttzo_sparse_check(const struct ttzo_model *model, const uint8_t *bytes, uint32_t count,
                                  uint32_t *n_rows, uint32_t *detail)
{
    struct parts parts = parts_of(model);
    *detail = 0;
    if (count < TTZO_SPARSE_ROWS_BYTES || ttzo_get_u32(bytes) > (count - TTZO_SPARSE_ROWS_BYTES) / 4)
        return TTZO_ERROR_BAD_SPARSE_ROWS;
    uint32_t n = ttzo_get_u32(bytes), begin = begin_of(bytes, 0);
    for (; *detail < n; ++*detail) {
        uint32_t end = end_of(bytes, *detail);
        if (end < begin || end > count || !row_is_sound(&parts, model->info.in_features, bytes, begin, end))
            return TTZO_ERROR_BAD_SPARSE_ROWS;
        if (!ttzo_target_is_sound(model, bytes + end - parts.target))
            return TTZO_ERROR_BAD_LABEL;
        begin = end;
    }
    if (begin != count)
        return TTZO_ERROR_BAD_SPARSE_ROWS;
    *n_rows = n;
    return TTZO_ERROR_OK;
}

void ttzo_sparse_row(const struct ttzo_model *model, const uint8_t *bytes, uint32_t row, uint8_t *out)
{
    struct parts parts = parts_of(model);
    const uint8_t *mask = bytes + begin_of(bytes, row), *from = mask + parts.mask;
    for (uint32_t i = 0; i < model->info.in_features; i++) {
        bool is_there = mask[i / 8] >> i % 8 & 1;
        for (uint32_t b = 0; b < parts.number; b++)
            *out++ = is_there ? *from++ : 0;
    }
    for (uint32_t b = 0; b < parts.target; b++)
        *out++ = *from++;
}

#endif
