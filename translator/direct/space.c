/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/space.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/clock.h"
#include "translator/direct/direct-state.h"
#include "translator/direct/direct-policy.h"
#include "translator/direct/host-ints.h"

#include <sys/mman.h>
#include <x86intrin.h>

/* -- Mappings ------------------------------------------------------------------------------------ */

static uint64_t offset_of(const WorldPage *p)
{
    return (uint64_t)p->page << GUEST_PAGE_SHIFT;
}

/* The world's page `i` is gone or no longer executable. */
static void count_exec(DirectCpu *dc, const WorldPage *p, int prot)
{
    bool was = (p->prot & PROT_EXEC) != 0, is = (prot & PROT_EXEC) != 0;

    if (was != is) {
        __atomic_add_fetch(&dc->shared->exec_maps[p->page], is ? 1 : -1, __ATOMIC_SEQ_CST);
    }
}

static void set_prot(DirectCpu *dc, Space *s, uint32_t i, int prot)
{
    WorldPage *p = &s->pages.at[i];

    if (p->prot != prot) {
        count_exec(dc, p, prot);
        p->prot = (uint8_t)prot;
        world_protect(s->world, p->lin, GUEST_PAGE_SIZE, prot);
    }
}

static void remove_page(DirectCpu *dc, Space *s, uint32_t i)
{
    WorldPage *p = &s->pages.at[i];

    count_exec(dc, p, 0);
    world_unmap(s->world, p->lin, GUEST_PAGE_SIZE);
    breaks_clear(&s->world->breaks, p->lin, GUEST_PAGE_SIZE); /* it does not run until that is done */
    pages_remove(&s->pages, i);
    dc->stats.unmapped++;
}

/* All is unmapped before the world goes on, if it does. */
static void forget_pages(DirectCpu *dc, Space *s)
{
    breaks_clear(&s->world->breaks, 0, UINT64_MAX);
    for (uint32_t i = 0; i < s->pages.n; i++) {
        count_exec(dc, &s->pages.at[i], 0);
    }
    pages_empty(&s->pages);
}

/* What is queued is an order, or will be one. */
static void count_order(DirectCpu *dc, Space *s)
{
    unsigned n = world_requests(s->world);

    if (n != 0) {
        dc->stats.batches++;
        s->mapping += direct_policy.batch_cost + n * direct_policy.run_cost;
    }
}

static bool sync_world(DirectCpu *dc, Space *s)
{
    count_order(dc, s);
    return world_sync(s->world);
}

static void empty_locked(DirectCpu *dc, Space *s)
{
    forget_pages(dc, s);
    world_unmap_all(s->world);
    sync_world(dc, s);
}

void space_empty(DirectCpu *dc, Space *s)
{
    space_hold(dc, s);
    if (s->world != NULL) {
        lock_take(&dc->lock);
        empty_locked(dc, s);
        lock_release(&dc->lock);
    }
}

void space_drop_world(DirectCpu *dc, Space *s)
{
    World *w = s->world;

    if (w == NULL) {
        return;
    }
    if (dc->current == s) {
        dc->current = NULL;
    }
    lock_take(&dc->lock);
    forget_pages(dc, s);
    s->world = NULL;
    lock_release(&dc->lock);
    world_free(w);
    dc->n_worlds--;
}

/* -- Flushes -------------------------------------------------------------------------------------- */

void space_hold(DirectCpu *dc, Space *s)
{
    if (dc->current == s) {
        dc->current = NULL;
    }
    if (s->world != NULL && !s->world->parked) {
        dc->stats.parks++;
        if (!world_park(s->world)) {
            dc->stats.broken++;
            space_drop_world(dc, s);
        }
    }
}

/* The memory that answers guest-physical page `phys`: offset, or TLB_NO_OFFSET. */
static uint64_t memory_at(PhysMem *mem, GuestPhys phys, bool *rom)
{
    uint64_t page = phys.v & mem->address_mask & GUEST_PAGE_MASK;
    PhysRange r = phys_mem_find(mem, guest_phys(page));

    *rom = r.kind == PHYS_ROM;
    if ((r.kind != PHYS_RAM && r.kind != PHYS_ROM) || page - r.base + GUEST_PAGE_SIZE > r.len) {
        return TLB_NO_OFFSET;
    }
    return r.offset + (page - r.base);
}

const uint8_t *direct_memory(const DirectCpu *dc, GuestPhys phys)
{
    bool rom;
    uint64_t offset = memory_at(dc->cpu->mem, phys, &rom);

    return offset != TLB_NO_OFFSET ? dc->cpu->mem->base + offset : NULL;
}

/* The rights that the page tables give to the page now; 0: it is not there as it was. */
static unsigned rights_now(const DirectCpu *dc, const WorldPage *p)
{
    unsigned shift, rights;
    GuestPhys phys;
    bool rom;

    rights = cpu_walk_peek(dc->cpu, guest_lin(p->lin), TLB_USER, &phys, &shift);
    return (rights & TLB_R_READ) != 0 && memory_at(dc->cpu->mem, phys, &rom) == offset_of(p) &&
           (shift > GUEST_PAGE_SHIFT) == p->large ? rights : 0;
}

/* What the page tables leave of a page's rights; 0: it has to go. */
static int prot_now(const DirectCpu *dc, const WorldPage *p)
{
    unsigned rights = rights_now(dc, p);
    int prot = p->prot;

    if ((rights & TLB_R_WRITE) == 0) {
        prot &= ~PROT_WRITE;
    }
    if ((rights & TLB_R_EXEC) == 0) {
        prot &= ~PROT_EXEC;
    }
    return rights == 0 ? 0 : prot;
}

/* After an exec, or in a new process's tables, next to nothing is: to unmap all in two calls is cheaper then. */
static bool most_are_gone(DirectCpu *dc, Space *s)
{
    enum { FEW = 32 };
    uint32_t n = s->pages.n, gone = 0;

    for (uint32_t i = 0; i < n && n > FEW; i++) {
        gone += rights_now(dc, &s->pages.at[i]) == 0;
        if (i - gone >= n / 4) {
            return false;
        }
    }
    return gone > n / 2;
}

typedef struct {
    uint64_t lin;
    int prot;                  /* 0: gone */
} Change;

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const Change *)a)->lin, y = ((const Change *)b)->lin;

    return x < y ? -1 : x > y;
}

/* In order of place, so that neighbours go in one call: after a fork all that was writable loses that right. */
static void compare_all(DirectCpu *dc, Space *s)
{
    g_autofree Change *change = g_new(Change, MAX(s->pages.n, 1));
    unsigned n = 0;

    for (uint32_t i = 0; i < s->pages.n; i++) {
        const WorldPage *p = &s->pages.at[i];
        int prot = prot_now(dc, p);

        if (prot != p->prot) {
            change[n++] = (Change){p->lin, prot};
        }
    }
    dc->stats.checked += s->pages.n;
    s->mapping += s->pages.n * direct_policy.check_cost;
    qsort(change, n, sizeof *change, by_place);
    for (unsigned i = 0; i < n; i++) {
        uint32_t at = pages_find(&s->pages, change[i].lin);

        if (change[i].prot == 0) {
            remove_page(dc, s, at);
        } else {
            set_prot(dc, s, at, change[i].prot);
        }
    }
}

static void check_all(DirectCpu *dc, Space *s)
{
    if (most_are_gone(dc, s)) {
        dc->stats.unmapped += s->pages.n;
        forget_pages(dc, s);
        world_unmap_all(s->world);
        return;
    }
    compare_all(dc, s);
}

static void flush_page(DirectCpu *dc, Space *s, uint64_t lin)
{
    uint32_t i = pages_find(&s->pages, lin & GUEST_PAGE_MASK);

    if (i != PAGE_NONE) {
        remove_page(dc, s, i);
    }
}

/* Pages with RDTSC are mapped, or may be now. */
static void catch_up_with_tsc(DirectCpu *dc, Space *s)
{
    bool is_true = state_rdtsc_is_true(dc);

    if (s->rdtsc_is_true != is_true) {
        s->rdtsc_is_true = is_true;
        if (s->pages.n != 0) {
            space_empty(dc, s);
        }
    }
}

bool space_catch_up(DirectCpu *dc, Space *s)
{
    Tlb *t = &dc->cpu->mmu.tlb;
    uint64_t n = t->n_page_flushes - s->n_page_flushes;
    bool same = s->tlb_space == t->space && s->n_wipes == t->n_wipes, ok = true;

    catch_up_with_tsc(dc, s);
    if (s->world == NULL) {
        return false;
    }
    if (same && n == 0) {
        return true;
    }
    lock_take(&dc->lock);
    if (!same || n > TLB_FLUSHED || (n != 0 && s->pages.n_large != 0)) {
        check_all(dc, s);
    } else {
        for (uint64_t k = s->n_page_flushes; k != t->n_page_flushes; k++) {
            flush_page(dc, s, t->flushed[k % TLB_FLUSHED].v);
        }
    }
    ok = s->world->health == WORLD_ALIVE;
    lock_release(&dc->lock);
    s->tlb_space = t->space;
    s->n_wipes = t->n_wipes;
    s->n_page_flushes = t->n_page_flushes;
    return ok;
}

/* -- Verdicts --------------------------------------------------------------------------------------- */

static unsigned seconds_now(void)
{
    return (unsigned)(g_get_monotonic_time() / G_USEC_PER_SEC) & 0xff;
}

/* Does code in this page change all the time? */
static bool churns(const DirectShared *sh, uint64_t offset)
{
    uint16_t c = __atomic_load_n(&sh->churn[offset >> GUEST_PAGE_SHIFT], __ATOMIC_RELAXED);

    return (c & 0xff) >= direct_policy.churn_max && (uint8_t)(seconds_now() - (c >> 8)) <= 1;
}

static void note_churn(DirectShared *sh, uint64_t offset)
{
    uint16_t *at = &sh->churn[offset >> GUEST_PAGE_SHIFT], c = *at;
    unsigned now = seconds_now(), count = (uint8_t)(now - (c >> 8)) <= 1 ? c & 0xff : 0;

    __atomic_store_n(at, (uint16_t)(now << 8 | MIN(count + 1, 255)), __ATOMIC_RELAXED);
}

static ScanRules rules_of(const DirectCpu *dc)
{
    return (ScanRules){.code32 = (dc->cpu->mode & MODE_CS64) == 0,
                       .deny_fsgsbase = (dc->cpu->cr4 & CR4_FSGSBASE) == 0 || dc->shared->image.bases_by_calls,
                       .deny_fs_loads = dc->shared->image.bases_by_calls,
                       .allow_rdtsc = state_rdtsc_is_true(dc), .deny_pkru = dc->host_pku,
                       .deny_xsave = dc->cpu->vec.xcr0 != dc->host_xcr0,
                       .break_cpuid = __atomic_load_n(&dc->shared->image.breaks_work, __ATOMIC_RELAXED),
                       .deny_ints = host_ints_odd()};
}

/* A verdict holds for the rules it was made by. */
static uint64_t rules_key(ScanRules r)
{
    return (uint64_t)(r.deny_fsgsbase | r.deny_pkru << 1 | r.deny_xsave << 2 | r.code32 << 3 | r.deny_fs_loads << 4 | r.allow_rdtsc << 5 | r.break_cpuid << 6);
}

/* The bytes of the page at `lin`, if user code can execute it; else NULL. */
static const uint8_t *code_at(DirectCpu *dc, uint64_t lin)
{
    unsigned shift, rights;
    GuestPhys phys;
    uint64_t offset;
    bool rom;

    rights = cpu_walk_peek(dc->cpu, guest_lin(lin), TLB_USER, &phys, &shift);
    if ((rights & TLB_R_EXEC) == 0 ||
        (offset = memory_at(dc->cpu->mem, phys, &rom)) == TLB_NO_OFFSET) {
        return NULL;
    }
    return dc->cpu->mem->base + offset;
}

/* Instructions that lie across the page's ends: SCAN_*. */
static unsigned scan_borders(DirectCpu *dc, uint64_t lin, const uint8_t *code)
{
    const uint8_t *before = code_at(dc, lin - GUEST_PAGE_SIZE);
    const uint8_t *behind = code_at(dc, lin + GUEST_PAGE_SIZE);

    return (before != NULL ? scan_border(before + GUEST_PAGE_SIZE, code, rules_of(dc)) : 0) |
           (behind != NULL ? scan_border(code + GUEST_PAGE_SIZE, behind, rules_of(dc)) : 0);
}

/* The page's code, scanned or remembered: SCAN_*. */
static unsigned verdict_on(DirectCpu *dc, uint64_t lin, uint64_t offset, uint32_t version)
{
    uint64_t *at = &dc->shared->verdict[offset >> GUEST_PAGE_SHIFT], v = __atomic_load_n(at, __ATOMIC_RELAXED);
    const uint64_t key = VERDICT_KNOWN | rules_key(rules_of(dc)) << VERDICT_RULES_SHIFT | version;
    bool is_known = (v & ~(VERDICT_SCAN | VERDICT_UNSURE)) == key;
    const uint8_t *before = is_known && (v & VERDICT_UNSURE) == 0 ? NULL : code_at(dc, lin - GUEST_PAGE_SIZE);

    if (!is_known || before != NULL) {
        unsigned found = scan_page(dc->cpu->mem->base + offset,
                                   before != NULL ? before + GUEST_PAGE_SIZE : NULL, rules_of(dc));

        dc->stats.scanned++;
        dc->stats.denied += (found & SCAN_DENIED) != 0;
        v = key | (uint64_t)found << VERDICT_SCAN_SHIFT | (before == NULL && (found & SCAN_DENIED) != 0 ? VERDICT_UNSURE : 0);
        __atomic_store_n(at, v, __ATOMIC_RELAXED);
    }
    return (v & VERDICT_SCAN) >> VERDICT_SCAN_SHIFT;
}

/* ... which becomes a code page; it says what *version has. */
static unsigned verdict_on_code(DirectCpu *dc, uint64_t lin, uint64_t offset, uint32_t *version)
{
    PhysMem *mem = dc->cpu->mem;

    *version = page_code_version(mem, offset); /* in this order: phys-mem.h, invariant 2 */
    phys_mem_set_code(mem, offset);
    return verdict_on(dc, lin, offset, *version);
}

/* The CPUIDs of the page at `lin`, whose bytes are at `code`: how many, of which BREAKS_MAX are told. */
static unsigned cpuids_of(uint64_t lin, const uint8_t *code, uint64_t at[BREAKS_MAX])
{
    uint16_t offset[BREAKS_MAX];
    unsigned n = scan_cpuids(code, offset, BREAKS_MAX);

    for (unsigned i = 0; i < MIN(n, BREAKS_MAX); i++) {
        at[i] = lin + offset[i];
    }
    return n;
}

/* Its world stops at all n of them. */
static bool breaks_are_set(const Space *s, const uint64_t at[BREAKS_MAX], unsigned n)
{
    bool set = n <= BREAKS_MAX;

    for (unsigned i = 0; set && i < n; i++) {
        set = breaks_has(&s->world->breaks, at[i]);
    }
    return set;
}

bool space_break_at_cpuid(DirectCpu *dc, Space *s, uint64_t lin)
{
    uint64_t at[BREAKS_MAX];
    const uint8_t *code;
    unsigned n, found;
    uint32_t version;

    lin &= GUEST_PAGE_MASK;
    code = s->world != NULL && !s->no_breaks && rules_of(dc).break_cpuid ? code_at(dc, lin) : NULL;
    if (code == NULL) {
        return false;
    }
    found = verdict_on_code(dc, lin, (uint64_t)(code - dc->cpu->mem->base), &version);
    if ((found & (SCAN_DENIED | SCAN_CPUID)) != SCAN_CPUID || (scan_borders(dc, lin, code) & SCAN_DENIED) != 0) {
        return false;
    }
    n = cpuids_of(lin, code, at);
    if (n > BREAKS_MAX || breaks_are_set(s, at, n)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!breaks_set(&s->world->breaks, s->world->guest, at[i])) {
            breaks_clear(&s->world->breaks, lin, GUEST_PAGE_SIZE); /* it is not mapped to be executed */
            return false;
        }
    }
    dc->stats.broken_into++;
    return true;
}

void space_came_to_break(DirectCpu *dc, Space *s)
{
    uint64_t now = __rdtsc();
    Breaks *b = &s->world->breaks;

    dc->stats.breaks++;
    if (now - s->breaks_began > BREAKS_BURST_MS * (clock_host_tsc_hz() / 1000)) {
        s->breaks_began = now;
        s->n_breaks = 0;
    }
    if (++s->n_breaks < BREAKS_BURST) {
        return;
    }
    s->no_breaks = true;
    lock_take(&dc->lock);
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        uint32_t page = b->fd[i] >= 0 ? pages_find(&s->pages, b->at[i] & GUEST_PAGE_MASK) : PAGE_NONE;
        if (page != PAGE_NONE) {
            set_prot(dc, s, page, s->pages.at[page].prot & ~PROT_EXEC);
        }
    }
    lock_release(&dc->lock);
    breaks_clear(b, 0, UINT64_MAX); /* it goes on behind what is queued */
}

/*
 * May the page be executed in a world?  Makes it a code page; *version is what its code version must
 * still be once it is mapped.  No locks held.
 */
static bool code_allowed(DirectCpu *dc, Space *s, uint64_t lin, uint64_t offset, uint32_t *version)
{
    PhysMem *mem = dc->cpu->mem;
    unsigned found;

    if (churns(dc->shared, offset)) {
        return false;
    }
    found = verdict_on_code(dc, lin, offset, version);
    if ((found & SCAN_DENIED) == 0) {
        found |= scan_borders(dc, lin, mem->base + offset);
    }
    s->wants_tsc_faults = found == SCAN_TSC;
    if ((found & SCAN_CPUID) != 0) {
        uint64_t at[BREAKS_MAX];
        unsigned n = cpuids_of(lin, mem->base + offset, at);

        if (!breaks_are_set(s, at, n)) {
            return false;
        }
    }
    return (found & SCAN_DENIED) == 0 && ((found & SCAN_TSC) == 0 || world_tsc_faults(s->world));
}

/* -- Faults ------------------------------------------------------------------------------------------- */

/* A page that is to be mapped, or given more rights. */
typedef struct {
    uint64_t lin, offset;
    uint32_t version;          /* executable: see code_allowed() */
    int prot;
    bool large;
} Wanted;

enum { WANTED_MAX = 512 };

/* PROT_* for a page of these rights; `access` is what made us come, or TLB_LOAD for a neighbour. */
static int prot_for(DirectCpu *dc, Space *s, Wanted *w, unsigned rights, bool rom, TlbAccess access)
{
    uint8_t flags = page_flags_get(dc->cpu->mem, w->offset);
    int prot = (rights & TLB_R_READ) != 0 ? PROT_READ : 0;

    if (access == TLB_FETCH) {
        return (rights & TLB_R_EXEC) != 0 && code_allowed(dc, s, w->lin, w->offset, &w->version)
                   ? prot | PROT_EXEC : 0;
    }
    if ((rights & TLB_R_WRITE) != 0 && !rom && (flags & (PAGE_TRACED | PAGE_LOG_DISPLAY)) == 0) {
        if (access == TLB_STORE && page_store_needs_marking(flags)) {
            /* as if it were written now; no harm if it is not */
            phys_mem_written(dc->cpu->mem, w->offset, 1);
            flags = page_flags_get(dc->cpu->mem, w->offset);
        }
        if (!page_store_needs_marking(flags)) {
            prot |= PROT_WRITE;
        }
    }
    return prot;
}

/* A neighbour of a page that faulted: does the guest's TLB have the right to hold it already? */
static bool want_neighbour(DirectCpu *dc, Space *s, uint64_t lin, TlbAccess access, Wanted *w)
{
    uint32_t old = pages_find(&s->pages, lin);
    unsigned shift, rights;
    GuestPhys phys;
    bool rom;

    if (lin < W_BOTTOM || lin >= W_TOP || (old != PAGE_NONE && (access != TLB_STORE || (s->pages.at[old].prot & ~PROT_READ) != 0)) ||
        (lin >= s->world->base && lin < s->world->base + W_LEN) ||
        cpu_debug_watches_page(dc->cpu, guest_lin(lin))) {
        return false;
    }
    rights = cpu_walk_peek(dc->cpu, guest_lin(lin), TLB_USER, &phys, &shift);
    if ((rights & TLB_R_READ) == 0) {
        return false;
    }
    *w = (Wanted){.lin = lin, .large = shift > GUEST_PAGE_SHIFT};
    w->offset = memory_at(dc->cpu->mem, phys, &rom);
    if (w->offset == TLB_NO_OFFSET) {
        return false;
    }
    if (access == TLB_STORE && (page_flags_get(dc->cpu->mem, w->offset) & (PAGE_CODE | PAGE_CHURN)) != 0) {
        access = TLB_LOAD; /* a guess is not worth its code */
    }
    w->prot = prot_for(dc, s, w, rights, rom, access);
    return w->prot != 0 && (old == PAGE_NONE || (w->prot & PROT_WRITE) != 0);
}

/* Queue the mappings, runs of them as one. */
static void map_all(DirectCpu *dc, Space *s, const Wanted *w, unsigned n)
{
    for (unsigned i = 0; i < n;) {
        unsigned k = i + 1;

        while (k < n && w[k].lin == w[k - 1].lin + GUEST_PAGE_SIZE && w[k].prot == w[i].prot &&
               w[k].offset == w[k - 1].offset + GUEST_PAGE_SIZE) {
            k++;
        }
        world_map(s->world, w[i].lin, (k - i) * (uint64_t)GUEST_PAGE_SIZE, w[i].prot, w[i].offset, true);
        i = k;
    }
    for (unsigned i = 0; i < n; i++) {
        uint32_t old = pages_find(&s->pages, w[i].lin);

        if (old != PAGE_NONE) { /* mapped over: more rights, or other memory */
            count_exec(dc, &s->pages.at[old], 0);
            pages_remove(&s->pages, old);
        }
        pages_add(&s->pages, w[i].lin, (uint32_t)(w[i].offset >> GUEST_PAGE_SHIFT), 0, w[i].large);
        count_exec(dc, &s->pages.at[s->pages.n - 1], w[i].prot);
        s->pages.at[s->pages.n - 1].prot = (uint8_t)w[i].prot;
        if ((w[i].prot & PROT_WRITE) != 0) {
            page_flags_set(dc->cpu->mem, w[i].offset, PAGE_TLB_WRITABLE);
        }
        dc->stats.mapped++;
        s->mapping += direct_policy.page_cost;
    }
}

/* Announced, published, not executed yet; look again: somebody may have revoked what was not there. */
static void look_again(DirectCpu *dc, Space *s, const Wanted *w, unsigned n)
{
    PhysMem *mem = dc->cpu->mem;

    for (unsigned i = 0; i < n; i++) {
        uint32_t at = pages_find(&s->pages, w[i].lin);

        if ((w[i].prot & PROT_WRITE) != 0 &&
            page_store_needs_marking(page_flags_get(mem, w[i].offset))) {
            set_prot(dc, s, at, w[i].prot & ~PROT_WRITE);
        }
        if ((w[i].prot & PROT_EXEC) != 0 && page_code_version(mem, w[i].offset) != w[i].version) {
            remove_page(dc, s, at);
        }
    }
}

static bool has_rights(int prot, TlbAccess a)
{
    return (prot & (a == TLB_LOAD ? PROT_READ : a == TLB_STORE ? PROT_WRITE : PROT_EXEC)) != 0;
}

/* How many pages to look at around one that faulted: more and more while a program walks through memory it
 * has used before, fewer and fewer while it is new to it. */
static unsigned pages_around(Space *s, const Wanted *w, TlbAccess a)
{
    uint64_t len = (uint64_t)s->around << GUEST_PAGE_SHIFT;
    bool goes_on = w->lin - s->around_at < 3 * len || s->around_at - w->lin < 3 * len;

    if (a == TLB_FETCH) {
        return direct_policy.around;
    }
    if (!goes_on || s->around == 0) {
        s->around = direct_policy.around;
    } else if (s->around_found >= s->around / 2) {
        s->around = MIN(s->around * 2, direct_policy.around_max);
    } else {
        s->around = MAX(s->around / 2, 2);
    }
    s->around_at = w->lin;
    return w->large ? direct_policy.around_max : s->around;
}

/* w[0] is wanted; put its neighbours around it, in order.  Returns how many there are. */
static unsigned gather(DirectCpu *dc, Space *s, TlbAccess a, Wanted w[WANTED_MAX])
{
    uint64_t len = (uint64_t)MIN(pages_around(s, &w[0], a), WANTED_MAX) << GUEST_PAGE_SHIFT;
    Wanted self = w[0];
    unsigned n = 0;

    for (uint64_t at = self.lin - self.lin % len, end = at + len; at < end; at += GUEST_PAGE_SIZE) {
        if (at == self.lin) {
            w[n++] = self;
        } else if (want_neighbour(dc, s, at, a, &w[n])) {
            n++;
        }
    }
    s->around_found = n;
    return n;
}

/* Queued only: done before the world goes on (space_resume()), which nobody needs to wait for. */
static FaultResult map_wanted(DirectCpu *dc, Space *s, const Wanted *w, unsigned n)
{
    bool ok;

    lock_take(&dc->lock);
    if (s->pages.n - s->pages.n_large * 7 / 8 + n > dc->pages_max) {
        dc->stats.emptied++;
        empty_locked(dc, s);
    }
    map_all(dc, s, w, n);
    look_again(dc, s, w, n);
    ok = s->world->health == WORLD_ALIVE; /* an earlier order may have failed */
    lock_release(&dc->lock);
    return ok ? FAULT_MAPPED : FAULT_BROKEN;
}

bool space_sync(DirectCpu *dc, Space *s)
{
    bool ok;

    lock_take(&dc->lock);
    ok = sync_world(dc, s);
    lock_release(&dc->lock);
    return ok;
}

void space_resume(DirectCpu *dc, Space *s)
{
    World *w = s->world;

    if (world_requests(w) == 0) {
        world_resume(w, dc->spin.looks);
        return;
    }
    lock_take(&dc->lock);
    if (world_requests(w) != 0) {
        count_order(dc, s);
        world_resume_mapped(w, dc->spin.looks);
    } else {
        world_resume(w, dc->spin.looks);
    }
    lock_release(&dc->lock);
}

FaultResult space_fault(DirectCpu *dc, Space *s, GuestLin lin, TlbAccess a)
{
    CpuState *cpu = dc->cpu;
    uint64_t page = lin.v & GUEST_PAGE_MASK;
    Wanted w[WANTED_MAX];
    const TlbSide *side;
    uint32_t old;
    unsigned n = 0;

    mmu_probe(&cpu->mmu, TLB_USER, lin, 1, a);
    side = tlb_probe(&cpu->mmu.tlb, TLB_USER, lin);
    if (side == NULL || side->offset == TLB_NO_OFFSET || (side->rights & TLB_R_WATCH) != 0 ||
        lin.v < W_BOTTOM || lin.v >= W_TOP) {
        return FAULT_INTERPRET;
    }
    if (page >= s->world->base && page < s->world->base + W_LEN) {
        return FAULT_BROKEN; /* the guest wants the stub's place: elsewhere, then */
    }
    old = pages_find(&s->pages, page);
    w[n] = (Wanted){.lin = page, .offset = side->offset, .large = side->page_shift > GUEST_PAGE_SHIFT};
    w[n].prot = prot_for(dc, s, &w[n], side->rights, side->rom, a);
    if (!has_rights(w[n].prot, a)) {
        return FAULT_INTERPRET;
    }
    if (old != PAGE_NONE && s->pages.at[old].page == w[n].offset >> GUEST_PAGE_SHIFT && has_rights(s->pages.at[old].prot, a)) {
        return space_sync(dc, s) ? FAULT_INTERPRET : FAULT_BROKEN; /* it had the right and faulted all the same */
    }
    n = gather(dc, s, a, w);
    return map_wanted(dc, s, w, n);
}

void space_note_fault(Space *s, GuestLin lin, TlbAccess a, uint64_t rip)
{
    s->refault = lin;
    s->refault_access = a;
    s->refault_rip = rip;
    s->refaults = true;
}

bool space_map_fault(DirectCpu *dc, Space *s)
{
    CpuState *cpu = dc->cpu;
    jmp_buf env, *outer = cpu->unwind;
    unsigned shift, rights;
    bool ok = true;
    GuestPhys phys;

    s->refaults = false;
    rights = cpu_walk_peek(cpu, s->refault, TLB_USER, &phys, &shift);
    if (cpu->rip != s->refault_rip ||
        (rights & (s->refault_access == TLB_LOAD ? TLB_R_READ
                   : s->refault_access == TLB_STORE ? TLB_R_WRITE : TLB_R_EXEC)) == 0) {
        return true;
    }
    cpu->unwind = &env;
    if (_setjmp(env) == 0) { /* it would raise only what the instruction will raise */
        ok = space_fault(dc, s, s->refault, s->refault_access) != FAULT_BROKEN;
    }
    cpu->unwind = outer;
    return ok;
}

/* -- The mirror ----------------------------------------------------------------------------------------- */

void space_revoke_write(DirectCpu *dc, Space *s, uint64_t offset)
{
    for (uint32_t i = pages_first_of(&s->pages, (uint32_t)(offset >> GUEST_PAGE_SHIFT));
         i != PAGE_NONE; i = pages_next_of(&s->pages, i)) {
        if ((s->pages.at[i].prot & PROT_WRITE) != 0) {
            set_prot(dc, s, i, s->pages.at[i].prot & ~PROT_WRITE);
            dc->stats.revoked++;
        }
    }
    sync_world(dc, s);
}

void space_code_written(DirectCpu *dc, Space *s, uint64_t offset)
{
    for (uint32_t i = pages_first_of(&s->pages, (uint32_t)(offset >> GUEST_PAGE_SHIFT));
         i != PAGE_NONE; i = pages_next_of(&s->pages, i)) {
        if ((s->pages.at[i].prot & PROT_EXEC) != 0) {
            set_prot(dc, s, i, s->pages.at[i].prot & ~PROT_EXEC);
            note_churn(dc->shared, offset);
        }
    }
    sync_world(dc, s);
}
