/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An address space of the guest as one CPU sees it, and its world.
 *
 * The pages a world has mapped are a TLB like any other: each was put there for an access that the
 * page walk allowed (or that its accessed bits show to have happened), and is removed when x86
 * would have it removed.  As the guest's flushes come while its kernel runs, they are not done at once:
 * the world is parked (space_hold()) and they are caught up with before it runs again
 * (space_catch_up()).  A flush of everything becomes a comparison of all pages with the page tables.
 *
 * Write access is given under the rules of softmmu/tlb.h, and taken by the mirror's revocation, which
 * may come from any thread while the world runs: the owner's lock guards pages and mapper.
 * An executable page has PAGE_CODE set, so that no write to it goes unnoticed, until code_written().
 */
#ifndef TRANSLATOR_DIRECT_SPACE_H
#define TRANSLATOR_DIRECT_SPACE_H

#include "cpu-x86/state.h"
#include "translator/direct/pages.h"
#include "translator/direct/scan.h"
#include "translator/direct/world.h"

typedef struct DirectCpu DirectCpu;

typedef struct Space Space;

/* In the translator: counters when it was last looked at. */
typedef struct {
    const Space *space;        /* whose user code ran                                */
    uint64_t cpu_ns, entries;  /* of the CPU's thread; entries into the guest's kernel */
    uint64_t switches;         /* of address space                                   */
} PolicyLook;

/* Whose page tables were looked at to see what process it is; what else was so then. */
typedef struct {
    const Space *space;
    uint64_t changes;          /* DirectCpu.n_changes                                */
    uint64_t entries;          /* into the guest's kernel                            */
} PolicyIdentified;

/* In a world: counters when its account was last looked at. */
typedef struct {
    uint64_t began;            /* TSC; 0: not begun                                  */
    uint64_t events;           /* since then                                         */
    uint64_t engine_ns, world_ns; /* CPU time then                                   */
    uint64_t useful;           /* DirectCpu.useful_cycles then                       */
    bool awake;                /* hand-overs then                                    */
    uint64_t entries, switches; /* of the CPU then                                   */
    uint64_t mapping;          /* Space.mapping then                                 */
} PolicyWindow;

/* CPU time per entry into the guest's kernel: what progress is measured by. */
typedef struct {
    uint64_t ns, entries;      /* decaying                                           */
} PolicyPace;

/* The two to be compared. */
typedef struct {
    PolicyPace translated, direct;
} PolicyPaces;

/* Addresses that its user code has asked for (place.h). */
typedef struct {
    uint64_t at, len;
} PlaceAsked;

enum { SPACE_ASKED = 4 };

struct Space {
    uint64_t cr3;              /* which address space: the base of its tables        */
    World *world;              /* NULL: none                                         */
    WorldPages pages;
    uint64_t mapping;          /* what mapping has cost, in round trips / MAPPING_UNIT */
    unsigned around;           /* pages looked at around the last that faulted       */
    unsigned around_found;     /* ... and how many were mapped                       */
    uint64_t around_at;        /* the last fault                                     */
    /* what of Tlb the pages agree with */
    uint32_t tlb_space;
    uint64_t n_wipes, n_page_flushes;
    bool rdtsc_is_true;        /* state_rdtsc_is_true() when its pages were mapped   */
    uint64_t n_moves;          /* DirectCpu.n_moves when its world ran last          */
    /* place.c */
    PlaceAsked asked[SPACE_ASKED]; /* the last large ones, and the very last          */
    unsigned n_asked;
    uint64_t asks_len, asks_rip; /* a call for so much is under way, and comes back here; len 0: none */
    /* policy.c */
    uint64_t last_use;         /* DirectCpu.clock                                    */
    uint64_t process, program; /* identity.h, when it was last looked at             */
    uint64_t entries;          /* of this process into the kernel, as far as was seen */
    bool chosen;               /* its user code is to run in the world               */
    bool probing;              /* ... but for a moment not, to compare               */
    uint64_t waited_ns;        /* with the translator, since the last decision       */
    PolicyPace lately, present; /* in the translator, whatever the stage: the last milliseconds, and since then */
    uint64_t probe_entries;    /* ... entries meanwhile                              */
    int64_t credit_ns;         /* what it may yet lose                               */
    int64_t trust_ns;          /* for so long the comparison of the two is good      */
    unsigned clear_probes;     /* in a row                                           */
    PolicyWindow window;
    GuestLin refault;          /* page fault given to the guest: its user code will... */
    uint64_t refault_rip;      /* ... do the access again from here                  */
    TlbAccess refault_access;
    bool refaults;
    bool no_breaks;            /* at CPUID: its user code came to them too often     */
    unsigned n_breaks;         /* it did so, in BREAKS_BURST_MS from ...             */
    uint64_t breaks_began;     /* ... TSC                                            */
    bool wants_tsc_faults;     /* the code page looked at last was denied for its RDTSC */
    uint32_t holdoff;          /* visits of the dispatcher to leave to the translator */
    uint32_t holdoff_next;     /* what it will be set to                             */
    uint64_t held_off_ns;      /* CPU time of the world then                          */
    unsigned visits, visits_max; /* to code that is not for it, close upon each other; as many are too many */
    uint64_t visited_ns;       /* CPU time of the world at the last                   */
    uint64_t visited_page;     /* ... and where it was                                */
};

typedef enum {
    FAULT_MAPPED,              /* the page is there now: go on                       */
    FAULT_INTERPRET,           /* a world cannot do this access                      */
    FAULT_BROKEN,              /* the world is                                       */
} FaultResult;

/* Its world sleeps for certain afterwards, or is gone.  Before TLB flushes and switches. */
void space_hold(DirectCpu *dc, Space *s);

/* Do what the TLB's flushes since the last run mean: queued, before anything that follows and before the world runs (space_resume(), space_sync()).
 * The space is current.  False: the world broke. */
bool space_catch_up(DirectCpu *dc, Space *s);

/* The world faulted: map the page, and some around it that cost nothing to the guest.  Raises the
 * guest's page fault. */
FaultResult space_fault(DirectCpu *dc, Space *s, GuestLin lin, TlbAccess a);

/* The guest has had a page fault from its world: when it is back at the instruction, map the page before it
 * faults once more. */
void space_note_fault(Space *s, GuestLin lin, TlbAccess a, uint64_t rip);
/* At an entry.  False: the world broke. */
bool space_map_fault(DirectCpu *dc, Space *s);

/* Let its world go, behind what is queued for it. */
void space_resume(DirectCpu *dc, Space *s);
/* Have done what is queued.  False: the world broke. */
bool space_sync(DirectCpu *dc, Space *s);

/* The page of code at `lin`, of the current address space, is left to the translator for its CPUID: have these stop the world instead.  False:
 * for more than that, or it cannot be. */
bool space_break_at_cpuid(DirectCpu *dc, Space *s, uint64_t lin);
/* The world has come to one.  When it does so too often there will be none for it any more. */
void space_came_to_break(DirectCpu *dc, Space *s);

/* Forget all mappings (the world keeps its processes), or the world altogether. */
void space_empty(DirectCpu *dc, Space *s);
void space_drop_world(DirectCpu *dc, Space *s);

/* Mirror: lock of the owner held. */
void space_revoke_write(DirectCpu *dc, Space *s, uint64_t offset);
void space_code_written(DirectCpu *dc, Space *s, uint64_t offset);

#endif /* TRANSLATOR_DIRECT_SPACE_H */
