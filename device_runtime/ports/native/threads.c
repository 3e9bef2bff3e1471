// SPDX-License-Identifier: MIT
#define _POSIX_C_SOURCE 200809L
#include "threads.h"

#include <pthread.h>
#include <sched.h>

#define TURNS_AWAKE 200u  // a few microseconds: then another thread may have the processor
#define TURNS_ASKED 2000u // how often a thread looks for work before it sleeps

static struct {
    pthread_mutex_t lock;
    pthread_cond_t called;
    uint32_t n;    // threads, the caller's included
    uint32_t call; // number of the last call of ttzo_run_on_threads
    uint32_t left; // threads that have not returned from it
    void (*work)(uint32_t thread);
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER, .n = 1 };

void ttzo_wait_a_moment(uint32_t *turns)
{
    if (++*turns > TURNS_AWAKE)
        sched_yield();
#if defined(__x86_64__) || defined(__i386__)
    else
        __builtin_ia32_pause();
#endif
}

static void await_call(uint32_t after)
{
    for (uint32_t turns = 0; turns < TURNS_ASKED; ttzo_wait_a_moment(&turns))
        if (__atomic_load_n(&pool.call, __ATOMIC_ACQUIRE) != after)
            return;
    pthread_mutex_lock(&pool.lock);
    while (__atomic_load_n(&pool.call, __ATOMIC_ACQUIRE) == after)
        pthread_cond_wait(&pool.called, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

static void *serve(void *number)
{
    uint32_t thread = (uint32_t)(uintptr_t)number;
    for (uint32_t call = 0;; call++) {
        await_call(call);
        pool.work(thread);
        __atomic_sub_fetch(&pool.left, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

bool ttzo_start_threads(uint32_t n)
{
    for (pool.n = 1; pool.n < n; pool.n++) {
        pthread_t made;
        if (pthread_create(&made, NULL, serve, (void *)(uintptr_t)pool.n) || pthread_detach(made))
            return false;
    }
    return true;
}

void ttzo_run_on_threads(void (*work)(uint32_t thread))
{
    pool.work = work;
    __atomic_store_n(&pool.left, pool.n - 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&pool.lock);
    __atomic_add_fetch(&pool.call, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&pool.called);
    pthread_mutex_unlock(&pool.lock);
    work(0);
    for (uint32_t turns = 0; __atomic_load_n(&pool.left, __ATOMIC_ACQUIRE); ttzo_wait_a_moment(&turns))
        ;
}
