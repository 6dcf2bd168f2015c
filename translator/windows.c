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
    uint64_t entry[SLOTS];     /* what the root table says there                                   */
    uint64_t generation;       /* changes with the slots (atomic)                                  */
    const char *off;           /* why it is off for good, or NULL (atomic)                         */
    uint64_t n_faults, n_mapped, n_user, n_unmapped, n_device, n_private, n_stores, n_refused, n_checks, n_dropped;
};

/* -- Life ------------------------------------------------------------------------------------- */

WindowShare *windows_new(PhysMem *mem, const char **why)
{
    Window *w = window_new(mem, why);
    WindowShare *ws;

    if (w == NULL) {
        return NULL;
    }
    ws = g_new0(WindowShare, 1);
    ws->window = w;
    ws->generation = 1;
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

static bool agrees(const WindowShare *ws, const CpuState *cpu)
{
    for (unsigned i = 0; i < SLOTS / 64; i++) {
        for (uint64_t left = __atomic_load_n(&ws->slots[i], __ATOMIC_RELAXED); left != 0; left &= left - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
            if (root_entry(cpu, slot) != __atomic_load_n(&ws->entry[slot], __ATOMIC_RELAXED)) {
                return false;
            }
        }
    }
    return avoids_us(ws, cpu);
}

/* Take the slot of `lin` into use as this CPU's tables have it.  False: another CPU's have something else. */
static bool take_slot(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    unsigned slot = slot_of(lin);
    bool ok = true;

    lock_take(&ws->lock);
    if ((ws->slots[slot / 64] >> (slot % 64) & 1) == 0) {
        uint64_t e = root_entry(tc->cpu, slot);
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
        if (!ok || e == 0) {
            __atomic_store_n(&ws->slots[slot / 64], ws->slots[slot / 64] & ~BIT64(slot % 64), __ATOMIC_SEQ_CST);
            ok = false;
        }
    }
    lock_release(&ws->lock);
    return ok;
}

/* -- Looking again ------------------------------------------------------------------------------- */

typedef struct {
    uint64_t lin, len, offset; /* of the leaf, as far as it lies in one range of RAM               */
    uint8_t shift;
    bool write;
} Leaf;

/* The guest's global supervisor page at `lin`, RAM behind it, as the tables are now. */
static bool find_leaf(CpuState *cpu, uint64_t lin, Leaf *leaf)
{
    GuestPhys phys;
    unsigned shift;
    unsigned rights = cpu_walk_peek_global(cpu, guest_lin(lin), &phys, &shift);
    uint64_t page = lin & GUEST_PAGE_MASK, start, end, before, behind;
    PhysRange r;

    if ((rights & TLB_R_READ) == 0) {
        return false;
    }
    r = phys_mem_find(cpu->mem, phys);
    if (r.kind != PHYS_RAM || (cpu->mem->address_mask & phys.v) != phys.v) {
        return false;
    }
    start = lin & ~(BIT64(shift) - 1);
    end = start + (BIT64(shift) - 1);
    before = MIN(page - start, phys.v - r.base);
    behind = MIN(end - page + 1, r.len - (phys.v - r.base)) & GUEST_PAGE_MASK;
    if (behind == 0) {
        return false;
    }
    *leaf = (Leaf){.lin = page - before, .len = before + behind, .offset = r.offset + (phys.v - r.base) - before,
                   .shift = (uint8_t)shift, .write = (rights & TLB_R_WRITE) != 0};
    return true;
}

/* Is the page at `lin` in `run` still what the tables say? */
static bool is_still_so(CpuState *cpu, const WindowRun *run, uint64_t lin, Leaf *leaf)
{
    return find_leaf(cpu, lin, leaf) && leaf->shift == run->leaf_shift &&
           leaf->offset + (lin - leaf->lin) == run->offset + (lin - run->lin) && (leaf->write || !run->write);
}

/* Unmap of `run` the guest's page that holds `lin`, as large as it was. */
static void drop_leaf(TransCpu *tc, const WindowRun *run, uint64_t lin)
{
    uint64_t start = MAX(lin & ~(BIT64(run->leaf_shift) - 1), run->lin);
    uint64_t last = MIN(lin | (BIT64(run->leaf_shift) - 1), run->lin + (run->len - 1));

    window_unmap(tc->windows->window, start, last - start + 1);
    tc->windows->n_dropped++;
}

/* All that is mapped, after a flush of everything. */
static void look_again(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    uint64_t lin = BIT64(63);
    WindowRun run;

    while (window_next(ws->window, lin, &run)) {
        uint64_t last = run.lin + (run.len - 1);
        for (lin = run.lin;;) {
            Leaf leaf = {0};
            uint64_t leaf_last = MIN(lin | (BIT64(run.leaf_shift) - 1), last);
            if (!is_still_so(tc->cpu, &run, lin, &leaf)) {
                drop_leaf(tc, &run, lin);
            }
            if (leaf_last == last) {
                break;
            }
            lin = leaf_last + 1;
        }
        ws->n_checks++;
        if (last == UINT64_MAX) {
            break;
        }
        lin = last + 1;
    }
}

static void flushed(void *arg, GuestLin lin, bool all)
{
    TransCpu *tc = arg;
    WindowRun run;
    Leaf leaf;

    if (all) {
        tc->window_stale = true;
    } else if ((int64_t)lin.v < 0 && window_find(tc->windows->window, lin.v, &run) &&
               !is_still_so(tc->cpu, &run, lin.v, &leaf)) {
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
        tc->window_stale = true;
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
    if (tc->window_stale) {
        tc->window_stale = false;
        look_again(tc);
    }
    do {
        generation = __atomic_load_n(&ws->generation, __ATOMIC_SEQ_CST);
        __atomic_store_n(&tc->window_ok, agrees(ws, tc->cpu), __ATOMIC_SEQ_CST);
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
    if (likely(cpu->cr3 == tc->window_cr3 && !tc->window_stale &&
               tc->window_generation == __atomic_load_n(&ws->generation, __ATOMIC_RELAXED))) {
        return tc->window_ok;
    }
    return check(tc);
}

/* -- Faults ------------------------------------------------------------------------------------- */

/* The run of leaves around `leaf` that continue it, some way. */
static WindowRun make_run(CpuState *cpu, const Leaf *leaf)
{
    WindowRun run = {leaf->lin, leaf->len, leaf->offset, leaf->shift, leaf->write};
    Leaf next;

    for (unsigned n = 0; n < 32; n++) {
        if (run.lin + run.len == 0 || !find_leaf(cpu, run.lin + run.len, &next) || next.shift != run.leaf_shift ||
            next.write != run.write || next.lin != run.lin + run.len || next.offset != run.offset + run.len) {
            break;
        }
        run.len += next.len;
    }
    for (unsigned n = 0; n < 32; n++) {
        if (!find_leaf(cpu, run.lin - 1, &next) || next.shift != run.leaf_shift || next.write != run.write ||
            next.lin + next.len != run.lin || next.offset + next.len != run.offset) {
            break;
        }
        run.lin = next.lin;
        run.offset = next.offset;
        run.len += next.len;
    }
    return run;
}

/* The guest's access at `lin` is one that its tables allow, to global memory. */
static WindowVerdict bring(TransCpu *tc, uint64_t lin, bool write, const Leaf *leaf)
{
    WindowShare *ws = tc->windows;
    WindowRun run;

    if (window_find(ws->window, lin, &run)) {
        bool same = leaf->shift == run.leaf_shift &&
                    leaf->offset + (lin - leaf->lin) == run.offset + (lin - run.lin);
        if (same && (!write || run.write)) {
            if (!write || window_refresh_store(ws->window, lin)) {
                return WINDOW_RETRY;
            }
            ws->n_stores++;
            return WINDOW_STORE; /* a page of code, or traced */
        }
        drop_leaf(tc, &run, lin);
    }
    run = make_run(tc->cpu, leaf);
    if (!take_slot(tc, lin) || window_map(ws->window, &run, lin) != WINDOW_OK) {
        ws->n_refused++;
        return WINDOW_GUILTY;
    }
    ws->n_mapped++;
    return WINDOW_RETRY;
}

static void switch_off(WindowShare *ws, const char *why)
{
    if (__atomic_exchange_n(&ws->off, why, __ATOMIC_SEQ_CST) == NULL) {
        window_unmap(ws->window, BIT64(63), BIT64(63));
    }
}

/* The access is allowed but not one for the window. */
static WindowVerdict decline(TransCpu *tc, uint64_t lin)
{
    WindowShare *ws = tc->windows;
    GuestPhys phys;
    unsigned shift, rights = cpu_walk_peek(tc->cpu, guest_lin(lin), TLB_KERNEL, &phys, &shift);

    if ((rights & TLB_R_READ) == 0 || phys_mem_find(tc->cpu->mem, phys).kind != PHYS_RAM) {
        ws->n_device++;
    } else if (++ws->n_private > tc->config->window_private && ws->n_private > 2 * ws->n_mapped) {
        switch_off(ws, "the kernel's pages are not global");
    }
    return WINDOW_GUILTY;
}

WindowVerdict windows_fault(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    CpuState *cpu = tc->cpu;
    uint64_t lin = tc->fault_addr - ws->window->base;
    Leaf leaf;

    ws->n_faults++;
    if (!tc->fault_is_page || !window_reaches(ws->window, lin)) {
        ws->n_user++;
        return WINDOW_GUILTY; /* a user address, or no canonical one */
    }
    if (!find_leaf(cpu, lin, &leaf) || (tc->fault_write && !leaf.write)) {
        if (!trans_fill(tc, lin, tc->fault_write ? TLB_STORE : TLB_LOAD)) {
            if (++ws->n_unmapped > tc->config->window_distrust) {
                switch_off(ws, "the guest probed for what it has not mapped");
            }
            return WINDOW_INTERPRET; /* the guest's own fault */
        }
        if (!find_leaf(cpu, lin, &leaf) || (tc->fault_write && !leaf.write)) {
            return decline(tc, lin);
        }
    }
    return bring(tc, lin, tc->fault_write, &leaf);
}

char *windows_report(const TransCpu *tc)
{
    const WindowShare *ws = tc->windows;
    const Window *w = ws != NULL ? ws->window : NULL;

    if (ws == NULL) {
        return tc->shared->windows_why != NULL
                   ? g_strdup_printf("  window: none, %s\n", tc->shared->windows_why) : NULL;
    }
    return g_strdup_printf("  window: %s%s; %u runs, %" PRIu64 " mappings made, %" PRIu64 " unmapped, %" PRIu64
                           " pages protected, %" PRIu64 " made writable again, %" PRIu64 " overflows\n"
                           "  its faults: %" PRIu64 ", of which %" PRIu64 " mapped something, %" PRIu64
                           " were of user addresses, %" PRIu64 " of devices, %" PRIu64 " of pages that are not global, %" PRIu64
                           " of pages of code, %" PRIu64 " the guest's own, %" PRIu64 " refused\n",
                           ws->off != NULL ? "off, " : "on", ws->off != NULL ? ws->off : "", w->n_runs, w->n_maps, w->n_unmaps,
                           w->n_revokes, w->n_refreshes, w->n_overflows, ws->n_faults, ws->n_mapped, ws->n_user,
                           ws->n_device, ws->n_private, ws->n_stores, ws->n_unmapped, ws->n_refused);
}
