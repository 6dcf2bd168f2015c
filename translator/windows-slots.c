/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows-internal.h"

enum { ENTRY_PS = 0x80 };
/* Of an entry: frame, XD, size and rights; not what the CPU marks and software may use. */
#define ENTRY_BITS (BIT64(63) | (BIT64(52) - BIT64(12)) | ENTRY_PS | 7u)

/* -- Tables ------------------------------------------------------------------------------------- */

Paging windows_paging_of(const CpuState *cpu)
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

uint64_t windows_read_entry(const CpuState *cpu, uint64_t table, unsigned index, unsigned size)
{
    const void *p = phys_mem_host(cpu->mem, guest_phys(table + index * size), size, false);

    return p == NULL ? 0
           : size == 8 ? __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED)
                       : __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}

uint64_t windows_slot_entry(Paging p, const CpuState *cpu, unsigned slot)
{
    const uint64_t frame = BIT64(52) - BIT64(12);
    uint64_t e = 0;

    if (p == PAGING_64) {
        e = windows_read_entry(cpu, cpu->cr3 & frame, paging_geometry[p].slots + slot, 8);
    } else if (p == PAGING_32) {
        e = windows_read_entry(cpu, cpu->cr3 & 0xfffff000, slot, 4);
    } else if ((cpu->pdpte[slot >> 9] & 1) != 0) {
        e = windows_read_entry(cpu, cpu->pdpte[slot >> 9] & frame, slot & 511, 8);
    }
    return (e & 1) != 0 ? e & ENTRY_BITS : 0;
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

    return p != PAGING_64 || (windows_slot_entry(p, cpu, slot_of(p, at)) == 0 &&
                              windows_slot_entry(p, cpu, slot_of(p, at + WINDOW_PROGRAM)) == 0);
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

bool windows_take_paging(TransCpu *tc, unsigned paging)
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
        regions_end_all(&ws->regions);
        ws->n_locals = 0;
    }
    __atomic_store_n(&ws->paging, free ? paging : old, __ATOMIC_SEQ_CST);
    next_generation(ws);
    lock_release(&ws->lock);
    return free;
}

/* Lock held. */
static void use_slot(WindowShare *ws, unsigned slot, bool use)
{
    uint64_t bit = BIT64(slot % 64), now = ws->slots[slot / 64];

    __atomic_store_n(&ws->slots[slot / 64], use ? now | bit : now & ~bit, __ATOMIC_SEQ_CST);
}

void windows_ban_slot(TransCpu *tc, unsigned slot)
{
    WindowShare *ws = tc->windows;

    __atomic_fetch_or(&ws->banned[slot / 64], BIT64(slot % 64), __ATOMIC_SEQ_CST);
    use_slot(ws, slot, false);
    window_unmap(ws->window, slot_start(tc->window_paging, slot), slot_size(tc->window_paging));
}

static void forget_directories(WindowShare *ws)
{
    for (unsigned i = 0; i < ARRAY_LEN(ws->directory); i++) {
        __atomic_store_n(&ws->directory[i], 0, __ATOMIC_RELAXED);
    }
}

/* Do the tables of the other CPUs that may be using the window say `e` there (lock held)? */
static bool others_say(const TransCpu *tc, unsigned slot, uint64_t e)
{
    for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
        const TransCpu *other = g_ptr_array_index(tc->shared->cpus, i);
        if (other != tc && __atomic_load_n(&other->window_ok, __ATOMIC_SEQ_CST) &&
            windows_slot_entry(tc->window_paging, other->cpu, slot) != e) {
            return false;
        }
    }
    return true;
}

/* This CPU's tables say `e` in a slot in use, which is something else.  Start the slot over; but when the other CPUs' do not
 * say so, or that comes again and again, it is each address space's own, and no longer used (lock held). */
static void resettle_locked(TransCpu *tc, unsigned slot, uint64_t e)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;

    window_unmap(ws->window, slot_start(p, slot), slot_size(p));
    ws->entry[slot] = e;
    forget_directories(ws);
    if (!others_say(tc, slot, e) || ++ws->changes[slot] > tc->config->window_changes) {
        windows_ban_slot(tc, slot);
    } else if (e == 0) {
        use_slot(ws, slot, false);
    }
    next_generation(ws);
}

void windows_resettle(TransCpu *tc, unsigned slot, uint64_t e)
{
    lock_take(&tc->windows->lock);
    resettle_locked(tc, slot, e);
    lock_release(&tc->windows->lock);
}

/* Are the slots of word i of `slots` all in a page directory that was compared before? */
static bool directory_is_known(const TransCpu *tc, unsigned i)
{
    uint64_t directory = paging_is_pae(tc->window_paging) ? tc->cpu->pdpte[i / 8] : 0;

    return directory != 0 && directory == __atomic_load_n(&tc->windows->directory[i / 8], __ATOMIC_RELAXED);
}

void windows_learn_directories(TransCpu *tc, uint64_t generation)
{
    WindowShare *ws = tc->windows;

    lock_take(&ws->lock);
    for (unsigned i = 0; i < ARRAY_LEN(ws->directory) && ws->generation == generation; i++) {
        __atomic_store_n(&ws->directory[i], tc->cpu->pdpte[i], __ATOMIC_RELAXED);
    }
    lock_release(&ws->lock);
}

bool windows_lack_slots(const TransCpu *tc)
{
    Paging p = tc->window_paging;

    for (unsigned i = 0; p == PAGING_64 && i < paging_geometry[p].slots / 64u; i++) {
        for (uint64_t left = __atomic_load_n(&tc->windows->slots[i], __ATOMIC_RELAXED); left != 0; left &= left - 1) {
            if (windows_slot_entry(p, tc->cpu, i * 64 + (unsigned)__builtin_ctzll(left)) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool windows_agree(TransCpu *tc)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    uint64_t differ[SLOTS_MAX / 64] = {0};
    unsigned words = paging_geometry[p].slots / 64;

    for (unsigned i = 0; i < words; i++) {
        uint64_t left = __atomic_load_n(&ws->slots[i], __ATOMIC_RELAXED);
        if (left == 0 || directory_is_known(tc, i)) {
            continue;
        }
        for (; left != 0; left &= left - 1) {
            unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
            uint64_t e = windows_slot_entry(p, tc->cpu, slot);
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
            windows_resettle(tc, slot, windows_slot_entry(p, tc->cpu, slot));
        }
    }
    return avoids_us(ws, p, tc->cpu);
}

/* Take `slot` into use as this CPU's tables have it.  False: another CPU's have something else. */
static bool take_slot(TransCpu *tc, unsigned slot)
{
    WindowShare *ws = tc->windows;
    Paging p = tc->window_paging;
    bool ok = !slot_is_banned(ws, slot);
    uint64_t e = windows_slot_entry(p, tc->cpu, slot);

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
        ok = others_say(tc, slot, e);
        if (!ok || e == 0) { /* to be seen again when they agree */
            use_slot(ws, slot, false);
            ok = false;
        }
    }
    lock_release(&ws->lock);
    return ok;
}

void windows_unmap_banned(TransCpu *tc, const WindowRun *run)
{
    Paging p = tc->window_paging;
    unsigned last = slot_of(p, run->lin + (run->len - 1));

    for (unsigned slot = slot_of(p, run->lin); slot <= last; slot++) {
        if (slot_is_banned(tc->windows, slot)) {
            window_unmap(tc->windows->window, slot_start(p, slot), slot_size(p));
        }
    }
}

bool windows_take_slots(TransCpu *tc, uint64_t lin, WindowRun *run)
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
