// SPDX-License-Identifier: MIT
// `_ttzo` for MicroPython: run.h with Python's objects. One source for two forms: built into the firmware (user C module)
// and loaded from a file (native module). ttzo.py is what a person imports.
#include "run.h"

#if defined(MICROPY_ENABLE_DYNRUNTIME) && MICROPY_ENABLE_DYNRUNTIME
#include "py/dynruntime.h"
#define IS_NATIVE_MODULE 1
#else
#include "py/obj.h"
#include "py/runtime.h"
#define IS_NATIVE_MODULE 0
#endif

// The unix port raises KeyboardInterrupt out of the signal handler, wherever C is. What changes a model is done whole:
// the signal waits meanwhile. Elsewhere the exception waits for the interpreter anyway.
#if !IS_NATIVE_MODULE && MICROPY_ASYNC_KBD_INTR
#include <signal.h>
typedef sigset_t signals;

static signals hold_interrupt(void)
{
    signals interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    return before;
}

static void set_signals(signals mask)
{
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}
#elif IS_NATIVE_MODULE && defined(__x86_64__) && defined(__linux__)
typedef uint64_t signals;

// There is no C library to ask: the system call rt_sigprocmask itself. Returns the mask there was.
static signals mask_signals(long how, signals mask)
{
    signals before;
    long number = 14;
    register long bytes __asm__("r10") = sizeof mask;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(how), "S"(&mask), "d"(&before), "r"(bytes)
                     : "rcx", "r11", "memory");
    return before;
}

static signals hold_interrupt(void)
{
    return mask_signals(0, 1u << (2 - 1)); // SIG_BLOCK; SIGINT is 2
}

static void set_signals(signals mask)
{
    mask_signals(2, mask); // SIG_SETMASK
}
#else
typedef bool signals;

static signals hold_interrupt(void)
{
    return false;
}

static void set_signals(signals mask)
{
    (void)mask;
}
#endif

// ---- arguments ------------------------------------------------------------------------------------------------------

struct bytes {
    uint8_t *at;
    uint32_t count;
    int kind; // typecode
};

static struct bytes bytes_of(mp_obj_t object, mp_uint_t flags)
{
    mp_buffer_info_t info;
    mp_get_buffer_raise(object, &info, flags);
    return (struct bytes){ info.buf, (uint32_t)info.len, info.typecode };
}

static struct bytes readable(mp_obj_t object)
{
    return bytes_of(object, MP_BUFFER_READ);
}

static struct bytes writable(mp_obj_t object)
{
    return bytes_of(object, MP_BUFFER_WRITE);
}

// The struct ttzo_run that ttzo_run_open has filled.
static void *memory_of(mp_obj_t object)
{
    struct bytes memory = writable(object);
    if (memory.count < sizeof(struct ttzo_run))
        mp_raise_ValueError(MP_ERROR_TEXT("no memory of a model"));
    return memory.at;
}

static uint32_t number_of(mp_obj_t object)
{
    return (uint32_t)mp_obj_get_int_truncated(object);
}

static mp_obj_t number(uint32_t value)
{
    return mp_obj_new_int_from_uint(value);
}

// ---- functions, in the order of run.h -------------------------------------------------------------------------------

static mp_obj_t run_size(mp_obj_t data)
{
    return number(readable(data).count);
}
static MP_DEFINE_CONST_FUN_OBJ_1(run_size_obj, run_size);

static mp_obj_t run_kind(mp_obj_t data)
{
    return MP_OBJ_NEW_SMALL_INT(readable(data).kind);
}
static MP_DEFINE_CONST_FUN_OBJ_1(run_kind_obj, run_kind);

static mp_obj_t run_crc32(mp_obj_t data, mp_obj_t before)
{
    struct bytes bytes = readable(data);
    return number(ttzo_crc32(number_of(before), bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_crc32_obj, run_crc32);

static mp_obj_t run_parts(void)
{
    return number(ttzo_run_parts());
}
static MP_DEFINE_CONST_FUN_OBJ_0(run_parts_obj, run_parts);

static mp_obj_t run_need(mp_obj_t head)
{
    struct bytes bytes = readable(head);
    return number(ttzo_run_need(bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_1(run_need_obj, run_need);

static mp_obj_t run_open(mp_obj_t memory_in, mp_obj_t bundle_in)
{
    struct bytes memory = writable(memory_in), bundle = readable(bundle_in);
    return number(ttzo_run_open(memory.at, memory.count, bundle.at, bundle.count));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_open_obj, run_open);

static mp_obj_t run_lend(mp_obj_t memory, mp_obj_t bundle)
{
    struct bytes bytes = readable(bundle);
    return number(ttzo_run_lend(memory_of(memory), bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_lend_obj, run_lend);

static mp_obj_t run_reset(mp_obj_t memory_in)
{
    void *memory = memory_of(memory_in);
    signals before = hold_interrupt();
    uint32_t error = ttzo_run_reset(memory);
    set_signals(before);
    return number(error);
}
static MP_DEFINE_CONST_FUN_OBJ_1(run_reset_obj, run_reset);

static mp_obj_t run_row(mp_obj_t memory, mp_obj_t slot, mp_obj_t n)
{
    return number(ttzo_run_row(memory_of(memory), number_of(slot), number_of(n)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(run_row_obj, run_row);

static mp_obj_t run_gather(size_t n_args, const mp_obj_t *args)
{
    (void)n_args;
    struct bytes x = readable(args[1]), y = readable(args[2]);
    return number(ttzo_run_gather(memory_of(args[0]), x.at, x.count, y.at, y.count, number_of(args[3]),
                                  number_of(args[4]), number_of(args[5])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(run_gather_obj, 6, 6, run_gather);

static mp_obj_t run_take(mp_obj_t memory, mp_obj_t count)
{
    return number(ttzo_run_take(memory_of(memory), number_of(count)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_take_obj, run_take);

static mp_obj_t run_step(mp_obj_t memory_in, mp_obj_t region_in)
{
    void *memory = memory_of(memory_in);
    uint32_t region = number_of(region_in);
    signals before = hold_interrupt();
    uint32_t error = ttzo_run_step(memory, region);
    set_signals(before);
    return number(error);
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_step_obj, run_step);

static mp_obj_t run_evaluate(mp_obj_t memory, mp_obj_t count)
{
    return number(ttzo_run_evaluate(memory_of(memory), number_of(count)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_evaluate_obj, run_evaluate);

#if TTZO_HAS(EQUATIONS)
static mp_obj_t run_solution_error(size_t n_args, const mp_obj_t *args)
{
    (void)n_args;
    return number(
        ttzo_run_solution_error(memory_of(args[0]), number_of(args[1]), number_of(args[2]), number_of(args[3])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(run_solution_error_obj, 4, 4, run_solution_error);
#endif

static mp_obj_t run_predict(size_t n_args, const mp_obj_t *args)
{
    (void)n_args;
    struct bytes out = writable(args[2]);
    return number(ttzo_run_predict(memory_of(args[0]), number_of(args[1]), out.at, out.count, number_of(args[3])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(run_predict_obj, 4, 4, run_predict);

static mp_obj_t run_status(mp_obj_t memory, mp_obj_t out)
{
    struct bytes bytes = writable(out);
    return number(ttzo_run_status(memory_of(memory), bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_status_obj, run_status);

static mp_obj_t run_restore(mp_obj_t memory, mp_obj_t data)
{
    struct bytes bytes = readable(data);
    return number(ttzo_run_restore(memory_of(memory), bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_2(run_restore_obj, run_restore);

static mp_obj_t run_write(size_t n_args, const mp_obj_t *args)
{
    (void)n_args;
    struct bytes data = readable(args[3]);
    return number(ttzo_run_write(memory_of(args[0]), number_of(args[1]), number_of(args[2]), data.at, data.count));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(run_write_obj, 4, 4, run_write);

static mp_obj_t run_commit(size_t n_args, const mp_obj_t *args)
{
    (void)n_args;
    void *memory = memory_of(args[0]);
    uint32_t region = number_of(args[1]), count = number_of(args[2]), crc = number_of(args[3]);
    signals before = hold_interrupt();
    uint32_t error = ttzo_run_commit(memory, region, count, crc);
    set_signals(before);
    return number(error);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(run_commit_obj, 4, 4, run_commit);

#if TTZO_HAS(LINK)
static mp_obj_t run_line_bytes(void)
{
    return number(ttzo_run_line_bytes());
}
static MP_DEFINE_CONST_FUN_OBJ_0(run_line_bytes_obj, run_line_bytes);

static mp_obj_t run_listen(mp_obj_t memory, mp_obj_t line_in, mp_obj_t name)
{
    struct bytes line = writable(line_in), bytes = readable(name);
    return number(ttzo_run_listen(memory_of(memory), line.at, line.count, (const char *)bytes.at, bytes.count));
}
static MP_DEFINE_CONST_FUN_OBJ_3(run_listen_obj, run_listen);

static mp_obj_t run_lock(mp_obj_t memory, mp_obj_t secrets, mp_obj_t reading_open)
{
    struct bytes bytes = readable(secrets);
    return number(ttzo_run_lock(memory_of(memory), bytes.at, bytes.count, number_of(reading_open)));
}
static MP_DEFINE_CONST_FUN_OBJ_3(run_lock_obj, run_lock);

// Python's side of the exchange while the link is polled; the caller of poll() keeps both objects alive.
static uint32_t call(uint32_t which, uint32_t count)
{
    mp_obj_t argument = MP_OBJ_NEW_SMALL_INT(count);
    return number_of(mp_call_function_n_kw(MP_OBJ_FROM_PTR(ttzo_run_polled->asked[which]), 1, 0, &argument));
}

static uint32_t call_receive(uint32_t count)
{
    return call(0, count);
}

static uint32_t call_send(uint32_t count)
{
    return call(1, count);
}

static mp_obj_t run_poll(mp_obj_t memory_in, mp_obj_t receive, mp_obj_t send)
{
    struct ttzo_run *memory = memory_of(memory_in);
    if (memory->line) {
        memory->line->asked[0] = MP_OBJ_TO_PTR(receive);
        memory->line->asked[1] = MP_OBJ_TO_PTR(send);
    }
    return number(ttzo_run_poll(memory, call_receive, call_send));
}
static MP_DEFINE_CONST_FUN_OBJ_3(run_poll_obj, run_poll);

static mp_obj_t run_hang_up(mp_obj_t memory)
{
    return number(ttzo_run_hang_up(memory_of(memory)));
}
static MP_DEFINE_CONST_FUN_OBJ_1(run_hang_up_obj, run_hang_up);
#endif

// ---- the module -----------------------------------------------------------------------------------------------------

// Names are found by MicroPython's scanner of source text, so each stands here in full. A name costs heap.
#if TTZO_HAS(EQUATIONS)
#define EQUATION_FUNCTIONS(X) X(MP_QSTR_solution_error, run_solution_error_obj)
#else
#define EQUATION_FUNCTIONS(X)
#endif
#if TTZO_HAS(LINK)
#define LINK_FUNCTIONS(X)                                                                                              \
    X(MP_QSTR_line_bytes, run_line_bytes_obj)                                                                          \
    X(MP_QSTR_listen, run_listen_obj)                                                                                  \
    X(MP_QSTR_lock, run_lock_obj)                                                                                      \
    X(MP_QSTR_poll, run_poll_obj)                                                                                      \
    X(MP_QSTR_hang_up, run_hang_up_obj)
#else
#define LINK_FUNCTIONS(X)
#endif
#define FUNCTIONS(X)                                                                                                   \
    X(MP_QSTR_size, run_size_obj)                                                                                      \
    X(MP_QSTR_kind, run_kind_obj)                                                                                      \
    X(MP_QSTR_crc32, run_crc32_obj)                                                                                    \
    X(MP_QSTR_parts, run_parts_obj)                                                                                    \
    X(MP_QSTR_need, run_need_obj)                                                                                      \
    X(MP_QSTR_open, run_open_obj)                                                                                      \
    X(MP_QSTR_lend, run_lend_obj)                                                                                      \
    X(MP_QSTR_reset, run_reset_obj)                                                                                    \
    X(MP_QSTR_row, run_row_obj)                                                                                        \
    X(MP_QSTR_gather, run_gather_obj)                                                                                  \
    X(MP_QSTR_take, run_take_obj)                                                                                      \
    X(MP_QSTR_step, run_step_obj)                                                                                      \
    X(MP_QSTR_evaluate, run_evaluate_obj)                                                                              \
    X(MP_QSTR_predict, run_predict_obj)                                                                                \
    X(MP_QSTR_status, run_status_obj)                                                                                  \
    X(MP_QSTR_restore, run_restore_obj)                                                                                \
    X(MP_QSTR_write, run_write_obj)                                                                                    \
    X(MP_QSTR_commit, run_commit_obj)                                                                                  \
    EQUATION_FUNCTIONS(X)                                                                                              \
    LINK_FUNCTIONS(X)

#if IS_NATIVE_MODULE
// What others than this program call: the module's beginning by the interpreter, the rest by the compiler without our seeing it,
// for large structures.
#define CALLED_FROM_OUTSIDE __attribute__((used, visibility("default")))

CALLED_FROM_OUTSIDE void *memcpy(void *to, const void *from, size_t count)
{
    return mp_fun_table.memmove_(to, from, count);
}

CALLED_FROM_OUTSIDE void *memset(void *to, int value, size_t count)
{
    return mp_fun_table.memset_(to, value, count);
}

CALLED_FROM_OUTSIDE mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args)
{
    MP_DYNRUNTIME_INIT_ENTRY
#define STORE(name, function) mp_store_global(name, MP_OBJ_FROM_PTR(&function));
    FUNCTIONS(STORE)
    // Reading this module has left much in a heap that may be small: what is read next shall not come to lie above it.
    mp_obj_t gc = mp_import_name(MP_QSTR_gc, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
    mp_call_function_n_kw(mp_load_attr(gc, MP_QSTR_collect), 0, 0, NULL);
    MP_DYNRUNTIME_INIT_EXIT
}
#else
static const mp_rom_map_elem_t ttzo_globals_table[] = { { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__ttzo) },
#define ENTRY(name, function) { MP_ROM_QSTR(name), MP_ROM_PTR(&function) },
                                                        FUNCTIONS(ENTRY) };
static MP_DEFINE_CONST_DICT(ttzo_globals, ttzo_globals_table);

const mp_obj_module_t ttzo_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&ttzo_globals,
};
MP_REGISTER_MODULE(MP_QSTR__ttzo, ttzo_module);
#endif
