// SPDX-License-Identifier: MIT
// Slices of a core's environment (environments.h), four side by side, so that every product they enter is one of
// panels.
#ifndef TTZO_SLICES_H
#define TTZO_SLICES_H
#include "cores/environments.h"
#include "network/product.h"

// Numbers of a cache's `panels` that slices of the layer need.
uint64_t ttzo_slices_panels(const struct ttzo_layer *layer);

// Largest slice of the layer.
uint32_t ttzo_slice_widest(const struct ttzo_layer *layer);

// Walks over a core's slices, four at a time: those of four neighbouring *lines*, each with the same *other* index.
//     from the right   lines (n, b), others a
//     from the left    lines (n, a), others b
//     from the input   lines (a, n, b)
struct ttzo_slices {
    const struct ttzo_environment *environment;
    float scale;            // slices are those of scale times x
    uint32_t lines, others; // how many
    uint32_t line, other;   // of the running quad, from its first line on
    bool begun, packed;     // whether there was one; whether its lines are in the panels
    float gain;             // no slice is larger than gain times the largest number of the state
    uint32_t first, end;    // summed indices at which the four lines are not all zero; none when they are
    float largest;          // number of the four lines
};

// Four slices, or the last ones, of which entry m is coordinate at[i] + m * m_stride of the layer.
struct ttzo_slice_quad {
    uint32_t count, m_stride, line; // the first one's line
    uint32_t at[TTZO_QUERIES_AT_ONCE];
    float largest; // no number of the slices is larger
};

// Where slices are numbers of the state: number i of slice q is `scale` times the state's number at[q] + i * step.
struct ttzo_lines {
    struct ttzo_array state;
    float scale;
    uint32_t at[TTZO_QUERIES_AT_ONCE], step;
};

void ttzo_slices_begin(struct ttzo_slices *slices, const struct ttzo_environment *environment, float scale);

// The coordinates of the next quad; false after the last.
bool ttzo_slices_next(struct ttzo_slices *slices, struct ttzo_slice_quad *quad);

// Makes the slices of the quad that ttzo_slices_next gave, out[ml, mr][4], with zeros after the last; false (and
// nothing made) when all are zero. Adds the multiply-adds done to `macs`.
bool ttzo_slices_make(struct ttzo_slices *slices, struct ttzo_slice_quad *quad, float *out, uint64_t *macs);

// The lines of such a quad: after the last line, the first again.
struct ttzo_lines ttzo_slices_lines(const struct ttzo_slices *slices, const struct ttzo_slice_quad *quad);

#endif
