// SPDX-License-Identifier: MIT
#include "cores/core_queries.h"

#include "cores/query_group.h"

#define Q TTZO_QUERIES_AT_ONCE

static bool asks_all(const struct ttzo_core_estimate *e)
{
    return e->base.asked.length == e->base.trainer->model->info.n_parameters;
}

static bool wants_any(const struct ttzo_core_estimate *e, const struct ttzo_slice_quad *quad, uint32_t offset,
                      const struct ttzo_core *core)
{
    if (asks_all(e))
        return true;
    for (uint32_t q = 0; q < quad->count; q++)
        for (uint32_t m = 0; m < core->m; m++)
            if (ttzo_is_asked(&e->base.asked, offset + quad->at[q] + m * core->n * core->right))
                return true;
    return false;
}

// Those of n quads, whose coordinates begin at `offset`.
static void add_differences(const struct ttzo_core_estimate *e, const struct ttzo_slice_quad *quads, uint32_t n,
                            uint32_t offset, float (*differences)[Q])
{
    float *gradient = e->base.trainer->gradient + offset;
    const bool all = asks_all(e);
    for (const struct ttzo_slice_quad *quad = quads, *end = quads + n; quad != end; quad++, differences++) {
        const uint32_t *at = quad->at;
        const float *found = *differences;
        if (all && quad->count == Q) {
            float *a = gradient + at[0], *b = gradient + at[1], *c = gradient + at[2], *d = gradient + at[3];
            float a_sum = *a + found[0], b_sum = *b + found[1], c_sum = *c + found[2], d_sum = *d + found[3];
            *a = a_sum, *b = b_sum, *c = c_sum, *d = d_sum;
            continue;
        }
        for (uint32_t q = 0; q < quad->count; q++)
            if (ttzo_is_asked(&e->base.asked, offset + at[q]))
                gradient[at[q]] = gradient[at[q]] + found[q];
    }
}

// Every entry of these quads of slices: mode by mode, because those of one mode move the same units.
static void query_quads(struct ttzo_core_estimate *e, uint32_t l, const struct ttzo_slices *slices, const float *moves,
                        const struct ttzo_slice_quad *quads, uint32_t n)
{
    const struct ttzo_environment *environment = slices->environment;
    uint32_t modes = environment->core.m, mr = environment->mr;
    uint32_t offset = environment->cache->layer->parameter_offset;
    uint32_t m_step = environment->core.n * environment->core.right;
    float differences[TTZO_QUADS_AT_ONCE][Q];
    struct ttzo_query_group group = { .units = { l, 0, environment->ml, mr, modes * mr },
                                      .bound = slices->bound,
                                      .moves = moves,
                                      .size = Q * environment->ml * mr,
                                      .n = n,
                                      .slices = slices,
                                      .quads = quads,
                                      .differences = differences };
    for (uint32_t i = 0; i < n; i++)
        group.n_queries += quads[i].count;
    for (uint32_t m = 0; m < modes; m++, group.units.first += mr) {
        ttzo_query_group_ask(&group, &e->queries, e->base.antithetic);
        add_differences(e, quads, n, offset + m * m_step, differences);
    }
}

enum ttzo_error ttzo_core_queries_ask(struct ttzo_core_estimate *e, uint32_t l, uint32_t k,
                                      const struct ttzo_environment *environment)
{
    struct ttzo_slices_place place = ttzo_slices_place_of(&e->queries.scratch, &e->queries.cache, l, k);
    uint32_t slice_size = Q * environment->ml * environment->mr, n = 0;
    uint32_t offset = environment->cache->layer->parameter_offset;
    struct ttzo_slice_quad quads[TTZO_QUADS_AT_ONCE];
    struct ttzo_slices slices;
    ttzo_slices_begin(&slices, environment, e->base.phase->perturb_radius);
    for (bool more = true; more;) {
        more = ttzo_slices_next(&slices, &quads[n]);
        if (more && wants_any(e, &quads[n], offset, &environment->core) &&
            ttzo_slices_make(&slices, &quads[n], place.at ? place.at + n * slice_size : e->queries.scratch.panels,
                             &e->queries.scratch.macs))
            n++;
        if (n == place.quads || (!more && n > 0)) {
            query_quads(e, l, &slices, place.at, quads, n);
            n = 0, slices.bound = 0.0f;
            slices.packed &= !ttzo_keeps_narrow(e->queries.cache.model); // queries take the panels' place
            enum ttzo_error error = ttzo_rows_still_wanted(&e->base, &e->queries.scratch.macs);
            if (error)
                return error;
        }
    }
    return TTZO_ERROR_OK;
}
