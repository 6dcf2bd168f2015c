/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical address space.
 *
 * All memory of the guest (RAM, ROM images, video memory) lies in ONE memfd, mapped MAP_SHARED at
 * `base`; a place in it is an *offset*.  The address space is a list of regions, each RAM, ROM or
 * a device window, with priorities; it is flattened into sorted, disjoint ranges whenever it
 * changes, and the flat view is published whole, so that readers never lock.  What no region
 * covers reads as all ones and swallows writes.
 *
 * Every page of the memfd has flags.  Whoever writes guest memory, by whatever way, calls
 * phys_mem_written() afterwards (the soft TLB's fast path need not: its entries are writable only
 * while the page needs no marking).  Invariants:
 *
 *   1. A page with PAGE_CODE set has no writable TLB entry in any CPU (softmmu/tlb.h), so each
 *      write to it reaches phys_mem_written().
 *   2. phys_mem_written() on a PAGE_CODE page clears the flag and then increments code_version,
 *      both *after* the write is visible; a decoder reads the version, sets PAGE_CODE, reads the bytes, in
 *      this order, and so sees a mismatch whenever it may have read old bytes.  A page in PAGE_CHURN keeps
 *      the flag when whoever decodes can forget single bytes (code_bytes_changed, after the increment).
 *   3. PAGE_DIRTY_* bits mean "written since last cleared"; TLB entries are writable only when
 *      all logged dirty bits of the page are set already.
 */
#ifndef SOFTMMU_PHYS_MEM_H
#define SOFTMMU_PHYS_MEM_H

#include "softmmu/base/address.h"
#include "softmmu/base/huge.h"
#include "softmmu/base/lock.h"
#include "softmmu/bus.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    PAGE_CODE = 1,            /* decoded or translated code was made from it      */
    PAGE_DIRTY_DISPLAY = 2,   /* written since the display last looked            */
    PAGE_DIRTY_MIGRATION = 4, /* written since the migration last looked          */
    PAGE_TRACED = 8,          /* each write is reported (write_trace callback)    */
    PAGE_TLB_WRITABLE = 16,   /* some TLB may hold a writable entry (see tlb.h)   */
    PAGE_LOG_DISPLAY = 32,    /* PAGE_DIRTY_DISPLAY is wanted for this page       */
    PAGE_CHURN = 64,          /* it is code and written again and again: each write is marked, so that
                                 making it code revokes nothing (which visits every TLB entry) */
} PageFlags;

typedef enum {
    PHYS_NONE,                /* nobody answers */
    PHYS_RAM,
    PHYS_ROM,                 /* reads like RAM; writes are dropped, or go to `ops` when given */
    PHYS_MMIO,
} PhysKind;

/* What a write to a code page meant to those who have made something of it. */
typedef enum {
    CODE_NOT_TOUCHED,         /* nothing was made from these bytes                */
    CODE_SAME,                /* they are what they were                          */
    CODE_CHANGED,
} CodeEffect;

typedef struct PhysRegion PhysRegion;
typedef struct PhysMem PhysMem;

/* A piece of the flat view: [base, base+len), page-sized pieces or smaller. */
typedef struct {
    uint64_t base, len;
    PhysKind kind;
    uint64_t offset;          /* RAM, ROM: place of `base` in the memfd           */
    const BusOps *ops;        /* MMIO, and ROM with a write handler               */
    void *arg;
    uint64_t window_off;      /* offset of `base` inside the window               */
    PhysRegion *region;
} PhysRange;

/* Somebody who maps guest memory beside the TLBs and so must hear of what they hear (worlds).  Both
 * functions are called by any thread, with locks below LOCK_RANK_WORLD held, and return when it is done. */
typedef struct {
    void *arg;
    /* No stores to the page without a word any more: see phys_mem_revoke_write(). */
    void (*revoke_write)(void *arg, uint64_t offset);
    /* The page was a PAGE_CODE page and has been written. */
    void (*code_written)(void *arg, uint64_t offset);
} PhysMirror;

struct PhysMem {
    /* wiring, set once */
    Lock *lock;               /* the machine lock, borrowed                       */
    int fd;                   /* the memfd                                        */
    uint8_t *base;            /* host address of offset 0                         */
    uint64_t size;            /* bytes reserved; offsets are below it             */

    /* state */
    uint64_t used;            /* bytes given out                                  */
    uint8_t *page_flags;      /* PageFlags of each page, atomics                  */
    uint32_t *code_version;   /* of each page: changes when its code changes      */
    Lock code_lock;           /* while a page becomes a code page                 */
    unsigned n_becoming;      /* ... how many do or wait, atomic                  */
    unsigned n_forgetting;    /* writes to code pages whose code is not forgotten yet, atomic */
    uint8_t *churn;           /* of each page: how often lately, for PAGE_CHURN   */
    uint8_t *present;         /* of each 2^PHYS_PRESENT_SHIFT bytes: asked of the host, atomic */
    HugePages huge;           /* of the host, for this memory and for what is translated of it */
    GPtrArray *regions;       /* PhysRegion*, in order of addition                */
    void *flat;               /* published FlatView, atomic                       */
    uint64_t address_mask;    /* all ones, or without bit 20 while A20 is off     */
    uint64_t generation;      /* changes with every published view, atomic        */
    /* The view's longest RAM, where nearly all is found: phys_main_ram().  main_seq is odd while the others
     * are written. */
    uint64_t main_seq, main_base, main_len, main_offset;
    unsigned batch;           /* depth of phys_mem_begin()                        */
    GPtrArray *old_views;     /* retired, the longest first; used again           */
    GArray *listeners;
    GPtrArray *tlbs;          /* Tlb*: whom a revocation must reach               */
    void (*write_trace)(void *arg, uint64_t offset, uint64_t len); /* PAGE_TRACED, may be NULL */
    void *write_trace_arg;
    void (*code_changed)(void *arg, uint64_t offset); /* a PAGE_CODE page was written; may be NULL */
    /* The same where only bytes [offset, offset + len) of the page may be others now, and it stays a code page;
     * may be NULL */
    CodeEffect (*code_bytes_changed)(void *arg, uint64_t offset, uint64_t len);
    void *code_changed_arg;
    void (*dirty_wanted)(void *arg); /* hwaccel: bring the PAGE_DIRTY_* flags up to date, and carry out writes to
                                        devices that waited (BusOps.lazy_writes); may be NULL */
    void *vm;                 /* hwaccel's, which maps this memory; NULL: none          */
    bool writes_unseen;       /* ...and several CPUs run there, of which some may be interpreted for a while */
    const PhysMirror *mirror; /* borrowed, may be NULL; set while no CPU runs      */
    struct Window *window;    /* its owner's, may be NULL; set while no CPU runs   */
};

/* Reserve `size` bytes (rounded up to pages) of guest memory; nothing is committed until touched.
 * `lock` is the machine lock, borrowed.  NULL with `error` set when the host refuses. */
PhysMem *phys_mem_new(uint64_t size, Lock *lock, GError **error);
void phys_mem_free(PhysMem *pm);

/* Take `len` bytes (page aligned) from the memfd; returns their offset.  The caller has reserved
 * enough with phys_mem_new(): running out is a bug. */
uint64_t phys_mem_alloc(PhysMem *pm, uint64_t len);

/* -- Regions (machine lock held) --------------------------------------------------------------- */

/* Add a region; among overlapping ones the higher priority answers, the later of equals.  `name`
 * is borrowed.  len > 0.  RAM and ROM bases, lengths and offsets are page aligned. */
PhysRegion *phys_region_ram(PhysMem *pm, uint64_t base, uint64_t len, uint64_t offset,
                            int priority, const char *name);
/* ROM: `ops` may be NULL (writes are dropped) or take the writes (flash). */
PhysRegion *phys_region_rom(PhysMem *pm, uint64_t base, uint64_t len, uint64_t offset,
                            int priority, const BusOps *ops, void *arg, const char *name);
PhysRegion *phys_region_mmio(PhysMem *pm, uint64_t base, uint64_t len, const BusOps *ops, void *arg,
                             int priority, const char *name);
void phys_region_remove(PhysMem *pm, PhysRegion *r);
void phys_region_move(PhysMem *pm, PhysRegion *r, uint64_t base);
void phys_region_enable(PhysMem *pm, PhysRegion *r, bool on);
/* Change a RAM/ROM region between the two (PAM): rom true makes it read-only. */
void phys_region_set_rom(PhysMem *pm, PhysRegion *r, bool rom);

/* Group changes: the view is rebuilt once, at the last end. */
void phys_mem_begin(PhysMem *pm);
void phys_mem_end(PhysMem *pm);

/* The A20 gate: while off, bit 20 of every physical address is 0. */
void phys_mem_set_a20(PhysMem *pm, bool on);

/* Call `changed` (machine lock held) after each new view; CPUs flush their TLBs there. */
void phys_mem_listen(PhysMem *pm, void (*changed)(void *arg), void *arg);
void phys_mem_unlisten(PhysMem *pm, void (*changed)(void *arg), void *arg);

/* Iterate the flat view in address order (info mtree, KVM slots, e820). */
void phys_mem_foreach(PhysMem *pm, void (*f)(const PhysRange *r, const char *name, void *arg),
                      void *arg);

/* -- Lookup (any thread, no lock) ---------------------------------------------------------------- */

/* The range that answers `addr` (after the A20 mask), never NULL: kind PHYS_NONE between regions.
 * Copied out; valid for the view it came from. */
PhysRange phys_mem_find(PhysMem *pm, GuestPhys addr);

/* Host pointer to [addr, addr+len) when it is wholly one RAM/ROM range (ROM only if !write), else
 * NULL.  After writing through it call phys_mem_written(). */
void *phys_mem_host(PhysMem *pm, GuestPhys addr, uint64_t len, bool write);

/* The same where it lies in the longest RAM, which takes a few instructions; NULL: ask phys_mem_host(). */
static inline void *phys_main_ram(const PhysMem *pm, GuestPhys addr, uint64_t len)
{
    uint64_t seq = __atomic_load_n(&pm->main_seq, __ATOMIC_ACQUIRE);
    uint64_t at = addr.v - __atomic_load_n(&pm->main_base, __ATOMIC_RELAXED);
    uint64_t room = __atomic_load_n(&pm->main_len, __ATOMIC_RELAXED);
    uint64_t offset = __atomic_load_n(&pm->main_offset, __ATOMIC_RELAXED);

    __atomic_signal_fence(__ATOMIC_ACQUIRE); /* the host keeps the order of loads */
    if (at >= room || len > room - at || (seq & 1) != 0 ||
        __atomic_load_n(&pm->main_seq, __ATOMIC_RELAXED) != seq ||
        __atomic_load_n(&pm->address_mask, __ATOMIC_RELAXED) != UINT64_MAX) {
        return NULL;
    }
    return pm->base + offset + at;
}

/* The guest is about to use memory at `offset`: have the host bring it with its neighbours (softmmu/base/present.h). */
enum { PHYS_PRESENT_SHIFT = 18 };
void phys_mem_make_present(PhysMem *pm, uint64_t offset);

static inline void phys_mem_expect(PhysMem *pm, uint64_t offset)
{
    if (__builtin_expect(__atomic_load_n(&pm->present[offset >> PHYS_PRESENT_SHIFT], __ATOMIC_RELAXED) == 0, 0)) {
        phys_mem_make_present(pm, offset);
    }
}

/* -- Access ------------------------------------------------------------------------------------- */

/* One access of 1..8 bytes by a CPU: RAM atomically when naturally aligned, windows under the
 * machine lock (taken here). */
uint64_t phys_read(PhysMem *pm, GuestPhys addr, unsigned size);
void phys_write(PhysMem *pm, GuestPhys addr, unsigned size, uint64_t val);

/* Bulk copies (DMA, loaders, debugger).  Device windows are reached by accesses of at most 8 bytes.
 * False when some byte lay where nobody answers (it read as 0xff, or was dropped). */
bool phys_copy_from(PhysMem *pm, void *dst, GuestPhys addr, uint64_t len);
bool phys_copy_to(PhysMem *pm, GuestPhys addr, const void *src, uint64_t len);
/* As phys_copy_to, but also writes ROM (loaders, firmware reset). */
bool phys_load(PhysMem *pm, GuestPhys addr, const void *src, uint64_t len);

/* -- Page flags --------------------------------------------------------------------------------- */

/* [offset, offset+len) of the memfd has been written: mark dirty, invalidate code. */
void phys_mem_written(PhysMem *pm, uint64_t offset, uint64_t len);

static inline uint8_t page_flags_get(const PhysMem *pm, uint64_t offset)
{
    return __atomic_load_n(&pm->page_flags[offset >> GUEST_PAGE_SHIFT], __ATOMIC_SEQ_CST);
}

/* Make a page a code page: sets PAGE_CODE and revokes writable TLB entries everywhere.  Cheap when
 * it is one already. */
void phys_mem_set_code(PhysMem *pm, uint64_t offset);

/* Some page is no longer marked as code, but what was made from its bytes is still there.  Who finds a page
 * unmarked, and so leaves the forgetting to others, asks this behind it. */
static inline bool phys_mem_is_forgetting(const PhysMem *pm)
{
    return __atomic_load_n(&pm->n_forgetting, __ATOMIC_SEQ_CST) != 0;
}

/* May a store to a page with these flags go without phys_mem_written()?  (invariants 1 and 3) */
static inline bool page_store_needs_marking(uint8_t flags)
{
    return (flags & (PAGE_CODE | PAGE_TRACED | PAGE_CHURN)) != 0 || (flags & PAGE_DIRTY_MIGRATION) == 0 ||
           ((flags & PAGE_LOG_DISPLAY) != 0 && (flags & PAGE_DIRTY_DISPLAY) == 0);
}

/* Guest memory may have been written by a way that does not tell (a guest under hwaccel): whatever was
 * decoded or translated from any page is to be compared again. */
void phys_mem_forget_code(PhysMem *pm);

/* A CPU's serializing instruction: it executes what other CPUs have written to its code, told or not. */
static inline void phys_mem_serialize(PhysMem *pm)
{
    if (pm->writes_unseen) {
        phys_mem_forget_code(pm);
    }
}

/* Before looking at dirty flags, or at a device that takes lazy writes: collect what the hardware has kept.  Machine lock
 * held. */
static inline void phys_mem_collect_dirty(PhysMem *pm)
{
    if (pm->dirty_wanted != NULL) {
        pm->dirty_wanted(pm->vm);
    }
}

/* Set or clear; returns the flags before. */
uint8_t page_flags_set(PhysMem *pm, uint64_t offset, uint8_t flags);
uint8_t page_flags_clear(PhysMem *pm, uint64_t offset, uint8_t flags);

/* True when the page was written since the last call with this PAGE_DIRTY_* flag; clears it and
 * makes the next write to the page mark it again. */
bool phys_mem_test_clear_dirty(PhysMem *pm, uint64_t offset, uint8_t flag);

static inline uint32_t page_code_version(const PhysMem *pm, uint64_t offset)
{
    return __atomic_load_n(&pm->code_version[offset >> GUEST_PAGE_SHIFT], __ATOMIC_ACQUIRE);
}

#endif /* SOFTMMU_PHYS_MEM_H */
