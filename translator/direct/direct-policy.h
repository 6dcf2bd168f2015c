/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When user code runs in its world.
 *
 * An address space starts with the translator.  There its *bursts* are timed: from the dispatcher that
 * sees user mode to the one that sees the kernel.  When it has run for some time and its bursts are long
 * against what an event of a world costs, it is promoted.  In its world the account goes on: what
 * its guest thread had of the CPU against what events and mappings cost.  When that does not pay it is
 * demoted, and has to earn the next promotion with twice as much.
 *
 * All adaptive constants are here (direct-policy.c says why each is what it is).
 */
#ifndef TRANSLATOR_DIRECT_DIRECT_POLICY_H
#define TRANSLATOR_DIRECT_DIRECT_POLICY_H

#include <stdint.h>

typedef struct {
    unsigned around;           /* pages looked at around one that faulted, a power of two, at most 16 */
    unsigned pages_max;        /* of one world: each may be a mapping of its own         */
    unsigned churn_max;        /* changes of a code page within a second or two          */
    unsigned holdoff_min, holdoff_max; /* visits of the dispatcher left to the translator when a world
                                  could not go on: doubled each time                     */
    uint64_t promote_us;       /* user time in the translator before a promotion         */
    uint64_t burst_us;         /* ... and its bursts' mean length                        */
    unsigned penalty_max;      /* doublings of promote_us                                */
    unsigned window_events;    /* a world's account is looked at after so many events... */
    uint64_t window_us;        /* ... or so much time                                    */
    uint64_t event_us10;       /* an event beside what is measured of it, in 0.1 us      */
    unsigned gain_percent;     /* what a second in a world saves of the translator's time */
} DirectPolicy;

extern const DirectPolicy direct_policy;

#endif /* TRANSLATOR_DIRECT_DIRECT_POLICY_H */
