/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows.h"

#include "cpu-x86/walk.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"
#include "softmmu/window.h"
#include "translator/glue.h"

#include <asm/prctl.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOT_SHIFT = 39, SLOTS = 256 };
/* Of an entry: frame, XD and rights; not what the CPU marks and software may use. */
#define ENTRY_BITS (BIT64(63) | (BIT64(52) - BIT64(12)) | 7u)

struct WindowShare {
    Window *window;
    Lock lock;                 /* slots                                                            */
    uint64_t slots[SLOTS / 64]; /* in use                                                          */
    uint64_t banned[SLOTS / 64]; /* tables disagree about them                                     */
    uint8_t changes[SLOTS];    /* how often each was started over                                 */
    uint64_t entry[SLOTS];     /* what the root table says there                                   */
    uint64_t generation;       /* changes with the slots (atomic)                                  */
    const char *off;           /* why it is off for good, or NULL (atomic)                         */
    uint64_t n_faults, n_mapped, n_user, n_unmapped, n_device, n_probes, n_stores, n_refused;
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

/* Entry `slot` of the upper half of the root table, as far as it matters; 0: not readable, or not present. */
static uint64_t root_entry(const CpuState *cpu, unsigned slot)
{
    uint64_t at = (cpu->cr3 & (BIT64(52) - BIT64(12))) + (SLOTS + slot) * 8;
    const uint64_t *p = phys_mem_host(cpu->mem, guest_phys(at), 8, false);
    uint64_t e = p != NULL ? __atomic_load_n(p, __ATOMIC_RELAXED) : 0;

    return (e & 1) != 0 ? e & ENTRY_BITS : 0;
}

static unsigned slot_of(uint64_t lin)
{
    return (unsigned)(lin >> SLOT_SHIFT) & (SLOTS - 1);
}

/* Our own program must have nothing of the guest's in its place. */
static bool avoids_us(const WindowShare *ws, const CpuState *cpu)
{
    uint64_t at = ws->window->program_lin;

    return root_entry(cpu, slot_of(at)) == 0 && root_entry(cpu, slot_of(at + WINDOW_PROGRAM)) == 0;
}

static uint64_t slot_start(unsigned slot)
{
    return ~(BIT64(48) - 1) | (uint64_t)(SLOTS + slot) << SLOT_SHIFT;
}

static bool slot_is_empty(const WindowShare *ws, unsigned slot)
{
    WindowRun run;

    return !window_next(ws->window, slot_start(slot), &run) || slot_of(run.lin) != slot;
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

static bool slot_is_used(const WindowShare *ws, unsigned slot)
{
    return (__atomic_load_n(&ws->slots[slot / 64], __ATOMIC_RELAXED) >> (slot % 64) & 1) != 0;
}

/* This CPU's root table says `e` in a slot in use, which is something else.  Start the slot over; but when that
 * comes again and again it is each address space's own, and no longer used (lock held). */
static void resettle_locked(TransCpu *tc, unsigned slot, uint64_t e)
{
    WindowShare *ws = tc->windows;
    uint64_t bit = BIT64(slot % 64);

    window_unmap(ws->window, slot_start(slot), BIT64(SLOT_SHIFT));
    ws->entry[slot] = e;
    if (others_use_it(tc) || ++ws->changes[slot] > tc->config->window_changes) {
        ws->banned[slot / 64] |= bit;
        __atomic_store_n(&ws->slots[slot / 64], ws->slots[slot / 64] & ~bit, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&ws->generation, 1, __ATOMIC_SEQ_CST);
}

static void resettle(TransCpu *tc, unsigned slot, uint64_t e)
{
    lock_take(&tc->windows->lock);
    resettle_locked(tc, slot, e);
    lock_release(&tc->windows->lock);
}

/*
 * Does the root table say what it said when the slots in use were taken?  Where one has nothing there at all it is
 * that of user code under page-table isolation, or another system's: false.
 */
static bool agrees(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    uint64_t differ[SLOTS / 64] = {0};

    for (unsigned i = 0; i < SLOTS / 64; i++) {
        for (uint64_t left = __atomic_load_n(&ws->slots[i], __ATOMIC_RELAXED); left != 0; left &= left - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
            uint64_t e = root_entry(tc->cpu, slot);
            if (e == 0 && slot_is_empty(ws, slot)) { /* a region that has moved away */
                lock_take(&ws->lock);
                __atomic_store_n(&ws->slots[i], ws->slots[i] & ~(left & -left), __ATOMIC_SEQ_CST);
                lock_release(&ws->lock);
                continue;
            }
            if (e == 0) {
                return false;
            }
            differ[i] |= e != __atomic_load_n(&ws->entry[slot], __ATOMIC_RELAXED) ? left & -left : 0;
        }
    }
    for (unsigned i = 0; i < SLOTS / 64; i++) {
        for (; differ[i] != 0; differ[i] &= differ[i] - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(differ[i]);
            resettle(tc, slot, root_entry(tc->cpu, slot));
        }
    }
    return avoids_us(ws, tc->cpu);
}

/* Take the slot of `lin` into use as this CPU's tables have it.  False: another CPU's have something else. */
static bool take_slot(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    unsigned slot = slot_of(lin);
    bool ok = (ws->banned[slot / 64] >> (slot % 64) & 1) == 0;
    uint64_t e = root_entry(tc->cpu, slot);

    lock_take(&ws->lock);
    if (ok && slot_is_used(ws, slot) && ws->entry[slot] != e) { /* changed under the loaded CR3 */
        resettle_locked(tc, slot, e);
        ok = slot_is_used(ws, slot);
    } else if (ok && !slot_is_used(ws, slot)) {
        __atomic_store_n(&ws->entry[slot], e, __ATOMIC_RELAXED);
        __atomic_store_n(&ws->slots[slot / 64], ws->slots[slot / 64] | BIT64(slot % 64), __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&ws->generation, 1, __ATOMIC_SEQ_CST);
        /* Who checked before that is here; who checks later sees the slot. */
        for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
            const TransCpu *other = g_ptr_array_index(tc->shared->cpus, i);
            if (other != tc && __atomic_load_n(&other->window_ok, __ATOMIC_SEQ_CST)) {
                ok = ok && root_entry(other->cpu, slot) == e;
            }
        }
        if (!ok || e == 0) { /* to be seen again when they agree */
            __atomic_store_n(&ws->slots[slot / 64], ws->slots[slot / 64] & ~BIT64(slot % 64), __ATOMIC_SEQ_CST);
            ok = false;
        }
    }
    lock_release(&ws->lock);
    return ok;
}

/* -- Looking again ------------------------------------------------------------------------------- */

/* The guest's supervisor page at `lin`, RAM behind it, as the tables are now, with what continues it on both sides;
 * at most max pages of each. */
static bool find_run(CpuState *cpu, uint64_t lin, unsigned max, WindowRun *run)
{
    uint64_t page = lin & GUEST_PAGE_MASK, size, before, behind, in_range;
    WalkExtent x;
    PhysRange r;

    if (!cpu_walk_extent(cpu, guest_lin(lin), max, &x) || (cpu->mem->address_mask & x.phys.v) != x.phys.v) {
        return false;
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

/* Unmap of `run` the guest's page that holds `lin`, as large as it was. */
static void drop_leaf(TransCpu *tc, const WindowRun *run, uint64_t lin)
{
    uint64_t start = MAX(lin & ~(BIT64(run->leaf_shift) - 1), run->lin);
    uint64_t last = MIN(lin | (BIT64(run->leaf_shift) - 1), run->lin + (run->len - 1));

    window_unmap(tc->windows->window, start, last - start + 1);
}

/* All that is mapped, after a flush of everything, or what of it is not global, after a lesser one. */
static void look_again(TransCpu *tc, bool all)
{
    WindowShare *ws = tc->windows;
    uint64_t lin = BIT64(63);
    WindowRun run;

    while (lin != 0 && window_next(ws->window, lin, &run)) {
        uint64_t end = run.lin + run.len;
        for (lin = run.lin; lin != end && (all || !run.global);) {
            uint64_t good = still_so(tc->cpu, &run, lin, 512);
            if (good == 0) {
                drop_leaf(tc, &run, lin);
                good = MIN((lin | (BIT64(run.leaf_shift) - 1)) + 1 - lin, end - lin);
            }
            lin += good;
        }
        lin = end;
    }
}

static void flushed(void *arg, TlbFlush what, GuestLin lin)
{
    TransCpu *tc = arg;
    WindowRun run;

    if (what == TLB_FLUSH_ALL) {
        tc->window_stale = WINDOW_STALE_ALL;
    } else if (what == TLB_FLUSH_LOCAL) {
        tc->window_stale = MAX(tc->window_stale, WINDOW_STALE_LOCAL);
    } else if ((int64_t)lin.v < 0 && tc->window_ok && slot_is_used(tc->windows, slot_of(lin.v)) &&
               root_entry(tc->cpu, slot_of(lin.v)) != tc->windows->entry[slot_of(lin.v)]) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        resettle(tc, slot_of(lin.v), root_entry(tc->cpu, slot_of(lin.v)));
    } else if ((int64_t)lin.v < 0 && window_find(tc->windows->window, lin.v, &run) &&
               still_so(tc->cpu, &run, lin.v, 0) == 0) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        drop_leaf(tc, &run, lin.v);
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

static bool check(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    uint64_t generation;

    if (vcb.tc != NULL) {
        trans_vec_spill();
    }
    if (tc->window_stale != WINDOW_FRESH) {
        bool all = tc->window_stale == WINDOW_STALE_ALL;
        tc->window_stale = WINDOW_FRESH;
        look_again(tc, all);
    }
    do {
        generation = __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST);
        __atomic_store_n(&tc->window_ok, agrees(tc), __ATOMIC_SEQ_CST);
    } while (generation != __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST));
    tc->window_cr3 = tc->cpu->cr3;
    tc->window_generation = generation;
    return tc->window_ok;
}

bool windows_usable(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;
    const WindowShare *ws = tc->windows;

    if (ws == NULL || __atomic_load_n(&ws->off, __ATOMIC_RELAXED) != NULL ||
        (cpu->cr4 & (CR4_PGE | CR4_LA57)) != CR4_PGE || (cpu->cr0 & CR0_WP) == 0 ||
        (cpu->dr[7] & 0xff) != 0 || cpu->n_watch != 0) {
        return false;
    }
    if (likely(cpu->cr3 == tc->window_cr3 && tc->window_stale == WINDOW_FRESH &&
               tc->window_generation == __atomic_load_n(&ws->generation, __ATOMIC_RELAXED))) {
        return tc->window_ok;
    }
    return check(tc);
}

/* -- Faults ------------------------------------------------------------------------------------- */

static void switch_off(WindowShare *ws, const char *why)
{
    if (__atomic_exchange_n(&ws->off, why, __ATOMIC_SEQ_CST) == NULL) {
        window_unmap(ws->window, BIT64(63), BIT64(63));
    }
}

/* `run` is what the tables say around `lin`, where the guest may do its access. */
static WindowVerdict bring(TransCpu *tc, uint64_t lin, bool write, const WindowRun *run)
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
    if (!take_slot(tc, lin) || window_map(ws->window, run, lin) != WINDOW_OK) {
        ws->n_refused++;
        return WINDOW_GUILTY;
    }
    ws->n_mapped++;
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

WindowVerdict windows_fault(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    CpuState *cpu = tc->cpu;
    uint64_t lin = tc->fault_addr - ws->window->base;
    WindowRun run;

    ws->n_faults++;
    if (!tc->fault_is_page || !window_reaches(ws->window, lin)) {
        ws->n_user++;
        if (tc->fault_is_page && window_is_ours(ws->window, lin)) {
            note_probe(tc);
        }
        return WINDOW_GUILTY; /* a user address, or no canonical one */
    }
    if (!find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
        if (!trans_fill(tc, lin, tc->fault_write ? TLB_STORE : TLB_LOAD)) {
            ws->n_unmapped++;
            if ((int64_t)lin < 0 && tc->cpu->exc.vector == EXC_PF && (tc->cpu->exc.code & PF_P) == 0) {
                note_probe(tc);
            }
            return WINDOW_INTERPRET; /* the guest's own fault */
        }
        if (!find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
            ws->n_device++;
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

static void report_guilty(const TransCpu *tc, GString *out)
{
    BlockCache *c = tc->cache;
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
                           " times; most faults at", n_guilty, c->n_convictions, c->n_pardons);
    for (unsigned i = 0; i < MIN(sites->len, GUILTIEST); i++) {
        const Guilt *g = g_ptr_array_index(sites, i);
        g_string_append_printf(out, " %" PRIx64 " (%u)", g->lin, g->faults);
    }
    g_string_append(out, "\n");
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
                           " pages protected, %" PRIu64 " made writable again, %" PRIu64 " overflows\n"
                           "  its faults: %" PRIu64 ", of which %" PRIu64 " mapped something, %" PRIu64
                           " were of user addresses, %" PRIu64 " of devices, %" PRIu64 " of pages of code, %" PRIu64 " the guest's own, %" PRIu64 " refused\n",
                           ws->off != NULL ? "off, " : "on", ws->off != NULL ? ws->off : "", w->n_runs, w->n_maps, w->n_unmaps,
                           w->n_revokes, w->n_refreshes, w->n_overflows, ws->n_faults, ws->n_mapped, ws->n_user,
                           ws->n_device, ws->n_stores, ws->n_unmapped, ws->n_refused);
    report_guilty(tc, out);
    return g_string_free(out, FALSE);
}
