/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows-internal.h"

#include "translator/glue.h"

/* -- Looking again ------------------------------------------------------------------------------- */

static bool is_local(const CpuState *cpu, const WalkExtent *x)
{
    return !x->global && (cpu->efer & EFER_LMA) == 0;
}

bool windows_find_run(CpuState *cpu, uint64_t lin, unsigned max, WindowRun *run)
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

uint64_t windows_still_so(CpuState *cpu, const WindowRun *run, uint64_t lin, unsigned max)
{
    WindowRun now;

    if (!windows_find_run(cpu, lin, max, &now) || now.leaf_shift != run->leaf_shift ||
        now.offset + (lin - now.lin) != run->offset + (lin - run->lin) || (run->write && !now.write) ||
        (run->global && !now.global)) {
        return 0;
    }
    return MIN(now.len - (lin - now.lin), run->len - (lin - run->lin));
}

bool windows_reach(const TransCpu *tc, uint64_t lin)
{
    return tc->window_paging == PAGING_64 ? window_reaches(tc->windows->window, lin) : window_reaches_low(lin);
}

/* A flush unmaps [lin, lin+len), of one page of the guest's. */
static void note_gone(TransCpu *tc, uint64_t lin, uint64_t len)
{
    WindowShare *ws = tc->windows;

    if (windows_judges(tc)) {
        lock_take(&ws->lock);
        regions_gone(&ws->regions, lin, len >> GUEST_PAGE_SHIFT);
        lock_release(&ws->lock);
    }
}

void windows_drop_leaf(TransCpu *tc, const WindowRun *run, uint64_t lin)
{
    uint64_t start = MAX(lin & ~(BIT64(run->leaf_shift) - 1), run->lin);
    uint64_t last = MIN(lin | (BIT64(run->leaf_shift) - 1), run->lin + (run->len - 1));

    window_unmap(tc->windows->window, start, last - start + 1);
    note_gone(tc, start, last - start + 1);
}

void windows_look_again(TransCpu *tc, bool all)
{
    WindowShare *ws = tc->windows;
    WindowGoing dead = {0};
    uint64_t lin = 0;
    WindowRun run;

    for (bool more = true; more && (all ? window_next : window_next_local)(ws->window, lin, &run); more = lin != 0) {
        uint64_t end = run.lin + run.len;
        for (lin = run.lin; lin != end;) {
            uint64_t good = windows_still_so(tc->cpu, &run, lin, 512);
            if (good == 0) {
                uint64_t leaf = BIT64(run.leaf_shift), start = MAX(lin & ~(leaf - 1), run.lin);

                good = MIN((lin | (leaf - 1)) + 1 - lin, end - lin);
                note_gone(tc, start, lin + good - start);
                window_unmap_with(ws->window, &dead, start, lin + good - start);
            }
            lin += good;
        }
    }
    window_unmap_rest(ws->window, &dead);
}

/* The page at `lin` has just been unmapped by INVLPG.  Where that happens again and again are short-lived mappings
 * (Linux's kmap, page tables in high memory), each of which would cost a fault: no longer used.  Slots of 64-bit systems are
 * too large to be judged so. */
static void note_drop(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;

    if (!tc->window_ok || p == PAGING_64 || windows_paging_of(tc->cpu) != p || !windows_reach(tc, lin) ||
        !slot_is_used(ws, slot_of(p, lin)) || ++ws->drops[slot_of(p, lin)] < tc->config->window_drops) {
        return;
    }
    lock_take(&ws->lock);
    windows_ban_slot(tc, slot_of(p, lin));
    lock_release(&ws->lock);
    ws->n_restless++;
}

static void flushed_page(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    bool mine = tc->window_ok && windows_paging_of(tc->cpu) == p && windows_reach(tc, lin);
    WindowRun run;

    if (mine && slot_is_banned(ws, slot_of(p, lin))) {
        return; /* it has nothing, and never will (bring()) */
    }
    if (mine && slot_is_used(ws, slot_of(p, lin)) &&
        windows_slot_entry(p, tc->cpu, slot_of(p, lin)) != ws->entry[slot_of(p, lin)]) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        windows_resettle(tc, slot_of(p, lin), windows_slot_entry(p, tc->cpu, slot_of(p, lin)));
    } else if (window_find(ws->window, lin, &run) && windows_still_so(tc->cpu, &run, lin, 0) == 0) {
        if (vcb.tc != NULL) {
            trans_vec_spill();
        }
        windows_drop_leaf(tc, &run, lin);
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

/* Where `lin` is noted, or may be: with too many, one that was noted long ago is unmapped for it (lock held). */
static LocalPage *place_for_local(WindowShare *ws, uint64_t lin)
{
    LocalPage *l;

    if (ws->n_locals == LOCALS) {
        sweep_locals(ws);
    }
    for (unsigned i = 0; i < ws->n_locals; i++) {
        if (ws->local[i].lin == lin) {
            return &ws->local[i];
        }
    }
    if (ws->n_locals < LOCALS) {
        return &ws->local[ws->n_locals++];
    }
    l = &ws->local[ws->next_local++ % LOCALS];
    window_unmap(ws->window, l->lin, GUEST_PAGE_SIZE);
    return l;
}

/* The entry of `l`, as it is now; 0: not readable. */
static uint64_t local_entry(const LocalPage *l, unsigned size)
{
    return l->entry_host == NULL ? 0
           : size == 4 ? __atomic_load_n((const uint32_t *)l->entry_host, __ATOMIC_RELAXED)
                       : __atomic_load_n((const uint64_t *)l->entry_host, __ATOMIC_RELAXED);
}

static unsigned entry_size(Paging p)
{
    return p == PAGING_32 ? 4 : 8;
}

/* The memory map may have changed (lock held). */
static void find_local_entries(WindowShare *ws, const CpuState *cpu, unsigned size)
{
    uint64_t generation = __atomic_load_n(&cpu->mem->generation, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < ws->n_locals && ws->local_generation != generation; i++) {
        ws->local[i].entry_host = phys_mem_host(cpu->mem, ws->local[i].entry_at, size, false);
    }
    ws->local_generation = generation;
}

bool windows_note_local(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    unsigned size = entry_size(tc->window_paging);
    WalkExtent x;

    if (!cpu_walk_extent(tc->cpu, guest_lin(lin), 0, &x)) {
        return false;
    }
    lock_take(&ws->lock);
    find_local_entries(ws, tc->cpu, size);
    *place_for_local(ws, lin & GUEST_PAGE_MASK) =
        (LocalPage){lin & GUEST_PAGE_MASK, x.entry_at, phys_mem_host(tc->cpu->mem, x.entry_at, size, false), x.entry};
    lock_release(&ws->lock);
    return true;
}

/* CR3 was loaded: those that this CPU's tables have no longer as they were go.  The slot's entry and the page's are all
 * that says what a page is (lock held, or this is the only CPU). */
void windows_look_at_locals(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    unsigned size = entry_size(p), known = SLOTS_MAX;
    bool same = false;             /* slot `known` is what it was */

    find_local_entries(ws, tc->cpu, size);
    for (unsigned i = 0; i < ws->n_locals;) {
        LocalPage *l = &ws->local[i];
        unsigned slot = slot_of(p, l->lin);
        if (slot != known) {
            known = slot;
            same = windows_slot_entry(p, tc->cpu, slot) == ws->entry[slot];
        }
        if (same && local_entry(l, size) == l->entry) {
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

void windows_flushed(void *arg, TlbFlush what, GuestLin lin)
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
