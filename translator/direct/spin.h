/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Do an engine's thread and its worlds wait for each other awake, on two CPUs of the host, or asleep, in turns on one?
 *
 * Awake a hand-over is a cache line's way from CPU to CPU; asleep it is two system calls and a switch of
 * threads.  But two CPUs are busy then, and a sleeper on the other CPU takes longer to wake than one on this.  So
 * (direct-spin=auto) it is tried, where events are close to each other; and it goes on only while it
 * costs clearly less, those waits included that ended asleep, and nobody else wants the CPUs:
 *
 *     asleep --(events are close, the last trial is long ago)--> trial --(clearly faster)--> awake
 *     awake  --(no longer faster, or we have to wait for the CPU)--> asleep; the next trial after twice the time
 *
 * Whoever spins does so for the time of some round trips asleep (a page fault of the guest is handled within that, and an order to
 * the mapper), and sleeps on a futex then.  There is no spinning where the process has one CPU.
 */
#ifndef TRANSLATOR_DIRECT_SPIN_H
#define TRANSLATOR_DIRECT_SPIN_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { SPIN_OFF, SPIN_ON, SPIN_AUTO } SpinMode;

typedef struct DirectCpu DirectCpu;
typedef struct World World;

/* Wall time of a round trip, in ns. */
typedef struct {
    uint64_t sleep;            /* both sides take turns on one CPU; 0: not known         */
    uint64_t spin;             /* on two CPUs, awake                                     */
    uint64_t wake;             /* on two CPUs, asleep: what a wait costs that outlasts the spinning */
} SpinTimes;

/* Of one CPU. */
typedef struct {
    SpinMode mode;
    unsigned looks;            /* at the other side, before sleeping; 0: none            */
    bool trial_is_due;         /* at the next opportunity                                */
    SpinTimes took;            /* at the last trial                                      */
    /* the present window: */
    uint64_t began;            /* TSC                                                    */
    unsigned events;
    uint64_t met, missed;      /* waits that ended awake; asleep                         */
    unsigned crowded;          /* windows before it in a row in which others had our CPU */
    uint64_t waited_ns;        /* of the thread, at its beginning: for a CPU that others had */
    /* after that: */
    uint64_t next_trial;       /* TSC                                                    */
    uint64_t wait_ms;          /* between this one and the next                          */
    int schedstat;             /* the thread's, open; -1: not yet                        */
} SpinControl;

/* How many CPUs of the host the process may use. */
unsigned spin_host_cpus(void);

void spin_init(SpinControl *c, SpinMode mode);
void spin_clear(SpinControl *c);

/* A window has ended: its events took so many cycles each; waits; for how much of the time this thread had to wait for a CPU. */
void spin_judge(SpinControl *c, uint64_t now, uint64_t event_cycles, uint64_t met, uint64_t missed, unsigned waited_percent);
/* A trial's outcome; `looks` are how often a side shall look before it sleeps. */
void spin_judge_trial(SpinControl *c, uint64_t now, SpinTimes took, unsigned looks);

/* A world's event has been dealt with. */
void spin_event(DirectCpu *dc);
/* If a trial is due, make it, in a world whose registers are in the CpuState.  False: the world broke. */
bool spin_trial(DirectCpu *dc, World *w);

#endif /* TRANSLATOR_DIRECT_SPIN_H */
