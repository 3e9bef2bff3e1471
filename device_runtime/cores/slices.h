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

// How the state and the factor are walked over: number (summed, kept, line) of the state, (other, row, summed) of the
// factor. Kept indices come with the state, rows with the factor; together they are the slice's (ml, mr).
struct ttzo_slice_walk {
    uint32_t summed, kept, rows;
    uint32_t summed_stride, kept_stride;
    struct ttzo_operand factor;   // of other index 0
    uint32_t other_stride;        // from one other index to the next
    uint32_t kept_step, row_step; // in a slice
};

// A line of the state: where it begins there, and the coordinate of entry 0 of its first slice.
struct ttzo_line {
    uint32_t place, coordinate;
};

// Four slices, or the last ones, of which entry m is coordinate at[i] + m * (the core's n * right) of the layer.
struct ttzo_slice_quad {
    uint32_t count;
    uint32_t at[TTZO_QUERIES_AT_ONCE];
    uint32_t places[TTZO_QUERIES_AT_ONCE]; // where their lines begin; after the last, the first again
};

// Walks over a core's slices, four at a time: those of four *lines*, each with the same *other* index. Lines of the
// state that are zero are left out: their slices are zero.
//     from the right   lines (n, b), others a
//     from the left    lines (n, a), others b
//     from the input   lines (a, n, b), which are places
struct ttzo_slices {
    const struct ttzo_environment *environment;
    struct ttzo_slice_walk walk;
    float scale;                       // slices are those of scale times x
    uint32_t others, other_step;       // how many; coordinates from one to the next
    uint32_t middle;                   // place in a line, from its begin
    uint32_t run, left_in_run, left;   // lines in a row, and those left in the running row and at all
    struct ttzo_line line, step, jump; // the next line; what is added to it, and after the last one of a row besides
    struct ttzo_slice_quad quad;       // the running one
    uint32_t other;                    // its other index
    bool begun, packed;                // whether there was one; whether its lines are in the panels
    float gain;                        // no slice is larger than gain times the largest number of the state
    uint32_t first, end;               // summed indices at which the four lines are not all zero; none when they are
    float largest;                     // number of the four lines
    float bound;                       // no number of the slices made since this was 0 is larger
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
bool ttzo_slices_make(struct ttzo_slices *slices, const struct ttzo_slice_quad *quad, float *out, uint64_t *macs);

// The lines of such a quad.
struct ttzo_lines ttzo_slices_lines(const struct ttzo_slices *slices, const struct ttzo_slice_quad *quad);

#endif
