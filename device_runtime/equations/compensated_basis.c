// SPDX-License-Identifier: MIT
#include "equations/compensated_basis.h"

#include "equations/compensated.h"
#include "network/merged_layer.h"
#include "number/real.h"

static const float LEAST_SQUARE = 1e-30f; // of a length; below, its reciprocal loses its digits

uint32_t ttzo_basis_size(const struct ttzo_model *model)
{
    struct ttzo_layer first = ttzo_merged_layer(&model->layers[0]);
    if (first.kind != TTZO_LAYER_KIND_TT_TENSOR || first.n_in_modes != 1 || first.ranks[1] >= model->pde.info.n_space)
        return 0;
    return first.ranks[1];
}

static struct ttzo_two_floats get(const float at[2])
{
    return (struct ttzo_two_floats){ ttzo_lanes_of(at[0]), ttzo_lanes_of(at[1]) };
}

static void put(float at[2], struct ttzo_two_floats x)
{
    at[0] = ttzo_lanes_first(x.head);
    at[1] = ttzo_lanes_first(x.tail);
}

static struct ttzo_two_floats dot(const float *a, const float *b, uint32_t n)
{
    struct ttzo_sum total = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
    for (uint32_t i = 0; i < n; i++)
        total = ttzo_two_floats_muladd(get(a + 2 * i), get(b + 2 * i), total);
    return ttzo_rounded(total);
}

// v -= share q
static void take_off(float *v, const float *q, struct ttzo_two_floats share, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct ttzo_two_floats own = get(v + 2 * i);
        struct ttzo_sum total = { own.head, own.tail };
        put(v + 2 * i, ttzo_rounded(ttzo_two_floats_muladd(ttzo_two_floats_minus(share), get(q + 2 * i), total)));
    }
}

// A step of Newton's from the float's.
static struct ttzo_two_floats inverse_root(struct ttzo_two_floats square)
{
    float near = 1.0f / ttzo_sqrt(ttzo_lanes_first(ttzo_two_floats_whole(square)));
    struct ttzo_two_floats root = ttzo_two_floats_of(ttzo_lanes_of(near), ttzo_lanes_of(0.0f));
    struct ttzo_sum one = { ttzo_lanes_of(1.0f), ttzo_lanes_of(0.0f) };
    struct ttzo_sum left =
        ttzo_two_floats_muladd(ttzo_two_floats_minus(square), ttzo_two_floats_times(root, root), one);
    return ttzo_rounded((struct ttzo_sum){ ttzo_lanes_of(near), 0.5f * near * (left.sum + left.rest) });
}

static void normalise(float *v, uint32_t n)
{
    struct ttzo_two_floats square = dot(v, v, n);
    bool counts = ttzo_lanes_first(ttzo_two_floats_whole(square)) > LEAST_SQUARE;
    struct ttzo_two_floats factor = counts ? inverse_root(square) : get((const float[2]){ 0.0f, 0.0f });
    for (uint32_t i = 0; i < n; i++)
        put(v + 2 * i, ttzo_two_floats_times(factor, get(v + 2 * i)));
}

// What the first core (1, inputs, rank) reads of an input.
static struct ttzo_two_floats read_core(const struct ttzo_model *model, const float *theta, const float *merged,
                                        uint32_t at)
{
    const struct ttzo_layer *first = &model->layers[0];
    if (ttzo_cores_together(first, 0) == 1)
        return ttzo_two_floats_of(ttzo_lanes_of(theta[first->parameter_offset + at]), ttzo_lanes_of(0.0f));
    return get(merged + 2 * at);
}

// Gram and Schmidt's, twice: once leaves what rounding made of the part that cancels.
void ttzo_basis_make(const struct ttzo_model *model, const float *theta, const float *merged, float *basis)
{
    uint32_t size = ttzo_basis_size(model), n = model->pde.info.n_space;
    float *v = basis;
    for (uint32_t r = 0; r < size; r++, v += 2 * n) {
        for (uint32_t i = 0; i < n; i++)
            put(v + 2 * i, read_core(model, theta, merged, i * size + r));
        normalise(v, n);
        for (uint32_t turn = 0; turn < 2; turn++) {
            for (uint32_t k = 0; k < r; k++)
                take_off(v, basis + 2 * n * k, dot(basis + 2 * n * k, v, n), n);
            normalise(v, n);
        }
    }
}
