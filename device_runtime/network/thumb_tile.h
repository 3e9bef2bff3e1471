// SPDX-License-Identifier: MIT
// A tile of 4 x 4 outputs in the FPU registers of a Cortex-M: s0-s15 hold the outputs, row by row. Fused, a step is 16
// vfma; separate, the products pass through s24-s31.
#ifndef TTZO_THUMB_TILE_H
#define TTZO_THUMB_TILE_H
#include "number/real.h"

#if TTZO_FUSED
#define TTZO_CELL(sum, a, b, product) "vfma.f32 s" #sum ", s" #a ", s" #b "\n"
#else
#define TTZO_CELL(sum, a, b, product)                                                                                  \
    "vmul.f32 s" #product ", s" #a ", s" #b "\n vadd.f32 s" #sum ", s" #sum ", s" #product "\n"
#endif
#define TTZO_ROW(c0, c1, c2, c3, a, b0, b1, b2, b3)                                                                    \
    TTZO_CELL(c0, a, b0, 24) TTZO_CELL(c1, a, b1, 25) TTZO_CELL(c2, a, b2, 26) TTZO_CELL(c3, a, b3, 27)

// outputs += four numbers times four numbers
#define TTZO_STEP(a0, a1, a2, a3, b0, b1, b2, b3)                                                                      \
    TTZO_ROW(0, 1, 2, 3, a0, b0, b1, b2, b3)                                                                           \
    TTZO_ROW(4, 5, 6, 7, a1, b0, b1, b2, b3)                                                                           \
    TTZO_ROW(8, 9, 10, 11, a2, b0, b1, b2, b3)                                                                         \
    TTZO_ROW(12, 13, 14, 15, a3, b0, b1, b2, b3)

// What an assembly statement of such tiles changes besides its operands.
#define TTZO_TILE_CLOBBERS                                                                                             \
    "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",     \
        "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29",       \
        "s30", "s31"

#endif
