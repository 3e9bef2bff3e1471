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

bool ttzo_read_pde(const uint8_t *bytes, size_t size, uint32_t n_inputs, uint32_t n_outputs, struct ttzo_pde *pde)
{
    struct ttzo_section section = { bytes, size, true };
    const uint8_t *at = ttzo_section_bytes(&section, TTZO_PDE_INFO_BYTES);
    if (!at)
        return false;
    ttzo_unpack_pde_info(at, &pde->info);
    if (pde->info.n_groups > TTZO_ROW_GROUP_PLACES || n_outputs > TTZO_FUNCTION_PLACES ||
        pde->info.n_vectors > TTZO_VECTOR_PLACES || pde->info.section_bytes > size)
        return false;
    section.left = pde->info.section_bytes - TTZO_PDE_INFO_BYTES;
    section.sound = pde->info.section_bytes >= TTZO_PDE_INFO_BYTES;
    pde->low = ttzo_section_numbers(&section, n_inputs);
    pde->high = ttzo_section_numbers(&section, n_inputs);
    pde->directions = ttzo_section_bytes(&section, TTZO_PDE_DIRECTION_BYTES * (size_t)pde->info.n_directions);
    pde->units = ttzo_section_numbers(&section, pde->info.n_unknowns);
    pde->readings =
        ttzo_section_numbers(&section, (size_t)pde->info.n_readings * (n_inputs + (uint32_t)pde->info.n_measured));
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        if ((at = ttzo_section_bytes(&section, TTZO_ROW_GROUP_BYTES)))
            ttzo_unpack_row_group(at, &pde->groups[g]);
    for (uint32_t g = 0; g < pde->info.n_groups; g++)
        ttzo_section_program(&section, &pde->conditions[g]);
    for (uint32_t o = 0; o < n_outputs; o++)
        ttzo_section_program(&section, &pde->solution[o]);
    for (uint32_t o = 0; pde->info.has_exact && o < n_outputs; o++)
        ttzo_section_program(&section, &pde->exact[o]);
    for (uint32_t k = 0; k < (pde->info.has_points ? 1u + pde->info.has_time : 0u); k++)
        ttzo_section_program(&section, &pde->points[k & 1u]);
    for (uint32_t k = 0; k < ttzo_pde_vectors(pde); k++)
        ttzo_section_program(&section, &pde->vectors[k]);
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

static bool directions_are_sound(const struct ttzo_pde *pde, uint32_t n_inputs)
{
    for (uint32_t k = 0; k < ttzo_pde_directions(pde); k++) {
        struct ttzo_pde_direction direction;
        ttzo_unpack_pde_direction(pde->directions + k * TTZO_PDE_DIRECTION_BYTES, &direction);
        bool is_vector = direction.first == TTZO_VECTOR_DIRECTION;
        if ((!is_vector && direction.first >= n_inputs) ||
            direction.second >= (is_vector ? ttzo_pde_vectors(pde) : n_inputs) || !ttzo_is_finite(direction.factor) ||
            direction.order < 1 || direction.order > TTZO_MAX_ORDER)
            return false;
    }
    return ttzo_pde_directions(pde) <= TTZO_MAX_PDE_DIRECTIONS &&
           (ttzo_pde_directions(pde) == 0 || pde->info.derivative == TTZO_DERIVATIVE_JET ||
            pde->info.derivative == TTZO_DERIVATIVE_SAMPLED_JET);
}

static bool numbers_are_sound(const struct ttzo_pde *pde, uint32_t n_inputs)
{
    if (!TTZO_HAS(SYSTEMS)) // there are none
        return true;
    uint32_t numbers = pde->info.n_readings * (n_inputs + (uint32_t)pde->info.n_measured);
    for (uint32_t k = 0; k < pde->info.n_unknowns; k++)
        if (!ttzo_is_finite(pde->units[k]) || !(pde->units[k] >= 0.0f))
            return false;
    for (uint32_t k = 0; k < numbers; k++)
        if (!ttzo_is_finite(pde->readings[k]))
            return false;
    return pde->info.n_unknowns <= TTZO_MAX_UNKNOWNS;
}

// What programs may read at a point where these derivatives are known.
static struct ttzo_program_scope scope_of(const struct ttzo_pde *pde, uint32_t n_outputs, uint32_t needs)
{
    return (struct ttzo_program_scope){ .n_space = pde->info.n_space,
                                        .needs = needs,
                                        .n_outputs = n_outputs,
                                        .n_directions = ttzo_pde_directions(pde),
                                        .is_sampled = ttzo_sampled_directions(pde) > 0,
                                        .directions = pde->directions };
}

static bool faces_are_sound(const struct ttzo_pde *pde, const struct ttzo_row_group *group)
{
    bool on_faces =
        group->sampler == TTZO_SAMPLER_FACES || (TTZO_HAS(SYSTEMS) && group->sampler == TTZO_SAMPLER_OPPOSITE);
    return on_faces
               ? group->n_faces >= 1 && (uint32_t)group->first_face + group->n_faces <= 2u * (uint32_t)pde->info.n_space
               : group->n_faces == 0 && group->first_face == 0;
}

static bool groups_are_sound(const struct ttzo_pde *pde, uint32_t n_outputs, uint32_t batch)
{
    const uint32_t own_needs = ttzo_sampled_directions(pde) ? 0u : TTZO_NEED_DIAGONAL,
                   all_needs = TTZO_NEED_FIRST | TTZO_NEED_LAPLACIAN | TTZO_NEED_ALONG | own_needs;
    uint32_t rows = 0;
    for (uint32_t g = 0; g < pde->info.n_groups; g++) {
        const struct ttzo_row_group *group = &pde->groups[g];
        struct ttzo_program_scope scope = scope_of(pde, n_outputs, group->needs);
        bool is_measured = TTZO_HAS(SYSTEMS) && group->sampler == TTZO_SAMPLER_READINGS;
        scope.n_unknowns = TTZO_HAS(SYSTEMS) ? pde->info.n_unknowns : 0u;
        scope.n_measured = is_measured ? pde->info.n_measured : 0;
        bool wants_time = group->sampler == TTZO_SAMPLER_START || group->sampler == TTZO_SAMPLER_END;
        if (group->sampler > (TTZO_HAS(SYSTEMS) ? TTZO_SAMPLER_READINGS : TTZO_SAMPLER_END) ||
            (is_measured && pde->info.n_readings < 1) || (wants_time && !pde->info.has_time) ||
            group->needs & ~all_needs || group->count < 1 || !ttzo_is_finite(group->root_weight) ||
            !(group->root_weight > 0.0f) || !faces_are_sound(pde, group) ||
            !ttzo_program_is_sound(&pde->conditions[g], &scope, false))
            return false;
        rows += group->count;
    }
    return rows == batch;
}

static bool solutions_are_sound(const struct ttzo_pde *pde, uint32_t n_outputs)
{
    const struct ttzo_program_scope scope = scope_of(pde, n_outputs, 0);
    for (uint32_t o = 0; o < n_outputs; o++)
        if (!ttzo_program_is_sound(&pde->solution[o], &scope, false) ||
            (pde->info.has_exact && !ttzo_program_is_sound(&pde->exact[o], &scope, false)))
            return false;
    return true;
}

// Programs of the point alone.
static bool points_are_sound(const struct ttzo_pde *pde)
{
    const struct ttzo_program_scope scope = scope_of(pde, 0, 0); // no network
    for (uint32_t k = 0; k < ttzo_pde_vectors(pde); k++)
        if (!ttzo_program_is_sound(&pde->vectors[k], &scope, true))
            return false;
    return !pde->info.has_points || (ttzo_program_is_sound(&pde->points[0], &scope, true) &&
                                     (!pde->info.has_time || ttzo_program_is_sound(&pde->points[1], &scope, false)));
}

static bool sampling_is_sound(const struct ttzo_pde_info *info)
{
    if (!TTZO_HAS(SYSTEMS))
        return info->derivative != TTZO_DERIVATIVE_SAMPLED_JET;
    uint32_t n = info->n_sampled;
    return info->derivative == TTZO_DERIVATIVE_SAMPLED_JET ? n >= 1 && n <= TTZO_MAX_SAMPLED && (n & (n - 1)) == 0
                                                           : n == 0;
}

bool ttzo_pde_is_sound(const struct ttzo_pde *pde, uint32_t n_inputs, uint32_t n_outputs, uint32_t batch)
{
    const struct ttzo_pde_info *info = &pde->info;
    return n_outputs >= 1 && n_outputs <= TTZO_MAX_FIELDS && n_outputs <= batch && info->has_time <= 1 &&
           info->has_exact <= 1 && info->has_points <= 1 && info->n_space >= 1 &&
           (uint32_t)info->n_space + info->has_time == n_inputs && info->derivative <= TTZO_DERIVATIVE_SAMPLED_JET &&
           sampling_is_sound(info) && info->n_groups >= 1 && info->n_groups <= TTZO_ROW_GROUP_PLACES &&
           info->n_pairs >= 1 && ttzo_is_finite(info->radius) && info->radius > 0.0f &&
           bounds_are_sound(pde, n_inputs) && directions_are_sound(pde, n_inputs) && numbers_are_sound(pde, n_inputs) &&
           groups_are_sound(pde, n_outputs, batch) && solutions_are_sound(pde, n_outputs) && points_are_sound(pde) &&
           (info->derivative != TTZO_DERIVATIVE_SPARSE_GRID || ttzo_sparse_grid_is_valid(&pde->grid));
}
