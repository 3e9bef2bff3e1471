// SPDX-License-Identifier: MIT
// Rows that arrive packed, by a code made at export from the rows' bytes.
#ifndef TTZO_NETWORK_PACKED_ROWS_H
#define TTZO_NETWORK_PACKED_ROWS_H
#include "model/model.h"

#define TTZO_PACKING_NUMBERS (TTZO_LONGEST_CODE + TTZO_PACKING_SYMBOLS)

#if TTZO_HAS(PACKING)

// Whether the model's code is complete and has each length and symbol in range, so that any bits are symbols.
bool ttzo_packing_is_sound(const uint16_t packing[TTZO_PACKING_NUMBERS]);

// Whether `packed` holds exactly `count` bytes; they are written to `out`, unless that is NULL.
bool ttzo_unpack_rows(const uint16_t packing[TTZO_PACKING_NUMBERS], const uint8_t *packed, uint32_t packed_bytes,
                      uint8_t *out, uint32_t count);

#else

static inline bool ttzo_packing_is_sound(const uint16_t *packing)
{
    (void)packing;
    return true; // such a device takes rows as they are
}

#endif

#endif
