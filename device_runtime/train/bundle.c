// SPDX-License-Identifier: MIT
#include "equations/pde_bundle.h"
#include "identification/simulation.h"
#include "model/needed_parts.h"
#include "network/packed_rows.h"
#include "operations/graph.h"
#include "number/crc32.h"
#include "ttzo.h"

// Bytes of the section of the loss; 0 where it is cut off.
static size_t loss_section_bytes(const uint8_t *bytes, size_t size, struct ttzo_loss_info *loss)
{
    if (size < TTZO_LOSS_INFO_BYTES)
        return 0;
    ttzo_unpack_loss_info(bytes, loss);
    return TTZO_LOSS_INFO_BYTES + sizeof(float) * loss->n_class_weights;
}

// Bytes of the section of rows; 0 where it is cut off.
static size_t row_section_bytes(const uint8_t *bytes, size_t size, struct ttzo_row_info *rows)
{
    if (size < TTZO_ROW_INFO_BYTES)
        return 0;
    ttzo_unpack_row_info(bytes, rows);
    return TTZO_ROW_INFO_BYTES + 3 * sizeof(float) * rows->columns +
           (rows->packing ? sizeof(uint16_t) * TTZO_PACKING_NUMBERS : 0u);
}

enum ttzo_error ttzo_read_bundle(const uint8_t *bytes, size_t size, struct ttzo_layer *layers, struct ttzo_model *model,
                                 uint32_t *detail)
{
    const size_t fixed =
        TTZO_BUNDLE_HEADER_BYTES + TTZO_MODEL_INFO_BYTES + TTZO_TRAINING_BYTES + TTZO_MAX_PHASES * TTZO_PHASE_BYTES;
    struct ttzo_bundle_header header;
    struct ttzo_model_info info;

    if (!bytes || !layers || !model || !detail)
        return TTZO_ERROR_NULL_POINTER;
    *detail = 1;
    if (size < fixed + 4 || (uintptr_t)bytes % sizeof(float))
        return TTZO_ERROR_BAD_BUNDLE;
    ttzo_unpack_bundle_header(bytes, &header);
    *detail = 2;
    if (header.magic != TTZO_BUNDLE_MAGIC)
        return TTZO_ERROR_BAD_BUNDLE;
    *detail = header.format;
    if (header.format != TTZO_BUNDLE_FORMAT)
        return TTZO_ERROR_BAD_BUNDLE_FORMAT;
    *detail = 3;
    if (header.total_bytes != size)
        return TTZO_ERROR_BAD_BUNDLE;
    *detail = 4;
    if (ttzo_crc32(0, bytes, size - 4) != ttzo_get_u32(bytes + size - 4))
        return TTZO_ERROR_BAD_BUNDLE;

    const uint8_t *at = bytes + TTZO_BUNDLE_HEADER_BYTES;
    ttzo_unpack_model_info(at, &info);
    *detail = 5;
    if (info.n_layers > TTZO_MAX_LAYERS || info.n_parameters > TTZO_MAX_PARAMETERS || header.metadata_bytes > size)
        return TTZO_ERROR_BAD_BUNDLE;
    struct ttzo_loss_info loss = { 0 };
    size_t loss_bytes = info.has_loss_section ? loss_section_bytes(bytes + fixed, size - fixed, &loss) : 0;
    struct ttzo_row_info rows = { 0 };
    size_t before_rows = fixed + loss_bytes;
    size_t row_bytes = info.has_row_section && before_rows <= size
                           ? row_section_bytes(bytes + before_rows, size - before_rows, &rows)
                           : 0;
    size_t without_section = fixed + loss_bytes + row_bytes + info.n_layers * TTZO_LAYER_BYTES +
                             sizeof(float) * info.n_parameters + header.metadata_bytes + 4;
    if ((info.has_loss_section && !loss_bytes) || (info.has_row_section && !row_bytes) || without_section > size ||
        (info.n_layers && info.loss != TTZO_LOSS_RESIDUAL && without_section != size))
        return TTZO_ERROR_BAD_BUNDLE;
    at += TTZO_MODEL_INFO_BYTES;

    *model = (struct ttzo_model){ .info = info, .layers = layers, .loss = loss, .rows = rows };
    for (uint32_t i = 0; i < TTZO_HASH_BYTES; i++)
        model->hash[i] = header.hash[i];
    ttzo_unpack_training(at, &model->training);
    at += TTZO_TRAINING_BYTES;
    for (uint32_t p = 0; p < TTZO_MAX_PHASES; p++, at += TTZO_PHASE_BYTES)
        ttzo_unpack_phase(at, &model->phases[p]);
    model->class_weights = (const float *)(const void *)(at + TTZO_LOSS_INFO_BYTES);
    at += loss_bytes;
    model->columns = (const float *)(const void *)(at + TTZO_ROW_INFO_BYTES);
    model->packing = (const uint16_t *)(const void *)(model->columns + 3 * rows.columns);
    at += row_bytes;
    for (uint32_t l = 0; l < info.n_layers; l++, at += TTZO_LAYER_BYTES)
        ttzo_unpack_layer(at, &layers[l]);
    if (!info.n_layers &&
        info.loss !=
            TTZO_LOSS_SIMULATION) { // a graph's section; without an equation it fills what is left before the parameters
        *detail = TTZO_PART_OPERATIONS;
        if (!TTZO_HAS(OPERATIONS))
            return TTZO_ERROR_NOT_BUILT_IN;
        *detail = 7;
        size_t graph_bytes = ttzo_read_graph(at, size - without_section, &model->graph);
        if (!graph_bytes || (info.loss != TTZO_LOSS_RESIDUAL && graph_bytes != size - without_section))
            return TTZO_ERROR_BAD_BUNDLE;
        at += graph_bytes;
        without_section += graph_bytes;
    }
    *detail = ttzo_needed_parts(model) & ~(uint32_t)TTZO_PARTS;
    if (*detail)
        return TTZO_ERROR_NOT_BUILT_IN;
    if (ttzo_has_equation(model)) { // its section fills what is left between layers or graph and parameters
        *detail = 6;
        bool is_read = ttzo_read_pde(at, size - without_section, info.in_features, info.out_features, &model->pde);
        uint32_t missing = ttzo_needed_parts(model) & ~(uint32_t)TTZO_PARTS;
        *detail = missing ? missing : 6;
        if (missing)
            return TTZO_ERROR_NOT_BUILT_IN;
        if (!is_read || model->pde.info.section_bytes != size - without_section)
            return TTZO_ERROR_BAD_BUNDLE;
        at += model->pde.info.section_bytes;
        *detail = 0;
    }
    if (ttzo_has_simulation(model)) { // its section fills what is left between phases and parameters
        *detail = 8;
        if (size - without_section < TTZO_SIMULATION_INFO_BYTES)
            return TTZO_ERROR_BAD_BUNDLE;
        ttzo_unpack_simulation_info(at, &model->simulation.info);
        model->simulation.section = at;
        if (model->simulation.info.section_bytes != size - without_section)
            return TTZO_ERROR_BAD_BUNDLE;
        at += size - without_section;
    }
    model->parameters = (const float *)(const void *)at;
    return ttzo_check_model(model, detail);
}
