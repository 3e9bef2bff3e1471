// SPDX-License-Identifier: MIT
#ifndef TTZO_TILE_H
#define TTZO_TILE_H

// Which loops compute products: 0 plain ones, 1 tiles in portable C, 2 in assembly or vectors where there are some. All
// give the same bits.
#ifndef TTZO_TILE
#define TTZO_TILE 2
#endif

#endif
