/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When user code runs in its world.
 *
 * The measure is CPU time of all threads involved: the host may give the CPU to somebody else.
 *
 * An address space starts with the translator.  Once in a millisecond there is a *look* at user code:
 * how much time has passed, and how often the guest's kernel was entered meanwhile.  Nothing is counted in
 * between.  When a space has run for some time and its entries are far apart against a *round trip* into a world
 * and out, which is measured on the spot, it is promoted.
 *
 * There is one *account* for each CPU: what worlds may yet lose against the translator.  It grows by a small part of
 * all time that user code takes; round trips and mappings are paid from it.  A space that empties it is
 * demoted and has to wait twice as long the next time.  So whatever the guest does, worlds cost no
 * more than that small part; nor may one space alone lose much of it before it has saved something.  Where round trips and mappings are below it anyway, nothing else has to be known.
 * Where they are not, worlds may be the better way all the same, since translated code can be many times slower than
 * itself.  Then *paces* are compared: time per entry into the guest's kernel, here and there, of neighbouring times.
 * What is saved goes into the account, too.  The comparison is repeated by and by: the space is with the translator
 * for a few milliseconds (a probe).
 *
 * All adaptive constants are here (direct-policy.c says why each is what it is).
 */
#ifndef TRANSLATOR_DIRECT_DIRECT_POLICY_H
#define TRANSLATOR_DIRECT_DIRECT_POLICY_H

#include <stdint.h>

enum { MAPPING_UNIT = 256 };

typedef struct {
    unsigned around, around_max; /* pages looked at around one that faulted: powers of two, at most 512 */
    unsigned pages_max;        /* of one world: each may be a mapping of its own; those of large pages count an eighth */
    uint64_t refused_ms, refused_max_ms; /* the host has refused a world: wait so long, doubling */
    unsigned churn_max;        /* changes of a code page within a second or two          */
    unsigned visit_trips, insn_ns; /* code that a world may not execute is interpreted for so many round trips' time;
                                  an instruction takes so long                           */
    uint64_t visit_apart_trips; /* visits that are not so far apart are too many...       */
    unsigned visits_max;       /* ... when there are so many, ...                        */
    uint64_t visit_free_trips; /* ... and one more for so many round trips that the world ran freely before */
    unsigned holdoff_min, holdoff_max; /* visits of the dispatcher left to the translator when a world
                                  could not go on: doubled each time                     */
    uint64_t free_trips;       /* ... unless the world has run for so long in between, in round trips */
    unsigned holdoff_looks;    /* ... with direct=auto a fraction of it, since those are a look apart */
    uint64_t look_us;          /* between looks                                          */
    uint64_t promote_us, promote_trips; /* user time in the translator before a promotion, the longer; the latter in round trips */
    uint64_t lately_us;        /* of translated code say whether a process is calm        */
    uint64_t known_us;         /* ... where the program is known to gain by it           */
    unsigned stage_entries;    /* into the kernel, in the first stage of a process's life; twice as many in the next */
    int64_t burst_trips;       /* ... with entries so far apart, in round trips          */
    int64_t long_trips;        /* with entries so far apart it is calm: cheap, whatever the account and paces say */
    unsigned penalty_max;      /* doublings of promote_us                                */
    unsigned regret_permille;  /* of time, that goes into the account                    */
    int64_t trial_trips;       /* what a promotion asks of the account, in round trips   */
    int64_t credit_trips, account_trips; /* what a space may lose of it at first, if not a quarter; what it holds at most */
    unsigned window_events;    /* a world's account is looked at after events that cost so many round trips... */
    uint64_t window_us;        /* ... or so much time                                    */
    uint64_t trip_us;          /* a round trip, before one was measured                  */
    uint64_t trip_least_ns;    /* it takes so long, whatever is measured                 */
    unsigned trips;            /* empty ones to measure it...                            */
    uint64_t trips_us;         /* ... after so long at the earliest                      */
    /* What mapping costs, in parts of a round trip, 1 / MAPPING_UNIT: */
    unsigned batch_cost, run_cost, page_cost, check_cost; /* an order to a mapper, a call in it, a page, a page compared */
    unsigned pace_entries;     /* so many entries say what a pace is...                  */
    uint64_t pace_ms;          /* ... of the last time, so long                          */
    unsigned doubt_percent;    /* a world is slower only if its pace is by so much, ...   */
    uint64_t doubt_of_one_percent; /* ... and by this, divided by the square root of the entries */
    int64_t gain_percent;      /* what a world saves, until the paces are known          */
    int64_t trust_us;          /* in a world, on a comparison of paces                   */
    unsigned clear_percent;    /* a probe is clear if what is translated takes so much of what a world does; then... */
    unsigned trust_doublings;  /* ... the next comparison is good for twice as long, so often in a row */
    uint64_t probe_us;         /* length of a probe, ...                                 */
    unsigned probe_entries;    /* ... or so many entries                                 */
    int64_t gain_max;          /* a saving is at most so many times what ran in the world */
    /* spin.h: */
    unsigned spin_events;      /* of a window                                            */
    uint64_t spin_wait_ms, spin_wait_max_ms; /* from one trial to the next, doubling       */
    unsigned spin_percent;     /* of a round trip asleep is what one awake may take at most */
    unsigned spin_others_percent; /* of the time it may wait for a CPU that others have   */
    unsigned spin_crowded;     /* it ends after so many windows in a row with more than that */
    unsigned spin_vain;        /* a window ends early when so many waits, and all, ended asleep */
    unsigned spin_event_trips; /* events are close when they take so many of them        */
    unsigned spin_wait_trips;  /* a side looks for the other for the time of so many of them, before it sleeps */
    unsigned spin_stay_percent; /* of what its waits would have taken asleep is what a window awake may take at most */
    unsigned phase;            /* entries so many times closer: the program does something else */
} DirectPolicy;

extern const DirectPolicy direct_policy;

#endif /* TRANSLATOR_DIRECT_DIRECT_POLICY_H */
