/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows.h"

#include "translator/glue.h"
#include "translator/windows-internal.h"

#include "softmmu/base/clock.h"
#include "softmmu/base/stress.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

/* Looks of one CPU's kernel code at tables that lack slots.  Linux's entry code loads CR3 after one or two. */
enum { PATIENCE = 64 };

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
    w->revoke_pages = 1u << g_bit_nth_msf(config->window_protect, -1); /* a power of two, not above */
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

void windows_attach(TransCpu *tc)
{
    tc->windows = tc->shared->windows;
    if (tc->windows != NULL) {
        tc->cpu->mmu.tlb.on_flush = windows_flushed;
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

/* -- Regions ------------------------------------------------------------------------------------ */

uint64_t windows_now(void)
{
    return __rdtsc() / MAX(clock_host_tsc_hz() / 1000000, 1);
}

bool windows_regions_ended(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    bool ended;

    if (ws == NULL || (ws->regions.n_banned == 0 && !ws->regions.ended)) {
        return false;
    }
    lock_take(&ws->lock);
    ended = regions_take_ended(&ws->regions, stress_info[STRESS_window_region].one_in != 0 ? UINT64_MAX : windows_now());
    lock_release(&ws->lock);
    return ended;
}

bool windows_region_is_banned(void *tc, uint64_t region)
{
    WindowShare *ws = ((TransCpu *)tc)->windows;
    bool banned;

    lock_take(&ws->lock);
    banned = regions_is_banned(&ws->regions, region << REGION_SHIFT);
    lock_release(&ws->lock);
    return banned;
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

    return p == PAGING_64 || tc->cpu->cpl == 3 || windows_find_run(tc->cpu, (uint32_t)tc->cpu->gpr[GPR_RSP], 0, &run);
}

/* With tables that lack slots nothing is looked at again, and nothing taken for changed: flushes wait until others are
 * loaded.  Who stays with them in kernel code for longer than it takes to load CR3 means it. */
static bool check(TransCpu *tc, Paging p)
{
    WindowShare *ws = tc->windows;
    uint64_t generation;
    bool mine, lacking;

    if (vcb.tc != NULL) {
        trans_vec_spill();
    }
    do {
        mine = windows_take_paging(tc, p);
        tc->window_paging = p;
        generation = __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST);
        mine = mine && __atomic_load_n(&ws->paging, __ATOMIC_SEQ_CST) == p;
        lacking = mine && tc->window_lacking <= PATIENCE && windows_lack_slots(tc);
        mine = mine && !lacking;
        if (mine && tc->window_stale != WINDOW_FRESH) {
            bool all = tc->window_stale == WINDOW_STALE_ALL;
            tc->window_stale = WINDOW_FRESH;
            if (all || p == PAGING_64) {
                windows_look_again(tc, all);
            } else {
                lock_take(&ws->lock);
                windows_look_at_locals(tc);
                lock_release(&ws->lock);
            }
        }
        __atomic_store_n(&tc->window_ok, mine && windows_agree(tc) && is_worth_it(tc, p), __ATOMIC_SEQ_CST);
    } while (mine && generation != __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST));
    tc->window_lacking = lacking ? MAX(tc->window_lacking, 1) : 0;
    tc->window_cr3 = tc->cpu->cr3;
    tc->window_generation = generation;
    if (tc->window_ok && paging_is_pae(p) && tc->shared->cpus->len > 1) {
        windows_learn_directories(tc, generation);
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

bool windows_are_as_seen(const TransCpu *tc)
{
    const WindowShare *ws = tc->windows;

    return ws == NULL || tc->window_generation == 0 ||
           tc->window_generation == __atomic_load_n(&ws->generation, __ATOMIC_RELAXED);
}

bool windows_usable(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;
    const WindowShare *ws = tc->windows;
    Paging p;

    if (ws == NULL || __atomic_load_n(&ws->off, __ATOMIC_RELAXED) != NULL) {
        return false;
    }
    p = windows_paging_of(cpu);
    if (p == PAGING_NONE) {
        do_without(tc);
        return false;
    }
    if (likely(p == tc->window_paging && tc->window_generation == __atomic_load_n(&ws->generation, __ATOMIC_RELAXED) &&
               cpu->cr3 == tc->window_cr3)) {
        if (unlikely(tc->window_lacking != 0) && (cpu->cpl == 3 || ++tc->window_lacking <= PATIENCE)) {
            return false;
        }
        if (likely(tc->window_stale == WINDOW_FRESH && tc->window_lacking == 0)) {
            return tc->window_ok;
        }
    }
    if (keeps_over_cr3(tc, p)) {
        windows_look_at_locals(tc);
        tc->window_stale = WINDOW_FRESH;
        tc->window_cr3 = cpu->cr3;
        return true;
    }
    return check(tc, p);
}
