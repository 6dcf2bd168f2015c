/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/lock.h"

#include <glib.h>

/* How many locks of each rank this thread holds. */
static _Thread_local unsigned held[LOCK_RANK_COUNT];

static const char *const rank_names[LOCK_RANK_COUNT] = {
    [LOCK_RANK_MACHINE] = "machine",
    [LOCK_RANK_TRANSLATE] = "translate", [LOCK_RANK_CODE] = "code", [LOCK_RANK_BACKEND] = "backend",
    [LOCK_RANK_WORLD] = "world", [LOCK_RANK_LOG] = "log",
};

void lock_init(Lock *l, LockRank rank)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    if (rank == LOCK_RANK_MACHINE) {
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    }
    pthread_mutex_init(&l->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    l->rank = rank;
}

void lock_clear(Lock *l)
{
    pthread_mutex_destroy(&l->mutex);
}

/* ... any at all: bit `rank`. */
static _Thread_local unsigned ranks;

static void check_order(LockRank rank)
{
    unsigned wrong = ranks >> (rank + (rank == LOCK_RANK_MACHINE));

    if (G_UNLIKELY(wrong != 0)) {
        g_error("lock order: taking %s while holding %s", rank_names[rank],
                rank_names[rank + (rank == LOCK_RANK_MACHINE) + __builtin_ctz(wrong)]);
    }
}

/* Locks are held for less than a microsecond mostly, and putting a thread to sleep and waking it takes tens. */
enum { LOOKS = 64 };

static bool try_for_a_while(Lock *l)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        if (pthread_mutex_trylock(&l->mutex) == 0) {
            return true;
        }
        __builtin_ia32_pause();
    }
    return false;
}

void lock_take(Lock *l)
{
    check_order(l->rank);
    if (!try_for_a_while(l)) {
        pthread_mutex_lock(&l->mutex);
    }
    held[l->rank]++;
    ranks |= 1u << l->rank;
}

void lock_release(Lock *l)
{
    g_assert(held[l->rank] > 0);
    held[l->rank]--;
    ranks &= ~((held[l->rank] == 0 ? 1u : 0u) << l->rank);
    pthread_mutex_unlock(&l->mutex);
}

bool lock_held(LockRank rank)
{
    return held[rank] != 0;
}
