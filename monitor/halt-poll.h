/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watching for the end of a halt before the CPU's thread sleeps.
 *
 * Waking a thread that sleeps takes the host tens of microseconds, and guests' CPUs wake each other all the time.  So
 * the thread of a CPU that has halted looks for what ends the halt for a while, as KVM does for its guests
 * (halt_poll_ns): longer where halts were short, not at all where they were long.  It does so only while
 *
 *   - another CPU of the machine runs, or has been woken, who could end the halt: an idle guest keeps no CPU of the
 *     host busy;
 *   - there are host CPUs for all that run or watch, and nobody else was seen to want ours;
 *   - the guest lets us (KVM's poll control).
 *
 * Nothing depends on it: behind it there is always cpu_sleep().
 */
#ifndef MONITOR_HALT_POLL_H
#define MONITOR_HALT_POLL_H

#include "cpu-x86/state.h"

/* Of one CPU, for its own thread. */
typedef struct {
    uint64_t ns;               /* how long the next halt is watched                      */
    uint64_t not_before_ns;    /* others wanted the host's CPU: no more until then       */
} HaltPoll;

/* Of a machine's CPUs. */
typedef struct {
    bool enabled;              /* set once                                               */
    unsigned host_cpus;        /* ... that this process may use                          */
    CpuState *const *cpus;     /* borrowed                                               */
    unsigned n_cpus;
    unsigned n_running;        /* CPUs that neither wait nor watch; atomic               */
    unsigned n_watching;       /* atomic                                                 */
} HaltPollers;

typedef enum {
    HALT_NOT_WATCHED,
    HALT_ENDED,                /* while it was watched                                   */
    HALT_GOES_ON,
    HALT_HOST_BUSY,            /* somebody else ran on our CPU meanwhile                 */
} HaltWatch;

/* `n_cpus` of them, all running.  Any thread, before theirs are made. */
void halt_pollers_init(HaltPollers *s, CpuState *const *cpus, unsigned n_cpus, bool enabled);

/* Watch while it pays.  Own thread, which is not counted as running; no locks. */
HaltWatch halt_poll(const HaltPoll *p, HaltPollers *s, const CpuState *cpu);

/* The halt has ended, at `now_ns` of the clock that halt_poll() uses, after `halt_ns` in all: how long will the next be
 * watched? */
void halt_poll_learn(HaltPoll *p, HaltWatch how, uint64_t halt_ns, uint64_t now_ns);

/* That clock: nanoseconds, of the host's TSC. */
uint64_t halt_poll_now(const CpuState *cpu);

#endif /* MONITOR_HALT_POLL_H */
