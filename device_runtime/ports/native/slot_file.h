// SPDX-License-Identifier: MIT
// The two slots of a storage as one file: slot 0, then slot 1.
#ifndef TTZO_SLOT_FILE_H
#define TTZO_SLOT_FILE_H
#include "storage/storage.h"

struct ttzo_slot_file {
    int fd;
    uint32_t slot_bytes;
};

// Opens or makes the file and locks it for this process; `slots` are its two slots of `slot_bytes` each. False, and why in
// errno, when it cannot be opened or another process holds it.
bool ttzo_open_slot_file(struct ttzo_slot_file *file, const char *path, uint32_t slot_bytes, struct ttzo_slots *slots);

#endif
