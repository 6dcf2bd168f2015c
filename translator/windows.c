/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows.h"

#include "cpu-x86/walk.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"
#include "softmmu/window.h"
#include "translator/glue.h"
#include "translator/symbols.h"

#include <asm/prctl.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS_MAX = 2048, ENTRY_PS = 0x80, LOCALS = 128 };
/* Of an entry: frame, XD, size and rights; not what the CPU marks and software may use. */
#define ENTRY_BITS (BIT64(63) | (BIT64(52) - BIT64(12)) | ENTRY_PS | 7u)

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
} geometry[] = {
    [PAGING_64] = {39, 256, UINT64_C(0xffff800000000000)},
    [PAGING_PAE] = {21, 2048, 0},
    [PAGING_PAE_NX] = {21, 2048, 0},
    [PAGING_32] = {22, 1024, 0},
};

/* A small page of a 32-bit system that is mapped in the window and not global. */
typedef struct {
    uint64_t lin;
    GuestPhys entry_at;        /* its entry in the page table, and what that says                  */
    uint64_t entry;
} LocalPage;

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
    unsigned n_locals;
    uint64_t generation;       /* changes with the slots and paging (atomic); not 0                 */
    const char *off;           /* why it is off for good, or NULL (atomic)                         */
    uint64_t n_faults, n_mapped, n_user, n_unmapped, n_device, n_probes, n_stores, n_refused, n_unserved, n_restless, n_brought;
};

/* -- Life ------------------------------------------------------------------------------------- */

WindowShare *windows_new(PhysMem *mem, const TransConfig *config, const char **why)
{
    Window *w = window_new(mem, why);
    WindowShare *ws;

    if (w == NULL) {
        return NULL;
    }
    ws = g_new0(WindowShare, 1);
    ws->window = w;
    ws->generation = 1;
    ws->paging = PAGING_NONE;
    w->pieces_max = config->window_mappings != 0 ? config->window_mappings : w->pieces_max;
    lock_init(&ws->lock, LOCK_RANK_BACKEND);
    mem->window = w;
    return ws;
}

void windows_free(WindowShare *ws)
{
    if (ws != NULL) {
        ws->window->mem->window = NULL;
        window_free(ws->window);
        lock_clear(&ws->lock);
        g_free(ws);
    }
}

void windows_thread_init(const TransCpu *tc)
{
    if (tc->windows != NULL) {
        syscall(SYS_arch_prctl, ARCH_SET_GS, tc->windows->window->base); /* nobody else here uses GS */
    }
}

/* -- Agreement ---------------------------------------------------------------------------------- */

static Paging paging_of(const CpuState *cpu)
{
    if ((cpu->cr4 & (CR4_PGE | CR4_LA57)) != CR4_PGE || (cpu->cr0 & CR0_WP) == 0 || (cpu->dr[7] & 0xff) != 0 ||
        cpu->n_watch != 0) {
        return PAGING_NONE;
    }
    if ((cpu->efer & EFER_LMA) != 0) {
        return PAGING_64;
    }
    if ((cpu->cr0 & CR0_PG) == 0) {
        return PAGING_NONE;
    }
    return (cpu->cr4 & CR4_PAE) != 0   ? (cpu->efer & EFER_NXE) != 0 ? PAGING_PAE_NX : PAGING_PAE
           : (cpu->cr4 & CR4_PSE) != 0 ? PAGING_32 : PAGING_NONE;
}

static bool is_pae(unsigned paging)
{
    return paging == PAGING_PAE || paging == PAGING_PAE_NX;
}

/* The table's entry number `index` of `size` bytes; 0: not readable. */
static uint64_t read_entry(const CpuState *cpu, uint64_t table, unsigned index, unsigned size)
{
    const void *p = phys_mem_host(cpu->mem, guest_phys(table + index * size), size, false);

    return p == NULL ? 0
           : size == 8 ? __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED)
                       : __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}

/* What this CPU's tables say about `slot`, as far as it matters; 0: not readable, or not present. */
static uint64_t slot_entry(Paging p, const CpuState *cpu, unsigned slot)
{
    const uint64_t frame = BIT64(52) - BIT64(12);
    uint64_t e = 0;

    if (p == PAGING_64) {
        e = read_entry(cpu, cpu->cr3 & frame, geometry[p].slots + slot, 8);
    } else if (p == PAGING_32) {
        e = read_entry(cpu, cpu->cr3 & 0xfffff000, slot, 4);
    } else if ((cpu->pdpte[slot >> 9] & 1) != 0) {
        e = read_entry(cpu, cpu->pdpte[slot >> 9] & frame, slot & 511, 8);
    }
    return (e & 1) != 0 ? e & ENTRY_BITS : 0;
}

/* The slot of an address that the window reaches. */
static unsigned slot_of(Paging p, uint64_t lin)
{
    return (unsigned)(lin >> geometry[p].slot_shift) & (geometry[p].slots - 1u);
}

static uint64_t slot_size(Paging p)
{
    return BIT64(geometry[p].slot_shift);
}

static uint64_t slot_start(Paging p, unsigned slot)
{
    return geometry[p].start + slot * slot_size(p);
}

static bool slot_is_empty(const WindowShare *ws, Paging p, unsigned slot)
{
    WindowRun run;

    return !window_next(ws->window, slot_start(p, slot), &run) || run.lin - slot_start(p, slot) >= slot_size(p);
}

/* Our own program must have nothing of the guest's in its place; no 32-bit address leads there. */
static bool avoids_us(const WindowShare *ws, Paging p, const CpuState *cpu)
{
    uint64_t at = ws->window->program_lin;

    return p != PAGING_64 || (slot_entry(p, cpu, slot_of(p, at)) == 0 &&
                              slot_entry(p, cpu, slot_of(p, at + WINDOW_PROGRAM)) == 0);
}

/* Another CPU may be using the window, with the slots as they were (lock held). */
static bool others_use_it(const TransCpu *tc)
{
    for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
        const TransCpu *other = g_ptr_array_index(tc->shared->cpus, i);
        if (other != tc && __atomic_load_n(&other->window_ok, __ATOMIC_SEQ_CST)) {
            return true;
        }
    }
    return false;
}

static void next_generation(WindowShare *ws)
{
    __atomic_add_fetch(&ws->generation, 1, __ATOMIC_SEQ_CST);
}

/*
 * From now on tables are read as this CPU does.  False: another CPU uses the window, and reads them otherwise.  Whoever
 * looked at `paging` before it changes has said so by window_ok, or finds a new generation.
 */
static bool take_paging(TransCpu *tc, unsigned paging)
{
    WindowShare *ws = tc->windows;
    unsigned old;
    bool free;

    if (__atomic_load_n(&ws->paging, __ATOMIC_SEQ_CST) == paging) {
        return true;
    }
    lock_take(&ws->lock);
    old = ws->paging;
    __atomic_store_n(&ws->paging, PAGING_CHANGES, __ATOMIC_SEQ_CST);
    next_generation(ws);
    free = old == paging || !others_use_it(tc);
    if (free && old != paging) {
        window_unmap_all(ws->window);
        memset(ws->slots, 0, sizeof ws->slots);
        memset(ws->banned, 0, sizeof ws->banned);
        memset(ws->changes, 0, sizeof ws->changes);
        memset(ws->drops, 0, sizeof ws->drops);
        ws->n_locals = 0;
    }
    __atomic_store_n(&ws->paging, free ? paging : old, __ATOMIC_SEQ_CST);
    next_generation(ws);
    lock_release(&ws->lock);
    return free;
}

static bool slot_is_used(const WindowShare *ws, unsigned slot)
{
    return (__atomic_load_n(&ws->slots[slot / 64], __ATOMIC_RELAXED) >> (slot % 64) & 1) != 0;
}

/* Lock held. */
static void use_slot(WindowShare *ws, unsigned slot, bool use)
{
    uint64_t bit = BIT64(slot % 64), now = ws->slots[slot / 64];

    __atomic_store_n(&ws->slots[slot / 64], use ? now | bit : now & ~bit, __ATOMIC_SEQ_CST);
}

/* Not to be used again (lock held). */
static void ban(WindowShare *ws, unsigned slot)
{
    ws->banned[slot / 64] |= BIT64(slot % 64);
    use_slot(ws, slot, false);
}

static void forget_directories(WindowShare *ws)
{
    for (unsigned i = 0; i < ARRAY_LEN(ws->directory); i++) {
        __atomic_store_n(&ws->directory[i], 0, __ATOMIC_RELAXED);
    }
}

/* This CPU's tables say `e` in a slot in use, which is something else.  Start the slot over; but when that
 * comes again and again it is each address space's own, and no longer used (lock held). */
static void resettle_locked(TransCpu *tc, unsigned slot, uint64_t e)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;

    window_unmap(ws->window, slot_start(p, slot), slot_size(p));
    ws->entry[slot] = e;
    forget_directories(ws);
    if (others_use_it(tc) || ++ws->changes[slot] > tc->config->window_changes) {
        ban(ws, slot);
    }
    next_generation(ws);
}

static void resettle(TransCpu *tc, unsigned slot, uint64_t e)
{
    lock_take(&tc->windows->lock);
    resettle_locked(tc, slot, e);
    lock_release(&tc->windows->lock);
}

/* Are the slots of word i of `slots` all in a page directory that was compared before? */
static bool directory_is_known(const TransCpu *tc, unsigned i)
{
    uint64_t directory = is_pae(tc->window_paging) ? tc->cpu->pdpte[i / 8] : 0;

    return directory != 0 && directory == __atomic_load_n(&tc->windows->directory[i / 8], __ATOMIC_RELAXED);
}

/* This CPU's tables agreed at that generation. */
static void learn_directories(TransCpu *tc, uint64_t generation)
{
    WindowShare *ws = tc->windows;

    lock_take(&ws->lock);
    for (unsigned i = 0; i < ARRAY_LEN(ws->directory) && ws->generation == generation; i++) {
        __atomic_store_n(&ws->directory[i], tc->cpu->pdpte[i], __ATOMIC_RELAXED);
    }
    lock_release(&ws->lock);
}

/*
 * Do the tables say what they said when the slots in use were taken?  Where one has nothing there at all it is
 * that of user code under page-table isolation, or another system's: false.
 */
static bool agrees(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    uint64_t differ[SLOTS_MAX / 64] = {0};
    unsigned words = geometry[p].slots / 64;

    for (unsigned i = 0; i < words; i++) {
        uint64_t left = __atomic_load_n(&ws->slots[i], __ATOMIC_RELAXED);
        if (left == 0 || directory_is_known(tc, i)) {
            continue;
        }
        for (; left != 0; left &= left - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
            uint64_t e = slot_entry(p, tc->cpu, slot);
            if (e == 0 && slot_is_empty(ws, p, slot)) { /* a region that has moved away */
                lock_take(&ws->lock);
                use_slot(ws, slot, false);
                lock_release(&ws->lock);
                continue;
            }
            if (e == 0) {
                return false;
            }
            differ[i] |= e != __atomic_load_n(&ws->entry[slot], __ATOMIC_RELAXED) ? left & -left : 0;
        }
    }
    for (unsigned i = 0; i < words; i++) {
        for (; differ[i] != 0; differ[i] &= differ[i] - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(differ[i]);
            resettle(tc, slot, slot_entry(p, tc->cpu, slot));
        }
    }
    return avoids_us(ws, p, tc->cpu);
}

/* Take `slot` into use as this CPU's tables have it.  False: another CPU's have something else. */
static bool take_slot(TransCpu *tc, unsigned slot)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    bool ok = (ws->banned[slot / 64] >> (slot % 64) & 1) == 0;
    uint64_t e = slot_entry(p, tc->cpu, slot);

    if (ok && slot_is_used(ws, slot) && __atomic_load_n(&ws->entry[slot], __ATOMIC_RELAXED) == e) {
        return true;
    }
    lock_take(&ws->lock);
    if (ok && slot_is_used(ws, slot) && ws->entry[slot] != e) { /* changed under the loaded CR3 */
        resettle_locked(tc, slot, e);
        ok = slot_is_used(ws, slot);
    } else if (ok && !slot_is_used(ws, slot)) {
        __atomic_store_n(&ws->entry[slot], e, __ATOMIC_RELAXED);
        forget_directories(ws);
        use_slot(ws, slot, true);
        next_generation(ws);
        /* Who checked before that is here; who checks later sees the slot. */
        for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
            const TransCpu *other = g_ptr_array_index(tc->shared->cpus, i);
            if (other != tc && __atomic_load_n(&other->window_ok, __ATOMIC_SEQ_CST)) {
                ok = ok && slot_entry(p, other->cpu, slot) == e;
            }
        }
        if (!ok || e == 0) { /* to be seen again when they agree */
            use_slot(ws, slot, false);
            ok = false;
        }
    }
    lock_release(&ws->lock);
    return ok;
}

/* Take the slots of `run` into use: that of `lin`, and on both sides as many as agree; the run ends with them.  False:
 * not even that of `lin`. */
static bool take_slots(TransCpu *tc, uint64_t lin, WindowRun *run)
{
    Paging p = tc->window_paging;
    unsigned first = slot_of(p, lin), last = first;
    uint64_t start = run->lin, run_last = run->lin + (run->len - 1);

    if (!take_slot(tc, first)) {
        return false;
    }
    while (start < slot_start(p, first) && take_slot(tc, first - 1)) {
        first--;
    }
    while (run_last - slot_start(p, last) >= slot_size(p) && take_slot(tc, last + 1)) {
        last++;
    }
    start = MAX(start, slot_start(p, first));
    run_last = MIN(run_last, slot_start(p, last) + (slot_size(p) - 1));
    run->offset += start - run->lin;
    run->lin = start;
    run->len = run_last - start + 1;
    return true;
}

/* -- Looking again ------------------------------------------------------------------------------- */

static bool is_local(const CpuState *cpu, const WalkExtent *x)
{
    return !x->global && (cpu->efer & EFER_LMA) == 0;
}

/*
 * The guest's supervisor page at `lin`, RAM behind it, as the tables are now, with what continues it on both sides;
 * at most max pages of each.  32-bit systems load CR3 all the time and have no PCIDs, so there pages that are not global
 * are each looked at by itself (LocalPage), when they are small.
 */
static bool find_run(CpuState *cpu, uint64_t lin, unsigned max, WindowRun *run)
{
    uint64_t page = lin & GUEST_PAGE_MASK, size, before, behind, in_range;
    WalkExtent x;
    PhysRange r;

    if (!cpu_walk_extent(cpu, guest_lin(lin), max, &x) || (cpu->mem->address_mask & x.phys.v) != x.phys.v ||
        (is_local(cpu, &x) && x.page_shift != GUEST_PAGE_SHIFT)) {
        return false;
    }
    if (is_local(cpu, &x)) {
        x.before = x.after = 0;
    }
    r = phys_mem_find(cpu->mem, x.phys);
    if (r.kind != PHYS_RAM) {
        return false;
    }
    in_range = x.phys.v - r.base;
    size = BIT64(x.page_shift);
    before = MIN((page & (size - 1)) + x.before * size, in_range);
    behind = MIN(size - (page & (size - 1)) + x.after * size, r.len - in_range) & GUEST_PAGE_MASK;
    if (behind == 0) {
        return false;
    }
    *run = (WindowRun){.lin = page - before, .len = before + behind, .offset = r.offset + in_range - before,
                       .leaf_shift = (uint8_t)x.page_shift, .write = (x.rights & TLB_R_WRITE) != 0,
                       .global = x.global};
    return true;
}

/* How far from `lin` on, at most to the end of `run`, is it still what the tables say?  0: not even there. */
static uint64_t still_so(CpuState *cpu, const WindowRun *run, uint64_t lin, unsigned max)
{
    WindowRun now;

    if (!find_run(cpu, lin, max, &now) || now.leaf_shift != run->leaf_shift ||
        now.offset + (lin - now.lin) != run->offset + (lin - run->lin) || (run->write && !now.write) ||
        (run->global && !now.global)) {
        return 0;
    }
    return MIN(now.len - (lin - now.lin), run->len - (lin - run->lin));
}

/* Is `lin` where this CPU's window may have something? */
static bool reaches(const TransCpu *tc, uint64_t lin)
{
    return tc->window_paging == PAGING_64 ? window_reaches(tc->windows->window, lin) : window_reaches_low(lin);
}

/* Unmap of `run` the guest's page that holds `lin`, as large as it was. */
static void drop_leaf(TransCpu *tc, const WindowRun *run, uint64_t lin)
{
    uint64_t start = MAX(lin & ~(BIT64(run->leaf_shift) - 1), run->lin);
    uint64_t last = MIN(lin | (BIT64(run->leaf_shift) - 1), run->lin + (run->len - 1));

    window_unmap(tc->windows->window, start, last - start + 1);
}

/* What is to be unmapped, side by side. */
typedef struct {
    uint64_t lin, len;
} Dead;

static void bury(WindowShare *ws, Dead *d)
{
    if (d->len != 0) {
        window_unmap(ws->window, d->lin, d->len);
    }
    d->len = 0;
}

/* All that is mapped, after a flush of everything, or what of it is not global, after a lesser one.  Each call of the host
 * that unmaps interrupts the other CPUs' threads: neighbours go together. */
static void look_again(TransCpu *tc, bool all)
{
    WindowShare *ws = tc->windows;
    uint64_t lin = 0;
    Dead dead = {0};
    WindowRun run;

    for (bool more = true; more && window_next(ws->window, lin, &run); more = lin != 0) {
        uint64_t end = run.lin + run.len;
        for (lin = run.lin; lin != end && (all || !run.global);) {
            uint64_t good = still_so(tc->cpu, &run, lin, 512);
            if (good == 0) {
                uint64_t leaf = BIT64(run.leaf_shift), start = MAX(lin & ~(leaf - 1), run.lin);

                good = MIN((lin | (leaf - 1)) + 1 - lin, end - lin);
                if (dead.lin + dead.len != start) {
                    bury(ws, &dead);
                    dead.lin = start;
                }
                dead.len += lin + good - start;
            }
            lin += good;
        }
        lin = end;
    }
    bury(ws, &dead);
}

/* The page at `lin` has just been unmapped by INVLPG.  Where that happens again and again are short-lived mappings
 * (Linux's kmap, page tables in high memory), each of which would cost a fault: no longer used.  Slots of 64-bit systems are
 * too large to be judged so. */
static void note_drop(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;

    if (!tc->window_ok || p == PAGING_64 || paging_of(tc->cpu) != p || !reaches(tc, lin) ||
        !slot_is_used(ws, slot_of(p, lin)) || ++ws->drops[slot_of(p, lin)] < tc->config->window_drops) {
        return;
    }
    lock_take(&ws->lock);
    ban(ws, slot_of(p, lin));
    window_unmap(ws->window, slot_start(p, slot_of(p, lin)), slot_size(p));
    lock_release(&ws->lock);
    ws->n_restless++;
}

static void flushed_page(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    WindowRun run;

    if (tc->window_ok && paging_of(tc->cpu) == p && reaches(tc, lin) && slot_is_used(ws, slot_of(p, lin)) &&
        slot_entry(p, tc->cpu, slot_of(p, lin)) != ws->entry[slot_of(p, lin)]) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        resettle(tc, slot_of(p, lin), slot_entry(p, tc->cpu, slot_of(p, lin)));
    } else if (window_find(ws->window, lin, &run) && still_so(tc->cpu, &run, lin, 0) == 0) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        drop_leaf(tc, &run, lin);
        note_drop(tc, lin);
    }
}

/* -- Pages of 32-bit systems that are not global --------------------------------------------------- */

/* Forget those that are mapped no more. */
static void sweep_locals(WindowShare *ws)
{
    WindowRun run;
    unsigned n = 0;

    for (unsigned i = 0; i < ws->n_locals; i++) {
        if (window_find(ws->window, ws->local[i].lin, &run) && !run.global) {
            ws->local[n++] = ws->local[i];
        }
    }
    ws->n_locals = n;
}

/* Such a page is about to be mapped.  False: there are too many of them. */
static bool note_local(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    unsigned i = 0;
    WalkExtent x;
    bool ok;

    if (!cpu_walk_extent(tc->cpu, guest_lin(lin), 0, &x)) {
        return false;
    }
    lock_take(&ws->lock);
    if (ws->n_locals == LOCALS) {
        sweep_locals(ws);
    }
    while (i < ws->n_locals && ws->local[i].lin != (lin & GUEST_PAGE_MASK)) {
        i++;
    }
    ok = i < LOCALS;
    if (ok) {
        ws->local[i] = (LocalPage){lin & GUEST_PAGE_MASK, x.entry_at, x.entry};
        ws->n_locals = MAX(ws->n_locals, i + 1);
    }
    lock_release(&ws->lock);
    return ok;
}

/* CR3 was loaded: those that this CPU's tables have no longer as they were go.  The slot's entry and the page's are all
 * that says what a page is (lock held, or this is the only CPU). */
static void look_at_locals(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    unsigned size = p == PAGING_32 ? 4 : 8;

    for (unsigned i = 0; i < ws->n_locals;) {
        LocalPage *l = &ws->local[i];
        unsigned slot = slot_of(p, l->lin);
        if (slot_entry(p, tc->cpu, slot) == ws->entry[slot] && read_entry(tc->cpu, l->entry_at.v, 0, size) == l->entry) {
            i++;
            continue;
        }
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        window_unmap(ws->window, l->lin, GUEST_PAGE_SIZE);
        *l = ws->local[--ws->n_locals];
    }
}

static void flushed(void *arg, TlbFlush what, GuestLin lin)
{
    TransCpu *tc = arg;

    if (what == TLB_FLUSH_ALL) {
        tc->window_stale = WINDOW_STALE_ALL;
    } else if (what == TLB_FLUSH_LOCAL) {
        tc->window_stale = MAX(tc->window_stale, WINDOW_STALE_LOCAL);
    } else {
        flushed_page(tc, lin.v);
    }
}

void windows_attach(TransCpu *tc)
{
    tc->windows = tc->shared->windows;
    if (tc->windows != NULL) {
        tc->cpu->mmu.tlb.on_flush = flushed;
        tc->cpu->mmu.tlb.on_flush_arg = tc;
        tc->window_stale = WINDOW_STALE_ALL;
    }
}

void windows_detach(TransCpu *tc)
{
    if (tc->windows != NULL) {
        tc->cpu->mmu.tlb.on_flush = NULL;
    }
}

/* -- Usable ------------------------------------------------------------------------------------- */

/* After no more than a CR3 load the one CPU that there is finds all as it was: global pages by the rules for TLBs, others
 * were looked at. */
static bool keeps_over_cr3(const TransCpu *tc, Paging p)
{
    return p != PAGING_64 && p == tc->window_paging && tc->window_ok && tc->window_stale != WINDOW_STALE_ALL &&
           tc->window_generation == tc->windows->generation && tc->shared->cpus->len == 1;
}

/* Would the window serve the code that runs now?  A 32-bit kernel whose stack is not in global pages has just begun, or
 * has page-table isolation. */
static bool is_worth_it(const TransCpu *tc, Paging p)
{
    WindowRun run;

    return p == PAGING_64 || tc->cpu->cpl == 3 || find_run(tc->cpu, (uint32_t)tc->cpu->gpr[GPR_RSP], 0, &run);
}

static bool check(TransCpu *tc, Paging p)
{
    WindowShare *ws = tc->windows;
    uint64_t generation;
    bool mine;

    if (vcb.tc != NULL) {
        trans_vec_spill();
    }
    do {
        mine = take_paging(tc, p);
        tc->window_paging = p;
        generation = __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST);
        mine = mine && __atomic_load_n(&ws->paging, __ATOMIC_SEQ_CST) == p;
        if (mine && tc->window_stale != WINDOW_FRESH) {
            bool all = tc->window_stale == WINDOW_STALE_ALL;
            tc->window_stale = WINDOW_FRESH;
            if (all || p == PAGING_64) {
                look_again(tc, all);
            } else {
                lock_take(&ws->lock);
                look_at_locals(tc);
                lock_release(&ws->lock);
            }
        }
        __atomic_store_n(&tc->window_ok, mine && agrees(tc) && is_worth_it(tc, p), __ATOMIC_SEQ_CST);
    } while (mine && generation != __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST));
    tc->window_cr3 = tc->cpu->cr3;
    tc->window_generation = generation;
    if (tc->window_ok && is_pae(p) && tc->shared->cpus->len > 1) {
        learn_directories(tc, generation);
    }
    return tc->window_ok;
}

/* The window is of no use as this CPU reads its tables: another may want to use it in another way. */
static void do_without(TransCpu *tc)
{
    if (tc->window_ok) {
        __atomic_store_n(&tc->window_ok, false, __ATOMIC_SEQ_CST);
    }
    tc->window_generation = 0;
}

bool windows_usable(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;
    const WindowShare *ws = tc->windows;
    Paging p;

    if (ws == NULL || __atomic_load_n(&ws->off, __ATOMIC_RELAXED) != NULL) {
        return false;
    }
    p = paging_of(cpu);
    if (p == PAGING_NONE) {
        do_without(tc);
        return false;
    }
    if (likely(p == tc->window_paging && tc->window_stale == WINDOW_FRESH &&
               tc->window_generation == __atomic_load_n(&ws->generation, __ATOMIC_RELAXED) &&
               cpu->cr3 == tc->window_cr3)) {
        return tc->window_ok;
    }
    if (keeps_over_cr3(tc, p)) {
        look_at_locals(tc);
        tc->window_stale = WINDOW_FRESH;
        tc->window_cr3 = cpu->cr3;
        return true;
    }
    return check(tc, p);
}

/* -- Faults ------------------------------------------------------------------------------------- */

static void switch_off(WindowShare *ws, const char *why)
{
    if (__atomic_exchange_n(&ws->off, why, __ATOMIC_SEQ_CST) == NULL) {
        window_unmap_all(ws->window);
    }
}

/* Memory that is scattered page by page (Linux's vmalloc: stacks, modules): the other pages of a group come with the first,
 * where the tables have them. */
static void bring_group(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    const uint64_t len = (uint64_t)tc->config->window_group * GUEST_PAGE_SIZE;
    uint64_t page = lin & GUEST_PAGE_MASK, first = page - page % len;
    WindowRun run, old;

    for (uint64_t at = first; at - first < len; at += GUEST_PAGE_SIZE) {
        if (at != page && slot_of(tc->window_paging, at) == slot_of(tc->window_paging, page) &&
            !window_find(ws->window, at, &old) && find_run(tc->cpu, at, 0, &run) && run.global &&
            run.leaf_shift == GUEST_PAGE_SHIFT && window_map(ws->window, &run, at) == WINDOW_OK) {
            ws->n_brought++;
        }
    }
}

/* `run` is what the tables say around `lin`, where the guest may do its access. */
static WindowVerdict bring(TransCpu *tc, uint64_t lin, bool write, WindowRun *run)
{
    WindowShare *ws = tc->windows;
    WindowRun old;

    if (window_find(ws->window, lin, &old)) {
        if (still_so(tc->cpu, &old, lin, 0) != 0 && (!write || old.write)) {
            if (!write || window_refresh_store(ws->window, lin)) {
                return WINDOW_RETRY;
            }
            ws->n_stores++;
            return WINDOW_STORE; /* a page of code, or traced */
        }
        drop_leaf(tc, &old, lin);
    }
    if (!take_slots(tc, lin, run) || (tc->window_paging != PAGING_64 && !run->global && !note_local(tc, lin)) ||
        window_map(ws->window, run, lin) != WINDOW_OK) {
        ws->n_refused++;
        return WINDOW_GUILTY;
    }
    ws->n_mapped++;
    if (run->leaf_shift == GUEST_PAGE_SHIFT && run->len < (uint64_t)tc->config->window_group * GUEST_PAGE_SIZE) {
        bring_group(tc, lin);
    }
    if (ws->window->n_overflows > tc->config->window_overflows &&
        ws->window->n_overflows * tc->config->window_overflows > ws->n_mapped) {
        switch_off(ws, "the host allows too few mappings");
    }
    return WINDOW_RETRY;
}

/* The guest touched what it has no business with. */
static void note_probe(TransCpu *tc)
{
    if (++tc->windows->n_probes > tc->config->window_distrust) {
        switch_off(tc->windows, "the guest probed for what it has not mapped");
    }
}

/* There is something at `lin` that the window cannot serve.  When that is nearly always a supervisor's page that is not
 * global, the system has page-table isolation. */
static void note_unserved(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    WalkExtent x;

    ws->n_device++;
    if (tc->window_paging != PAGING_64 && cpu_walk_extent(tc->cpu, guest_lin(lin), 0, &x) && !x.global &&
        ++ws->n_unserved > tc->config->window_locals && ws->n_unserved > 4 * ws->n_mapped) {
        switch_off(ws, "a 32-bit kernel's pages are not global");
    }
}

WindowVerdict windows_fault(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    CpuState *cpu = tc->cpu;
    uint64_t lin = tc->fault_addr - ws->window->base;
    WindowRun run;

    ws->n_faults++;
    if (__atomic_load_n(&ws->off, __ATOMIC_RELAXED) != NULL) {
        return WINDOW_INTERPRET; /* switched off since we came here */
    }
    if (!tc->fault_is_page || !reaches(tc, lin)) {
        ws->n_user++;
        if (tc->fault_is_page && tc->window_paging == PAGING_64 && window_is_ours(ws->window, lin)) {
            note_probe(tc);
        }
        return WINDOW_GUILTY; /* a user address, no canonical one, or across 4 GiB */
    }
    if (!find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
        if (!trans_fill(tc, lin, tc->fault_write ? TLB_STORE : TLB_LOAD)) {
            ws->n_unmapped++;
            if (tc->window_paging == PAGING_64 && cpu->exc.vector == EXC_PF && (cpu->exc.code & PF_P) == 0) {
                note_probe(tc);
            }
            return WINDOW_INTERPRET; /* the guest's own fault */
        }
        if (!find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
            note_unserved(tc, lin);
            return WINDOW_GUILTY; /* a user's page, too */
        }
    }
    return bring(tc, lin, tc->fault_write, &run);
}

enum { GUILTIEST = 5 };

static int by_faults(const void *a, const void *b)
{
    const Guilt *x = *(Guilt *const *)a, *y = *(Guilt *const *)b;

    return x->faults < y->faults ? 1 : x->faults > y->faults ? -1 : 0;
}

/* What is to be added to the addresses of the kernel's symbols: by its entry for system calls. */
static uint64_t symbols_shift_now(const TransCpu *tc)
{
    static const char *const names64[] = {"entry_SYSCALL_64", "system_call", NULL};
    static const char *const names32[] = {"entry_SYSENTER_32", "ia32_sysenter_target", "sysenter_entry", NULL};
    const CpuState *cpu = tc->cpu;
    bool wide = (cpu->efer & EFER_LMA) != 0;

    return symbols_shift(tc->cache->symbols, wide ? cpu->msr_lstar : cpu->msr_sysenter_eip, wide ? names64 : names32);
}

/* " ADDRESS", and the symbol where there is one. */
static void report_place(const TransCpu *tc, uint64_t lin, uint64_t shift, GString *out)
{
    char *name = tc->cache->symbols != NULL ? symbols_name(tc->cache->symbols, lin - shift) : NULL;

    g_string_append_printf(out, " %" PRIx64 "%s%s", lin, name != NULL ? " " : "", name != NULL ? name : "");
    g_free(name);
}

static void report_guilty(const TransCpu *tc, GString *out)
{
    BlockCache *c = tc->cache;
    uint64_t shift = c->symbols != NULL ? symbols_shift_now(tc) : 0;
    GPtrArray *sites = g_ptr_array_new();
    unsigned n_guilty = 0;
    GHashTableIter it;
    gpointer value;

    lock_take(&c->lock);
    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        n_guilty += ((Guilt *)value)->weight >= c->config->window_faults;
        g_ptr_array_add(sites, value);
    }
    qsort(sites->pdata, sites->len, sizeof *sites->pdata, by_faults);
    g_string_append_printf(out, "  instructions not for it: %u, found out %" PRIu64 " times, tried again %" PRIu64
                           " times, replaced %" PRIu64 "; most faults at", n_guilty, c->n_convictions, c->n_pardons, c->n_replaced);
    for (unsigned i = 0; i < MIN(sites->len, GUILTIEST); i++) {
        const Guilt *g = g_ptr_array_index(sites, i);
        report_place(tc, g->lin, shift, out);
        g_string_append_printf(out, " (%u)", g->faults);
    }
    g_string_append(out, "\n");
    if (c->symbols != NULL && shift != 0) {
        g_string_append_printf(out, "  the kernel lies %#" PRIx64 " above its symbols\n", shift);
    } else if (c->symbols != NULL) {
        g_string_append(out, "  no sign that the kernel has moved: its symbols as they are\n");
    }
    lock_release(&c->lock);
    g_ptr_array_free(sites, TRUE);
}

char *windows_report(const TransCpu *tc)
{
    const WindowShare *ws = tc->windows;
    const Window *w = ws != NULL ? ws->window : NULL;
    GString *out;

    if (ws == NULL) {
        return tc->shared->windows_why != NULL
                   ? g_strdup_printf("  window: none, %s\n", tc->shared->windows_why) : NULL;
    }
    out = g_string_new(NULL);
    g_string_append_printf(out, "  window: %s%s; %u runs, %" PRIu64 " mappings made, %" PRIu64 " unmapped, %" PRIu64
                           " pages protected, %" PRIu64 " made writable again, %" PRIu64 " overflows, %" PRIu64 " restless regions given up\n"
                           "  its faults: %" PRIu64 ", of which %" PRIu64 " mapped something (and %" PRIu64 " pages beside it), %" PRIu64
                           " were of user addresses, %" PRIu64 " of devices, %" PRIu64 " of pages of code, %" PRIu64 " the guest's own, %" PRIu64 " refused\n",
                           ws->off != NULL ? "off, " : "on", ws->off != NULL ? ws->off : "", w->n_runs, w->n_maps, w->n_unmaps,
                           w->n_revokes, w->n_refreshes, w->n_overflows, ws->n_restless, ws->n_faults, ws->n_mapped, ws->n_brought, ws->n_user,
                           ws->n_device, ws->n_stores, ws->n_unmapped, ws->n_refused);
    report_guilty(tc, out);
    return g_string_free(out, FALSE);
}
