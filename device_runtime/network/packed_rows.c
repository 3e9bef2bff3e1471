// SPDX-License-Identifier: MIT
#include "network/packed_rows.h"

#if TTZO_HAS(PACKING)

struct bits {
    const uint8_t *bytes;
    uint32_t at, count;
};

// The next bit, the highest of a byte first; 0 beyond the last.
static uint32_t next_bit(struct bits *bits)
{
    uint32_t at = bits->at++;
    return at < bits->count ? (uint32_t)bits->bytes[at / 8] >> (7 - at % 8) & 1u : 0u;
}

// Of a canonical code: `place` counts from the first code of the present length.
static uint32_t next_symbol(const uint16_t *packing, struct bits *bits)
{
    const uint16_t *symbols = packing + TTZO_LONGEST_CODE;
    uint32_t place = 0, n = 0;
    do {
        place = 2 * place + next_bit(bits);
        if (place < *packing)
            return symbols[place];
        place -= *packing;
        symbols += *packing++;
    } while (++n < TTZO_LONGEST_CODE);
    return 0; // of no complete code
}

bool ttzo_packing_is_sound(const uint16_t packing[TTZO_PACKING_NUMBERS])
{
    uint32_t free = 1, n = 0; // codes of the present length that no shorter one begins
    for (uint32_t length = 0; length < TTZO_LONGEST_CODE; length++) {
        free *= 2;
        if (packing[length] > free)
            return false;
        free -= packing[length];
        n += packing[length];
    }
    for (uint32_t i = 0; i < TTZO_PACKING_SYMBOLS; i++)
        if (packing[TTZO_LONGEST_CODE + i] >= TTZO_PACKING_SYMBOLS)
            return false;
    return free == 0 && n == TTZO_PACKING_SYMBOLS;
}

bool ttzo_unpack_rows(const uint16_t packing[TTZO_PACKING_NUMBERS], const uint8_t *packed, uint32_t packed_bytes,
                      uint8_t *out, uint32_t count)
{
    struct bits bits = { packed, 0, 8 * packed_bytes };
    for (uint32_t i = 0; i < count;) {
        uint32_t symbol = next_symbol(packing, &bits), run = 1;
        if (symbol > UINT8_MAX) {
            for (; symbol > UINT8_MAX; symbol--)
                run = 2 * run + next_bit(&bits);
            symbol = 0;
        }
        if (run > count - i || bits.at > bits.count)
            return false;
        for (; run; run--, i++)
            if (out)
                out[i] = (uint8_t)symbol;
    }
    return bits.count - bits.at < 8;
}

#endif
