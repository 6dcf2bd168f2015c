/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints of the host's CPU on instructions of a world that would show the host: CPUID.
 *
 * A page that holds one could be executed by the translator alone; with a breakpoint on each the rest of it runs as itself.  They
 * are perf events (perf_event_open(2)) of the guest thread, which gets SIGTRAP in place of the instruction, as for any other fault.  The CPU has
 * four.  Some hosts do not let us, some accept them and never stop: it is tried once, with the first world.
 *
 * The host's kernel lets a breakpoint pass that is met too often in one of its ticks (kernel.perf_event_max_sample_rate): so whoever is stopped
 * often is to lose them (BREAKS_BURST).
 */
#ifndef TRANSLATOR_DIRECT_BREAKS_H
#define TRANSLATOR_DIRECT_BREAKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BREAKS_MAX = 4,
    BREAKS_BURST = 16,         /* stops in BREAKS_BURST_MS are too many                        */
    BREAKS_BURST_MS = 8,       /* two ticks at 250 Hz                                          */
    BREAKS_RATE = 25000,       /* samples a second that the host's kernel must allow: 100 a tick */
};

/* Of one thread. */
typedef struct {
    uint64_t at[BREAKS_MAX];   /* 0: none                                                      */
    int fd[BREAKS_MAX];
} Breaks;

void breaks_init(Breaks *b);
/* Stop thread `tid`, which sleeps or runs, at the instruction that begins at `lin`; true too if it does so already.  False: all are taken, or the
 * host refuses. */
bool breaks_set(Breaks *b, pid_t tid, uint64_t lin);
bool breaks_has(const Breaks *b, uint64_t lin);
/* Those in [lin, lin + len) no longer. */
void breaks_clear(Breaks *b, uint64_t lin, uint64_t len);

#endif /* TRANSLATOR_DIRECT_BREAKS_H */
