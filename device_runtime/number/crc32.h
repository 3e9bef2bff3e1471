// SPDX-License-Identifier: MIT
#ifndef TTZO_CRC32_H
#define TTZO_CRC32_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// CRC-32 (IEEE 802.3, as zlib's crc32) of `count` bytes, going on from `crc` (0 at the start).
uint32_t ttzo_crc32(uint32_t crc, const uint8_t *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif
