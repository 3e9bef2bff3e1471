// SPDX-License-Identifier: MIT
// A PDE's way in: the bundle's section is read and every number checked once; later code runs blind.
#include "equations/pde_bundle.h"

#include "programs/program.h"
#include "equations/sparse_grid.h"
#include "number/real.h"
#include "programs/section.h"

// ---- reading --------------------------------------------------------------------------------------------------------

static void read_grid(struct ttzo_section *section, uint32_t n_inputs, struct ttzo_pde *pde)
{
    // A class lies in the bundle as in memory: float weight, u8 n_nonzero, u8 value[7].
    pde->grid = (struct ttzo_sparse_grid){
        .dimension = (uint16_t)n_inputs,
        .n_classes = pde->info.n_classes,
        .n_values = pde->info.n_values,
    };
    pde->grid.values = ttzo_section_numbers(section, pde->info.n_values);
    pde->grid.classes = (const struct ttzo_sparse_class *)(const void *)ttzo_section_bytes(
        section, sizeof(struct ttzo_sparse_class) * pde->info.n_classes);
}

bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, struct ttzo_pde *pde)
{
    struct ttzo_section section = { bytes, size, true };
    const uint8_t *at = ttzo_section_bytes(&section, TTZO_PDE_INFO_BYTES);
    if (!at)
        return false;
    ttzo_unpack_pde_info(at, &pde->info);
    if (pde->info.n_groups > TTZO_MAX_ROW_GROUPS || pde->info.section_bytes > size)
        return false;
    section.left = pde->info.section_bytes - TTZO_PDE_INFO_BYTES;
    section.sound = pde->info.section_bytes >= TTZO_PDE_INFO_BYTES;
    pde->low = ttzo_section_numbers(&section, n_inputs);
    pde->high = ttzo_section_numbers(&section, n_inputs);
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        if ((at = ttzo_section_bytes(&section, TTZO_ROW_GROUP_BYTES)))
            ttzo_unpack_row_group(at, &pde->groups[g]);
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        ttzo_section_program(&section, &pde->conditions[g]);
    ttzo_section_program(&section, &pde->solution);
    if (pde->info.has_exact)
        ttzo_section_program(&section, &pde->exact);
    for (uint32_t k = 0; k < (pde->info.has_points ? 1u + pde->info.has_time : 0u); k++)
        ttzo_section_program(&section, &pde->points[k & 1u]);
    read_grid(&section, n_inputs, pde);
    return section.sound && section.left == 0;
}

// ---- checking -------------------------------------------------------------------------------------------------------

static bool bounds_are_sound(const struct ttzo_pde *pde, uint32_t n_inputs)
{
    for (uint32_t i = 0; i < n_inputs; i++)
        if (!ttzo_is_finite(pde->low[i]) || !ttzo_is_finite(pde->high[i]) || !(pde->low[i] < pde->high[i]))
            return false;
    return true;
}

static bool groups_are_sound(const struct ttzo_pde *pde, uint32_t batch)
{
    const uint32_t all_needs = TTZO_NEED_FIRST | TTZO_NEED_LAPLACIAN | TTZO_NEED_DIAGONAL;
    uint32_t rows = 0;
    for (uint32_t g = 0; g < pde->info.n_groups; g++) {
        const struct ttzo_row_group *group = &pde->groups[g];
        bool wants_time = group->sampler == TTZO_SAMPLER_START || group->sampler == TTZO_SAMPLER_END;
        if (group->sampler > TTZO_SAMPLER_END || (wants_time && !pde->info.has_time) || group->needs & ~all_needs ||
            group->count < 1 || !ttzo_is_finite(group->root_weight) || !(group->root_weight > 0.0f) ||
            !ttzo_program_is_sound(&pde->conditions[g], pde->info.n_space, group->needs, false))
            return false;
        rows += group->count;
    }
    return rows == batch;
}

static bool points_are_sound(const struct ttzo_pde *pde)
{
    uint32_t n = pde->info.n_space;
    return !pde->info.has_points || (ttzo_program_is_sound(&pde->points[0], n, 0, true) &&
                                     (!pde->info.has_time || ttzo_program_is_sound(&pde->points[1], n, 0, false)));
}

bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t batch)
{
    const struct ttzo_pde_info *info = &pde->info;
    return info->has_time <= 1 && info->has_exact <= 1 && info->has_points <= 1 && info->n_space >= 1 &&
           (uint32_t)info->n_space + info->has_time == n_inputs &&
           info->derivative <= TTZO_DERIVATIVE_COMPENSATED_JET && info->n_groups >= 1 &&
           info->n_groups <= TTZO_MAX_ROW_GROUPS && info->n_pairs >= 1 && ttzo_is_finite(info->radius) &&
           info->radius > 0.0f && bounds_are_sound(pde, n_inputs) && groups_are_sound(pde, batch) &&
           ttzo_program_is_sound(&pde->solution, info->n_space, 0, false) &&
           (!info->has_exact || ttzo_program_is_sound(&pde->exact, info->n_space, 0, false)) && points_are_sound(pde) &&
           (info->derivative != TTZO_DERIVATIVE_SPARSE_GRID || ttzo_sparse_grid_is_valid(&pde->grid));
}
