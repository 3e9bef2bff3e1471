// SPDX-License-Identifier: MIT
#define _POSIX_C_SOURCE 200809L
#include "slot_file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static off_t place(const struct ttzo_slot_file *file, uint32_t slot, uint32_t offset)
{
    return (off_t)slot * (off_t)file->slot_bytes + (off_t)offset;
}

static bool file_slot_write(void *context, uint32_t slot, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    const struct ttzo_slot_file *file = context;
    return pwrite(file->fd, bytes, count, place(file, slot, offset)) == (ssize_t)count;
}

static bool file_slot_read(void *context, uint32_t slot, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    const struct ttzo_slot_file *file = context;
    return pread(file->fd, bytes, count, place(file, slot, offset)) == (ssize_t)count;
}

// Before the older generation goes, the newer one is on the disk.
static bool file_slot_erase(void *context, uint32_t slot)
{
    const struct ttzo_slot_file *file = context;
    uint8_t blank[256];
    memset(blank, 0xFF, sizeof blank);
    if (fdatasync(file->fd))
        return false;
    for (uint32_t at = 0, count; at < file->slot_bytes; at += count) {
        count = file->slot_bytes - at < sizeof blank ? file->slot_bytes - at : (uint32_t)sizeof blank;
        if (!file_slot_write(context, slot, at, blank, count))
            return false;
    }
    return true;
}

bool ttzo_open_slot_file(struct ttzo_slot_file *file, const char *path, uint32_t slot_bytes, struct ttzo_slots *slots)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    file->slot_bytes = slot_bytes;
    *slots = (struct ttzo_slots){ file_slot_erase, file_slot_write, file_slot_read, file, slot_bytes, 0 };
    return file->fd >= 0 && !fcntl(file->fd, F_SETLK, &whole);
}
