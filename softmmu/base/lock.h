/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks and their order.
 *
 * A thread may take a lock only while every lock it holds has a lower rank; debug builds check it
 * (lock_take() aborts with both names).  The machine lock is recursive, because a device's DMA may
 * reach another device's window; all others are not.
 *
 *   MACHINE    all device state, timers, the region map's writers
 *   TRANSLATE  the translator's code memory and block tables
 *   BACKEND    a back end's request queue
 *   WORLD      a CPU's worlds: what they map, and their mappers
 *   LOG        the log file
 */
#ifndef SOFTMMU_BASE_LOCK_H
#define SOFTMMU_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

typedef enum {
    LOCK_RANK_MACHINE,
    LOCK_RANK_TRANSLATE,
    LOCK_RANK_CODE,
    LOCK_RANK_BACKEND,
    LOCK_RANK_WORLD,
    LOCK_RANK_LOG,
    LOCK_RANK_COUNT,
} LockRank;

typedef struct {
    pthread_mutex_t mutex;
    LockRank rank;
} Lock;

void lock_init(Lock *l, LockRank rank);
void lock_clear(Lock *l);
void lock_take(Lock *l);
void lock_release(Lock *l);

/* True when the calling thread holds a lock of this rank. */
bool lock_held(LockRank rank);

#endif /* SOFTMMU_BASE_LOCK_H */
