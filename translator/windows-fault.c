/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows-internal.h"

#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/glue.h"

#include <inttypes.h>

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
            !window_find(ws->window, at, &old) && windows_find_run(tc->cpu, at, 0, &run) && run.global &&
            run.leaf_shift == GUEST_PAGE_SHIFT && window_map(ws->window, &run, at) == WINDOW_OK) {
            ws->n_brought++;
        }
    }
}

/* -- Regions ---------------------------------------------------------------------------------------- */

/* Nothing more is mapped where `lin` is.  Else `run`, which holds it, ends before regions of which that is so. */
static bool refuses(TransCpu *tc, uint64_t lin, WindowRun *run)
{
    WindowShare *ws = tc->windows;
    bool refused;

    if (!windows_judges(tc) || ws->regions.n_banned == 0) {
        return false;
    }
    lock_take(&ws->lock);
    refused = regions_refuse(&ws->regions, tc->config, lin, tc->vcb->host[GPR_RSP], windows_now());
    if (!refused) {
        regions_clip(&ws->regions, lin, run);
    }
    lock_release(&ws->lock);
    tc->fault_region = lin >> REGION_SHIFT;
    ws->n_restless_faults += refused;
    return refused;
}

/* `run` was mapped for an access to `lin`; or, NULL, the page was made writable again. */
static void note_came(TransCpu *tc, uint64_t lin, const WindowRun *run)
{
    WindowShare *ws = tc->windows;
    bool banned;

    if (!windows_judges(tc)) {
        return;
    }
    lock_take(&ws->lock);
    banned = run == NULL ? regions_opened(&ws->regions, tc->config, lin, windows_now())
                         : regions_came(&ws->regions, tc->config, lin, run->len >> GUEST_PAGE_SHIFT, windows_now());
    if (stress_hit(STRESS_window_region)) {
        regions_ban(&ws->regions, tc->config, lin, windows_now());
    }
    lock_release(&ws->lock);
    if (banned) {
        trace(window_region, "%016" PRIx64 " is restless: not mapped for a while", lin >> REGION_SHIFT << REGION_SHIFT);
    }
}

/* -- What was not worth mapping ---------------------------------------------------------------------- */

void windows_note_aside(TransCpu *tc, uint64_t lin, uint64_t at)
{
    WindowShare *ws = tc->windows;
    WindowAside *a = &ws->aside[__atomic_fetch_add(&ws->next_aside, 1, __ATOMIC_RELAXED) % ASIDES];

    __atomic_store_n(&a->at, at, __ATOMIC_RELAXED);
    __atomic_store_n(&a->page, (lin & GUEST_PAGE_MASK) | 1, __ATOMIC_RELAXED);
}

/* `lin` has been mapped for somebody: others could have done so before. */
static void note_missed(TransCpu *tc, uint64_t lin)
{
    for (unsigned i = 0; i < ASIDES; i++) {
        WindowAside *a = &tc->windows->aside[i];

        if (__atomic_load_n(&a->page, __ATOMIC_RELAXED) == ((lin & GUEST_PAGE_MASK) | 1)) {
            __atomic_store_n(&a->page, 0, __ATOMIC_RELAXED);
            trans_note_missed(tc, __atomic_load_n(&a->at, __ATOMIC_RELAXED));
        }
    }
}

/* -- Faults ----------------------------------------------------------------------------------------- */

/* `run` is what the tables say around `lin`, where the guest may do its access; `group`: with its neighbours. */
static WindowVerdict bring(TransCpu *tc, uint64_t lin, bool write, WindowRun *run, bool group)
{
    WindowShare *ws = tc->windows;
    WindowRun old;

    if (window_find(ws->window, lin, &old)) {
        if (windows_still_so(tc->cpu, &old, lin, 0) != 0 && (!write || old.write)) {
            if (!write) {
                return WINDOW_RETRY;
            }
            if (refuses(tc, lin, run)) {
                return WINDOW_RESTLESS;
            }
            if (window_refresh_store(ws->window, lin)) {
                note_came(tc, lin, NULL);
                return WINDOW_RETRY;
            }
            ws->n_stores++;
            return WINDOW_STORE; /* a page of code, or traced */
        }
        windows_drop_leaf(tc, &old, lin);
    }
    if (refuses(tc, lin, run)) {
        return WINDOW_RESTLESS;
    }
    if (!windows_take_slots(tc, lin, run) || (tc->window_paging != PAGING_64 && !run->global && !windows_note_local(tc, lin)) ||
        window_map(ws->window, run, lin) != WINDOW_OK) {
        ws->n_refused++;
        return WINDOW_GUILTY;
    }
    ws->n_mapped++;
    note_came(tc, lin, run);
    note_missed(tc, lin);
    if (group && run->leaf_shift == GUEST_PAGE_SHIFT &&
        run->len < (uint64_t)tc->config->window_group * GUEST_PAGE_SIZE) {
        bring_group(tc, lin);
    }
    windows_unmap_banned(tc, run);
    if (ws->window->n_overflows > tc->config->window_overflows &&
        ws->window->n_overflows * tc->config->window_overflows > ws->n_mapped) {
        switch_off(ws, "the host allows too few mappings");
    }
    return WINDOW_MAPPED;
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
    if (!tc->fault_is_page || !windows_reach(tc, lin)) {
        ws->n_user++;
        if (tc->fault_is_page && tc->window_paging == PAGING_64 && window_is_ours(ws->window, lin)) {
            note_probe(tc);
        }
        return WINDOW_GUILTY; /* a user address, no canonical one, or across 4 GiB */
    }
    if (!windows_find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
        if (!trans_fill(tc, lin, tc->fault_write ? TLB_STORE : TLB_LOAD)) {
            ws->n_unmapped++;
            if (tc->window_paging == PAGING_64 && cpu->exc.vector == EXC_PF && (cpu->exc.code & PF_P) == 0) {
                note_probe(tc);
            }
            return WINDOW_INTERPRET; /* the guest's own fault */
        }
        if (!windows_find_run(cpu, lin, 64, &run) || (tc->fault_write && !run.write)) {
            note_unserved(tc, lin);
            return WINDOW_GUILTY; /* a user's page, too */
        }
    }
    return bring(tc, lin, tc->fault_write, &run, true);
}

bool windows_touch(TransCpu *tc, uint64_t lin, bool write)
{
    WindowShare *ws = tc->windows;
    WindowRun run;

    if (__atomic_load_n(&ws->off, __ATOMIC_RELAXED) != NULL || !windows_reach(tc, lin) ||
        window_find(ws->window, lin, &run)) {
        return false;
    }
    trans_vec_spill();
    if (!windows_find_run(tc->cpu, lin, 64, &run) || (write && !run.write) ||
        bring(tc, lin, write, &run, false) != WINDOW_MAPPED) {
        return false; /* a fault finds out what it is */
    }
    ws->n_touched++;
    return true;
}
