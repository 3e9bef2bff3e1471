// SPDX-License-Identifier: MIT
// The first function of a native module for Xtensa. The interpreter enters a module by a jump, which reaches 128 KiB: a module
// with all parts is larger. A call reaches 512 KiB.
#if defined(MICROPY_ENABLE_DYNRUNTIME) && defined(__XTENSA__)
#include "py/dynruntime.h"

mp_obj_t ttzo_mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args);
mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args);

// mpy_ld.py writes no jump to an entry that is the first byte of its section, though literals come before it.
__attribute__((used)) static void before_entry(void) {}

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args)
{
    return ttzo_mpy_init(self, n_args, n_kw, args);
}
#endif
