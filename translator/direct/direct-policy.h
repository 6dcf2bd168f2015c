/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When user code runs in its world.
 *
 * An address space starts with the translator.  There its *bursts* are timed: from the dispatcher that
 * sees user mode to the one that sees the kernel.  When it has run for some time and its bursts are long
 * against a *round trip* into a world and out, it is promoted.  In its world the account goes on: what
 * its guest thread had of the CPU against what events and mappings cost.  When it has lost more than
 * its credit it is demoted, and has to earn the next promotion with twice as much.
 *
 * What a round trip costs is measured on the spot, by empty ones, because it depends on the host and on what
 * else runs there; and in CPU time, because the host may give the CPU
 * to somebody else in between.
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
    uint64_t promote_trips;    /* user time in the translator before a promotion, in round trips */
    unsigned burst_trips;      /* ... and its bursts' mean length, in round trips        */
    uint64_t long_us;          /* the next is timed after one that was so long           */
    unsigned penalty_max;      /* doublings of promote_trips                             */
    int64_t credit_trips, credit_max_trips; /* what it may lose; what it can save up, in round trips */
    unsigned window_events;    /* a world's account is looked at after so many events... */
    uint64_t window_us;        /* ... or so much time                                    */
    uint64_t trip_us;          /* a round trip, before one was measured                  */
    unsigned trips;            /* empty ones to measure it                               */
    /* What mapping costs, in sixteenths of a round trip: */
    unsigned batch_cost, page_cost, check_cost; /* an order to a mapper, a page in it, a page compared */
    unsigned gain_percent;     /* what a second in a world saves of the translator's time, until
                                  calls_min calls have shown it                          */
    unsigned calls_min;
} DirectPolicy;

extern const DirectPolicy direct_policy;

#endif /* TRANSLATOR_DIRECT_DIRECT_POLICY_H */
