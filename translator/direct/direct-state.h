/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct execution's state of a machine and of one CPU, between the files of this folder. */
#ifndef TRANSLATOR_DIRECT_DIRECT_STATE_H
#define TRANSLATOR_DIRECT_DIRECT_STATE_H

#include "translator/direct/direct.h"
#include "translator/direct/space.h"
#include "translator/direct/spin.h"

enum { DIRECT_SPACES = 64, DIRECT_WORLDS = 12, POLICY_PROGRAMS = 32, POLICY_STAGES = 12 };

/* Verdict on a page: code version, flags, what was found (SCAN_*), the rules. */
#define VERDICT_KNOWN BIT64(32)
#define VERDICT_SCAN_SHIFT 33
#define VERDICT_SCAN (UINT64_C(7) << VERDICT_SCAN_SHIFT)
#define VERDICT_UNSURE BIT64(36) /* denied, what lies before the page not being known */
#define VERDICT_RULES_SHIFT 40

/* Of a machine: hangs off PhysMem.mirror. */
typedef struct {
    PhysMirror mirror;
    PhysMem *mem;
    unsigned refs;
    WorldImage image;
    GPtrArray *cpus;           /* DirectCpu*; changes only while no CPU runs          */
    uint64_t *verdict;         /* of each page of memory, atomic                      */
    uint16_t *exec_maps;       /* worlds that can execute it, atomic                  */
    uint16_t *churn;           /* code changes lately: seconds << 8 | count           */
} DirectShared;

/* How a program was demoted: while it was busy with its kernel, or while it was calm, that is, had entries so far apart that round
 * trips into worlds hardly matter. */
enum { POLICY_BUSY, POLICY_CALM, POLICY_MANNERS };

/* What is known of a program: of all its processes so far. */
typedef struct {
    uint64_t key;              /* Space.program; 0: nothing yet                       */
    uint64_t last_use;         /* DirectCpu.clock                                     */
    PolicyPaces stage[POLICY_STAGES]; /* of a process's life, by its entries into the kernel */
    uint64_t waited_ns;        /* with the translator, since the last decision        */
    unsigned penalty[POLICY_MANNERS]; /* demotions lately                             */
    unsigned wins;             /* ... outweighed by windows that paid                 */
} PolicyProgram;

/* What a while in a world came to, in ns of CPU time. */
typedef struct {
    int64_t useful, lost;      /* user code; round trips and mappings                 */
    uint64_t total, entries;   /* of all, the guest's kernel included; into that      */
    bool alone;                /* no other address space in between                   */
} PolicyResult;

/* Where the components lie in a standard XSAVE image: the host's business. */
typedef struct {
    uint32_t ymm, opmask, zmm_hi, hi16;
} VectorLayout;

struct DirectCpu {
    CpuState *cpu;
    DirectShared *shared;
    DirectMode mode;
    Lock lock;                 /* spaces' pages and mappers, against the mirror       */
    Space space[DIRECT_SPACES];
    Space *current;            /* whose world ran last and may not sleep, or NULL     */
    unsigned n_worlds;
    unsigned pages_max;        /* of one world: the policy's, or what the host allows    */
    uint64_t clock;            /* counts entries                                      */
    SpinControl spin;          /* hand-overs awake or asleep                           */
    uint64_t useful_cycles;    /* from orders to events, while awake                   */
    uint64_t next_world;       /* TSC: the host refused one, and is asked again then   */
    unsigned refusals;         /* in a row                                            */
    /* direct-policy.c */
    uint64_t next_look;        /* TSC                                                  */
    uint64_t n_changes;        /* calls of the TLB's before_change                     */
    uint64_t tables, n_moves;  /* the address space at the last of them; how often it was another */
    unsigned n_chosen;         /* spaces that are                                      */
    PolicyProgram program[POLICY_PROGRAMS];
    PolicyLook look;           /* the last one in the translator                       */
    PolicyIdentified identified; /* whose process and program were looked for last     */
    int64_t account_ns;        /* what worlds may yet lose                             */
    uint64_t trip_ns;          /* CPU time into a world and out, as measured lately    */
    bool measure_trips;        /* at the next opportunity                              */
    bool trips_measured;       /* once at least                                        */
    uint64_t next_trips;       /* TSC: before that what was measured is good           */

    pthread_mutex_t kick_lock;
    World *running;            /* whom a kick must reach (kick_lock)                  */

    VectorLayout layout;
    uint64_t host_xcr0;
    bool host_pku;
    DirectStats stats;
};

static inline DirectShared *direct_shared(const PhysMem *mem)
{
    return mem->mirror != NULL ? mem->mirror->arg : NULL;
}

/* The guest's memory at a guest-physical page; NULL where there is none. */
const uint8_t *direct_memory(const DirectCpu *dc, GuestPhys phys);

/* -- state.c ---- */

/* Are its segments such that a world can have them?  Part of: */
bool state_segments_fit(const DirectCpu *dc);
/* Is the CPU in a state that a world can be in? */
bool state_fits_world(const DirectCpu *dc);
/* User code may execute RDTSC, and the host's is what the guest would see. */
bool state_rdtsc_is_true(const DirectCpu *dc);
/* Registers of the event into the CpuState, all but the vectors.  May raise: #GP where the user code
 * went where its world could not follow. */
void state_from_event(CpuState *cpu, const WorldEvent *ev);
void state_vectors_from_world(DirectCpu *dc, const World *w, const WorldEvent *ev);
/* CpuState into the frame.  False: the frame is nonsense. */
bool state_to_world(DirectCpu *dc, World *w);
void vector_layout_init(VectorLayout *l);

/* -- direct-policy.c ---- */

void policy_init(DirectCpu *dc);
/* direct=on, or the stress knob: no policy at all. */
bool policy_is_forced(const DirectCpu *dc);
/* Some empty round trips through a world whose registers are in the CpuState.  False: it broke. */
bool policy_measure_trips(DirectCpu *dc, World *w);
/* The least of them took so long, by a clock that takes so long to be looked at: sets trip_ns. */
void policy_reckon_trip(DirectCpu *dc, uint64_t least, uint64_t clock);
/* Is it time for policy_look()?  Cheap; any code may ask. */
bool policy_look_is_due(const DirectCpu *dc);
/* `s` is in user code, translated.  True: its user code shall run in a world from now on. */
bool policy_look(DirectCpu *dc, Space *s);
/* Shall user code of `s` run in a world? */
bool policy_wants(DirectCpu *dc, Space *s);
/* A world's event has been dealt with. */
void policy_world_event(DirectCpu *dc, Space *s);
/* User code of `s`, translated, has had `ns` with `entries` into the kernel.  Returns as policy_look(). */
bool policy_judge_translated(DirectCpu *dc, Space *s, uint64_t ns, uint64_t entries);
/* It has run in its world: may demote it or begin a probe. */
void policy_judge_world(DirectCpu *dc, Space *s, const PolicyResult *r);
/* The space is forgotten. */
void policy_forget(DirectCpu *dc, Space *s);

#endif /* TRANSLATOR_DIRECT_DIRECT_STATE_H */
