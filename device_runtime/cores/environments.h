// SPDX-License-Identifier: MIT
// What the coordinates of a tensor-train core share. A layer is linear in each of its cores: adding mu to entry
// (a, m, n, b) of core k moves the layer's pre-activation exactly by mu times a *slice*
//     slice[ml, mr] = sum over nl, nr of  left[ml, nl, a] x[nl, n, nr] right[b, mr, nr]      at the units (ml, m, mr),
// where ml, nl (mr, nr) run over the output and input modes of the cores before (after) k, and left and right are the
// products of those cores. The slice is the same for every m. It comes from two caches: products of cores, made once
// a step, and arrays of x contracted with some of the cores, made once a sample. slices.h makes slices of them.
#ifndef TTZO_ENVIRONMENTS_H
#define TTZO_ENVIRONMENTS_H
#include "cores/core_products.h"

// Numbers in a cache's `states`.
uint64_t ttzo_states_numbers(const struct ttzo_layer *layer);

// Whether some of the layer's slices come from a sweep from the left: then all come from arrays in `states`, none from
// the layer's input itself, which is only wanted on the way forward and when the sweep begins.
bool ttzo_environment_sweeps(const struct ttzo_layer *layer);

// Of a layer that sweeps: the number of `states` from which on nothing is needed while its input is.
uint64_t ttzo_environment_input_place(const struct ttzo_layer *layer);

// Whether the sweep begins when core `k` is opened.
bool ttzo_environment_sweep_begins(const struct ttzo_layer *layer, uint32_t k);

// Numbers of `states` that hold nothing while the slices of core `k` are made and asked about.
struct ttzo_span {
    uint64_t first, end;
};

struct ttzo_span ttzo_environment_spare(const struct ttzo_layer *layer, uint32_t k);

// Numbers of a cache's `panels` that the functions below use.
uint64_t ttzo_environment_panels(const struct ttzo_layer *layer);

// Once a sample: `z` from `input`, keeping `states`. The values of ttzo_layer_forward, where states are float. Like the
// functions below, returns the multiply-adds done.
uint32_t ttzo_environments_forward(const struct ttzo_layer_cache *cache);

// What the slices of one core are made of, for one sample.
struct ttzo_environment {
    const struct ttzo_layer_cache *cache;
    struct ttzo_core core;
    uint32_t ml, mr, nl, nr; // extents of the cores before and after it
    enum { TTZO_FROM_RIGHT, TTZO_FROM_LEFT, TTZO_FROM_INPUT } way;
    struct ttzo_array state; // x contracted with the cores on one side
    const float *factor;  // product of the cores on the other side (from the input: up to the middle rank), NULL for 1
    const float *outputs; // from the input: product of the output cores [r][mr]
    uint32_t rank;        // from the input: the middle rank r
};

// Turns to core `k` of a cache that has gone forward. Cores must be visited in ascending order: from the middle core
// on, the sweep takes the place of the states before it.
uint32_t ttzo_environment_open(struct ttzo_environment *environment, const struct ttzo_layer_cache *cache, uint32_t k);

#endif
