/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers of the device model.
 *
 * A TimerQueue belongs to a machine and runs on its Clock.  Devices own Timer structs (usually
 * embedded) and set them to absolute clock nanoseconds; the machine's I/O thread calls
 * timer_queue_run() with the machine lock held, so callbacks run under that lock.  All functions
 * here want the machine lock.  `wake` is called when the earliest deadline comes before the one that the
 * thread sleeps for (it may be called from any vCPU thread): a timer that is set later and later, as
 * kernels set theirs, costs no wake-up of it, but one that finds nothing to do; and not that either where timers fire at regular
 * intervals, as ticks do: the thread looks when the next is expected.
 */
#ifndef SOFTMMU_BASE_TIMER_H
#define SOFTMMU_BASE_TIMER_H

#include "softmmu/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

typedef struct Timer Timer;
typedef struct TimerQueue TimerQueue;

struct TimerQueue {
    Clock *clock;
    void (*wake)(void *arg); /* may be NULL */
    void *wake_arg;
    Timer *first;            /* armed timers, earliest first */
    uint64_t asleep_until;   /* the thread looks again then, or little later */
    uint64_t expected;       /* what fired last is likely to be set to this; 0 or TIMER_NEVER: no idea */
};

struct Timer {
    TimerQueue *queue;
    void (*fire)(void *arg);
    void *arg;
    uint64_t at_ns;          /* TIMER_NEVER when not armed */
    uint64_t fired_at, interval; /* it was due last; and before that by so much */
    Timer *next;
};

void timer_queue_init(TimerQueue *q, Clock *clock, void (*wake)(void *arg), void *wake_arg);

/* Run what is due, each timer once per due time; returns the next deadline or TIMER_NEVER. */
uint64_t timer_queue_run(TimerQueue *q);

/* The earliest deadline, or TIMER_NEVER. */
uint64_t timer_queue_next(const TimerQueue *q);

/* The same, or `at_latest` (unless a timer is expected at a time soon enough: then), for the thread that is about to sleep until then.
 * Timers set for later do not wake it, nor for a few microseconds before. */
uint64_t timer_queue_sleep(TimerQueue *q, uint64_t at_latest);

void timer_init(Timer *t, TimerQueue *q, void (*fire)(void *arg), void *arg);

/* Arm at absolute `at_ns` (moves it when already armed); TIMER_NEVER cancels. */
void timer_set(Timer *t, uint64_t at_ns);
void timer_cancel(Timer *t);

static inline bool timer_armed(const Timer *t)
{
    return t->at_ns != TIMER_NEVER;
}

static inline uint64_t timer_now(const Timer *t)
{
    return clock_now(t->queue->clock);
}

#endif /* SOFTMMU_BASE_TIMER_H */
