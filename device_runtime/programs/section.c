// SPDX-License-Identifier: MIT
#include "programs/section.h"

#if TTZO_HAS(EQUATIONS) || TTZO_HAS(IDENTIFICATION)

const uint8_t *ttzo_section_bytes(struct ttzo_section *section, size_t count)
{
    const uint8_t *at = section->at;
    if (!section->sound || count > section->left) {
        section->sound = false;
        return NULL;
    }
    section->at += count;
    section->left -= count;
    return at;
}

const float *ttzo_section_numbers(struct ttzo_section *section, size_t count)
{
    return (const float *)(const void *)ttzo_section_bytes(section, 4 * count);
}

void ttzo_section_program(struct ttzo_section *section, struct ttzo_program *program)
{
    struct ttzo_program_record record;
    const uint8_t *bytes = ttzo_section_bytes(section, TTZO_PROGRAM_RECORD_BYTES);
    if (!bytes)
        return;
    ttzo_unpack_program_record(bytes, &record);
    program->n_constants = record.n_constants;
    program->output = record.output;
    program->constants = ttzo_section_numbers(section, record.n_constants);
    program->instructions = ttzo_section_bytes(section, 4u * record.n_instructions);
    program->n_instructions = program->instructions ? record.n_instructions : 0;
}

#endif
