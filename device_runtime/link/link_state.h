// SPDX-License-Identifier: MIT
#ifndef TTZO_LINK_STATE_H
#define TTZO_LINK_STATE_H
#include "key/session.h"
#include "link/line.h"
#include "storage/storage.h"
#include "ttzo.h"

// All of a link. Caller-owned; fields belong to link.c and work.c.
struct ttzo_link {
    struct ttzo_trainer *trainer;
    const char *board_name;
    enum ttzo_error model_error; // why there is nothing to train; the answer to all requests but HELLO and LEAVE
    uint32_t model_detail;
    bool left;          // LEAVE has come: a port with something else to do stops polling
    bool foreign;       // the last HELLO came from another contract: all other requests but LEAVE are refused
    bool foreign_leave; // and its LEAVE is not ours either

    uint32_t session; // of the last HELLO, and of the last one that had another
    uint32_t session_before;
    struct ttzo_step_reply done; // the last step's answer; step 0: none, or what it left has been replaced

    struct ttzo_line line; // to the host; holds the answer to the last request while `answered`
    bool answered;         // ... which was the request (sequence, crc), or the last sealed one
    bool sealed;           // the last request had a seal, and so has its answer
    uint8_t sequence;
    uint32_t crc;

    struct ttzo_session holder; // of the key, where there is one
    uint32_t asked_session;     // of the last HELLO; with a key it counts once it has proved to have the key

#if TTZO_HAS(STORAGE)
    struct ttzo_storage *storage; // that KEEP and RESTORE work on; NULL: they are unknown messages
#endif

    uint64_t macs_per_unit; // long work: multiply-accumulates of a unit; 0 where the trainer counts them
    uint64_t reported;      // of them, at the last PROGRESS
};

#endif
