/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-linear memory access of one CPU: the fast path through the software TLB and everything
 * behind it (page walk, page crossing, devices, code pages, watched pages).
 *
 * softmmu knows no x86: the CPU gives it a `fill` function, which walks the guest's page tables and
 * either inserts a translation or raises the guest's exception and does not return (longjmp out).
 * No function here leaves anything half done when that happens: all pages of an access are
 * translated, with the right to do it, before the first byte is read or written.
 *
 * Naturally aligned accesses of up to 8 bytes to RAM are single host accesses (atomic, x86-TSO).
 */
#ifndef SOFTMMU_ACCESS_H
#define SOFTMMU_ACCESS_H

#include "softmmu/base/bits.h"
#include "softmmu/base/check.h"
#include "softmmu/tlb.h"

typedef struct {
    Tlb tlb;
    PhysMem *mem;     /* borrowed */
    void *arg;        /* the CPU, for the three functions below */

    /* Walk for `lin`; insert into tlb class c with tlb_insert() a translation that allows `a`, or
     * raise and not return. */
    void (*fill)(void *arg, GuestLin lin, TlbAccess a, TlbClass c);

    /* An access touched a page inserted with TLB_R_WATCH (after permission, before the data moves). */
    void (*watched)(void *arg, GuestLin lin, unsigned size, TlbAccess a);

    /* Before anything that may use the host's vector registers (devices, the C library): the engine
     * that runs the CPU may have the guest's in there.  NULL: it has not. */
    void (*park)(void);

    /* This CPU just wrote a page that held code (its own decoded code may be stale). */
    void (*code_written)(void *arg);
} SoftMmu;

static inline void mmu_park(const SoftMmu *m)
{
    if (m->park != NULL) {
        m->park();
    }
}

/* -- Single accesses: size 1, 2, 4 or 8 ---------------------------------------------------------- */

uint64_t mmu_load_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size);
void mmu_store_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, uint64_t val);

static inline uint64_t mmu_load(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size)
{
    void *p = tlb_hit(&m->tlb, c, lin.v, TLB_LOAD);

    if (likely(p != NULL && tlb_within_page(lin.v, size))) {
        return host_load(p, size);
    }
    return mmu_load_slow(m, c, lin, size);
}

static inline void mmu_store(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, uint64_t val)
{
    void *p = tlb_hit(&m->tlb, c, lin.v, TLB_STORE);

    if (likely(p != NULL && tlb_within_page(lin.v, size))) {
        host_store(p, size, val);
        return;
    }
    mmu_store_slow(m, c, lin, size, val);
}

/* -- Read-modify-write --------------------------------------------------------------------------- */

/*
 * mmu_rmw_begin() translates for writing (and reading) and gives a host pointer on which the caller
 * performs the operation itself, with a host `lock` prefix where the guest has one: the guest's RAM
 * itself, or, for devices and accesses that cross a page, a copy that mmu_rmw_end() writes back.
 * With `locked`, the copy case holds the machine lock between the two, so that it stays atomic
 * against other such cases.  mmu_rmw_end() must follow (nothing that raises may stand between);
 * pass changed=false (a failed cmpxchg of a copy) to leave memory alone.  size 1..16.
 */
typedef struct {
    void *p;
    uint8_t copy[16] __attribute__((aligned(16)));
    GuestLin lin;
    TlbClass tlb_class;
    uint8_t size;
    bool is_copy, locked, mark;
    uint64_t offset;
} MmuRmw;

void mmu_rmw_begin_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, bool locked, MmuRmw *rmw);
void mmu_rmw_end_slow(SoftMmu *m, MmuRmw *rmw, bool changed);

static inline void mmu_rmw_begin(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, bool locked,
                                 MmuRmw *rmw)
{
    void *p = tlb_hit(&m->tlb, c, lin.v, TLB_STORE);

    if (likely(p != NULL && tlb_within_page(lin.v, size))) {
        rmw->p = p;
        rmw->is_copy = rmw->mark = false;
        return;
    }
    mmu_rmw_begin_slow(m, c, lin, size, locked, rmw);
}

static inline void mmu_rmw_end(SoftMmu *m, MmuRmw *rmw, bool changed)
{
    if (unlikely(rmw->is_copy || rmw->mark)) {
        mmu_rmw_end_slow(m, rmw, changed);
    }
}

/* -- Blocks ----------------------------------------------------------------------------------------- */

/* Copy n bytes (up to GUEST_PAGE_SIZE); all pages are checked first.  For vector operands, xsave... */
void mmu_load_bytes(SoftMmu *m, TlbClass c, GuestLin lin, void *dst, unsigned n);
void mmu_store_bytes(SoftMmu *m, TlbClass c, GuestLin lin, const void *src, unsigned n);

/* Raise what an access of n bytes (up to a page) would raise; do nothing else. */
void mmu_probe(SoftMmu *m, TlbClass c, GuestLin lin, unsigned n, TlbAccess a);

/*
 * Host pointer for runs inside one page (string instructions): the access at `lin` is allowed and
 * plain RAM (for stores: needs no marking); *avail is the number of bytes to the page's end.  NULL:
 * use single accesses.  May raise.
 */
void *mmu_run(SoftMmu *m, TlbClass c, GuestLin lin, TlbAccess a, unsigned *avail);

/* -- Code ---------------------------------------------------------------------------------------- */

/*
 * Where the instruction byte at `lin` comes from: *offset is its place in the memfd and the result
 * the host address (readable to the end of the page); *version the page's code version, read before
 * the page was made a code page: what is decoded from the bytes is valid while
 * page_code_version(mem, *offset) == *version.  NULL when the code lies in a device window or
 * nowhere: fetch with mmu_fetch_bytes().  May raise.
 */
const uint8_t *mmu_code(SoftMmu *m, TlbClass c, GuestLin lin, uint64_t *offset, uint32_t *version);

/* Copy up to n (1..15) instruction bytes, ending at the page's end: returns how many (>= 1).  The
 * caller that needs more asks again at the next page (which may raise there).  May raise. */
unsigned mmu_fetch_bytes(SoftMmu *m, TlbClass c, GuestLin lin, uint8_t *dst, unsigned n);

/* -- Set-up ---------------------------------------------------------------------------------------- */

/* The CPUs whose TLBs may hold a page: revocation visits all.  Registered at CPU creation. */
void mmu_init(SoftMmu *m, PhysMem *mem, void *arg,
              void (*fill)(void *arg, GuestLin lin, TlbAccess a, TlbClass c),
              void (*watched)(void *arg, GuestLin lin, unsigned size, TlbAccess a),
              void (*code_written)(void *arg));
void mmu_clear(SoftMmu *m);

#endif /* SOFTMMU_ACCESS_H */
