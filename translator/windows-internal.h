/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's side of the window, between windows.c (who may use it), windows-slots.c (on what the CPUs agree),
 * windows-pages.c (what the guest's tables say, and flushes), windows-fault.c and windows-report.c.
 */
#ifndef TRANSLATOR_WINDOWS_INTERNAL_H
#define TRANSLATOR_WINDOWS_INTERNAL_H

#include "cpu-x86/walk.h"
#include "softmmu/base/bits.h"
#include "softmmu/window.h"
#include "translator/windows-regions.h"
#include "translator/windows.h"

enum { SLOTS_MAX = 2048, LOCALS = 1024 };

/* How a CPU's tables are read.  All that use the window do it in one way. */
typedef enum {
    PAGING_NONE,               /* no window: not paged, or not in a way that serves us             */
    PAGING_64,                 /* upper half, 4 levels; slots are entries of the PML4               */
    PAGING_PAE,                /* 32 bits: slots are entries of the four page directories           */
    PAGING_PAE_NX,             /* ... with EFER.NXE                                                */
    PAGING_32,                 /* ... of the page directory, with CR4.PSE                           */
    PAGING_CHANGES,            /* nobody may use it                                                */
} Paging;

static const struct {
    uint8_t slot_shift;
    uint16_t slots;
    uint64_t start;            /* linear address of the first                                      */
} paging_geometry[] = {
    [PAGING_64] = {39, 256, UINT64_C(0xffff800000000000)},
    [PAGING_PAE] = {21, 2048, 0},
    [PAGING_PAE_NX] = {21, 2048, 0},
    [PAGING_32] = {22, 1024, 0},
};

/* A small page of a 32-bit system that is mapped in the window and not global. */
typedef struct {
    uint64_t lin;
    GuestPhys entry_at;        /* its entry in the page table, and what that says                  */
    const void *entry_host;    /* ... seen by the host, NULL: no more; good for local_generation    */
    uint64_t entry;
} LocalPage;

/* What HABIT_ASIDE has reached lately.  Two may meet in one: then the wrong instruction is blamed, or none. */
typedef struct {
    uint64_t page;             /* its linear address and 1; 0: none                                 */
    uint64_t at;               /* memfd offset of the instruction                                   */
} WindowAside;

enum { ASIDES = 32 };

struct WindowShare {
    Window *window;
    Lock lock;                 /* slots and paging                                                  */
    unsigned paging;           /* Paging of those who use it (atomic)                               */
    uint64_t slots[SLOTS_MAX / 64]; /* in use                                                       */
    uint64_t banned[SLOTS_MAX / 64]; /* tables disagree about them                                  */
    uint8_t changes[SLOTS_MAX]; /* how often each was started over                                 */
    uint16_t drops[SLOTS_MAX]; /* how often a page of it was unmapped by itself                     */
    uint64_t entry[SLOTS_MAX]; /* what the tables say there                                        */
    uint64_t directory[4];     /* PAE: the page directories that say so, or 0                       */
    LocalPage local[LOCALS];   /* under lock; some may be mapped no more                            */
    unsigned n_locals, next_local; /* the latter to be given up when there are too many            */
    uint64_t local_generation; /* PhysMem.generation                                                */
    WindowRegions regions;     /* of 64-bit systems, under lock; n_banned and ended are looked at without */
    WindowAside aside[ASIDES]; /* atomic                                                            */
    unsigned next_aside;       /* atomic                                                            */
    uint64_t generation;       /* changes with the slots and paging (atomic); not 0                 */
    const char *off;           /* why it is off for good, or NULL (atomic)                         */
    uint64_t n_faults, n_mapped, n_user, n_unmapped, n_device, n_probes, n_stores, n_refused, n_unserved, n_restless, n_brought, n_touched;
    uint64_t n_restless_faults; /* of instructions found guilty because of a region                */
};

static inline bool paging_is_pae(unsigned paging)
{
    return paging == PAGING_PAE || paging == PAGING_PAE_NX;
}

/* The slot of an address that the window reaches. */
static inline unsigned slot_of(Paging p, uint64_t lin)
{
    return (unsigned)(lin >> paging_geometry[p].slot_shift) & (paging_geometry[p].slots - 1u);
}

static inline uint64_t slot_size(Paging p)
{
    return BIT64(paging_geometry[p].slot_shift);
}

static inline uint64_t slot_start(Paging p, unsigned slot)
{
    return paging_geometry[p].start + slot * slot_size(p);
}

static inline bool slot_is_used(const WindowShare *ws, unsigned slot)
{
    return (__atomic_load_n(&ws->slots[slot / 64], __ATOMIC_RELAXED) >> (slot % 64) & 1) != 0;
}

/* Never to be used again. */
static inline bool slot_is_banned(const WindowShare *ws, unsigned slot)
{
    return (__atomic_load_n(&ws->banned[slot / 64], __ATOMIC_RELAXED) >> (slot % 64) & 1) != 0;
}

/* -- windows-slots.c ---- */

/* How this CPU reads its tables now. */
Paging windows_paging_of(const CpuState *cpu);
/* The table's entry number `index` of `size` bytes; 0: not readable. */
uint64_t windows_read_entry(const CpuState *cpu, uint64_t table, unsigned index, unsigned size);
/* What this CPU's tables say about `slot`, as far as it matters; 0: not readable, or not present. */
uint64_t windows_slot_entry(Paging p, const CpuState *cpu, unsigned slot);
/*
 * From now on tables are read as this CPU does.  False: another CPU uses the window, and reads them otherwise.  Whoever
 * looked at `paging` before it changes has said so by window_ok, or finds a new generation.
 */
bool windows_take_paging(TransCpu *tc, unsigned paging);
/* Nothing there any more, and never again (lock held). */
void windows_ban_slot(TransCpu *tc, unsigned slot);
/* `run` has just been mapped: perhaps that has happened to a slot of it since it was taken, by another CPU, which did not find it. */
void windows_unmap_banned(TransCpu *tc, const WindowRun *run);
/* This CPU's tables say `e` in a slot in use, which is something else: start it over. */
void windows_resettle(TransCpu *tc, unsigned slot, uint64_t e);
/* This CPU's page directories agreed at that generation. */
void windows_learn_directories(TransCpu *tc, uint64_t generation);
/*
 * Has this CPU's root table nothing where slots are in use?  Then it is that of user code under page-table isolation, for the
 * few instructions until CR3 is loaded, and what it says of the rest is no news either; or all of these have moved away.
 */
bool windows_lack_slots(const TransCpu *tc);
/*
 * Do the tables say what they said when the slots in use were taken?  Where one has nothing there at all it is
 * that of user code under page-table isolation, or another system's: false.
 */
bool windows_agree(TransCpu *tc);
/* Take the slots of `run` into use: that of `lin`, and on both sides as many as agree; the run ends with them.  False:
 * not even that of `lin`. */
bool windows_take_slots(TransCpu *tc, uint64_t lin, WindowRun *run);

/* -- windows.c ---- */

/* Are this CPU's regions judged (windows-regions.h)? */
static inline bool windows_judges(const TransCpu *tc)
{
    return tc->config->window_regions && tc->window_paging == PAGING_64;
}

/* Microseconds, of the host. */
uint64_t windows_now(void);

/* -- windows-pages.c ---- */

/* Is `lin` where this CPU's window may have something? */
bool windows_reach(const TransCpu *tc, uint64_t lin);
/*
 * The guest's supervisor page at `lin`, RAM behind it, as the tables are now, with what continues it on both sides;
 * at most max pages of each.  32-bit systems load CR3 all the time and have no PCIDs, so there pages that are not global
 * are each looked at by itself (LocalPage), when they are small.
 */
bool windows_find_run(CpuState *cpu, uint64_t lin, unsigned max, WindowRun *run);
/* How far from `lin` on, at most to the end of `run`, is it still what the tables say?  0: not even there. */
uint64_t windows_still_so(CpuState *cpu, const WindowRun *run, uint64_t lin, unsigned max);
/* Unmap of `run` the guest's page that holds `lin`, as large as it was. */
void windows_drop_leaf(TransCpu *tc, const WindowRun *run, uint64_t lin);
/* All that is mapped, after a flush of everything, or what of it is not global, after a lesser one. */
void windows_look_again(TransCpu *tc, bool all);
/* A page of a 32-bit system that is not global is about to be mapped.  False: it is there no more. */
bool windows_note_local(TransCpu *tc, uint64_t lin);
/* CR3 was loaded: such pages that this CPU's tables have no longer as they were go (lock held, or this is the only CPU). */
void windows_look_at_locals(TransCpu *tc);
/* Tlb.on_flush */
void windows_flushed(void *arg, TlbFlush what, GuestLin lin);

#endif /* TRANSLATOR_WINDOWS_INTERNAL_H */
