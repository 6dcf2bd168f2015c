/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks.  A walk first follows the tables without touching them, then judges, then sets the
 * accessed and dirty bits by compare-and-swap; when an entry changed in between it starts again.
 * So a walk that faults changes nothing, and one that succeeds saw a consistent path.
 */
#include "cpu-x86/walk.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/debug.h"
#include "cpu-x86/exception.h"
#include "softmmu/base/log.h"

#include <inttypes.h>

enum { /* paging-structure entries, SDM 3A tables 4-5 ... 4-20 */
    PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100,
};
#define PTE_NX BIT64(63)
enum { PTE_PKEY_SHIFT = 59 };

typedef struct {
    uint64_t addr, val;
    unsigned size;
} Step;

/* Where a walk ended. */
typedef struct {
    Step step[4];
    unsigned n_steps;
    uint64_t phys;             /* of the linear address                                */
    unsigned page_shift;
    bool user, write, exec;    /* U/S, R/W over all levels; no XD                      */
    bool global, paged;
    uint8_t pkey;
    bool pkeys;                /* protection keys apply (4-level paging)               */
} Walk;

typedef enum { WALK_OK, WALK_NOT_PRESENT, WALK_RESERVED } WalkResult;

/* -- Following the tables -------------------------------------------------------------------------- */

static uint64_t read_entry(CpuState *cpu, uint64_t addr, unsigned size)
{
    const void *p = phys_main_ram(cpu->mem, guest_phys(addr), size);

    if (unlikely(p == NULL)) {
        p = phys_mem_host(cpu->mem, guest_phys(addr), size, false);
    }
    if (likely(p != NULL)) {
        return host_load(p, size);
    }
    mmu_park(&cpu->mmu);
    return phys_read(cpu->mem, guest_phys(addr), size);
}

/* Take one entry into the walk; false: not present. */
static inline bool take(CpuState *cpu, Walk *w, uint64_t addr, unsigned size, uint64_t *entry)
{
    uint64_t e = read_entry(cpu, addr, size);

    w->step[w->n_steps++] = (Step){addr, e, size};
    *entry = e;
    if ((e & PTE_P) == 0) {
        return false;
    }
    w->user &= (e & PTE_U) != 0;
    w->write &= (e & PTE_W) != 0;
    if (size == 8 && (e & PTE_NX) != 0) {
        w->exec = false;
    }
    return true;
}

static void finish(const CpuState *cpu, Walk *w, uint64_t lin, uint64_t entry, uint64_t frame,
                   unsigned shift)
{
    w->page_shift = shift;
    w->phys = (frame & ~(BIT64(shift) - 1)) | (lin & (BIT64(shift) - 1));
    w->global = (cpu->cr4 & CR4_PGE) != 0 && (entry & PTE_G) != 0;
}

/* 32-bit paging, SDM 3A 4.3. */
static WalkResult walk_2level(CpuState *cpu, uint64_t lin, Walk *w)
{
    uint64_t e;

    if (!take(cpu, w, (cpu->cr3 & 0xfffff000) | (lin >> 22 & 0x3ff) << 2, 4, &e)) {
        return WALK_NOT_PRESENT;
    }
    if ((e & PTE_PS) != 0 && (cpu->cr4 & CR4_PSE) != 0) {
        /* PSE-36: bits 13.. of the entry are bits 32.. of the address */
        unsigned bits = MIN(cpu_model_phys_bits(cpu->model), 40);
        uint64_t reserved = BIT(21) | (0x1fe000 & ~((BIT64(bits - 32 + 13) - 1)));

        if ((e & reserved) != 0) {
            return WALK_RESERVED;
        }
        finish(cpu, w, lin, e, (e & 0xffc00000) | (e & 0x1fe000) << 19, 22);
        return WALK_OK;
    }
    if (!take(cpu, w, (e & 0xfffff000) | (lin >> 12 & 0x3ff) << 2, 4, &e)) {
        return WALK_NOT_PRESENT;
    }
    finish(cpu, w, lin, e, e & 0xfffff000, 12);
    return WALK_OK;
}

/* The levels PAE and 4-level paging share, from `level` (4: PML4 .. 1: page table) down. `always`:
 * bits reserved in every entry. */
static WalkResult walk_wide(CpuState *cpu, uint64_t lin, Walk *w, uint64_t table, unsigned level,
                            uint64_t always)
{
    const uint64_t frame = BIT64(52) - BIT64(12);
    bool has_1g = cpu_model_has(cpu->model, FEAT_PDPE1GB);

    for (;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        bool leaf;
        uint64_t e;

        if (!take(cpu, w, (table & frame) | (lin >> shift & 0x1ff) << 3, 8, &e)) {
            return WALK_NOT_PRESENT;
        }
        leaf = level == 1 || ((e & PTE_PS) != 0 && (level == 2 || (level == 3 && has_1g)));
        if ((e & always) != 0 || (!leaf && level >= 3 && (e & PTE_PS) != 0) ||
            (leaf && level > 1 && (e & (BIT64(shift) - BIT64(13))) != 0)) {
            return WALK_RESERVED;
        }
        if (leaf) {
            w->pkey = w->pkeys ? e >> PTE_PKEY_SHIFT & 0xf : 0;
            finish(cpu, w, lin, e, e & frame, shift);
            return WALK_OK;
        }
        table = e;
    }
}

static WalkResult walk(CpuState *cpu, uint64_t lin, Walk *w)
{
    uint64_t reserved;

    w->n_steps = 0; /* field by field: clearing the whole takes longer than the walk */
    w->user = w->write = w->exec = w->paged = true;
    w->global = w->pkeys = false;
    w->pkey = 0;
    if ((cpu->cr0 & CR0_PG) == 0) {
        w->paged = false;
        w->phys = (uint32_t)lin;
        w->page_shift = 12;
        return WALK_OK;
    }
    if ((cpu->cr4 & CR4_PAE) == 0) {
        return walk_2level(cpu, lin, w);
    }
    reserved = BIT64(52) - BIT64(cpu_model_phys_bits(cpu->model));
    if ((cpu->efer & EFER_NXE) == 0) {
        reserved |= PTE_NX;
    }
    if ((cpu->efer & EFER_LMA) != 0) {
        w->pkeys = (cpu->cr4 & CR4_PKE) != 0;
        return walk_wide(cpu, lin, w, cpu->cr3, 4, reserved);
    }
    /* PAE: the first level is four registers, SDM 3A 4.4.1 */
    uint64_t pdpte = cpu->pdpte[lin >> 30 & 3];

    if ((pdpte & PTE_P) == 0) {
        return WALK_NOT_PRESENT;
    }
    return walk_wide(cpu, lin, w, pdpte, 2, reserved | (BIT64(63) - BIT64(52)));
}

/* -- Rights ------------------------------------------------------------------------------------------ */

/* What protection keys deny: TLB_R_READ | TLB_R_WRITE bits. SDM 3A 4.6.2. */
static unsigned pkey_denies(const CpuState *cpu, const Walk *w, TlbClass c)
{
    unsigned key = w->pkeys && w->user ? cpu->vec.pkru >> (w->pkey * 2) & 3 : 0;

    if ((key & 1) != 0) {
        return TLB_R_READ | TLB_R_WRITE;
    }
    if ((key & 2) != 0 && (c == TLB_USER || (cpu->cr0 & CR0_WP) != 0)) {
        return TLB_R_WRITE;
    }
    return 0;
}

/* TLB_R_* the tables grant accesses of this class. SDM 3A 4.6.1. */
static unsigned rights_of(const CpuState *cpu, const Walk *w, TlbClass c)
{
    unsigned r = TLB_R_READ;

    if (!w->paged) {
        return TLB_R_READ | TLB_R_WRITE | TLB_R_EXEC;
    }
    if (w->write || (c != TLB_USER && (cpu->cr0 & CR0_WP) == 0)) {
        r |= TLB_R_WRITE;
    }
    if (w->exec) {
        r |= TLB_R_EXEC;
    }
    if (c == TLB_USER) {
        r = w->user ? r : 0;
    } else if (w->user) {
        if ((cpu->cr4 & CR4_SMEP) != 0) {
            r &= ~(unsigned)TLB_R_EXEC;
        }
        if (c == TLB_KERNEL && (cpu->cr4 & CR4_SMAP) != 0) {
            r &= ~(unsigned)(TLB_R_READ | TLB_R_WRITE);
        }
    }
    return r & ~pkey_denies(cpu, w, c);
}

static unsigned right_for(TlbAccess a)
{
    return a == TLB_LOAD ? TLB_R_READ : a == TLB_STORE ? TLB_R_WRITE : TLB_R_EXEC;
}

/* SDM 3A 4.7. */
static void hold_fault(CpuState *cpu, GuestLin lin, TlbAccess a, TlbClass c, WalkResult result, const Walk *w)
{
    uint32_t code = (result != WALK_NOT_PRESENT ? PF_P : 0) | (result == WALK_RESERVED ? PF_RSVD : 0) |
                    (a == TLB_STORE ? PF_W : 0) | (c == TLB_USER ? PF_U : 0);

    if (a == TLB_FETCH && ((cpu->cr4 & CR4_SMEP) != 0 ||
                           ((cpu->cr4 & CR4_PAE) != 0 && (cpu->efer & EFER_NXE) != 0))) {
        code |= PF_I;
    }
    if (result == WALK_OK && a != TLB_FETCH && (pkey_denies(cpu, w, c) & right_for(a)) != 0) {
        code |= PF_PK;
    }
    log_item(MMU, "mmu: #PF code %x lin %016" PRIx64 " cr3 %" PRIx64, code, lin.v, cpu->cr3);
    cpu_hold_page_fault(cpu, lin, code);
}

/* -- Accessed and dirty ------------------------------------------------------------------------------- */

/* Set bits in one entry.  False: it is no longer what the walk saw. */
static bool set_bits(CpuState *cpu, const Step *s, uint64_t bits)
{
    uint8_t *p;
    bool ok;

    if ((s->val & bits) == bits) {
        return true;
    }
    p = phys_mem_host(cpu->mem, guest_phys(s->addr), s->size, true);
    if (p == NULL) {
        return true; /* tables in ROM or in a device: nothing to mark */
    }
    if (s->size == 4) {
        uint32_t old = (uint32_t)s->val;

        ok = __atomic_compare_exchange_n((uint32_t *)p, &old, old | (uint32_t)bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint64_t old = s->val;

        ok = __atomic_compare_exchange_n((uint64_t *)p, &old, old | bits, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_RELAXED);
    }
    if (ok) {
        phys_mem_written(cpu->mem, (uint64_t)(p - cpu->mem->base), s->size);
    }
    return ok;
}

static bool mark_used(CpuState *cpu, const Walk *w, bool dirty)
{
    for (unsigned i = 0; i < w->n_steps; i++) {
        bool leaf = i + 1 == w->n_steps;

        if (!set_bits(cpu, &w->step[i], leaf && dirty ? PTE_A | PTE_D : PTE_A)) {
            return false;
        }
    }
    return true;
}

bool cpu_walk_try(CpuState *cpu, GuestLin lin, TlbAccess a, TlbClass c)
{
    unsigned rights;
    Walk w;

    cpu->stats[STAT_WALKS]++;
    do {
        WalkResult result = walk(cpu, lin.v, &w);

        rights = result == WALK_OK ? rights_of(cpu, &w, c) : 0;
        if ((rights & right_for(a)) == 0) {
            hold_fault(cpu, lin, a, c, result, &w);
            return false;
        }
    } while (!mark_used(cpu, &w, a == TLB_STORE));
    if (w.paged && a != TLB_STORE && (w.step[w.n_steps - 1].val & PTE_D) == 0) {
        rights &= ~(unsigned)TLB_R_WRITE; /* the first store walks again and sets D */
    }
    if (cpu_debug_watches_page(cpu, lin)) {
        rights |= TLB_R_WATCH;
    }
    log_item(MMU, "mmu: cpu %u lin %016" PRIx64 " is %" PRIx64 " rights %x shift %u%s", cpu->index, lin.v,
             w.phys & GUEST_PAGE_MASK, rights, w.page_shift, w.global ? " global" : "");
    tlb_insert(&cpu->mmu.tlb, c, lin, guest_phys(w.phys & GUEST_PAGE_MASK), rights, w.global,
               w.page_shift);
    return true;
}

void cpu_walk_fill(void *arg, GuestLin lin, TlbAccess a, TlbClass c)
{
    CpuState *cpu = arg;

    if (!cpu_walk_try(cpu, lin, a, c)) {
        cpu_raise_held(cpu);
    }
}

/* Rights that need no change to the tables. */
static unsigned rights_at_once(const CpuState *cpu, const Walk *w, TlbClass c)
{
    unsigned rights = rights_of(cpu, w, c);

    for (unsigned i = 0; i < w->n_steps; i++) {
        if ((w->step[i].val & PTE_A) == 0) {
            return 0;
        }
    }
    if (w->paged && (w->step[w->n_steps - 1].val & PTE_D) == 0) {
        rights &= ~(unsigned)TLB_R_WRITE;
    }
    return rights;
}

unsigned cpu_walk_peek(CpuState *cpu, GuestLin lin, TlbClass c, GuestPhys *phys,
                       unsigned *page_shift)
{
    Walk w;

    if (walk(cpu, lin.v, &w) != WALK_OK) {
        return 0;
    }
    *phys = guest_phys(w.phys & GUEST_PAGE_MASK);
    *page_shift = w.page_shift;
    return rights_at_once(cpu, &w, c);
}

/* Pages behind (step 1) or before (step -1) the one of `leaf` that continue it, at most max. */
static unsigned continued(const void *table, const Step *leaf, int64_t step, unsigned shift, unsigned max)
{
    /* all but what software may use, caching and XD, which is not for data */
    const uint64_t compared = (BIT64(52) - BIT64(12)) | PTE_P | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS | PTE_G;
    int64_t index = (int64_t)((leaf->addr & GUEST_PAGE_OFFSET_MASK) / leaf->size);
    unsigned n = 0;

    while (n < max && (uint64_t)(index + step) < GUEST_PAGE_SIZE / leaf->size) {
        uint64_t e = leaf->size == 8 ? __atomic_load_n((const uint64_t *)table + index + step, __ATOMIC_RELAXED)
                                     : __atomic_load_n((const uint32_t *)table + index + step, __ATOMIC_RELAXED);
        if (((e ^ (leaf->val + ((uint64_t)step << shift))) & compared) != 0) {
            break;
        }
        n++;
        step += step < 0 ? -1 : 1;
    }
    return n;
}

bool cpu_walk_extent(CpuState *cpu, GuestLin lin, unsigned max, WalkExtent *x)
{
    const void *table;
    const Step *leaf;
    Walk w;

    if (walk(cpu, lin.v, &w) != WALK_OK || w.user || w.n_steps == 0) {
        return false;
    }
    leaf = &w.step[w.n_steps - 1];
    table = phys_mem_host(cpu->mem, guest_phys(leaf->addr & GUEST_PAGE_MASK), GUEST_PAGE_SIZE, false);
    *x = (WalkExtent){.phys = guest_phys(w.phys & GUEST_PAGE_MASK), .page_shift = w.page_shift,
                      .rights = rights_at_once(cpu, &w, TLB_KERNEL), .global = w.global,
                      .entry_at = guest_phys(leaf->addr), .entry_size = leaf->size, .entry = leaf->val};
    if (table != NULL) {
        x->after = continued(table, leaf, 1, w.page_shift, max);
        x->before = continued(table, leaf, -1, w.page_shift, max);
    }
    return x->rights != 0;
}

bool cpu_walk_ahead(CpuState *cpu, GuestLin lin)
{
    Tlb *tlb = &cpu->mmu.tlb;
    unsigned rights;
    TlbClass c;
    Walk w;

    if (walk(cpu, lin.v, &w) != WALK_OK) {
        return false;
    }
    c = w.user ? TLB_USER : cpu->tlb_class;
    rights = rights_at_once(cpu, &w, c);
    if (rights == 0 || tlb_is_thrashing(tlb, c) || cpu_debug_watches_page(cpu, lin)) {
        return false;
    }
    cpu->stats[STAT_WALKS]++;
    tlb_insert(tlb, c, lin, guest_phys(w.phys & GUEST_PAGE_MASK), rights, w.global, w.page_shift);
    return true;
}

/* -- Debugger ------------------------------------------------------------------------------------------ */

bool cpu_walk_debug(CpuState *cpu, GuestLin lin, GuestPhys *phys)
{
    Walk w;

    if (walk(cpu, lin.v, &w) != WALK_OK) {
        return false;
    }
    *phys = guest_phys(w.phys);
    return true;
}

/* Call `copy` for each page's share of [lin, lin+len). */
static bool for_pages(CpuState *cpu, GuestLin lin, uint8_t *buf, size_t len,
                      bool (*copy)(PhysMem *mem, GuestPhys at, uint8_t *buf, size_t n))
{
    while (len > 0) {
        size_t n = MIN(len, GUEST_PAGE_SIZE - (lin.v & GUEST_PAGE_OFFSET_MASK));
        GuestPhys at;

        if (!cpu_walk_debug(cpu, lin, &at) || !copy(cpu->mem, at, buf, n)) {
            return false;
        }
        lin.v += n;
        buf += n;
        len -= n;
    }
    return true;
}

static bool copy_out(PhysMem *mem, GuestPhys at, uint8_t *buf, size_t n)
{
    return phys_copy_from(mem, buf, at, n);
}

/* phys_load: a breakpoint may be set in ROM. */
static bool copy_in(PhysMem *mem, GuestPhys at, uint8_t *buf, size_t n)
{
    return phys_load(mem, at, buf, n);
}

bool cpu_debug_read(CpuState *cpu, GuestLin lin, void *dst, size_t len)
{
    return for_pages(cpu, lin, dst, len, copy_out);
}

bool cpu_debug_write(CpuState *cpu, GuestLin lin, const void *src, size_t len)
{
    return for_pages(cpu, lin, (uint8_t *)src, len, copy_in);
}
