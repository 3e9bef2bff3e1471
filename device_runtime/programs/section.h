// SPDX-License-Identifier: MIT
// Reads a bundle's section that holds programs, piece by piece, without passing its end.
#ifndef TTZO_SECTION_H
#define TTZO_SECTION_H
#include "model/model.h"

// What is left of the section.
struct ttzo_section {
    const uint8_t *at;
    size_t left;
    bool sound;
};

// The next `count` bytes, a multiple of four; NULL when the section is shorter, which is then no longer sound.
const uint8_t *ttzo_section_bytes(struct ttzo_section *section, size_t count);

const float *ttzo_section_numbers(struct ttzo_section *section, size_t count);

void ttzo_section_program(struct ttzo_section *section, struct ttzo_program *program);

#endif
