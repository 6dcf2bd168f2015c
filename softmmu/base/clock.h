/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-visible time.  Devices take a Clock; none reads the host's.
 *
 * The host clock runs with CLOCK_MONOTONIC, starts at 0 when the machine is made and stands still
 * while the machine is stopped.  Tests use a fake one (tests/fake.h) that moves when told to.
 */
#ifndef SOFTMMU_BASE_CLOCK_H
#define SOFTMMU_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Clock Clock;
struct Clock {
    uint64_t (*now_ns)(Clock *c); /* nanoseconds since the machine was made, never decreasing */
};

#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

static inline uint64_t clock_now(Clock *c)
{
    return c->now_ns(c);
}

/* A running host clock at 0.  Free with clock_host_free().  Thread-safe. */
Clock *clock_host_new(void);
void clock_host_free(Clock *c);

/* Stop or restart guest time (monitor `stop`/`cont`).  Idempotent. */
void clock_host_set_running(Clock *c, bool running);

/* Set it, while it stands still (a saved machine goes on). */
void clock_host_set(Clock *c, uint64_t ns);

/* ticks * mul / div without overflow of the product (128-bit intermediate). */
static inline uint64_t muldiv64(uint64_t ticks, uint64_t mul, uint64_t div)
{
    return (uint64_t)((unsigned __int128)ticks * mul / div);
}

/* The host TSC's frequency in Hz, measured once against CLOCK_MONOTONIC (about 20 ms) or taken
 * from CPUID leaf 15H.  Thread-safe. */
uint64_t clock_host_tsc_hz(void);

/* How often others took the host CPU from this thread, or got it by its sched_yield(); 0 if the host does not tell. */
long clock_thread_preemptions(void);

#endif /* SOFTMMU_BASE_CLOCK_H */
