/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How one machine's translator is to behave: all adaptive constants (policy.c says why each default is
 * what it is) and what `-accel translate,PROPERTY=VALUE` changes of them (properties.def).
 */
#ifndef TRANSLATOR_POLICY_H
#define TRANSLATOR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    unsigned block_insns_max;     /* guest instructions of one block                       */
    unsigned translate_at;        /* translate on this visit; earlier ones are interpreted */
    unsigned cold_budget;         /* instructions the interpreter runs from a cold address */
    unsigned odd_budget;          /* ... in a mode that is not translated                  */
    unsigned code_mib;            /* size of the code cache                                */
    unsigned code_regions;        /* evicted one at a time, first in first out             */
    unsigned jump_cache;          /* entries, a power of two, at most JC_SIZE              */
    bool walk_ahead;              /* fill the TLB for page-table entries that VMI calls announce */
    bool window;                  /* kernel code uses the host's MMU                       */
    unsigned window_mappings;     /* of the host, before all is unmapped; 0: by vm.max_map_count */
    unsigned window_overflows;    /* so many, and one in so many mappings made: off for good   */
    unsigned window_faults;       /* stores to pages of code that make an instruction guilty */
    unsigned window_group;        /* pages that come together where memory is scattered by pages */
    unsigned pause_yield;         /* PAUSEs until the host is asked to run somebody else; 0: never  */
    unsigned window_touch;        /* faults that map after which an instruction asks first; 0: never */
    unsigned touch_doublings;     /* ... and does so in vain for twice as long each time, so many times */
    unsigned window_aside;        /* ... and times that it has mapped something then after which it looks up instead; 0: never */
    unsigned aside_in_vain;       /* ... each time after fewer than so many in vain                */
    unsigned window_missed;       /* ... until others wanted what it reached so often              */
    bool window_regions;          /* regions that are restless do without (windows-regions.h), for 64-bit kernels */
    unsigned window_region_us;    /* what each mapping made again books                    */
    unsigned window_region_burst; /* so many at once are too many                          */
    unsigned window_region_ms;    /* the first term                                        */
    unsigned window_region_sites; /* instructions found guilty that end it before its time */
    unsigned window_protect;      /* pages that lose the right to be written together when one becomes code */
    unsigned window_cluster;      /* instructions interpreted on after such a fault        */
    unsigned window_changes;      /* root-table entries that change more often are not used   */
    unsigned window_drops;        /* pages of a table's worth of addresses unmapped: no longer used, for 32-bit kernels */
    unsigned window_locals;       /* faults on pages that are not global: off for good, for 32-bit kernels */
    unsigned window_pardon_every; /* passes of the dispatcher after which the guilty try again */
    unsigned window_pardons;      /* ... so many times                                       */
    unsigned window_distrust;     /* faults on what the guest has not mapped: off for good */
    bool chain;                   /* link blocks of a page directly                        */
    bool chain_pages;             /* ... and between a kernel's pages                      */
    bool look_ahead;              /* flags that the next blocks overwrite are dead         */
    bool quiet;                   /* look-ups that leave live flags alone                  */
    bool share;                   /* blocks of user code serve all addresses of their page */
    unsigned share_above;         /* ... GiB, from this address on                         */
    bool strings;                 /* MOVS and STOS within pages are sequences               */
    bool near_stack;              /* stack accesses try near pages (TlbNear) first         */
    bool near_runs;               /* ... once for a run of pushes and pops                  */
    bool near_data;               /* hot code's others a page of their own (TlbSpot)       */
    bool group;                   /* loads of a block by the same register share a look-up (compile-group.c) */
    unsigned hot_samples;         /* interrupts of the last TRANS_SAMPLES that make a page hot; 0: all are */
    bool warm;                    /* borrowed registers stay so over links                 */
    unsigned branches;            /* conditional jumps forward behind which a block goes on  */
    bool cold_code;               /* what rarely runs of a block lies elsewhere            */
    bool exact_writes;            /* PAGE_CHURN pages: writes kill what they change        */
    bool revive;                  /* blocks that died by a write, when it changed nothing  */
    bool soft;                    /* immediates read from the guest's code                 */
    unsigned call_misses;         /* misses for good after which an instruction becomes CALL class; 0: never */
    unsigned divide_faults;       /* divide errors of the host after which a division is called; 0: never */
    unsigned habit_in_vain;       /* executions in a row without its habit that make an instruction lose it */
    unsigned habit_turns;         /* times that it may get one                             */
    char *symbols;                /* file of the guest kernel's symbols, or NULL           */
    bool perf_map, gdb_jit;       /* tell perf, a debugger of the host about blocks       */
    bool one_insn;                /* blocks of one instruction                             */
    bool system;                  /* system instructions by sequences and helpers          */
    bool quick;                   /* those that are frequent without bringing the CpuState up to date */
    bool transitions;             /* syscall and sysret without C                          */
    unsigned direct;              /* DirectMode (direct/direct.h)                          */
    unsigned direct_spin;         /* SpinMode (direct/spin.h)                              */
    bool direct_breaks;           /* CPUID in worlds by breakpoints (direct/breaks.h)      */
    unsigned ask_ns;              /* wait so long for a CPU to come to the border before it gets a signal; 0: signal at once */
    unsigned verify;              /* compare one block in so many with the interpreter; 0  */
    unsigned thread;              /* TransThread                                           */
    unsigned split_wx;            /* 0: two views, the only way                            */
} TransConfig;

typedef enum { TRANS_THREAD_MULTI, TRANS_THREAD_SINGLE } TransThread;

extern const TransConfig trans_policy; /* the defaults */

#endif /* TRANSLATOR_POLICY_H */
